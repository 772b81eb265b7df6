"""Columns of whole numbers as bytes: each as narrow as its highest number allows.

A column is a byte with the width of its numbers (1, 2, 4 or 8 bytes) and then the numbers, little
endian. How many there are has to be known from elsewhere.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence
from functools import cache

_CODES = {1: "B", 2: "H", 4: "I", 8: "Q"}
_SWAP = sys.byteorder == "big"


def pack(numbers: Sequence[int]) -> bytes:
    """Return ``numbers`` (0 to 2**64 - 1) as a column."""
    highest = max(numbers, default=0)
    width = 1 if highest < 1 << 8 else 2 if highest < 1 << 16 else 4 if highest < 1 << 32 else 8
    found = array(_CODES[width], numbers)
    if _SWAP:
        found.byteswap()
    return bytes((width,)) + found.tobytes()


def unpack(data: bytes, start: int, size: int) -> tuple[array[int], int]:
    """Return the column of ``size`` numbers at ``start``, and where it ends.

    Raises ValueError if there is no such column.
    """
    width = data[start] if start < len(data) else 0
    end = start + 1 + size * width
    if width not in _CODES or end > len(data):
        raise ValueError("The column is cut off.")
    found = array(_CODES[width])
    found.frombytes(data[start + 1 : end])
    if _SWAP:
        found.byteswap()
    return found, end


@cache
def _above(limit: int) -> bytes:
    return bytes(number > limit for number in range(256))


def more_than(numbers: array[int], limit: int) -> bytes:
    """Return a byte for each number: 1 if it is above ``limit`` (0 to 254), else 0."""
    data = numbers.tobytes()
    planes = [data[place :: numbers.itemsize] for place in range(numbers.itemsize)]
    if _SWAP:
        planes.reverse()
    # As one big number each: a loop over the numbers would take thirty times as long.
    flags = int.from_bytes(planes[0].translate(_above(limit)), "little")
    for plane in planes[1:]:
        flags |= int.from_bytes(plane.translate(_above(0)), "little")
    return flags.to_bytes(len(numbers), "little")
