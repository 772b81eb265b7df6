"""The page of one endpoint: its figures, how they went over time, and what was before."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from ..store.types import from_millis
from .buckets import Buckets, Total, first_hour, together
from .figures import QUANTILES, Change, Figures, change, figures
from .outliers import OutlierCounts, counts
from .scope import Scope
from .table import Column, Table
from .timeline import Marker, Timeline, markers, timeline
from .timeline import totals as totals_of

#: Ranges up to a week are shown by hour.
MOST_HOURS = 8 * 24
COLUMNS = (
    Column("time", "From", "time"),
    Column("hits", "Requests", "count"),
    Column("errors", "Errors", "count"),
    Column("error_share", "Error share", "percent"),
    Column("mean_ms", "Mean", "ms"),
    Column("p50_ms", "Median", "ms"),
    Column("p95_ms", "95 % below", "ms"),
    Column("p99_ms", "99 % below", "ms"),
)


@dataclass(frozen=True, slots=True)
class Point:
    """A step of the time line. ``time`` (aware, UTC) is its beginning; durations as in Figures."""

    time: datetime
    hits: int
    errors: int
    error_share: float | None
    mean_ms: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


@dataclass(frozen=True, slots=True)
class Summary:
    """One endpoint in the range. ``before`` and ``change`` are None if nothing is compared."""

    now: Figures
    before: Figures | None
    change: Change | None
    points: list[Point]
    steps: Timeline
    markers: list[Marker]
    outliers: OutlierCounts

    def table(self) -> Table:
        """Return a row for each step."""
        rows: list[tuple[object, ...]] = [
            tuple(getattr(point, column.key) for column in COLUMNS) for point in self.points
        ]
        return Table("summary", COLUMNS, rows)


def summary(connection: Connection, scope: Scope) -> Summary:
    """Return the figures of the endpoint of ``scope``."""
    found = timeline(scope, MOST_HOURS)
    totals = totals_of(Buckets(connection, scope), found)
    now = figures(together(totals), scope)
    earlier = scope.before()
    before = None
    if earlier is not None:
        total = together(Buckets(connection, earlier).totals().values())
        before = figures(total, earlier, first_hour(connection))
    return Summary(
        now=now,
        before=before,
        change=None if before is None else change(now, before),
        points=[_point(start, total) for start, total in zip(found.starts, totals, strict=True)],
        steps=found,
        markers=markers(connection, scope),
        outliers=counts(connection, scope),
    )


def _point(start_ms: int, total: Total) -> Point:
    p50, p95, p99 = total.quantiles(QUANTILES) or (None, None, None)
    hits = total.hits
    return Point(
        time=from_millis(start_ms),
        hits=hits,
        errors=total.errors,
        error_share=total.errors / hits if hits else None,
        mean_ms=total.sum_ms / hits if hits else None,
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
    )
