"""Adds up the requests of one endpoint, version and hour while a batch is written."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from operator import mul
from typing import TypedDict

from . import histogram
from .calendar import Calendar

__all__ = ["Aggregate", "Calendar", "DeltaRow", "parse_statuses", "write_statuses"]

#: Responses with this status and above count as errors.
FIRST_ERROR = 400

_LOG_LOWEST = math.log(histogram.LOWEST_MS)
_PER_LOG = 1 / math.log(histogram.RATIO)
_log = math.log


class DeltaRow(TypedDict):
    """One row of fmd_rollup_delta, by column. Times are UTC ms, durations ms."""

    hour: int
    endpoint_id: int
    version_id: int
    hits: int
    errors: int
    sum_ms: float
    sum_squares: float
    min_ms: float
    max_ms: float
    histogram: bytes
    last_requested: int
    statuses: str


class Aggregate:
    """Sums over requests. ``last_ms`` is the time of the last one (UTC ms), 0 before the first.

    ``min_ms`` and ``max_ms`` are 0 as long as ``hits`` is 0.
    """

    __slots__ = (
        "counts",
        "hits",
        "last_ms",
        "max_ms",
        "min_ms",
        "statuses",
        "sum_ms",
        "sum_squares",
    )

    def __init__(self) -> None:
        self.hits = 0
        self.sum_ms = 0.0
        self.sum_squares = 0.0
        self.min_ms = 0.0
        self.max_ms = 0.0
        self.counts: dict[int, int] = {}
        self.statuses: dict[int, int] = {}
        self.last_ms = 0

    def add(self, duration_ms: float, status: int, time_ms: int) -> None:
        """Add one request that took ``duration_ms`` and came in at ``time_ms`` (UTC)."""
        # histogram.bucket() written out: this runs for every request.
        if duration_ms > 0.001:
            number = int((_log(duration_ms) - _LOG_LOWEST) * _PER_LOG)
            if number > histogram.LAST:
                number = histogram.LAST
        else:
            number = 0
        counts = self.counts
        counts[number] = counts.get(number, 0) + 1
        statuses = self.statuses
        statuses[status] = statuses.get(status, 0) + 1
        if duration_ms > self.max_ms or not self.hits:
            self.max_ms = duration_ms
        if duration_ms < self.min_ms or not self.hits:
            self.min_ms = duration_ms
        self.hits += 1
        self.sum_ms += duration_ms
        self.sum_squares += duration_ms * duration_ms
        if time_ms > self.last_ms:
            self.last_ms = time_ms

    def add_many(
        self, durations_ms: Sequence[float], statuses: Iterable[int], last_ms: int
    ) -> None:
        """Add requests of which there must be some; the last one came in at ``last_ms`` (UTC)."""
        last, counts = histogram.LAST, self.counts
        numbers = [
            # histogram.bucket() written out, as above.
            int((_log(duration_ms) - _LOG_LOWEST) * _PER_LOG) if duration_ms > 0.001 else 0
            for duration_ms in durations_ms
        ]
        for number, hits in Counter(numbers).items():
            place = number if number < last else last
            counts[place] = counts.get(place, 0) + hits
        for status, hits in Counter(statuses).items():
            self.statuses[status] = self.statuses.get(status, 0) + hits
        low, high = min(durations_ms), max(durations_ms)
        self.min_ms = min(self.min_ms, low) if self.hits else low
        self.max_ms = max(self.max_ms, high) if self.hits else high
        self.hits += len(durations_ms)
        self.sum_ms += sum(durations_ms)
        self.sum_squares += sum(map(mul, durations_ms, durations_ms))
        self.touch(last_ms)

    def touch(self, time_ms: int) -> None:
        """Note a request that is not measured (level 0): only its time counts."""
        if time_ms > self.last_ms:
            self.last_ms = time_ms

    @property
    def errors(self) -> int:
        """How many of the requests were answered with an error's status."""
        return sum([hits for status, hits in self.statuses.items() if status >= FIRST_ERROR])

    def as_delta_row(self, hour_ms: int, endpoint_id: int, version_id: int) -> DeltaRow:
        """Return this as a row of fmd_rollup_delta."""
        return {
            "hour": hour_ms,
            "endpoint_id": endpoint_id,
            "version_id": version_id,
            "hits": self.hits,
            "errors": self.errors,
            "sum_ms": self.sum_ms,
            "sum_squares": self.sum_squares,
            "min_ms": self.min_ms,
            "max_ms": self.max_ms,
            "histogram": histogram.encode(self.counts),
            "last_requested": self.last_ms,
            "statuses": write_statuses(self.statuses),
        }


def write_statuses(statuses: Mapping[int, int]) -> str:
    """Return hits per status code as text: ``"200:12 404:1"``."""
    return " ".join([f"{status}:{hits}" for status, hits in statuses.items()])


def parse_statuses(texts: Iterable[str]) -> dict[int, int]:
    """Add up texts of :func:`write_statuses`; returns hits per status code."""
    total: dict[int, int] = {}
    for text in texts:
        for item in text.split():
            status, _, hits = item.partition(":")
            total[int(status)] = total.get(int(status), 0) + int(hits)
    return total
