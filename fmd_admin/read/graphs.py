"""Custom graphs: what there is, and the values of one over time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from statistics import median
from typing import Any

from sqlalchemy import BigInteger, Connection, func, select, type_coerce

from ..store.graph_sums import QUARTER_MS, quarter_of, summed_until
from ..store.job_models import CustomGraph, CustomGraphQuarter, CustomGraphValue
from ..store.store import Store
from ..store.types import from_millis
from .scope import Scope
from .table import Column, Table

#: So many values are drawn as they are; more are put together.
MOST_POINTS = 1_500
_MOST_STEPS = 720
_SECOND, _MINUTE, _HOUR = 1_000, 60_000, 3_600_000
_STEPS_MS = (
    *(n * _SECOND for n in (1, 2, 5, 10, 15, 30)),
    *(n * _MINUTE for n in (1, 2, 5, 10, 15, 30)),
    *(n * _HOUR for n in (1, 2, 3, 6, 12, 24, 48)),
)
#: A line breaks where so many of the usual pauses are missing.
_GAP = 3
_RECENT = 48
#: Values of one read of an export: each read is a transaction of its own.
EXPORT_CHUNK = 5_000
#: Without a sign of its next run for so long, nobody runs a graph.
_OVERDUE_MS = 30_000
#: What stands for an error's text, which may hold addresses and passwords of the host.
HIDDEN_ERROR = "The error's text is for admins."

_TIME = type_coerce(CustomGraphValue.time, BigInteger)
_VALUE = CustomGraphValue.value


@dataclass(frozen=True, slots=True)
class GraphInfo:
    """A custom graph: ``schedule`` is None once the app's code does not add it any more.

    ``error`` is the newest fault, of the run that was scheduled at ``error_at``.
    """

    id: int
    title: str
    schedule: str | None
    first_seen: datetime
    last_run: datetime | None
    next_run: datetime | None
    error: str | None
    error_at: datetime | None

    def overdue(self, now_ms: int) -> bool:
        """Whether no process seems to run it: its next run is past."""
        return self.next_run is not None and self.next_run.timestamp() * 1000 < now_ms - _OVERDUE_MS


@dataclass(frozen=True, slots=True)
class Listed:
    """A line of the list: ``recent`` are the newest values, in the order of time."""

    graph: GraphInfo
    last_time: datetime | None
    last_value: float | None
    recent: list[float]

    @property
    def failing(self) -> bool:
        """Whether the newest run gave no value."""
        return _is_failing(self.graph, self.last_time)


@dataclass(frozen=True, slots=True)
class GraphList:
    """All custom graphs by their title."""

    graphs: list[Listed]

    def table(self) -> Table:
        """Return a row for each graph."""
        columns = (
            Column("title", "Graph"),
            Column("schedule", "Schedule"),
            Column("last_time", "Last value at", "time"),
            Column("last_value", "Last value", "number"),
            Column("error", "Error"),
        )
        rows: list[tuple[object, ...]] = [
            (
                one.graph.title,
                one.graph.schedule,
                one.last_time,
                one.last_value,
                one.graph.error if one.failing else None,
            )
            for one in self.graphs
        ]
        return Table("custom-graphs", columns, rows)


@dataclass(frozen=True, slots=True)
class Step:
    """Values of a span of time that were put together; ``start_ms`` is its beginning."""

    start_ms: int
    values: int
    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class GraphValues:
    """The values of a graph in the range: ``points`` as they are, or else ``steps``.

    Points are (UTC ms, value). ``step_ms`` is None where points are. ``gap_ms`` is how far apart
    two neighbours are at most. ``start_ms`` and ``end_ms`` are what is drawn: from the graph's
    first value, if that lies in the range, up to now.
    """

    graph: GraphInfo
    total: int
    points: list[tuple[int, float]]
    steps: list[Step]
    step_ms: int | None
    gap_ms: int | None
    start_ms: int
    end_ms: int
    last_time: datetime | None
    last_value: float | None

    @property
    def failing(self) -> bool:
        """Whether the newest run gave no value."""
        return _is_failing(self.graph, self.last_time)

    def table(self) -> Table:
        """Return a row for each value, or for each step."""
        time = Column("time", "Time", "time")
        if self.step_ms is None:
            rows: list[tuple[object, ...]] = [(from_millis(at), value) for at, value in self.points]
            return Table("custom-graph", (time, Column("value", "Value", "number")), rows)
        columns = (
            Column("time", "From", "time"),
            Column("values", "Values", "count"),
            Column("mean", "Mean", "number"),
            Column("low", "Lowest", "number"),
            Column("high", "Highest", "number"),
        )
        rows = [(from_millis(s.start_ms), s.values, s.mean, s.low, s.high) for s in self.steps]
        return Table("custom-graph", columns, rows)


def titles(connection: Connection) -> list[tuple[int, str]]:
    """Return id and title of every graph, by title."""
    rows = connection.execute(
        select(CustomGraph.id, CustomGraph.title).order_by(func.lower(CustomGraph.title))
    )
    return [(row.id, row.title) for row in rows]


def graph(connection: Connection, graph_id: int, *, with_error: bool = True) -> GraphInfo | None:
    """Return a graph, None if there is none with this id; its error may be HIDDEN_ERROR."""
    row = connection.execute(_infos().where(CustomGraph.id == graph_id)).one_or_none()
    return None if row is None else _info(row, with_error)


def graphs(connection: Connection, *, with_errors: bool = True) -> GraphList:
    """Return all graphs with their newest values; their errors may be HIDDEN_ERROR."""
    found = []
    for row in connection.execute(_infos().order_by(func.lower(CustomGraph.title))).all():
        newest = connection.execute(
            select(_TIME, _VALUE)
            .where(CustomGraphValue.graph_id == row.id)
            .order_by(CustomGraphValue.time.desc())
            .limit(_RECENT)
        ).all()
        found.append(
            Listed(
                _info(row, with_errors),
                from_millis(newest[0][0]) if newest else None,
                newest[0][1] if newest else None,
                [value for _, value in reversed(newest)],
            )
        )
    return GraphList(found)


def values(connection: Connection, scope: Scope, info: GraphInfo) -> GraphValues:
    """Return the values of a graph in the scope's exact range, put together if they are many."""
    start_ms, end_ms = scope.exact_start_ms, scope.exact_end_ms
    mine = CustomGraphValue.graph_id == info.id
    inside = (mine, CustomGraphValue.time >= start_ms, CustomGraphValue.time < end_ms)
    rows = connection.execute(
        select(_TIME, _VALUE).where(*inside).order_by(CustomGraphValue.time).limit(MOST_POINTS + 1)
    ).all()
    points = [(row[0], row[1]) for row in rows]
    steps: list[Step] = []
    step_ms = None
    if len(points) > MOST_POINTS:
        last_ms = connection.scalar(select(func.max(_TIME)).where(*inside)) or end_ms
        step_ms = _step_ms(last_ms - points[0][0])
        steps = _steps(connection, info.id, (start_ms, end_ms), scope.start_ms, step_ms)
        points = []
    newest = connection.execute(
        select(_TIME, _VALUE).where(mine).order_by(CustomGraphValue.time.desc()).limit(1)
    ).one_or_none()
    began_ms = connection.scalar(select(func.min(_TIME)).where(mine)) or start_ms
    return GraphValues(
        graph=info,
        total=sum(step.values for step in steps) if step_ms else len(points),
        points=points,
        steps=steps,
        step_ms=step_ms,
        gap_ms=_GAP * step_ms if step_ms else _gap_ms(points),
        start_ms=max(start_ms, began_ms),
        end_ms=min(end_ms, scope.now_ms),
        last_time=None if newest is None else from_millis(newest[0]),
        last_value=None if newest is None else newest[1],
    )


def export(store: Store, graph_id: int, scope: Scope) -> Iterator[tuple[datetime, float]]:
    """Yield every value of a graph in the scope's exact range, oldest first, in constant memory."""
    after_ms = scope.exact_start_ms - 1
    while True:
        with store.read() as connection:
            rows = connection.execute(
                select(_TIME, _VALUE)
                .where(
                    CustomGraphValue.graph_id == graph_id,
                    CustomGraphValue.time > after_ms,
                    CustomGraphValue.time < scope.exact_end_ms,
                )
                .order_by(CustomGraphValue.time)
                .limit(EXPORT_CHUNK)
            ).all()
        for time_ms, value in rows:
            yield from_millis(time_ms), value
        if len(rows) < EXPORT_CHUNK:
            return
        after_ms = rows[-1][0]


def _infos() -> Any:
    return select(
        CustomGraph.id,
        CustomGraph.title,
        CustomGraph.schedule,
        CustomGraph.first_seen,
        CustomGraph.last_run,
        CustomGraph.next_run,
        CustomGraph.error,
        CustomGraph.error_at,
    )


def _info(row: Any, with_error: bool) -> GraphInfo:
    info = GraphInfo(*row)
    return info if with_error or info.error is None else replace(info, error=HIDDEN_ERROR)


def _is_failing(info: GraphInfo, last_time: datetime | None) -> bool:
    return info.error_at is not None and (last_time is None or info.error_at > last_time)


def _step_ms(span_ms: int) -> int:
    for step_ms in _STEPS_MS:
        if span_ms <= step_ms * _MOST_STEPS:
            return step_ms
    return _STEPS_MS[-1]


def _steps(
    connection: Connection, graph_id: int, span: tuple[int, int], origin_ms: int, step_ms: int
) -> list[Step]:
    """Put the values of a graph together; ``span`` and the origin are UTC ms.

    Long steps are made of the sums of quarters of an hour, as far as these are there, and of the
    values before and after them.
    """
    start, end = span
    first = last = end
    if step_ms % QUARTER_MS == 0 and origin_ms % QUARTER_MS == 0:
        first = quarter_of(start + QUARTER_MS - 1)
        last = max(min(quarter_of(end), summed_until(connection, graph_id) or 0), first)
    found: dict[int, list[Any]] = {}
    for table, part in (
        (CustomGraphValue, (start, min(first, end))),
        (CustomGraphQuarter, (first, last)),
        (CustomGraphValue, (last, end)),
    ):
        if part[0] < part[1]:
            for number, *figures in _figures(connection, table, graph_id, part, origin_ms, step_ms):
                before = found.get(number)
                found[number] = figures if before is None else _both(before, figures)
    return [_step(origin_ms + number * step_ms, *found[number]) for number in sorted(found)]


def _figures(
    connection: Connection,
    table: type[CustomGraphValue] | type[CustomGraphQuarter],
    graph_id: int,
    part: tuple[int, int],
    origin_ms: int,
    step_ms: int,
) -> Sequence[Any]:
    """Return (number of the step, values, sum, lowest, highest) of a part of the time."""
    columns: tuple[Any, ...]
    if table is CustomGraphValue:
        moment, columns = CustomGraphValue.time, (func.count(), _VALUE, _VALUE, _VALUE)
    else:
        sums = CustomGraphQuarter
        moment, columns = sums.quarter, (func.sum(sums.values_count), sums.sum, sums.low, sums.high)
    hits, total, low, high = columns
    number = (type_coerce(moment, BigInteger) - origin_ms) // step_ms
    rows = connection.execute(
        select(number, hits, func.sum(total), func.min(low), func.max(high))
        .where(table.graph_id == graph_id, moment >= part[0], moment < part[1])
        .group_by(number)
    )
    return [(int(row[0]), int(row[1]), *row[2:]) for row in rows]


def _both(one: Sequence[Any], other: Sequence[Any]) -> list[Any]:
    total = None if one[1] is None or other[1] is None else one[1] + other[1]
    return [one[0] + other[0], total, min(one[2], other[2]), max(one[3], other[3])]


def _step(start_ms: int, values: int, total: float | None, low: float, high: float) -> Step:
    mean = None if total is None else total / values
    return Step(start_ms, values, _finite(mean, low, high), low, high)


def _finite(mean: float | None, low: float, high: float) -> float:
    """Return ``mean``, or the middle where the sum was more than a float holds."""
    if mean is not None and math.isfinite(mean):
        return float(mean)
    return low / 2 + high / 2


def _gap_ms(points: list[tuple[int, float]]) -> int | None:
    pauses = [after - before for (before, _), (after, _) in pairwise(points)]
    return int(_GAP * median(pauses)) if len(pauses) >= 3 else None
