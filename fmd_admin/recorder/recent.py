"""The records of the last second, by column."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from itertools import islice, repeat

from ..records import Detail, RequestRecord, Texts

_NO_TEXTS: Texts = ("", "", "", None, None)


class Recent:
    """Records of which each takes the room of three numbers only.

    What a request makes for its record is gone with it, so that the next one uses the same memory,
    which the processor still has at hand. ``count`` are there; the columns have room for more, so
    that a record is put in without a call, between which a signal could come in.

    ``starts_ns`` and ``ends_ns`` are perf_counter_ns; ``details`` are as many as the others, or
    empty where no record has any.
    """

    __slots__ = ("count", "details", "ends_ns", "starts_ns", "texts")

    def __init__(self) -> None:
        self.count = 0
        self.texts: list[Texts] = []
        self.starts_ns: array[int] = array("q")
        self.ends_ns: array[int] = array("q")
        self.details: Sequence[Detail | None] = ()

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[RequestRecord]:
        details = self.details or repeat(None)
        rows = zip(self.texts, self.starts_ns, self.ends_ns, details, repeat(0))
        return islice(rows, self.count)

    def reserve(self, records: int) -> None:
        """Have room for so many more."""
        missing = self.count + records - len(self.texts)
        if missing > 0:
            self.texts += [_NO_TEXTS] * missing
            for column in (self.starts_ns, self.ends_ns):
                column.frombytes(bytes(missing * column.itemsize))

    def cut(self, size: int) -> Recent:
        """Take the first ``size`` out and return them."""
        found = Recent()
        found.count, self.count = size, self.count - size
        found.texts, self.texts = self.texts[:size], self.texts[size:]
        found.starts_ns, self.starts_ns = self.starts_ns[:size], self.starts_ns[size:]
        found.ends_ns, self.ends_ns = self.ends_ns[:size], self.ends_ns[size:]
        return found
