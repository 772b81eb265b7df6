"""Keeps the days of visitors: puts in what waits, and sums them over all endpoints.

As with the other rollups batches only append (to fmd_visitor_delta), and the process that holds
the lease merges. To put a few requests into a day means to write the whole day anew, so requests
wait until there are many. Readers count those that wait one by one, and are exact at every moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    bindparam,
    case,
    delete,
    func,
    insert,
    select,
    type_coerce,
    update,
)

from . import histogram, visitor_deltas
from .calendar import HOUR_MS
from .models import Endpoint
from .rollup_rows import chunks
from .store import Store
from .visitor_deltas import Visit
from .visitor_models import WEEK, Kind, VisitorDay, VisitorDelta
from .visitor_parts import Entry, Part, capped, counted, encode, entry_of, extend, together

#: Visitors of an endpoint, version and day that are told apart.
MOST_OF_ENDPOINT = 2_000
#: The same for all endpoints together.
MOST_OF_APP = 5_000
#: So many requests wait before they are merged.
MERGE_AT = 40_000
#: So many small rows wait before they are put together: readers take longer for each row.
JOIN_AT = 200
#: A row of so many requests is not small: to put these together again and again would cost more.
FULL_ROW = 1_000
#: Requests that are merged at once.
_MERGE_AT_ONCE = 50_000
#: A day is summed over all endpoints when it has been over for a while: each late batch undoes it.
SETTLED_MS = 26 * HOUR_MS

#: How far before a day its week may begin: six days, one of which may be longer.
_WEEK_BEFORE_MS = (6 * 24 + 2) * HOUR_MS
WEEK_KINDS = tuple(kind + WEEK for kind in Kind)

day_column = type_coerce(VisitorDay.day, BigInteger)
#: (kind, day as UTC ms, version id)
Cell = tuple[int, int, int]
#: The durations in ns of requests by visitor's id, by endpoint id.
Visitors = dict[int, dict[int, list[int]]]
#: Makes a write transaction fail unless this process may do it.
Fence = Callable[[Connection], None]


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits to be merged: requests, and rows of fewer requests than ``FULL_ROW``."""

    requests: int
    small_rows: int


def waiting(connection: Connection) -> Waiting:
    """Return what waits to be merged."""
    small = case((VisitorDelta.requests < FULL_ROW, 1), else_=0)
    requests, small_rows = connection.execute(
        select(func.sum(VisitorDelta.requests), func.sum(small))
    ).one()
    return Waiting(int(requests or 0), int(small_rows or 0))


def tend_old(store: Store, fence: Fence, now_ms: int) -> int:
    """Put what waits into its days if some of it is of a day that is over; return how much.

    Where few requests come it would wait for years otherwise, and days go by their age: what waits
    is kept, with the names of its visitors.
    """
    with store.read() as connection:
        payloads = connection.scalars(select(VisitorDelta.payload)).all()
    days = (visit[0] for payload in payloads for visit in visitor_deltas.decode(payload))
    if any(day < now_ms - SETTLED_MS for day in days):
        return tend(store, fence, at=1)
    return 0


def tend(store: Store, fence: Fence, *, at: int = MERGE_AT, join_at: int = JOIN_AT) -> int:
    """Put waiting requests into their days if there are ``at`` of them; return how many.

    Fewer are put together into few rows. ``fence`` is called first in each write transaction.
    """
    with store.read() as connection:
        found = waiting(connection)
    merged = 0
    while found.requests - merged >= at:
        with store.read() as connection:
            prepared = _prepare(connection)
        if not store.transact(partial(_apply_fenced, fence, prepared)):
            return merged  # They were taken away meanwhile: what is left is for the next time.
        merged += prepared.requests
    if not merged and found.small_rows >= join_at:
        store.transact(partial(_join_small, fence))
    return merged


def _join_small(fence: Fence, connection: Connection) -> None:
    fence(connection)
    columns = (VisitorDelta.id, VisitorDelta.version_id, VisitorDelta.payload)
    query = select(*columns).where(VisitorDelta.requests < FULL_ROW)
    visitor_deltas.join(connection, connection.execute(query).all())


@dataclass(slots=True)
class _Prepared:
    """The rows that a merge takes away (id → requests), and what it writes."""

    rows: dict[int, int] = field(default_factory=dict)
    cells: list[Cell] = field(default_factory=list)
    new: list[dict[str, Any]] = field(default_factory=list)
    changed: list[dict[str, Any]] = field(default_factory=list)

    @property
    def requests(self) -> int:
        return sum(self.rows.values())


def _apply_fenced(fence: Fence, prepared: _Prepared, connection: Connection) -> bool:
    fence(connection)
    return bool(prepared.requests) and _apply(connection, prepared)


def _prepare(connection: Connection) -> _Prepared:
    """Compute a merge without keeping writers waiting; there is one process at most that merges."""
    prepared = _Prepared()
    cells: dict[Cell, Visitors] = {}
    query = select(
        VisitorDelta.id, VisitorDelta.version_id, VisitorDelta.payload, VisitorDelta.requests
    ).order_by(VisitorDelta.id)
    rows = connection.execute(query)
    for id, version_id, payload, requests in rows:
        prepared.rows[id] = requests
        add_visits(cells, version_id, visitor_deltas.decode(payload))
        if prepared.requests >= _MERGE_AT_ONCE:
            break
    rows.close()
    for cell, visitors in sorted(cells.items()):
        prepared.cells.append(cell)
        _add(connection, cell, visitors, prepared)
    if prepared.new:
        there = _endpoints_there(connection, {row["endpoint_id"] for row in prepared.new})
        prepared.new = [row for row in prepared.new if row["endpoint_id"] in there]
    return prepared


def _endpoints_there(connection: Connection, ids: Iterable[int]) -> set[int]:
    """Return those endpoints that are not deleted: no key of what waits refers to them.

    On servers they may be deleted while what waits is put together, which brings some back.
    """
    return {
        id
        for chunk in chunks(sorted(ids))
        for id in connection.scalars(select(Endpoint.id).where(Endpoint.id.in_(chunk)))
    }


def _apply(connection: Connection, prepared: _Prepared) -> bool:
    """Write a merge; False if something was deleted or counted again since it was computed.

    Whoever touches a day takes its waiting requests away, so these tell.
    """
    rows: dict[int, int] = {}
    for chunk in chunks(prepared.rows):
        query = select(VisitorDelta.id, VisitorDelta.requests).where(VisitorDelta.id.in_(chunk))
        # Locked, so that they tell until the end; SQLite's transaction is a lock already.
        locked = connection.execute(query.with_for_update())
        rows.update((id, requests) for id, requests in locked)
    if rows != prepared.rows:
        return False
    visitor_deltas.remove(connection, rows)
    drop_weeks(connection, [day for _, day, _ in prepared.cells])
    for cell in prepared.cells:
        connection.execute(delete(VisitorDay).where(*_is(cell), VisitorDay.endpoint_id.is_(None)))
    if prepared.changed:
        names = ("hits", "histogram", "figures", "shapes")
        connection.execute(
            update(VisitorDay)
            .where(VisitorDay.id == bindparam("key"))
            .values(**{name: bindparam(f"new_{name}") for name in names}),
            prepared.changed,
        )
    if prepared.new:
        connection.execute(insert(VisitorDay), prepared.new)
    return True


def add_visits(cells: dict[Cell, Visitors], version_id: int, visits: Iterable[Visit]) -> None:
    """Add requests of a version to ``cells``."""
    by_endpoint: dict[tuple[int, int], tuple[dict[int, list[int]], dict[int, list[int]]]] = {}
    for day, endpoint_id, group_id, client_id, duration_ns in visits:
        key = (day, endpoint_id)
        found = by_endpoint.get(key)
        if found is None:
            found = by_endpoint[key] = ({}, {})
        groups, clients = found
        if group_id:
            if group_id in groups:
                groups[group_id].append(duration_ns)
            else:
                groups[group_id] = [duration_ns]
        if client_id:
            if client_id in clients:
                clients[client_id].append(duration_ns)
            else:
                clients[client_id] = [duration_ns]
    for (day, endpoint_id), found in by_endpoint.items():
        for kind, more in zip((Kind.GROUP, Kind.CLIENT), found, strict=True):
            if more:
                cell = cells.setdefault((kind.value, day, version_id), {})
                _join(cell.setdefault(endpoint_id, {}), more)


def _join(visitors: dict[int, list[int]], more: dict[int, list[int]]) -> None:
    if not visitors:
        visitors.update(more)
        return
    for id, durations in more.items():
        if id in visitors:
            visitors[id] += durations
        else:
            visitors[id] = durations


def _add(connection: Connection, cell: Cell, visitors: Visitors, prepared: _Prepared) -> None:
    """Compute the rows of a day and version with more ``visitors``."""
    shaped = cell[0] == Kind.GROUP
    known: dict[int | None, tuple[int | None, bytes, dict[int, Entry]]] = {}
    for chunk in chunks(sorted(visitors)):
        rows = connection.execute(
            select(
                VisitorDay.endpoint_id,
                VisitorDay.id,
                VisitorDay.histogram,
                VisitorDay.figures,
                VisitorDay.shapes,
            ).where(*_is(cell), VisitorDay.endpoint_id.in_(chunk))
        )
        for endpoint_id, key, stored, figures, shapes in rows:
            known[endpoint_id] = key, stored, Part(figures).entries(shapes)
    for endpoint_id, found in sorted(visitors.items()):
        row_id, stored, entries = known.get(endpoint_id, (None, b"", {}))
        for visitor, durations in found.items():
            before = entries.get(visitor)
            entries[visitor] = (
                entry_of(durations, shaped) if before is None else extend(before, durations, shaped)
            )
        together_now = histogram.merge((stored, _histogram(found)))
        row = packed(entries, MOST_OF_ENDPOINT, shaped, together_now)
        if row_id is None:
            prepared.new.append(_key(cell, endpoint_id) | row)
        else:
            changed = {f"new_{name}": value for name, value in row.items()}
            prepared.changed.append({"key": row_id, **changed})


def insert_day(connection: Connection, cells: Mapping[Cell, Visitors]) -> None:
    """Insert rows of days that are not there yet."""
    new = [
        _key(cell, endpoint_id)
        | packed(
            {id: entry_of(durations, shaped) for id, durations in found.items()},
            MOST_OF_ENDPOINT,
            shaped,
            _histogram(found),
        )
        for cell, visitors in sorted(cells.items())
        for shaped in (cell[0] == Kind.GROUP,)
        for endpoint_id, found in sorted(visitors.items())
    ]
    if new:
        connection.execute(insert(VisitorDay), new)


def _key(cell: Cell, endpoint_id: int | None) -> dict[str, Any]:
    kind, day_ms, version_id = cell
    return {"kind": kind, "day": day_ms, "version_id": version_id, "endpoint_id": endpoint_id}


def _histogram(visitors: Mapping[int, Sequence[int]]) -> bytes:
    counts: dict[int, int] = {}
    for durations in visitors.values():
        counted(counts, durations)
    return histogram.encode(counts)


def packed(entries: dict[int, Entry], most: int, shaped: bool, stored: bytes) -> dict[str, Any]:
    """Return the columns of a row with its visitors, of which ``most`` are told apart."""
    kept = capped(entries, most, shaped)
    figures, shapes = encode(kept, shaped)
    return {
        "hits": sum([entry[0] for entry in kept.values()]),
        "histogram": stored,
        "figures": figures,
        "shapes": shapes,
    }


def _is(cell: Cell) -> tuple[Any, ...]:
    kind, day_ms, version_id = cell
    return (VisitorDay.kind == kind, day_column == day_ms, VisitorDay.version_id == version_id)


def unsummed(connection: Connection, now_ms: int) -> list[Cell]:
    """Return the days and versions that are over and have no sum over all endpoints."""
    cell = (VisitorDay.kind, VisitorDay.day, VisitorDay.version_id)
    rows = connection.execute(
        select(VisitorDay.kind, day_column, VisitorDay.version_id)
        .where(VisitorDay.kind.in_(tuple(Kind)), day_column < now_ms - SETTLED_MS)
        .group_by(*cell)
        # In one walk of the index; the sum is the row without an endpoint.
        .having(func.count() == func.count(VisitorDay.endpoint_id))
    )
    return [(kind, day_ms, version_id) for kind, day_ms, version_id in rows]


def sum_endpoints(connection: Connection, cell: Cell) -> None:
    """Make the row that sums a day and version over all endpoints, if it is not there.

    To be called in a write transaction that is fenced by the lease.
    """
    rows = connection.execute(
        select(
            VisitorDay.endpoint_id, VisitorDay.histogram, VisitorDay.figures, VisitorDay.shapes
        ).where(*_is(cell))
    ).all()
    if not rows or any(row.endpoint_id is None for row in rows):
        return
    shaped = cell[0] == Kind.GROUP
    found: dict[int, list[Entry]] = {}
    for _, _, figures, shapes in rows:
        for id, entry in Part(figures).entries(shapes).items():
            found.setdefault(id, []).append(entry)
    entries = {id: together(parts, shaped) for id, parts in found.items()}
    stored = histogram.merge([row.histogram for row in rows])
    row = packed(entries, MOST_OF_APP, shaped, stored)
    connection.execute(insert(VisitorDay), [_key(cell, None) | row])


def drop_weeks(connection: Connection, days: Iterable[int]) -> None:
    """Take away the weeks of days (UTC ms) that change; perhaps some between them as well."""
    found = list(days)
    if found:
        connection.execute(
            delete(VisitorDay).where(
                VisitorDay.kind.in_(WEEK_KINDS),
                day_column >= min(found) - _WEEK_BEFORE_MS,
                day_column <= max(found),
            )
        )


def forget_endpoints(connection: Connection, ids: Sequence[int]) -> None:
    """Take endpoints out of all that is kept of visitors."""
    gone = set(ids)
    visitor_deltas.drop(connection, lambda visit: visit[1] in gone)
    days: set[int] = set()
    for chunk in chunks(sorted(gone)):
        days.update(
            connection.scalars(
                select(day_column).where(VisitorDay.endpoint_id.in_(chunk)).distinct()
            )
        )
        connection.execute(delete(VisitorDay).where(VisitorDay.endpoint_id.in_(chunk)))
    # The sums of their days are made anew from the endpoints that are left.
    drop_weeks(connection, days)
    for chunk in chunks(sorted(days)):
        connection.execute(
            delete(VisitorDay).where(VisitorDay.endpoint_id.is_(None), day_column.in_(chunk))
        )


def forget_versions(connection: Connection, ids: Sequence[int]) -> None:
    """Take versions out of all that is kept of visitors."""
    for table in (VisitorDelta, VisitorDay):
        connection.execute(delete(table).where(table.version_id.in_(ids)))
