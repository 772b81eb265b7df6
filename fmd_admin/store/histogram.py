"""Histograms of durations: logarithmic buckets, small when stored, quick to add up.

Bucket ``i`` holds durations from ``LOWEST_MS * RATIO**i`` up to, but not including, the next
power; its geometric middle is at most 1 % away from all of them. What is shorter than 1 µs falls
into the first bucket, what is longer than an hour into the last.

Stored form (``b""`` for no requests). The first byte is a tag: the bytes a count takes (1, 2 or
4), plus ``SPARSE`` or ``PACKED``. All integers are little endian.

- ``SPARSE``: the bucket numbers (2 bytes each), then their counts.
- otherwise: the first bucket (2 bytes), then the counts of that bucket and all following ones;
  ``PACKED`` means these counts went through raw deflate.

Stored histograms are added as big integers with a lane for each bucket. Lanes are twice as wide as
the counts, so 257 histograms of counts of one byte can be added before a lane could run over.
"""

from __future__ import annotations

import math
import struct
import zlib
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, compress

from ..errors import StoreError

RATIO = 1.02
LOWEST_MS = 0.001
HIGHEST_MS = 3_600_000.0
_LOG_LOWEST = math.log(LOWEST_MS)
_PER_LOG = 1 / math.log(RATIO)
#: Number of the last bucket.
LAST = int((math.log(HIGHEST_MS) - _LOG_LOWEST) * _PER_LOG)
#: The highest count that is stored; more in one bucket stay at this number.
MAX_COUNT = 2**32 - 1

SPARSE = 0x10
PACKED = 0x20
_WIDTH_MASK = 0x07
#: Up to this many buckets the sparse form is as small as the other, and quicker to write.
_SPARSE_BUCKETS = 24
#: struct's letters for integers of so many bytes.
_CODES = {1: "B", 2: "H", 4: "I", 8: "Q"}


def bucket(duration_ms: float) -> int:
    """Return the bucket number, 0 to ``LAST``, of a duration in milliseconds."""
    if duration_ms <= LOWEST_MS:
        return 0
    number = int((math.log(duration_ms) - _LOG_LOWEST) * _PER_LOG)
    return number if number < LAST else LAST


def middle_ms(number: int) -> float:
    """Return the geometric middle of bucket ``number`` in milliseconds."""
    return LOWEST_MS * math.pow(RATIO, number + 0.5)


def encode(counts: Mapping[int, int], *, pack: bool = True) -> bytes:
    """Return the stored form of ``counts`` (bucket → requests); counts of 0 are left out.

    Without ``pack`` nothing is deflated: for what is going to be deflated with others.
    """
    kept = {number: count for number, count in counts.items() if count > 0}
    if not kept:
        return b""
    if len(kept) <= _SPARSE_BUCKETS:
        return _sparse(list(kept), list(kept.values()))
    first = min(kept)
    lanes = [0] * (max(kept) - first + 1)
    for number, count in kept.items():
        lanes[number - first] = count
    return _dense(first, lanes, len(kept), pack=pack)


def _sparse(numbers: list[int], counts: list[int]) -> bytes:
    width, counts = _fitting(counts)
    size = len(numbers)
    return struct.pack(f"<B{size}H{size}{_CODES[width]}", SPARSE | width, *numbers, *counts)


def _dense(first: int, lanes: list[int], used: int, *, pack: bool = True) -> bytes:
    """``lanes`` are the counts from bucket ``first`` on; ``used`` of them are not 0."""
    width, lanes = _fitting(lanes)
    plain = struct.pack(f"<{len(lanes)}{_CODES[width]}", *lanes)
    # Deflate saves much only where most counts are 0, and doubles the time of an addition.
    if not pack or 2 * used > len(lanes):
        return struct.pack("<BH", width, first) + plain
    # A window as small as the longest of these: to clear a larger one takes longer than the rest.
    packer = zlib.compressobj(6, zlib.DEFLATED, -12, 5)
    return struct.pack("<BH", PACKED | width, first) + packer.compress(plain) + packer.flush()


def _fitting(counts: list[int]) -> tuple[int, list[int]]:
    """Return the bytes that the highest count takes, and the counts, at most ``MAX_COUNT``."""
    highest = max(counts)
    if highest > MAX_COUNT:
        return 4, [min(count, MAX_COUNT) for count in counts]
    return 1 if highest < 1 << 8 else 2 if highest < 1 << 16 else 4, counts


def add(parts: Iterable[bytes]) -> dict[int, int]:
    """Return the sum of stored histograms as bucket → requests, in the order of the buckets.

    Raises StoreError for bytes that are not a stored histogram.
    """
    first, lanes = _sum(parts)
    # In C, as pages do it for each row that they show.
    used = compress(range(first, first + len(lanes)), lanes)
    return dict(zip(used, filter(None, lanes), strict=True))


def merge(parts: Iterable[bytes]) -> bytes:
    """Return the sum of stored histograms in stored form. Raises StoreError as :func:`add`."""
    first, lanes = _sum(parts)
    if not lanes:
        return b""
    used = len(lanes) - lanes.count(0)
    if used > _SPARSE_BUCKETS:
        return _dense(first, lanes, used)
    numbers = [number for number, count in enumerate(lanes, first) if count]
    return _sparse(numbers, [lanes[number - first] for number in numbers])


def _sum(parts: Iterable[bytes]) -> tuple[int, list[int]]:
    """Return the lowest bucket used, and the counts of it and all up to the highest one used."""
    total = [0] * (LAST + 1)
    lowest, highest = LAST + 1, -1
    dense: dict[int, list[tuple[int, bytes]]] = {1: [], 2: [], 4: []}
    for data in parts:
        if not data:
            continue
        tag = data[0]
        width = tag & _WIDTH_MASK
        if width not in dense:
            raise _unreadable(data)
        if tag & SPARSE:
            low, high = _add_sparse(total, data, width)
        else:
            low, body = _body(data)
            high = low + len(body) // width - 1
            dense[width].append((low, body))
        if high > LAST:
            raise _unreadable(data)
        if low < lowest:
            lowest = low
        if high > highest:
            highest = high
    for width, found in dense.items():
        # So many can be added before a lane might run over.
        at_once = (1 << 8 * width) + 1
        for start in range(0, len(found), at_once):
            _add_dense(total, found[start : start + at_once], width)
    return lowest, total[lowest : highest + 1]


def _add_sparse(total: list[int], data: bytes, width: int) -> tuple[int, int]:
    """Add to ``total``; return the lowest and the highest bucket."""
    numbers, counts = _sparse_items(data, width)
    for number, count in zip(numbers, counts, strict=True):
        total[number] += count
    return min(numbers), max(numbers)


def _sparse_items(data: bytes, width: int) -> tuple[Sequence[int], Sequence[int]]:
    """Return the buckets of the sparse form and their requests."""
    size, rest = divmod(len(data) - 1, 2 + width)
    if width not in _CODES or rest or not size:
        raise _unreadable(data)
    fields = struct.unpack(f"<{size}H{size}{_CODES[width]}", data[1:])
    if max(fields[:size]) > LAST:
        raise _unreadable(data)
    return fields[:size], fields[size:]


def _body(data: bytes) -> tuple[int, bytes]:
    """Return the first bucket, and the bytes of the counts from it on."""
    tag, body = data[0], data[3:]
    if tag & PACKED:
        try:
            body = zlib.decompress(body, -15, 1024)
        except zlib.error:
            raise _unreadable(data) from None
    if len(body) % (tag & _WIDTH_MASK) or not body:
        raise _unreadable(data)
    return data[1] | data[2] << 8, body


def _add_dense(total: list[int], found: list[tuple[int, bytes]], width: int) -> None:
    lowest = min([first for first, _ in found])
    lanes, lane = 0, 2 * width
    for first, body in found:
        wide = bytearray(2 * len(body))
        if width == 1:
            wide[::2] = body
        else:
            for byte in range(width):
                wide[byte::lane] = body[byte::width]
        # The shift puts the first count into the lane of its bucket.
        lanes += int.from_bytes(wide, "little") << 8 * lane * (first - lowest)
    size = -(-lanes.bit_length() // (16 * width))
    fields = struct.unpack(
        f"<{size}{_CODES[2 * width]}", lanes.to_bytes(size * 2 * width, "little")
    )
    end = lowest + size
    total[lowest:end] = map(int.__add__, total[lowest:end], fields)


def _unreadable(data: bytes) -> StoreError:
    return StoreError(
        f"A stored histogram cannot be read (it begins with {data[:8].hex()}). "
        "Run 'flask fmd rebuild-rollups' to compute the rollups again."
    )


def counts(data: bytes) -> dict[int, int]:
    """Return bucket → requests of one stored histogram, in the order of the buckets."""
    if data and data[0] & SPARSE:
        # The few of one visitor a day: without lanes for every bucket there is.
        numbers, found = _sparse_items(data, data[0] & _WIDTH_MASK)
        return dict(sorted(zip(numbers, found, strict=True)))
    return add((data,))


def quantiles(data: bytes, qs: Sequence[float]) -> list[float]:
    """Return the quantiles ``qs`` (0 to 1) of a stored histogram in ms; [] without requests."""
    return quantiles_of(counts(data), qs)


def quantiles_of(ordered: Mapping[int, int], qs: Sequence[float]) -> list[float]:
    """Return quantiles in ms of bucket → requests as :func:`add` gives it (buckets in order).

    ``qs`` lie between 0 and 1. A quantile is the smallest duration that at least ``q`` of the
    requests do not exceed (numpy's "inverted_cdf"), to within 1 %. Returns [] without requests.
    """
    seen = list(accumulate(ordered.values()))
    if not seen or not seen[-1]:
        return []
    numbers = list(ordered)
    return [middle_ms(numbers[bisect_left(seen, q * seen[-1])]) for q in qs]
