"""Rows of the rollup tables: reading, adding to and inserting many at once.

Everything here is plain SELECT, UPDATE, INSERT and DELETE, the same on every database. That works
because the rollups have one writer at a time (see :mod:`fmd_admin.store.rollups`).

Statements are built once a process: to put one together from its parts takes SQLAlchemy longer than
SQLite takes to run it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import islice
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Insert,
    Select,
    Update,
    bindparam,
    insert,
    select,
    type_coerce,
    update,
)

from . import histogram
from .models import Endpoint, Hour

#: (beginning of the hour or day, endpoint id, version id)
Key = tuple[int, int, int]
#: Values that one statement asks for at once.
_CHUNK = 400
_MANY_PARTS = 8

#: The columns that fmd_hour, fmd_day and fmd_rollup_delta share.
FIGURES = ("hits", "errors", "sum_ms", "sum_squares", "min_ms", "max_ms", "histogram")


class Sums:
    """What is added to one row of fmd_hour or fmd_day."""

    __slots__ = ("errors", "hits", "max_ms", "min_ms", "parts", "sum_ms", "sum_squares")

    def __init__(self) -> None:
        self.hits = 0
        self.errors = 0
        self.sum_ms = 0.0
        self.sum_squares = 0.0
        self.min_ms = 0.0
        self.max_ms = 0.0
        #: Stored histograms to add up.
        self.parts: list[bytes] = []

    def add(
        self,
        hits: int,
        errors: int,
        sum_ms: float,
        sum_squares: float,
        min_ms: float,
        max_ms: float,
        stored: bytes,
    ) -> None:
        """Add the figures of a delta, an hour or a day; nothing if it has no hits."""
        if not hits:
            return
        self.min_ms = min(self.min_ms, min_ms) if self.hits else min_ms
        self.max_ms = max(self.max_ms, max_ms)
        self.hits += hits
        self.errors += errors
        self.sum_ms += sum_ms
        self.sum_squares += sum_squares
        if stored:
            self.parts.append(stored)

    def include(self, other: Sums) -> None:
        """Add what ``other`` holds."""
        if len(other.parts) > _MANY_PARTS:
            # Once for both, instead of once for each.
            other.parts = [histogram.merge(other.parts)]
        self.add(
            other.hits,
            other.errors,
            other.sum_ms,
            other.sum_squares,
            other.min_ms,
            other.max_ms,
            b"",
        )
        self.parts += other.parts

    def figures(self) -> dict[str, Any]:
        """Return the columns of the row."""
        if len(self.parts) > 1:
            self.parts = [histogram.merge(self.parts)]
        return {
            "hits": self.hits,
            "errors": self.errors,
            "sum_ms": self.sum_ms,
            "sum_squares": self.sum_squares,
            "min_ms": self.min_ms,
            "max_ms": self.max_ms,
            "histogram": self.parts[0] if self.parts else b"",
        }


def add_sums(connection: Connection, table: Any, moment: Any, added: dict[Key, Sums]) -> None:
    """Add to rows of fmd_hour or fmd_day; a row that is missing is made.

    ``moment`` is the table's column of hours or days.
    """
    endpoints = sorted({key[1] for key in added})
    few = len(endpoints) <= _CHUNK
    query = _find_sums(table, moment.key, of_endpoints=few)
    values = {"endpoints": endpoints} if few else {}
    changed = []
    for chunk in chunks(sorted({key[0] for key in added})):
        rows = connection.execute(query, {"starts": chunk, **values}).all()
        for begin, endpoint_id, version_id, *figures in rows:
            sums = added.get((begin, endpoint_id, version_id))
            if sums is not None:
                sums.add(*figures)
                changed.append((begin, endpoint_id, version_id))
    if changed:
        connection.execute(
            _change_sums(table, moment.key),
            [{**_named(key), **added[key].figures()} for key in changed],
        )
    insert_sums(connection, table, {key: added[key] for key in added.keys() - set(changed)})


@cache
def _find_sums(table: Any, moment: str, *, of_endpoints: bool) -> Select[Any]:
    start = type_coerce(getattr(table, moment), BigInteger)
    figures = [getattr(table, name) for name in FIGURES]
    query = select(start, table.endpoint_id, table.version_id, *figures).where(
        start.in_(bindparam("starts", expanding=True))
    )
    if not of_endpoints:
        return query
    return query.where(table.endpoint_id.in_(bindparam("endpoints", expanding=True)))


@cache
def _change_sums(table: Any, moment: str) -> Update:
    # What it sets are the other parameters.
    return update(table).where(*_is_key(table, moment))


@cache
def _insert(table: Any) -> Insert:
    return insert(table)


def _is_key(table: Any, moment: str) -> tuple[Any, ...]:
    return (
        getattr(table, moment) == bindparam("key_start"),
        table.endpoint_id == bindparam("key_endpoint"),
        table.version_id == bindparam("key_version"),
    )


def _named(key: Key) -> dict[str, int]:
    return {"key_start": key[0], "key_endpoint": key[1], "key_version": key[2]}


def insert_sums(connection: Connection, table: Any, sums: Mapping[Key, Sums]) -> None:
    """Insert rows into fmd_hour or fmd_day that are not there yet."""
    name = "hour" if table is Hour else "day"
    rows = [
        {name: key[0], "endpoint_id": key[1], "version_id": key[2], **row.figures()}
        for key, row in sorted(sums.items())
    ]
    if rows:
        connection.execute(_insert(table), rows)


def add_statuses(
    connection: Connection, table: Any, moment: Any, added: dict[Key, dict[int, int]]
) -> None:
    """Add hits per status code to rows of fmd_status or fmd_day_status.

    ``moment`` is the table's column of hours or days. Takes what was there out of ``added``.
    """
    changed = []
    query = _find_statuses(table, moment.key)
    for chunk in chunks(sorted({key[0] for key in added})):
        rows = connection.execute(query, {"starts": chunk}).all()
        for begin, endpoint_id, version_id, status in rows:
            hits = added.get((begin, endpoint_id, version_id), {}).pop(status, None)
            if hits is not None:
                key = (begin, endpoint_id, version_id)
                changed.append({**_named(key), "key_status": status, "more": hits})
    if changed:
        connection.execute(_raise_statuses(table, moment.key), changed)
    insert_statuses(connection, table, moment, added)


@cache
def _find_statuses(table: Any, moment: str) -> Select[Any]:
    start = type_coerce(getattr(table, moment), BigInteger)
    return select(start, table.endpoint_id, table.version_id, table.status).where(
        start.in_(bindparam("starts", expanding=True))
    )


@cache
def _raise_statuses(table: Any, moment: str) -> Update:
    key = (*_is_key(table, moment), table.status == bindparam("key_status"))
    return update(table).where(*key).values(hits=table.hits + bindparam("more"))


def insert_statuses(
    connection: Connection, table: Any, moment: Any, statuses: Mapping[Key, Mapping[int, int]]
) -> None:
    """Insert rows into fmd_status or fmd_day_status that are not there yet."""
    rows = [
        {
            moment.key: key[0],
            "endpoint_id": key[1],
            "version_id": key[2],
            "status": status,
            "hits": hits,
        }
        for key, found in sorted(statuses.items())
        for status, hits in sorted(found.items())
    ]
    if rows:
        connection.execute(_insert(table), rows)


def raise_last_requested(connection: Connection, last: Mapping[int, int]) -> None:
    """Raise the endpoints' time of the last request (endpoint id → UTC ms); never lower it."""
    if last:
        rows = [{"key_endpoint": key, "last": moment} for key, moment in last.items()]
        connection.execute(_raise_last(), rows)


@cache
def _raise_last() -> Update:
    key = (Endpoint.id == bindparam("key_endpoint"), Endpoint.last_requested < bindparam("last"))
    return update(Endpoint).where(*key).values(last_requested=bindparam("last"))


def chunks(values: Iterable[int]) -> Iterator[Sequence[int]]:
    """Cut values into lists that fit into one statement."""
    source = iter(values)
    while chunk := list(islice(source, _CHUNK)):
        yield chunk
