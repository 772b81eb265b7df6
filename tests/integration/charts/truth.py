"""What the panel's charts have to show, worked out from the raw requests and a clock on the wall.

Nothing of the product's calendar, rollups or histograms is used: moments are turned into dates and
hours by ``zoneinfo`` one by one, and figures come from lists of durations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from ...unit.read.data import HOUR_MS, Measured, quantile

#: No zone of these tests moves its clock at another minute.
HALF_HOUR_MS = 1_800_000
#: Files have six digits behind the point, and durations of visitors are whole nanoseconds.
ROUNDING = 2e-6
QUANTILE_REL = 0.01
WHISKERS = 1.5


def exact(value: float | None) -> Any:
    """Equal to ``value`` but for the rounding of floats."""
    return None if value is None else pytest.approx(value, rel=1e-9, abs=ROUNDING)


def within(value: float | None, rel: float = QUANTILE_REL) -> Any:
    """Equal to ``value`` within 1 %."""
    return None if value is None else pytest.approx(value, rel=rel, abs=ROUNDING)


@dataclass(frozen=True)
class Span:
    """A range in UTC ms, its end exclusive; ``exact`` is a custom one as it was asked for."""

    start_ms: int
    end_ms: int
    exact: tuple[int, int]

    def has(self, time_ms: int) -> bool:
        return self.start_ms <= time_ms < self.end_ms


@dataclass(frozen=True)
class Clock:
    """A clock on a wall of ``zone`` that stands still at ``now_ms``."""

    zone: ZoneInfo
    now_ms: int

    def local(self, time_ms: int) -> datetime:
        return datetime.fromtimestamp(time_ms / 1000, self.zone)

    def at(self, text: str) -> int:
        """The moment of an ISO time; without an offset it is one of this clock."""
        moment = datetime.fromisoformat(text)
        aware = moment if moment.tzinfo else moment.replace(tzinfo=self.zone)
        return round(aware.timestamp() * 1000)

    def midnight(self, day: date) -> int:
        return self.at(f"{day.isoformat()}T00:00")

    def day(self, time_ms: int) -> str:
        return self.local(time_ms).date().isoformat()

    def hour_start(self, time_ms: int) -> int:
        local = self.local(time_ms)
        return time_ms - (local.minute * 60 + local.second) * 1000 - local.microsecond // 1000

    def hour_end(self, time_ms: int) -> int:
        return self.hour_start(time_ms) + HOUR_MS

    def asked(self, query: dict[str, Any]) -> Span:
        """The range that a query string asks for."""
        name = query["range"]
        if name == "24h":
            end_ms = self.hour_end(self.now_ms)
            return self._full(end_ms - 24 * HOUR_MS, end_ms)
        if name == "custom":
            return self.custom(query["from"], query["to"])
        today = self.local(self.now_ms).date()
        first = today - timedelta(days={"7d": 7, "30d": 30}[name] - 1)
        return self._full(self.midnight(first), self.midnight(today + timedelta(days=1)))

    def custom(self, since: str, to: str) -> Span:
        """A range of full hours, which holds ``since`` to ``to``."""
        start_ms, end_ms = self.at(since), self.at(to)
        return Span(self.hour_start(start_ms), self.hour_end(end_ms - 1), (start_ms, end_ms))

    def whole_days(self, span: Span) -> Span:
        first, last = self.local(span.start_ms).date(), self.local(span.end_ms - 1).date()
        return self._full(self.midnight(first), self.midnight(last + timedelta(days=1)))

    def exactly(self, span: Span) -> Span:
        """A range as it was asked for, not widened to hours."""
        return self._full(*span.exact)

    def before(self, span: Span) -> Span:
        """What a range is compared with: as many dates or hours before, as far as it has passed."""
        end_ms = min(span.end_ms, self.hour_end(self.now_ms))
        edges = (span.start_ms, span.end_ms)
        if all(self.local(edge).strftime("%H:%M") == "00:00" for edge in edges):
            dates = len(self.days(span))
            return self._full(*(self.dates_before(moment, dates) for moment in (edges[0], end_ms)))
        length_ms = span.end_ms - span.start_ms
        return self._full(span.start_ms - length_ms, end_ms - length_ms)

    def dates_before(self, time_ms: int, dates: int) -> int:
        """The moment at which this clock showed the same time so many dates before."""
        local = self.local(time_ms).replace(tzinfo=None) - timedelta(days=dates)
        return self.at(local.isoformat())

    def elapsed_ms(self, span: Span) -> int:
        return min(span.end_ms, self.now_ms) - span.start_ms

    def days(self, span: Span) -> list[str]:
        """The dates that a range touches."""
        return list(dict.fromkeys(self.day(m) for m in self._moments(span)))

    def steps(self, span: Span, *, hourly: bool) -> list[tuple[int, int]]:
        """Beginning and end of each hour or date in a range; the hour that comes twice is two."""

        def shown(time_ms: int) -> object:
            local = self.local(time_ms)
            return (local.date(), local.hour, local.utcoffset()) if hourly else local.date()

        starts = [span.start_ms]
        for moment in self._moments(span):
            if shown(moment) != shown(starts[-1]):
                starts.append(moment)
        return list(zip(starts, [*starts[1:], span.end_ms], strict=True))

    def edges(self, steps: Sequence[tuple[int, int]]) -> list[list[str]]:
        """Beginnings and ends as they stand in data for charts: ``2026-10-25T02:00+01:00``."""
        return [[self.local(m).isoformat(timespec="minutes") for m in step] for step in steps]

    def label(self, span: Span) -> str:
        """A range in words; none of these tests goes over New Year."""
        start, end, last = map(self.local, (span.start_ms, span.end_ms, span.end_ms - 1))
        first = f"{start.day} {start:%b}"
        if (start.hour, end.hour) == (0, 0):
            same = start.date() == last.date()
            return f"{last.day} {last:%b %Y}" if same else f"{first} – {last.day} {last:%b %Y}"
        until = "" if start.date() == end.date() else f"{end.day} {end:%b %Y}, "
        return f"{first} {start:%Y, %H:%M} – {until}{end:%H:%M}"

    def past_hours(self, span: Span) -> set[tuple[str, int]]:
        """Every (date, hour) that the clock showed in a range up to now."""
        moments = [m for m in self._moments(span) if m <= self.now_ms]
        return {(self.day(m), self.local(m).hour) for m in moments}

    def _moments(self, span: Span) -> range:
        return range(span.start_ms, span.end_ms, HALF_HOUR_MS)

    def _full(self, start_ms: int, end_ms: int) -> Span:
        return Span(start_ms, end_ms, (start_ms, end_ms))


def is_error(row: Measured) -> bool:
    return row.status >= 400


def parts(rows: Sequence[Measured], steps: Sequence[tuple[int, int]]) -> list[list[Measured]]:
    """The requests of each step."""
    return [[row for row in rows if start <= row.time_ms < end] for start, end in steps]


def mean(durations: Sequence[float]) -> float | None:
    return math.fsum(durations) / len(durations) if durations else None


def share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def change(now: float | None, before: float | None) -> float | None:
    return None if now is None or not before else now / before - 1


@dataclass(frozen=True)
class Truth:
    """The figures of some requests; None where there are none."""

    hits: int
    errors: int
    error_share: float | None
    total_ms: float
    mean_ms: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None

    def expected(self, *keys: str) -> dict[str, Any]:
        """The figures ``keys`` as they have to be: quantiles within 1 %, all others exactly."""
        found = {}
        for key in keys:
            value = getattr(self, key)
            found[key] = within(value) if key.startswith("p") else exact(value)
        return found


def truth(rows: Sequence[Measured]) -> Truth:
    durations = [row.duration_ms for row in rows]
    quantiles = [quantile(durations, q) if durations else None for q in (0.5, 0.95, 0.99)]
    errors = sum(map(is_error, rows))
    total_ms = math.fsum(durations)
    return Truth(len(rows), errors, share(errors, len(rows)), total_ms, mean(durations), *quantiles)


def check_box(box: dict[str, Any], rows: Sequence[Measured]) -> None:
    """Hold a box of a box plot against its requests."""
    durations = sorted(row.duration_ms for row in rows)
    assert box["hits"] == len(durations)
    found = [box[key] for key in ("min_ms", "max_ms", "mean_ms")]
    assert found == [exact(v) for v in (durations[0], durations[-1], mean(durations))]
    names = {"q1": 0.25, "median": 0.5, "q3": 0.75, "p95": 0.95, "p99": 0.99}
    for name, q in names.items():
        assert box[f"{name}_ms"] == within(quantile(durations, q)), name
    # A whisker ends at the last request inside of a fence. Quartiles, and with them the fence, and
    # durations are known within 1 %: some requests are inside for sure, and others perhaps.
    low, high = 1 - QUANTILE_REL, 1 + QUANTILE_REL
    q1, q3 = quantile(durations, 0.25), quantile(durations, 0.75)
    longest, shortest = WHISKERS * (q3 * high - q1 * low), WHISKERS * (q3 * low - q1 * high)
    sure = [
        v for v in durations if q1 * high - shortest <= v * low and v * high <= q3 * low + shortest
    ]
    perhaps = [
        v for v in durations if q1 * low - longest <= v * high and v * low <= q3 * high + longest
    ]
    ends = {
        "whisker_low_ms": (perhaps[0], sure[0] if sure else q1),
        "whisker_high_ms": (sure[-1] if sure else q3, perhaps[-1]),
    }
    for name, (least, most) in ends.items():
        assert least * low - ROUNDING <= box[name] <= most * high + ROUNDING, name
        assert any(box[name] == within(v) for v in durations), name


def only(rows: Sequence[Measured], span: Span, versions: Sequence[str]) -> list[Measured]:
    """The requests of a range, and of some versions if any are named."""
    return [r for r in rows if span.has(r.time_ms) and (not versions or r.version in versions)]


def deploys(
    seen_ms: dict[str, int], versions: Sequence[str], span: Span, steps: Sequence[tuple[int, int]]
) -> list[dict[str, Any]]:
    """The marks of versions (not of the first) that were seen first in a range."""
    found = []
    for name, time_ms in list(seen_ms.items())[1:]:
        if span.has(time_ms) and (not versions or name in versions):
            number = next(n for n, (start, end) in enumerate(steps) if start <= time_ms < end)
            start, end = steps[number]
            found.append({"label": name, "at": exact(number + (time_ms - start) / (end - start))})
    return found
