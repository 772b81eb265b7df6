"""Box plots from the rollups: of endpoints, versions or whatever else is compared."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from ..store.histogram import middle_ms
from .buckets import Total
from .table import Column, Table

#: How far whiskers may reach, in heights of the box.
WHISKERS = 1.5
_FIGURES = (
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
    """The durations of what has the id ``key`` and the name ``name``, in ms.

    ``min_ms``, ``max_ms`` and ``mean_ms`` are exact, the others within 1 %. The whiskers reach to
    the last requests within 1.5 times the height of the box, as Tukey drew them.
    """

    key: int
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


def box_of(key: int, name: str, total: Total) -> Box:
    """Return the box of ``total``, which must have hits."""
    q1, median, q3, p95, p99 = total.quantiles((0.25, 0.5, 0.75, 0.95, 0.99))
    reach = WHISKERS * (q3 - q1)
    numbers = list(total.counts)

    def value(number: int) -> float:
        return total.within(middle_ms(number))

    lowest = bisect_left(numbers, q1 - reach, key=value)
    highest = bisect_right(numbers, q3 + reach, key=value) - 1
    return Box(
        key=key,
        name=name,
        hits=total.hits,
        min_ms=total.min_ms,
        whisker_low_ms=value(numbers[lowest]),
        q1_ms=q1,
        median_ms=median,
        q3_ms=q3,
        whisker_high_ms=value(numbers[highest]),
        max_ms=total.max_ms,
        p95_ms=p95,
        p99_ms=p99,
        mean_ms=total.sum_ms / total.hits,
    )


def box_table(name: str, column: Column, boxes: Sequence[Box]) -> Table:
    """Return a row for each box; ``column`` is the first one, that of the boxes' names."""
    rows: list[tuple[object, ...]] = [
        (box.name, *(getattr(box, figure.key) for figure in _FIGURES)) for box in boxes
    ]
    return Table(name, (column, *_FIGURES), rows)
