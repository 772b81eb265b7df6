"""The pages of use: hits by day and hour, and hits a day by endpoint."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from .buckets import Buckets
from .catalog import endpoint_names
from .scope import Scope
from .table import Column, Table
from .timeline import Marker, markers

HOURS = range(24)


@dataclass(frozen=True, slots=True)
class HourlyUtilization:
    """Hits by day and hour of the wall clock.

    ``days`` are ISO dates; ``hits`` holds 24 numbers a day, None where the day has no such hour
    (the clock was moved), where it lies in the future or outside of the range. ``peak`` is the
    highest number.
    """

    days: list[str]
    hits: list[list[int | None]]
    total: int
    peak: int

    def table(self) -> Table:
        """Return a row for each day and a column for each hour."""
        hours = tuple(Column(f"h{hour:02}", f"{hour:02}:00", "count") for hour in HOURS)
        rows: list[tuple[object, ...]] = [
            (day, *hits) for day, hits in zip(self.days, self.hits, strict=True)
        ]
        return Table("hourly-utilization", (Column("day", "Day", "date"), *hours), rows)


@dataclass(frozen=True, slots=True)
class Series:
    """Hits a day of one endpoint; ``endpoint_id`` is None for all the others together."""

    endpoint_id: int | None
    name: str
    hits: list[int]


@dataclass(frozen=True, slots=True)
class DailyUtilization:
    """Hits a day (ISO dates in ``days``), the endpoint with the most hits first, "other" last."""

    days: list[str]
    series: list[Series]
    total: int
    markers: list[Marker]

    def table(self) -> Table:
        """Return a row for each day and a column for each series."""
        keys = ["other" if s.endpoint_id is None else f"e{s.endpoint_id}" for s in self.series]
        columns = (
            Column("day", "Day", "date"),
            Column("total", "All", "count"),
            *(Column(key, s.name, "count") for key, s in zip(keys, self.series, strict=True)),
        )
        rows: list[tuple[object, ...]] = []
        for index, day in enumerate(self.days):
            hits = [s.hits[index] for s in self.series]
            rows.append((day, sum(hits), *hits))
        return Table("daily-utilization", columns, rows)


def hourly(connection: Connection, scope: Scope) -> HourlyUtilization:
    """Return hits by day and hour for all endpoints, or the scope's one."""
    buckets = Buckets(connection, scope)
    days = scope.days
    cells: dict[int, tuple[int, int]] = {}
    hits: list[list[int | None]] = []
    for number, day in enumerate(days):
        row: list[int | None] = [None] * len(HOURS)
        for start_ms, hour in buckets.calendar.hours_of(buckets.calendar.date_start(day)):
            cells[start_ms] = number, hour
            if scope.start_ms <= start_ms < scope.end_ms and start_ms <= scope.now_ms:
                row[hour] = 0
        hits.append(row)
    total = 0
    for start_ms, count in buckets.hits_by_hour():
        # The hour that comes twice when the clock goes back has one cell.
        number, hour = cells[buckets.calendar.hour_start(start_ms)]
        hits[number][hour] = (hits[number][hour] or 0) + count
        total += count
    peak = max((count or 0 for row in hits for count in row), default=0)
    return HourlyUtilization([day.isoformat() for day in days], hits, total, peak)


def daily(connection: Connection, scope: Scope, top: int = 9) -> DailyUtilization:
    """Return hits a day of the ``top`` endpoints, and of all others together.

    A single other one stands under its own name.
    """
    buckets = Buckets(connection, scope)
    days = scope.days
    index = {buckets.calendar.date_start(day): number for number, day in enumerate(days)}
    by_endpoint: dict[int, list[int]] = {}
    for day_ms, endpoint_id, hits in buckets.endpoint_hits_by_day(scope.start_ms, scope.end_ms):
        row = by_endpoint.get(endpoint_id)
        if row is None:
            row = by_endpoint[endpoint_id] = [0] * len(days)
        row[index[buckets.calendar.day_start(day_ms)]] += hits
    names = endpoint_names(connection)
    ranked = sorted(by_endpoint, key=lambda key: (-sum(by_endpoint[key]), names[key]))
    shown = ranked if len(ranked) <= top + 1 else ranked[:top]
    series = [Series(key, names[key], by_endpoint[key]) for key in shown]
    others = [by_endpoint[key] for key in ranked[len(shown) :]]
    if others:
        series.append(Series(None, "other", [sum(hits) for hits in zip(*others, strict=True)]))
    total = sum(sum(hits) for hits in by_endpoint.values())
    return DailyUtilization(
        [day.isoformat() for day in days], series, total, markers(connection, scope)
    )
