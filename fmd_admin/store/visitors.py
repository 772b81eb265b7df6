"""Keeps the days of visitors: puts in what waits, and sums them over all endpoints.

As with the other rollups batches only append (to fmd_visitor_delta), and the process that holds
the lease merges. To put a few requests into a day means to write the whole day anew, so requests
wait until there are many. Readers count those that wait one by one, and are exact at every moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    bindparam,
    delete,
    exists,
    func,
    insert,
    select,
    type_coerce,
    update,
)
from sqlalchemy.orm import aliased

from . import visitor_deltas
from .calendar import HOUR_MS
from .rollup_rows import chunks
from .visitor_deltas import Visit
from .visitor_models import Kind, VisitorDay, VisitorDelta
from .visitor_parts import Entry, Part, capped, encode, entry_of, extend, together

#: Visitors of an endpoint, version and day that are told apart.
MOST_OF_ENDPOINT = 2_000
#: The same for all endpoints together.
MOST_OF_APP = 5_000
#: So many requests wait before they are merged.
MERGE_AT = 20_000
#: So many rows wait before they are put together: readers take longer for each row.
JOIN_AT = 200
#: Requests that one transaction merges at most: writers wait for it.
_MERGE_AT_ONCE = 50_000
#: A day is summed over all endpoints when it has been over for a while: each late batch undoes it.
_SETTLED_MS = 26 * HOUR_MS

day_column = type_coerce(VisitorDay.day, BigInteger)
#: (kind, day as UTC ms, version id)
Cell = tuple[int, int, int]
#: The durations in ns of requests by visitor's id, by endpoint id.
Visitors = dict[int, dict[int, list[int]]]


def waiting(connection: Connection) -> tuple[int, int]:
    """Return how many rows wait to be merged, and how many requests are in them."""
    rows, requests = connection.execute(
        select(func.count(), func.sum(VisitorDelta.requests)).select_from(VisitorDelta)
    ).one()
    return rows, int(requests or 0)


def merge(connection: Connection, *, at: int = MERGE_AT, join_at: int = JOIN_AT) -> int:
    """Put waiting requests into their days if there are ``at`` of them; return how many.

    Of more than 50,000 a part is merged; call it again. Fewer than ``at`` are put together into
    few rows. To be called in a write transaction that is fenced by the lease.
    """
    rows, requests = waiting(connection)
    if not rows or (requests < at and rows < join_at):
        return 0
    query = select(
        VisitorDelta.id, VisitorDelta.version_id, VisitorDelta.payload, VisitorDelta.requests
    ).order_by(VisitorDelta.id)
    if requests < at:
        found = [row[:3] for row in connection.execute(query)]
        visitor_deltas.join(connection, found)
        return 0
    ids: list[int] = []
    cells: dict[Cell, Visitors] = {}
    merged = 0
    result = connection.execute(query)
    for id, version_id, payload, size in result:
        ids.append(id)
        add_visits(cells, version_id, visitor_deltas.decode(payload))
        merged += size
        if merged >= _MERGE_AT_ONCE:
            break
    result.close()
    for cell, visitors in sorted(cells.items()):
        _add(connection, cell, visitors)
    visitor_deltas.remove(connection, ids)
    return merged


def add_visits(cells: dict[Cell, Visitors], version_id: int, visits: Iterable[Visit]) -> None:
    """Add requests of a version to ``cells``."""
    by_endpoint: dict[tuple[int, int, int], dict[int, list[int]]] = {}
    for day, endpoint_id, group_id, client_id, duration_ns in visits:
        if group_id:
            visitors = by_endpoint.setdefault((Kind.GROUP, day, endpoint_id), {})
            visitors.setdefault(group_id, []).append(duration_ns)
        if client_id:
            visitors = by_endpoint.setdefault((Kind.CLIENT, day, endpoint_id), {})
            visitors.setdefault(client_id, []).append(duration_ns)
    for (kind, day, endpoint_id), visitors in by_endpoint.items():
        found = cells.setdefault((kind, day, version_id), {}).setdefault(endpoint_id, {})
        for id, durations in visitors.items():
            found.setdefault(id, []).extend(durations)


def _add(connection: Connection, cell: Cell, visitors: Visitors) -> None:
    """Add to the rows of a day and version, and undo their sum over all endpoints."""
    shaped = cell[0] == Kind.GROUP
    connection.execute(delete(VisitorDay).where(*_is(cell), VisitorDay.endpoint_id.is_(None)))
    known: dict[int | None, tuple[int | None, dict[int, Entry]]] = {}
    for chunk in chunks(sorted(visitors)):
        rows = connection.execute(
            select(
                VisitorDay.endpoint_id, VisitorDay.id, VisitorDay.figures, VisitorDay.shapes
            ).where(*_is(cell), VisitorDay.endpoint_id.in_(chunk))
        )
        for endpoint_id, key, figures, shapes in rows:
            known[endpoint_id] = key, Part(figures).entries(shapes)
    new: list[dict[str, Any]] = []
    changed: list[dict[str, Any]] = []
    for endpoint_id, found in sorted(visitors.items()):
        row_id, entries = known.get(endpoint_id, (None, {}))
        for visitor, durations in found.items():
            before = entries.get(visitor)
            entries[visitor] = (
                entry_of(durations, shaped) if before is None else extend(before, durations, shaped)
            )
        row = _packed(entries, MOST_OF_ENDPOINT, shaped)
        if row_id is None:
            new.append(_key(cell, endpoint_id) | row)
        else:
            changed.append({"key": row_id, **{f"new_{name}": value for name, value in row.items()}})
    if changed:
        names = ("hits", "figures", "shapes")
        connection.execute(
            update(VisitorDay)
            .where(VisitorDay.id == bindparam("key"))
            .values(**{name: bindparam(f"new_{name}") for name in names}),
            changed,
        )
    if new:
        connection.execute(insert(VisitorDay), new)


def insert_day(connection: Connection, cells: Mapping[Cell, Visitors]) -> None:
    """Insert rows of days that are not there yet."""
    new = [
        _key(cell, endpoint_id)
        | _packed(
            {id: entry_of(durations, shaped) for id, durations in found.items()},
            MOST_OF_ENDPOINT,
            shaped,
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


def _packed(entries: dict[int, Entry], most: int, shaped: bool) -> dict[str, Any]:
    kept = capped(entries, most, shaped)
    figures, shapes = encode(kept, shaped)
    return {
        "hits": sum([entry.hits for entry in kept.values()]),
        "figures": figures,
        "shapes": shapes,
    }


def _is(cell: Cell) -> tuple[Any, ...]:
    kind, day_ms, version_id = cell
    return (VisitorDay.kind == kind, day_column == day_ms, VisitorDay.version_id == version_id)


def unsummed(connection: Connection, now_ms: int) -> list[Cell]:
    """Return the days and versions that are over and have no sum over all endpoints."""
    summed = aliased(VisitorDay)
    rows = connection.execute(
        select(VisitorDay.kind, day_column, VisitorDay.version_id)
        .where(
            VisitorDay.endpoint_id.is_not(None),
            day_column < now_ms - _SETTLED_MS,
            ~exists().where(
                summed.kind == VisitorDay.kind,
                summed.day == VisitorDay.day,
                summed.version_id == VisitorDay.version_id,
                summed.endpoint_id.is_(None),
            ),
        )
        .distinct()
    )
    return [(kind, day_ms, version_id) for kind, day_ms, version_id in rows]


def sum_endpoints(connection: Connection, cell: Cell) -> None:
    """Make the row that sums a day and version over all endpoints, if it is not there.

    To be called in a write transaction that is fenced by the lease.
    """
    rows = connection.execute(
        select(VisitorDay.endpoint_id, VisitorDay.figures, VisitorDay.shapes).where(*_is(cell))
    ).all()
    if not rows or any(row.endpoint_id is None for row in rows):
        return
    shaped = cell[0] == Kind.GROUP
    found: dict[int, list[Entry]] = {}
    for _, figures, shapes in rows:
        for id, entry in Part(figures).entries(shapes).items():
            found.setdefault(id, []).append(entry)
    entries = {id: together(parts, shaped) for id, parts in found.items()}
    row = _packed(entries, MOST_OF_APP, shaped)
    connection.execute(insert(VisitorDay), [_key(cell, None) | row])


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
    for chunk in chunks(sorted(days)):
        connection.execute(
            delete(VisitorDay).where(VisitorDay.endpoint_id.is_(None), day_column.in_(chunk))
        )


def forget_versions(connection: Connection, ids: Sequence[int]) -> None:
    """Take versions out of all that is kept of visitors."""
    for table in (VisitorDelta, VisitorDay):
        connection.execute(delete(table).where(table.version_id.in_(ids)))
