"""Inflates stored values, up to a size that no value of ours has."""

from __future__ import annotations

import zlib

#: Bytes of the largest value: the shapes of 5,000 visitors with full histograms stay below it.
LARGEST = 32 * 1024 * 1024


def inflate(data: bytes, largest: int = LARGEST) -> bytes:
    """Return what ``zlib.compress`` made ``data`` of.

    Raises zlib.error if it cannot be read, ends too early, or is larger than ``largest``: a few
    kilobytes that somebody put into the database could fill the memory otherwise.
    """
    unpacker = zlib.decompressobj()
    found = unpacker.decompress(data, largest)
    if not unpacker.eof:
        # The end may still be missing where exactly so many bytes came out.
        found += unpacker.decompress(unpacker.unconsumed_tail, 1)
    if not unpacker.eof or len(found) > largest:
        raise zlib.error(f"The value is cut off, or larger than {largest} bytes.")
    return found
