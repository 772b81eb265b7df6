"""One chart as it was asked for: the store, the answers, and the requests behind them."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from fmd_admin.records import Profile

from ...unit.read.data import Measured, World
from .truth import Clock, Span, deploys, only

UTC = ZoneInfo("UTC")
#: Columns of CSV by their labels, under the words that JSON has for the same.
KEYS = {
    "Endpoint": "name",
    "Version": "version",
    "Hits today": "hits_today",
    "Hits in 7 days": "hits_week",
    "Hits": "hits",
    "Requests": "hits",
    "Error share": "error_share",
    "Median": "median_ms",
    "Minimum": "min_ms",
    "Maximum": "max_ms",
    "Lower whisker": "whisker_low_ms",
    "Upper whisker": "whisker_high_ms",
    "25 % below": "q1_ms",
    "75 % below": "q3_ms",
    "95 % below": "p95_ms",
    "99 % below": "p99_ms",
    "Mean": "mean_ms",
    "Of the median": "against_median",
    "Total time": "total_ms",
    "Share of time": "share",
    "Share of the version": "share_of_version",
    "Change of the median": "change",
    "Last requested": "last_requested",
}
TEXTS = {
    "name",
    "version",
    "endpoint",
    "time",
    "last_requested",
    "Blueprint",
    "Client",
    "Code line",
}
TEXTS |= {"Day", "File", "Function", "Hour", "Status", "Time", "User", "Verdict"}


@dataclass(frozen=True)
class Filled:
    """What is in the store; ``seen_ms`` is when versions were seen first, in this order."""

    place: str
    world: World
    seen_ms: dict[str, int]
    values: dict[int, float]
    profiles: list[Profile]

    @property
    def clock(self) -> Clock:
        return Clock(self.world.zone, self.world.now_ms)


@dataclass(frozen=True, repr=False)
class Look:
    """One chart in one range: ``json``, and the ``table`` of its CSV below ``header``.

    ``pages`` are the JSON of all pages, where there are several.
    """

    asked: str
    filled: Filled
    span: Span
    versions: list[str]
    endpoint: str | None
    json: Any
    header: list[str]
    table: list[dict[str, Any]]
    pages: list[Any]

    def __repr__(self) -> str:
        return self.asked

    @property
    def clock(self) -> Clock:
        return self.filled.clock

    def rows(self, span: Span | None = None) -> list[Measured]:
        """The requests in the range, or another one, that the filters of the address leave."""
        found = only(self.filled.world.rows, span or self.span, self.versions)
        return [row for row in found if self.endpoint in (None, row.endpoint)]

    def deploys(self, steps: Sequence[tuple[int, int]]) -> list[dict[str, Any]]:
        return deploys(self.filled.seen_ms, self.versions, self.span, steps)

    def utc(self, time_ms: int) -> str:
        """A time as it stands in CSV."""
        return Clock(UTC, 0).local(time_ms).isoformat(timespec="milliseconds")


def read_csv(text: str, keys: dict[str, str]) -> tuple[list[str], list[dict[str, Any]]]:
    """Return the labels, and the lines by the words of ``keys``: numbers, texts, None for ""."""
    header, *lines = csv.reader(io.StringIO(text))
    words = [keys.get(label, label) for label in header]
    assert len(set(words)) == len(words)
    return header, [
        {
            word: cell if word in TEXTS else None if cell == "" else float(cell)
            for word, cell in zip(words, line, strict=True)
        }
        for line in lines
    ]
