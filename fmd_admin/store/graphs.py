"""The rows of custom graphs: who is scheduled, which run is whose, values and faults."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import BigInteger, Connection, delete, insert, or_, select, type_coerce, update

from . import graph_sums
from .job_models import CustomGraph, CustomGraphQuarter, CustomGraphValue

ERROR_LENGTH = 1000
SCHEDULE_LENGTH = 255
#: A last run so far ahead of the next one was written by a clock that was wrong.
_WRONG_CLOCK_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Registered:
    """The row of a scheduled graph. ``last_run_ms`` is None before its first run."""

    id: int
    first_seen_ms: int
    last_run_ms: int | None


def known(connection: Connection) -> dict[str, str | None]:
    """Return the schedule in words of every graph by its title; None for those without one."""
    rows = connection.execute(select(CustomGraph.title, CustomGraph.schedule))
    return {row.title: row.schedule for row in rows}


def forget_schedules(connection: Connection, titles: Sequence[str]) -> None:
    """Mark graphs as not scheduled any more."""
    connection.execute(
        update(CustomGraph)
        .where(CustomGraph.title.in_(titles))
        .values(schedule=None, next_run=None)
    )


def register(
    connection: Connection, title: str, schedule: str, now_ms: int, next_ms: int | None
) -> Registered:
    """Make or renew the row of a scheduled graph."""
    values = {"schedule": schedule[:SCHEDULE_LENGTH], "next_run": next_ms}
    changed = connection.execute(
        update(CustomGraph).where(CustomGraph.title == title).values(**values)
    )
    if changed.rowcount == 0:
        connection.execute(insert(CustomGraph).values(title=title, first_seen=now_ms, **values))
    columns = (CustomGraph.first_seen, CustomGraph.last_run)
    row = connection.execute(
        select(CustomGraph.id, *(type_coerce(column, BigInteger) for column in columns)).where(
            CustomGraph.title == title
        )
    ).one()
    return Registered(row[0], row[1], row[2])


def claim(connection: Connection, graph_id: int, tick_ms: int, next_ms: int | None) -> bool:
    """Take the run of ``tick_ms``; False if it, or a later one, was taken before."""
    taken = connection.execute(
        update(CustomGraph)
        .where(
            CustomGraph.id == graph_id,
            or_(
                CustomGraph.last_run.is_(None),
                CustomGraph.last_run < tick_ms,
                CustomGraph.last_run > tick_ms + _WRONG_CLOCK_MS,
            ),
        )
        .values(last_run=tick_ms, next_run=next_ms)
    )
    return bool(taken.rowcount)


def exists(connection: Connection, graph_id: int) -> bool:
    """Whether the graph's row is still there; an admin may have deleted it."""
    found = connection.scalar(select(CustomGraph.id).where(CustomGraph.id == graph_id))
    return found is not None


def keep_value(connection: Connection, graph_id: int, tick_ms: int, value: float) -> None:
    """Store a run's value, unless the graph is gone. Raises IntegrityError if it has one."""
    if not exists(connection, graph_id):
        return
    connection.execute(
        insert(CustomGraphValue).values(graph_id=graph_id, time=tick_ms, value=value)
    )
    graph_sums.count_again(connection, graph_id, [tick_ms])


def keep_error(connection: Connection, graph_id: int, tick_ms: int, text: str) -> None:
    """Store what went wrong in a run, in place of the error before."""
    connection.execute(
        update(CustomGraph)
        .where(CustomGraph.id == graph_id)
        .values(error=text[:ERROR_LENGTH], error_at=tick_ms)
    )


def delete_graphs(connection: Connection, ids: Sequence[int]) -> int:
    """Delete graphs with all their values; return how many graphs there were."""
    for table in (CustomGraphValue, CustomGraphQuarter):
        connection.execute(delete(table).where(table.graph_id.in_(ids)))
    return connection.execute(delete(CustomGraph).where(CustomGraph.id.in_(ids))).rowcount


def delete_values(connection: Connection, ids: Sequence[int]) -> int:
    """Delete single values."""
    chosen = CustomGraphValue.id.in_(ids)
    time_ms = type_coerce(CustomGraphValue.time, BigInteger)
    gone: dict[int, list[int]] = {}
    for graph_id, moment in connection.execute(
        select(CustomGraphValue.graph_id, time_ms).where(chosen)
    ):
        gone.setdefault(graph_id, []).append(moment)
    deleted = connection.execute(delete(CustomGraphValue).where(chosen)).rowcount
    for graph_id, moments in gone.items():
        graph_sums.count_again(connection, graph_id, moments)
    return deleted
