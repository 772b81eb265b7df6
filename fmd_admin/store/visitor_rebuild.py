"""Computes the days of visitors again from raw rows: all of them, or after an upgrade."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from zoneinfo import ZoneInfo

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    and_,
    delete,
    func,
    or_,
    select,
    type_coerce,
    update,
)

from . import visitor_deltas
from .calendar import HOUR_MS, Calendar
from .lease import pause_holders
from .models import Request, SavedSetting
from .sampling import is_sampled
from .store import Store
from .visitor_deltas import Visit, to_ns
from .visitor_models import Kind, VisitorDay, VisitorDelta
from .visitors import Cell, Visitors, add_visits, day_column, drop_weeks, insert_day

#: The internal value that the migration leaves: the beginning of the day to be counted next.
BACKFILL = "_visitors_from"
_LONGEST_DAY_MS = 25 * HOUR_MS
_FETCH = 10_000
_TIME = type_coerce(Request.time, BigInteger)
_HAS_VISITOR = or_(Request.group_id.is_not(None), Request.client_id.is_not(None))


def rebuild_days(store: Store, calendar: Calendar, oldest_ms: int | None) -> int:
    """Count the visitors of every day afresh from the one of ``oldest_ms`` on; return how many.

    ``oldest_ms`` is the time of the oldest raw row. Each day is one write transaction. What is
    older stays, and so does the day of ``oldest_ms`` if a part of its rows is gone.
    """
    days = 0
    moment = oldest_ms
    while moment is not None:
        work = partial(
            _rebuild_alone, calendar=calendar, moment_ms=moment, known_counts=moment == oldest_ms
        )
        done, moment = store.transact(work, snapshot=True)
        days += done
    return days


def _rebuild_alone(
    connection: Connection, calendar: Calendar, moment_ms: int, known_counts: bool
) -> tuple[int, int | None]:
    """Count a day afresh while nobody merges; return 1 or 0, and the next moment."""
    pause_holders(connection)
    done = _rebuild_day(connection, calendar, moment_ms, known_counts=known_counts)
    return done, _first_since(connection, calendar.next_day(moment_ms))


def backfill(
    store: Store, zone: ZoneInfo, now_ms: int, fence: Callable[[Connection], None]
) -> bool:
    """Count one day of requests that were stored before visitors were; return whether to go on.

    After an upgrade the process that holds the lease goes through the days one by one: that many
    rows take longer than a start may. The day of the upgrade is the last one.
    """
    work = partial(_backfill_day, calendar=Calendar(zone), now_ms=now_ms, fence=fence)
    return store.transact(work, snapshot=True)


def _backfill_day(
    connection: Connection, calendar: Calendar, now_ms: int, fence: Callable[[Connection], None]
) -> bool:
    fence(connection)
    text = connection.scalar(select(SavedSetting.value).where(SavedSetting.name == BACKFILL))
    if text is None:
        return False
    moment = _first_since(connection, int(text))
    if moment is not None and moment <= now_ms:
        _rebuild_day(connection, calendar, moment, known_counts=True)
        value = str(calendar.next_day(moment))
        connection.execute(
            update(SavedSetting).where(SavedSetting.name == BACKFILL).values(value=value)
        )
        return True
    connection.execute(delete(SavedSetting).where(SavedSetting.name == BACKFILL))
    return False


def backfilling(connection: Connection) -> bool:
    """Whether requests from before an upgrade are still being counted."""
    return bool(connection.scalar(select(func.count()).where(SavedSetting.name == BACKFILL)))


def _rebuild_day(
    connection: Connection, calendar: Calendar, moment_ms: int, *, known_counts: bool
) -> int:
    """Count the visitors of the day of ``moment_ms`` afresh; return 1, or 0 if it was left.

    With ``known_counts`` a day is left as it is if more is known than there are rows.
    """
    start_ms, end_ms = calendar.day_start(moment_ms), calendar.next_day(moment_ms)
    cells = _count_raw(connection, start_ms, end_ms)
    gone_ms = start_ms
    if is_sampled(connection) and _more_is_known(connection, cells, start_ms, end_ms):
        return 0
    if known_counts:
        earliest_ms = moment_ms - _LONGEST_DAY_MS + 1
        days = connection.scalars(
            select(day_column).where(_inside(day_column, earliest_ms, end_ms)).distinct()
        )
        waiting_days = {visit[0] for visit in _waiting(connection)}
        found = [*days, *(day for day in waiting_days if earliest_ms <= day < end_ms)]
        foreign = [day for day in found if calendar.day_start(day) != day]
        if foreign:
            gone_ms = min(start_ms, *foreign)
        elif _more_is_known(connection, cells, start_ms, end_ms):
            return 0
    drop_weeks(connection, (gone_ms, end_ms - 1))
    connection.execute(delete(VisitorDay).where(_inside(day_column, gone_ms, end_ms)))
    visitor_deltas.drop(connection, lambda visit: gone_ms <= visit[0] < end_ms)
    insert_day(connection, cells)
    return 1


def _count_raw(connection: Connection, start_ms: int, end_ms: int) -> dict[Cell, Visitors]:
    query = select(
        Request.version_id,
        Request.endpoint_id,
        Request.group_id,
        Request.client_id,
        Request.duration_ms,
    ).where(_inside(_TIME, start_ms, end_ms), _HAS_VISITOR)
    cells: dict[Cell, Visitors] = {}
    for rows in connection.execute(query, execution_options={"yield_per": _FETCH}).partitions():
        by_version: dict[int, list[Visit]] = {}
        for version_id, endpoint_id, group_id, client_id, duration_ms in rows:
            visit = (start_ms, endpoint_id, group_id or 0, client_id or 0, to_ns(duration_ms))
            by_version.setdefault(version_id, []).append(visit)
        for version_id, visits in by_version.items():
            add_visits(cells, version_id, visits)
    return cells


def _more_is_known(
    connection: Connection, cells: dict[Cell, Visitors], start_ms: int, end_ms: int
) -> bool:
    return any(
        _raw_hits(cells, kind) < _known_hits(connection, kind, start_ms, end_ms) for kind in Kind
    )


def _raw_hits(cells: dict[Cell, Visitors], kind: Kind) -> int:
    return sum(
        len(durations)
        for cell, visitors in cells.items()
        if cell[0] == kind
        for found in visitors.values()
        for durations in found.values()
    )


def _known_hits(connection: Connection, kind: Kind, start_ms: int, end_ms: int) -> int:
    """Return the hits of a day that its rows and what waits know of."""
    hits = connection.scalar(
        select(func.sum(VisitorDay.hits)).where(
            VisitorDay.kind == kind,
            VisitorDay.endpoint_id.is_not(None),
            _inside(day_column, start_ms, end_ms),
        )
    )
    column = 2 if kind == Kind.GROUP else 3
    waiting = [v for v in _waiting(connection) if v[column] and start_ms <= v[0] < end_ms]
    return int(hits or 0) + len(waiting)


def _waiting(connection: Connection) -> Iterator[Visit]:
    for payload in connection.scalars(select(VisitorDelta.payload)):
        yield from visitor_deltas.decode(payload)


def _first_since(connection: Connection, start_ms: int) -> int | None:
    """Return the first moment from ``start_ms`` on that has raw rows, days or waiting requests."""
    moments = [
        connection.scalar(select(func.min(column)).where(column >= start_ms))
        for column in (_TIME, day_column)
    ]
    moments += [visit[0] for visit in _waiting(connection) if visit[0] >= start_ms]
    return min((moment for moment in moments if moment is not None), default=None)


def _inside(moment: ColumnElement[int], start_ms: int, end_ms: int) -> ColumnElement[bool]:
    return and_(moment >= start_ms, moment < end_ms)
