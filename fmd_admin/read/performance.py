"""The page API Performance: a box plot for every endpoint, from all requests in the range."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from ..store.histogram import middle_ms
from .buckets import Buckets, Total
from .catalog import endpoint_names
from .scope import Scope
from .table import Column, Table

#: How far whiskers may reach, in heights of the box.
WHISKERS = 1.5
COLUMNS = (
    Column("endpoint", "Endpoint"),
    Column("hits", "Requests", "count"),
    Column("min_ms", "Minimum", "ms"),
    Column("whisker_low_ms", "Lower whisker", "ms"),
    Column("q1_ms", "25 % below", "ms"),
    Column("median_ms", "Median", "ms"),
    Column("q3_ms", "75 % below", "ms"),
    Column("whisker_high_ms", "Upper whisker", "ms"),
    Column("p95_ms", "95 % below", "ms"),
    Column("p99_ms", "99 % below", "ms"),
    Column("max_ms", "Maximum", "ms"),
    Column("mean_ms", "Mean", "ms"),
)


@dataclass(frozen=True, slots=True)
class Box:
    """The durations of one endpoint, in ms.

    ``min_ms``, ``max_ms`` and ``mean_ms`` are exact, the others within 1 %. The whiskers reach to
    the last requests within 1.5 times the height of the box, as Tukey drew them.
    """

    endpoint_id: int
    name: str
    hits: int
    min_ms: float
    whisker_low_ms: float
    q1_ms: float
    median_ms: float
    q3_ms: float
    whisker_high_ms: float
    max_ms: float
    p95_ms: float
    p99_ms: float
    mean_ms: float


@dataclass(frozen=True, slots=True)
class Performance:
    """Boxes of the endpoints with requests in the range, the slowest median first."""

    boxes: list[Box]

    def table(self) -> Table:
        """Return a row for each box."""
        rows: list[tuple[object, ...]] = [
            (
                box.name,
                box.hits,
                box.min_ms,
                box.whisker_low_ms,
                box.q1_ms,
                box.median_ms,
                box.q3_ms,
                box.whisker_high_ms,
                box.p95_ms,
                box.p99_ms,
                box.max_ms,
                box.mean_ms,
            )
            for box in self.boxes
        ]
        return Table("api-performance", COLUMNS, rows)


def performance(connection: Connection, scope: Scope) -> Performance:
    """Return the boxes of every endpoint in ``scope``, or of its one endpoint."""
    names = endpoint_names(connection)
    totals = Buckets(connection, scope).totals()
    boxes = [_box(key, names[key], total) for key, total in totals.items()]
    return Performance(sorted(boxes, key=lambda box: (-box.median_ms, box.name)))


def _box(endpoint_id: int, name: str, total: Total) -> Box:
    q1, median, q3, p95, p99 = total.quantiles((0.25, 0.5, 0.75, 0.95, 0.99))
    reach = WHISKERS * (q3 - q1)
    durations = [total.within(middle_ms(number)) for number in total.counts]
    return Box(
        endpoint_id=endpoint_id,
        name=name,
        hits=total.hits,
        min_ms=total.min_ms,
        whisker_low_ms=next(value for value in durations if value >= q1 - reach),
        q1_ms=q1,
        median_ms=median,
        q3_ms=q3,
        whisker_high_ms=next(value for value in reversed(durations) if value <= q3 + reach),
        max_ms=total.max_ms,
        p95_ms=p95,
        p99_ms=p99,
        mean_ms=total.sum_ms / total.hits,
    )
