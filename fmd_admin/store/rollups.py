"""Keeps the rollups: merges what batches added, and computes them again from raw rows.

Batches only append to fmd_rollup_delta. The process that holds the lease moves these into
fmd_hour, fmd_status, fmd_day and fmd_day_status, so the rollups have one writer at a time. A reader
that adds rollups and deltas in one read transaction sees each request exactly once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Delete,
    Integer,
    Select,
    and_,
    bindparam,
    delete,
    func,
    select,
    type_coerce,
)

from . import histogram, visitor_rebuild
from .aggregate import Aggregate, parse_statuses
from .calendar import HOUR_MS, Calendar
from .lease import pause_holders
from .models import Day, DayStatus, Hour, HourStatus, Request, RollupDelta
from .rollup_rows import (
    FIGURES,
    Key,
    Sums,
    add_statuses,
    add_sums,
    insert_statuses,
    insert_sums,
    raise_last_requested,
)
from .sampling import is_sampled
from .store import Store
from .types import from_millis

LONGEST_DAY_MS = 25 * HOUR_MS
#: Raw rows fetched at once.
_FETCH = 10_000

_HOUR = type_coerce(Hour.hour, BigInteger)
_DAY = type_coerce(Day.day, BigInteger)
_STATUS_HOUR = type_coerce(HourStatus.hour, BigInteger)
_STATUS_DAY = type_coerce(DayStatus.day, BigInteger)
_DELTA_HOUR = type_coerce(RollupDelta.hour, BigInteger)
_TIME = type_coerce(Request.time, BigInteger)


def merge_deltas(connection: Connection, zone: ZoneInfo, limit: int = 20_000) -> int:
    """Move up to ``limit`` deltas into the rollups; return how many there were.

    To be called in a write transaction that is fenced by the lease. Raises
    fmd_endpoint.last_requested, too.
    """
    deltas = connection.execute(_deltas(), {"most": limit}).all()
    if not deltas:
        return 0
    calendar = Calendar(zone)
    hours: dict[Key, Sums] = {}
    days: dict[Key, Sums] = {}
    texts: dict[Key, list[str]] = {}
    last: dict[int, int] = {}
    for hour, last_ms, _, endpoint_id, version_id, *figures, statuses in deltas:
        last[endpoint_id] = max(last_ms, last.get(endpoint_id, last_ms))
        if not figures[0]:
            continue
        key = (hour, endpoint_id, version_id)
        hours.setdefault(key, Sums()).add(*figures)
        texts.setdefault(key, []).append(statuses)
    for (hour, endpoint_id, version_id), sums in hours.items():
        day = (calendar.day_start(hour), endpoint_id, version_id)
        days.setdefault(day, Sums()).include(sums)
    add_sums(connection, Hour, Hour.hour, hours)
    add_sums(connection, Day, Day.day, days)
    statuses = {key: parse_statuses(found) for key, found in texts.items()}
    add_statuses(connection, DayStatus, DayStatus.day, _statuses_of_days(calendar, statuses))
    add_statuses(connection, HourStatus, HourStatus.hour, statuses)
    raise_last_requested(connection, last)
    # By id, not up to the highest one: on a server a lower one may be committed meanwhile.
    connection.execute(_delete_delta(), [{"gone": delta.id} for delta in deltas])
    return len(deltas)


# Built once a process, as those of rollup_rows are.
@cache
def _deltas() -> Select[Any]:
    names = ("id", "endpoint_id", "version_id", *FIGURES, "statuses")
    return (
        select(
            type_coerce(RollupDelta.hour, BigInteger),
            type_coerce(RollupDelta.last_requested, BigInteger),
            *[getattr(RollupDelta, name) for name in names],
        )
        .order_by(RollupDelta.id)
        .limit(bindparam("most", type_=Integer))
    )


@cache
def _delete_delta() -> Delete:
    return delete(RollupDelta).where(RollupDelta.id == bindparam("gone"))


def _statuses_of_days(
    calendar: Calendar, hours: dict[Key, dict[int, int]]
) -> dict[Key, dict[int, int]]:
    days: dict[Key, dict[int, int]] = {}
    for (hour, endpoint_id, version_id), found in hours.items():
        day = days.setdefault((calendar.day_start(hour), endpoint_id, version_id), {})
        for status, hits in found.items():
            day[status] = day.get(status, 0) + hits
    return days


@dataclass(frozen=True)
class RebuildReport:
    """What :func:`rebuild` did.

    ``kept_hour`` is the last hour that was left as it was, of ``kept_hours``.
    """

    requests: int
    hours: int
    days: int
    kept_hour: datetime | None
    kept_hours: int = 0

    def __str__(self) -> str:
        text = (
            f"{self.requests:,} requests counted again, "
            f"{self.hours:,} hours and {self.days:,} days written."
        )
        if self.kept_hours > 1:
            text += (
                f" {self.kept_hours:,} hours were kept as they were: SAMPLE left a part of their "
                "requests out, or a part is gone."
            )
        elif self.kept_hour is not None:
            text += (
                f" The hour from {self.kept_hour:%Y-%m-%d %H:%M} UTC was kept as it was: a part "
                "of its requests is gone."
            )
        return text


def rebuild(store: Store, progress: Callable[[datetime, int], None] | None = None) -> RebuildReport:
    """Compute the rollups again from raw rows, while writers and the merge go on.

    Each hour is one write transaction: its deltas go, and its rows are counted afresh. Then days
    are added up from hours. ``progress`` is told the hour just done and the requests so far.

    What is older than the oldest raw row stays as it is. So does the hour of the oldest raw row
    if the rollups know of more requests in it: then a part of its rows was pruned. Later hours
    come out as their rows are, so requests that were deleted by hand are no longer counted.

    Where SAMPLE ever left rows out, hours with fewer rows than known requests stay as they are.

    After a change of the time zone this cuts hours and days anew. Then a part of the oldest hour
    is lost if its rows were pruned, as nobody can tell when those requests were.

    SQLite's write transaction keeps writers out meanwhile. On a server the transaction sees one
    moment: what is stored after it keeps its deltas, and is merged later.
    """
    calendar = Calendar(store.timezone)
    requests = hours = kept_hours = 0
    kept: datetime | None = None
    with store.read() as connection:
        first = oldest = connection.scalar(select(func.min(_TIME)))
    hour = None if oldest is None else calendar.hour_start(oldest)
    while hour is not None:
        work = partial(_rebuild_alone, calendar=calendar, start_ms=hour, oldest_ms=oldest)
        counted, following = store.transact(work, snapshot=True)
        oldest = None
        if counted is None:
            kept = from_millis(hour)
            kept_hours += 1
        else:
            hours += 1
            requests += counted
        if progress is not None:
            progress(from_millis(hour), requests)
        hour = None if following is None else calendar.hour_start(following)
    days = _rebuild_days(store, calendar)
    visitor_rebuild.rebuild_days(store, calendar, first)
    return RebuildReport(requests, hours, days, kept, kept_hours)


def _rebuild_alone(
    connection: Connection, calendar: Calendar, start_ms: int, oldest_ms: int | None
) -> tuple[int | None, int | None]:
    """Count an hour afresh while nobody merges; return its requests and the next moment."""
    pause_holders(connection)
    counted = _rebuild_hour(connection, calendar, start_ms, oldest_ms)
    return counted, _first_since(connection, calendar.next_hour(start_ms))


def _first_since(connection: Connection, start_ms: int) -> int | None:
    """Return the first moment from ``start_ms`` on that has raw rows, rollups or deltas."""
    moments = [
        connection.scalar(select(func.min(column)).where(column >= start_ms))
        for column in (_TIME, _HOUR, _STATUS_HOUR, _DELTA_HOUR)
    ]
    return min((moment for moment in moments if moment is not None), default=None)


def _rebuild_hour(
    connection: Connection, calendar: Calendar, start_ms: int, oldest_ms: int | None
) -> int | None:
    """Count an hour afresh; return its requests, or None if it was left as it was.

    ``oldest_ms`` is the time of the oldest raw row if it lies in this hour.
    """
    end_ms = calendar.next_hour(start_ms)
    found = _count_raw(connection, start_ms, end_ms)
    hits = sum(total.hits for total in found.values())
    gone_ms = start_ms
    if is_sampled(connection) and hits < _known_hits(connection, start_ms, end_ms):
        # Rows were left out on purpose: the rollups know better.
        return None
    if oldest_ms is not None:
        foreign = _foreign_hours(connection, calendar, oldest_ms, end_ms)
        if foreign:
            gone_ms = min(start_ms, *foreign)
        elif hits < _known_hits(connection, start_ms, end_ms):
            return None
    last: dict[int, int] = {}
    for (_, endpoint_id, _), total in found.items():
        last[endpoint_id] = max(total.last_ms, last.get(endpoint_id, 0))
    raise_last_requested(connection, last)
    _drop_deltas(connection, gone_ms, end_ms)
    connection.execute(delete(Hour).where(_inside(_HOUR, gone_ms, end_ms)))
    connection.execute(delete(HourStatus).where(_inside(_STATUS_HOUR, gone_ms, end_ms)))
    insert_sums(connection, Hour, {key: _sums(total) for key, total in found.items()})
    statuses = {key: total.statuses for key, total in found.items()}
    insert_statuses(connection, HourStatus, HourStatus.hour, statuses)
    return hits


def _drop_deltas(connection: Connection, start_ms: int, end_ms: int) -> None:
    # By id: InnoDB deletes what came after this transaction's moment, too.
    inside = and_(_inside(_DELTA_HOUR, start_ms, end_ms), RollupDelta.hits > 0)
    ids = connection.scalars(select(RollupDelta.id).where(inside)).all()
    if ids:
        connection.execute(_delete_delta(), [{"gone": id} for id in ids])


def _count_raw(connection: Connection, start_ms: int, end_ms: int) -> dict[Key, Aggregate]:
    found: dict[Key, Aggregate] = {}
    query = select(
        Request.endpoint_id, Request.version_id, Request.duration_ms, Request.status, _TIME
    ).where(_inside(_TIME, start_ms, end_ms))
    for rows in connection.execute(query, execution_options={"yield_per": _FETCH}).partitions():
        for endpoint_id, version_id, duration_ms, status, time_ms in rows:
            key = (start_ms, endpoint_id, version_id)
            total = found.get(key)
            if total is None:
                total = found[key] = Aggregate()
            total.add(duration_ms, status, time_ms)
    return found


def _foreign_hours(
    connection: Connection, calendar: Calendar, oldest_ms: int, end_ms: int
) -> list[int]:
    """Return the hours that were cut in another time zone and may hold the oldest raw row."""
    hours = connection.scalars(
        select(_HOUR).where(_inside(_HOUR, oldest_ms - HOUR_MS + 1, end_ms)).distinct()
    )
    return [hour for hour in hours if calendar.hour_start(hour) != hour]


def _known_hits(connection: Connection, start_ms: int, end_ms: int) -> int:
    """Return the hits of a span that rollups and deltas know of."""
    queries = (
        select(func.sum(Hour.hits)).where(_inside(_HOUR, start_ms, end_ms)),
        select(func.sum(RollupDelta.hits)).where(_inside(_DELTA_HOUR, start_ms, end_ms)),
    )
    return sum(int(connection.scalar(query) or 0) for query in queries)


def _sums(total: Aggregate) -> Sums:
    sums = Sums()
    sums.add(
        total.hits,
        total.errors,
        total.sum_ms,
        total.sum_squares,
        total.min_ms,
        total.max_ms,
        histogram.encode(total.counts),
    )
    return sums


def _rebuild_days(store: Store, calendar: Calendar) -> int:
    """Add days up from hours, from the first day that has hours; return how many."""
    days = 0
    with store.read() as connection:
        moment = oldest = connection.scalar(select(func.min(_HOUR)))
    while moment is not None:
        start = calendar.day_start(moment)
        work = partial(_rebuild_day_alone, calendar=calendar, start_ms=start, oldest_ms=oldest)
        done, moment = store.transact(work, snapshot=True)
        days += done
        oldest = None
    return days


def _rebuild_day_alone(
    connection: Connection, calendar: Calendar, start_ms: int, oldest_ms: int | None
) -> tuple[int, int | None]:
    """Add up one day while nobody merges; return 1 or 0, and the next moment."""
    pause_holders(connection)
    done = _rebuild_day(connection, calendar, start_ms, oldest_ms)
    end_ms = calendar.next_day(start_ms)
    moments = [
        connection.scalar(select(func.min(column)).where(column >= end_ms))
        for column in (_HOUR, _DAY)
    ]
    return done, min((found for found in moments if found is not None), default=None)


def _rebuild_day(
    connection: Connection, calendar: Calendar, start_ms: int, oldest_ms: int | None
) -> int:
    """Add up one day; return 1, or 0 if a part of its hours is gone and it stays as it is.

    ``oldest_ms`` is the oldest hour if it lies in this day.
    """
    end_ms = calendar.next_day(start_ms)
    found: dict[Key, Sums] = {}
    columns: list[Any] = [getattr(Hour, name) for name in FIGURES]
    rows = connection.execute(
        select(Hour.endpoint_id, Hour.version_id, *columns).where(_inside(_HOUR, start_ms, end_ms))
    ).all()
    for endpoint_id, version_id, *figures in rows:
        found.setdefault((start_ms, endpoint_id, version_id), Sums()).add(*figures)
    gone_ms = start_ms
    if oldest_ms is not None:
        span = _inside(_DAY, oldest_ms - LONGEST_DAY_MS + 1, end_ms)
        days = connection.scalars(select(_DAY).where(span).distinct())
        foreign = [day for day in days if calendar.day_start(day) != day]
        known = select(func.sum(Day.hits)).where(_inside(_DAY, start_ms, end_ms))
        if foreign:
            gone_ms = min(start_ms, *foreign)
        elif sum(sums.hits for sums in found.values()) < int(connection.scalar(known) or 0):
            return 0
    connection.execute(delete(Day).where(_inside(_DAY, gone_ms, end_ms)))
    connection.execute(delete(DayStatus).where(_inside(_STATUS_DAY, gone_ms, end_ms)))
    insert_sums(connection, Day, found)
    statuses = _statuses_of_hours(connection, start_ms, end_ms)
    insert_statuses(connection, DayStatus, DayStatus.day, statuses)
    return 1


def _statuses_of_hours(
    connection: Connection, start_ms: int, end_ms: int
) -> dict[Key, dict[int, int]]:
    keys = (HourStatus.endpoint_id, HourStatus.version_id, HourStatus.status)
    rows = connection.execute(
        select(*keys, func.sum(HourStatus.hits))
        .where(_inside(_STATUS_HOUR, start_ms, end_ms))
        .group_by(*keys)
    )
    found: dict[Key, dict[int, int]] = {}
    for endpoint_id, version_id, status, hits in rows:
        found.setdefault((start_ms, endpoint_id, version_id), {})[status] = int(hits)
    return found


def _inside(moment: ColumnElement[int], start_ms: int, end_ms: int) -> ColumnElement[bool]:
    return and_(moment >= start_ms, moment < end_ms)
