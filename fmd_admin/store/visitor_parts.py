"""The visitors of one endpoint, version and day as bytes: about 6 of them a visitor.

A row a visitor would take ten times the space, as nearly every one comes once or twice a day, and
would be read ten times slower. Sums are whole nanoseconds, so that they are exact however parts
are put together.

``figures``, deflated: the number of visitors (4 bytes), then three :mod:`columns`: ids in
ascending order, hits, sums in ns. The id 0 (``OTHER``) is all those over the cap together.

``shapes``, deflated, b"" where they are not kept: columns of the shortest and the longest duration
of visitors with 2 hits or more, a column of the lengths of the histograms of visitors with 3 hits
or more, then these histograms. What came once or twice is known from its sum and extremes. With
more than ``BLOCK`` visitors each block of so many stands for itself, so that a page of a few need
not inflate those of all: a byte 0, the number of blocks (4 bytes), a column of their lengths, the
blocks.
"""

from __future__ import annotations

import math
import struct
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from functools import partial
from heapq import nlargest
from itertools import accumulate, pairwise

from ..errors import StoreError
from . import histogram
from .columns import more_than, pack, unpack
from .inflate import deflate, inflate
from .kept import Kept

#: The id of all visitors over the cap of their day together: no row has it.
OTHER = 0
_NS_PER_MS = 1_000_000
_LOWEST_NS = int(histogram.LOWEST_MS * _NS_PER_MS)
_LOG_LOWEST = math.log(histogram.LOWEST_MS)
_PER_LOG = 1 / math.log(histogram.RATIO)
_log = math.log
_HEAD = struct.Struct("<I")
# Level 6 takes three times as long for a tenth less.
_LEVEL = 2
#: Visitors whose shapes are deflated together.
BLOCK = 512
#: What shapes in blocks begin with; those of a single one begin as zlib's streams do: not with 0.
_BLOCKS = b"\0"
#: One visitor alone is found quickly; for more than this share of all, all are gone through.
_FEW = 16
#: The same where their shapes are needed: to take these apart costs more than to find a visitor.
_FEW_SHAPES = 2


#: One visitor: hits, sum, shortest and longest duration in ns, and a stored histogram, which is b""
#: up to 2 hits (see :func:`histograms_of`). Without a shape the last three are 0, 0, b"". A plain
#: tuple: there are thousands in a part, and named ones take three times as long.
Entry = tuple[int, int, int, int, bytes]


def entry_of(durations: Sequence[int], shaped: bool) -> Entry:
    """Return the entry of a visitor's ``durations`` in ns, of which there must be some."""
    hits = len(durations)
    if hits == 1:
        total = durations[0]
        return (1, total, total, total, b"") if shaped else (1, total, 0, 0, b"")
    if not shaped:
        return (hits, sum(durations), 0, 0, b"")
    counts = counted({}, durations) if hits > 2 else {}
    return (
        hits,
        sum(durations),
        min(durations),
        max(durations),
        histogram.encode(counts, pack=False),
    )


def extend(entry: Entry, durations: Sequence[int], shaped: bool) -> Entry:
    """Return ``entry`` with more ``durations`` in ns."""
    hits = entry[0] + len(durations)
    total = entry[1] + sum(durations)
    if not shaped:
        return (hits, total, 0, 0, b"")
    low, high = min(entry[2], *durations), max(entry[3], *durations)
    if hits <= 2:
        return (hits, total, low, high, b"")
    counts = counted(_added({}, entry), durations)
    return (hits, total, low, high, histogram.encode(counts, pack=False))


def together(entries: Sequence[Entry], shaped: bool) -> Entry:
    """Return one entry of all ``entries``, of which there must be some."""
    if len(entries) == 1:
        return entries[0]
    hits = sum([entry[0] for entry in entries])
    total = sum([entry[1] for entry in entries])
    if not shaped:
        return (hits, total, 0, 0, b"")
    low, high = min([entry[2] for entry in entries]), max([entry[3] for entry in entries])
    if hits <= 2:
        return (hits, total, low, high, b"")
    counts: dict[int, int] = {}
    for entry in entries:
        _added(counts, entry)
    return (hits, total, low, high, histogram.encode(counts, pack=False))


def histograms_of(entries: Iterable[Entry]) -> list[bytes]:
    """Return stored histograms of all entries, which have a shape: those of few hits in one."""
    few: dict[int, int] = {}
    found = []
    for entry in entries:
        if entry[4]:
            found.append(entry[4])
        else:
            _added(few, entry)
    if few:
        found.append(histogram.encode(few, pack=False))
    return found


def _added(counts: dict[int, int], entry: Entry) -> dict[int, int]:
    """Add an entry with a shape to ``counts`` (bucket → requests)."""
    hits, total, low, high, stored = entry
    if hits == 1:
        return counted(counts, (total,))
    if hits == 2:
        return counted(counts, (low, high))
    for number, count in histogram.counts(stored).items():
        counts[number] = counts.get(number, 0) + count
    return counts


def counted(counts: dict[int, int], durations: Iterable[int]) -> dict[int, int]:
    """Add ``durations`` in ns to ``counts`` (histogram bucket → requests), and return these."""
    last = histogram.LAST
    for duration_ns in durations:
        # histogram.bucket() written out: this runs several times for every request.
        if duration_ns > _LOWEST_NS:
            number = int((_log(duration_ns / _NS_PER_MS) - _LOG_LOWEST) * _PER_LOG)
            if number > last:
                number = last
        else:
            number = 0
        counts[number] = counts.get(number, 0) + 1
    return counts


def capped(entries: dict[int, Entry], most: int, shaped: bool) -> dict[int, Entry]:
    """Return the ``most`` visitors with the most hits, and all others together as ``OTHER``.

    A visitor who was put to the others and comes again that day begins anew, so with more visitors
    than the cap those with few hits count too little, by at most what they had before.
    """
    other = [entries[OTHER]] if OTHER in entries else []
    if len(entries) - len(other) <= most:
        return entries
    named = [item for item in entries.items() if item[0] != OTHER]
    # Of two with as many hits the lower id stays, whatever the order they came in.
    kept = dict(nlargest(most, named, key=lambda item: (item[1][0], -item[0])))
    other += [entry for id, entry in named if id not in kept]
    kept[OTHER] = together(other, shaped)
    return kept


def encode(entries: Mapping[int, Entry], shaped: bool) -> tuple[bytes, bytes]:
    """Return the stored ``figures`` and ``shapes`` of visitors by id."""
    ids = sorted(entries)
    rows = [entries[id] for id in ids]
    hits = [row[0] for row in rows]
    figures = _HEAD.pack(len(ids)) + pack(ids) + pack(hits) + pack([row[1] for row in rows])
    if not shaped:
        return deflate(figures, _LEVEL), b""
    blocks = [_shapes(rows[start : start + BLOCK]) for start in range(0, len(rows), BLOCK)]
    if len(blocks) == 1:
        shapes = blocks[0]
    else:
        head = _BLOCKS + _HEAD.pack(len(blocks)) + pack([len(block) for block in blocks])
        shapes = b"".join((head, *blocks))
    return deflate(figures, _LEVEL), shapes


def _shapes(rows: Sequence[Entry]) -> bytes:
    several = [row for row in rows if row[0] > 1]
    many = [row[4] for row in several if row[0] > 2]
    columns = (
        pack([row[2] for row in several]),
        pack([row[3] for row in several]),
        pack([len(stored) for stored in many]),
    )
    return deflate(b"".join((*columns, *many)), _LEVEL)


def _split(shapes: bytes, size: int) -> tuple[list[bytes], int]:
    """Return the blocks of the shapes of ``size`` visitors, and how many are in each."""
    if not shapes.startswith(_BLOCKS):
        return [shapes], max(size, 1)
    try:
        (count,) = _HEAD.unpack_from(shapes, len(_BLOCKS))
        if count != -(-size // BLOCK):
            raise _unreadable()
        lengths, start = unpack(shapes, len(_BLOCKS) + _HEAD.size, count)
    except (ValueError, struct.error):
        raise _unreadable() from None
    ends = list(accumulate(lengths, initial=start))
    return [shapes[first:last] for first, last in pairwise(ends)], BLOCK


_Columns = tuple["array[int]", "array[int]", "array[int]"]


def _columns(figures: bytes) -> _Columns:
    try:
        data = inflate(figures)
        (size,) = _HEAD.unpack_from(data)
        ids, start = unpack(data, _HEAD.size, size)
        hits, start = unpack(data, start, size)
        sums_ns, _ = unpack(data, start, size)
    except (ValueError, zlib.error, struct.error):
        raise _unreadable() from None
    return ids, hits, sums_ns


def _size(figures: bytes, columns: _Columns) -> int:
    return len(figures) + sum([len(column) * column.itemsize for column in columns])


class Part:
    """The visitors of a stored row: ``ids`` in ascending order, their ``hits`` and ``sums_ns``.

    Raises StoreError if the bytes cannot be read; those of the shapes once they are asked for.
    """

    __slots__ = ("_blocks", "_kept", "_shapes", "hits", "ids", "sums_ns")

    def __init__(self, figures: bytes, kept: Kept | None = None) -> None:
        """``kept`` is where what is read of it is kept, for pages that read the same ones again."""
        if kept is None:
            self.ids, self.hits, self.sums_ns = _columns(figures)
        else:
            self.ids, self.hits, self.sums_ns = kept.find(
                ("columns", figures), partial(_columns, figures), partial(_size, figures)
            )
        self._kept = kept
        self._blocks: tuple[list[bytes], int] | None = None
        self._shapes: dict[int, _Shapes] = {}

    def index(self, id: int) -> int | None:
        """Return where a visitor stands, or None."""
        found = bisect_left(self.ids, id)
        return found if found < len(self.ids) and self.ids[found] == id else None

    def among(self, wanted: Set[int]) -> list[tuple[int, int]]:
        """Return (index, id) of those of ``wanted`` that are here."""
        if _FEW * len(wanted) < len(self.ids):
            found = ((self.index(id), id) for id in wanted)
            return [(index, id) for index, id in found if index is not None]
        return [(index, id) for index, id in enumerate(self.ids) if id in wanted]

    def entries(self, shapes: bytes) -> dict[int, Entry]:
        """Return all visitors by id; ``shapes`` are those of the same row, b"" without."""
        rows: Iterable[Entry]
        if not shapes:
            rows = (
                (hits, sum_ns, 0, 0, b"")
                for hits, sum_ns in zip(self.hits, self.sums_ns, strict=True)
            )
        else:
            rows = self._with_shapes(shapes)
        return dict(zip(self.ids, rows, strict=True))

    def _with_shapes(self, shapes: bytes) -> Iterator[Entry]:
        blocks, size = _split(shapes, len(self.ids))
        for number, block in enumerate(blocks):
            part = slice(number * size, (number + 1) * size)
            hits, sums_ns = self.hits[part], self.sums_ns[part]
            found = _Shapes(hits, block)
            yield from zip(hits, sums_ns, *found.columns(hits, sums_ns), strict=True)

    def chosen(self, places: Sequence[tuple[int, int]], shapes: bytes) -> list[tuple[int, Entry]]:
        """Return (id, entry with its shape) of ``places``, which are (index, id)."""
        if _FEW_SHAPES * len(places) < len(self.ids):
            return [(id, self.entry(index, shapes)) for index, id in places]
        found = self.entries(shapes)
        return [(id, found[id]) for _, id in places]

    def entry(self, index: int, shapes: bytes) -> Entry:
        """Return the visitor at ``index`` with its shape."""
        hits, sum_ns = self.hits[index], self.sums_ns[index]
        if hits == 1:
            return (1, sum_ns, sum_ns, sum_ns, b"")
        if self._blocks is None:
            self._blocks = _split(shapes, len(self.ids))
        blocks, size = self._blocks
        number, index = divmod(index, size)
        found = self._shapes.get(number)
        if found is None:
            part = self.hits[number * size : (number + 1) * size]
            make = partial(_Shapes, part, blocks[number])
            if self._kept is None:
                found = make()
            else:
                key = ("shapes", part.tobytes(), blocks[number])
                found = self._kept.find(key, make, _Shapes.size)
            self._shapes[number] = found
        rank = found.several.count(1, 0, index + 1) - 1
        low, high = found.mins_ns[rank], found.maxs_ns[rank]
        if hits == 2:
            return (2, sum_ns, low, high, b"")
        rank = found.many.count(1, 0, index + 1)
        stored = found.data[found.ends[rank - 1] : found.ends[rank]]
        return (hits, sum_ns, low, high, stored)


class _Shapes:
    """``several`` and ``many`` are a byte a visitor: 1 for those with 2 and 3 hits or more."""

    __slots__ = ("data", "ends", "many", "maxs_ns", "mins_ns", "several")

    def __init__(self, hits: array[int], shapes: bytes) -> None:
        self.several, self.many = more_than(hits, 1), more_than(hits, 2)
        several = self.several.count(1)
        try:
            self.data = inflate(shapes)
            self.mins_ns, start = unpack(self.data, 0, several)
            self.maxs_ns, start = unpack(self.data, start, several)
            lengths, start = unpack(self.data, start, self.many.count(1))
        except (ValueError, zlib.error):
            raise _unreadable() from None
        self.ends = list(accumulate(lengths, initial=start))

    def size(self) -> int:
        """Return about how many bytes it takes, with those that it was made of."""
        return 2 * len(self.data) + 40 * len(self.ends) + 20 * len(self.mins_ns)

    def columns(
        self, hits: array[int], sums_ns: array[int]
    ) -> tuple[list[int], list[int], list[bytes]]:
        """Return the extremes and the histograms of every visitor."""
        low, high = iter(self.mins_ns), iter(self.maxs_ns)
        stored = iter([self.data[start:end] for start, end in pairwise(self.ends)])
        pairs = list(zip(hits, sums_ns, strict=True))
        return (
            [total if number == 1 else next(low) for number, total in pairs],
            [total if number == 1 else next(high) for number, total in pairs],
            [b"" if number < 3 else next(stored) for number in hits],
        )


def _unreadable() -> StoreError:
    return StoreError(
        "The stored visitors of a day cannot be read. "
        "Run 'flask fmd rebuild-rollups' to compute the rollups again."
    )
