"""Sums of the values of custom graphs by quarters of an hour, for charts of many values.

The process that holds the lease sums what is complete; ``summed_until`` of a graph says up to
where. Whoever puts in or takes out a value before that counts its quarter anew in the same
transaction. A quarter of an hour of UTC begins where one begins in every time zone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sqlalchemy import (
    BigInteger,
    Connection,
    delete,
    func,
    insert,
    select,
    type_coerce,
    update,
)

from .job_models import CustomGraph, CustomGraphQuarter, CustomGraphValue
from .store import Store

QUARTER_MS = 900_000
#: Values that one transaction sums at most.
AT_ONCE = 20_000

_TIME = type_coerce(CustomGraphValue.time, BigInteger)
_UNTIL = type_coerce(CustomGraph.summed_until, BigInteger)


def quarter_of(time_ms: int) -> int:
    """Return where the quarter of an hour begins that ``time_ms`` (UTC) lies in."""
    return time_ms - time_ms % QUARTER_MS


def tend(store: Store, fence: Callable[[Connection], None]) -> int:
    """Sum what is complete and not summed yet; return how many graphs there was something of.

    ``fence`` is called first in each write transaction.
    """
    with store.read() as connection:
        waiting = [
            graph_id
            for graph_id, until in connection.execute(select(CustomGraph.id, _UNTIL)).all()
            if _next_end(connection, graph_id, until) is not None
        ]
    for graph_id in waiting:
        more = True
        while more:

            def some(connection: Connection, graph_id: int = graph_id) -> bool:
                fence(connection)
                return _sum_some(connection, graph_id)

            more = store.transact(some)
    return len(waiting)


def _sum_some(connection: Connection, graph_id: int) -> bool:
    """Sum the next quarters of a graph; return whether there may be more."""
    until = summed_until(connection, graph_id)
    end = None if until is None else _next_end(connection, graph_id, until)
    if until is None or end is None:
        return False
    _count(connection, graph_id, until, end)
    connection.execute(
        update(CustomGraph).where(CustomGraph.id == graph_id).values(summed_until=end)
    )
    return True


def summed_until(connection: Connection, graph_id: int) -> int | None:
    """Return up to where (UTC ms) the values of a graph are summed; None if it is gone."""
    return connection.scalar(select(_UNTIL).where(CustomGraph.id == graph_id))


def _next_end(connection: Connection, graph_id: int, until: int) -> int | None:
    """Return up to where the values after ``until`` may be summed next; None if nothing is."""
    later = (CustomGraphValue.graph_id == graph_id, CustomGraphValue.time >= until)
    times = select(_TIME).where(*later)
    # The quarter of the newest value may still get some.
    newest = connection.scalar(times.order_by(CustomGraphValue.time.desc()).limit(1))
    if newest is None or quarter_of(newest) <= until:
        return None
    full = connection.scalar(times.order_by(CustomGraphValue.time).offset(AT_ONCE).limit(1))
    end = quarter_of(newest if full is None else full)
    return end if end > until else quarter_of(newest)


def _count(connection: Connection, graph_id: int, start: int, end: int) -> None:
    """Insert the quarters of a graph from ``start`` to ``end``, which have none yet."""
    value = CustomGraphValue.value
    number = _TIME // QUARTER_MS
    rows = connection.execute(
        select(number, func.count(), func.sum(value), func.min(value), func.max(value))
        .where(
            CustomGraphValue.graph_id == graph_id,
            CustomGraphValue.time >= start,
            CustomGraphValue.time < end,
        )
        .group_by(number)
    ).all()
    if rows:
        names = ("values_count", "sum", "low", "high")
        connection.execute(
            insert(CustomGraphQuarter),
            [
                {"graph_id": graph_id, "quarter": int(row[0]) * QUARTER_MS}
                | dict(zip(names, row[1:], strict=True))
                for row in rows
            ],
        )


def count_again(connection: Connection, graph_id: int, times_ms: Iterable[int]) -> None:
    """Count the quarters of ``times_ms`` anew, as far as they are summed already."""
    until = summed_until(connection, graph_id) or 0
    for start in sorted({quarter_of(time_ms) for time_ms in times_ms if time_ms < until}):
        connection.execute(
            delete(CustomGraphQuarter).where(
                CustomGraphQuarter.graph_id == graph_id, CustomGraphQuarter.quarter == start
            )
        )
        _count(connection, graph_id, start, start + QUARTER_MS)
