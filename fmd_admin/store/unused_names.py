"""Finds and deletes groups and clients that nothing stored refers to any more.

Whoever sends a made-up X-Forwarded-For header makes a new client with each request. There is no
index by group or client, and none is worth its room: instead all tables that refer to them are
read through piece by piece, without a lock, and used ids are marked. Ids that were not marked are
deleted, unless a row that came meanwhile uses them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Column, Connection, delete, func, select, type_coerce
from sqlalchemy.exc import IntegrityError

from . import visitor_deltas
from .live import bump
from .models import Client, Group, db
from .rollup_rows import chunks
from .store import Store
from .visitor_models import Kind, VisitorDay, VisitorDelta
from .visitor_parts import Part

#: Ids of rows that are read at once.
_READ = 50_000
#: Names that one transaction deletes.
_DELETE = 2_000
#: Ids in one statement; SQLite takes 999 parameters on old builds.
_CHUNK = 500

#: Called first in each write transaction, with the rows that are about to go.
Fence = Callable[[Connection], None]
#: Called in each write transaction with the number of names that went.
Note = Callable[[Connection, int], None]


@dataclass
class _Reference:
    """A column that refers to the names. ``read_to`` is the highest id that was looked at."""

    column: Column[Any]
    read_to: int = 0

    @property
    def has_id(self) -> bool:
        return "id" in self.column.table.c


def references(model: type[Group] | type[Client]) -> list[_Reference]:
    """Return every column of ours that refers to ``model``; what other rows are made of first.

    Rows of tables with an id are appended, and sums are made of them: read in this order, nothing
    slips from one that was not read yet into one that was.
    """
    target = model.__table__.c.id
    found = [
        _Reference(column)
        for table in db.metadata.sorted_tables
        for column in table.columns
        if any(key.column is target for key in column.foreign_keys)
    ]
    return sorted(found, key=lambda reference: not reference.has_id)


def remove_unused(store: Store, fence: Fence, note: Note) -> Iterator[bool]:
    """Delete unused groups and clients; each step of the iterator is one short transaction.

    Yields True after a step that deleted something: the processes then read their ids anew, and
    should get a second before the next one.
    """
    for model in (Group, Client):
        yield from _Sweep(store, model, fence, note).steps()


class _Sweep:
    def __init__(
        self, store: Store, model: type[Group] | type[Client], fence: Fence, note: Note
    ) -> None:
        self._store = store
        self._model = model
        self._fence = fence
        self._note = note
        self._references = references(model)
        self._highest = 0
        self._used = bytearray()
        self._kind = Kind.GROUP if model is Group else Kind.CLIENT
        #: Rows of what waits that were read.
        self._waiting: set[int] = set()

    def steps(self) -> Iterator[bool]:
        with self._store.read() as connection:
            self._highest = connection.scalar(select(func.max(self._model.id))) or 0
        self._used = bytearray(self._highest + 1)
        for reference in self._references:
            if reference.has_id:
                yield from self._read_rows(reference)
            else:
                yield from self._read_sums(reference)
        yield from self._read_visitors()
        yield from self._delete()

    def _read_rows(self, reference: _Reference) -> Iterator[bool]:
        row_id = reference.column.table.c.id
        with self._store.read() as connection:
            low = connection.scalar(select(func.min(row_id))) or 0
            high = connection.scalar(select(func.max(row_id))) or 0
        reference.read_to = low - 1
        while reference.read_to < high:
            with self._store.read() as connection:
                self._mark_rows(connection, reference, min(reference.read_to + _READ, high))
            yield False

    def _mark_rows(self, connection: Connection, reference: _Reference, to_id: int) -> None:
        row_id = reference.column.table.c.id
        between = (row_id > reference.read_to, row_id <= to_id)
        self._mark(connection.scalars(select(reference.column).where(*between).distinct()))
        reference.read_to = to_id

    def _read_sums(self, reference: _Reference) -> Iterator[bool]:
        """Read a table whose key begins with a day, day by day."""
        day = next(iter(reference.column.table.primary_key.columns))
        query = select(func.min(day))
        while True:
            with self._store.read() as connection:
                found = connection.scalar(query)
                if found is None:
                    return
                names = select(reference.column).where(day == found).distinct()
                self._mark(connection.scalars(names))
            query = select(func.min(day)).where(day > found)
            yield False

    def _read_visitors(self) -> Iterator[bool]:
        """Read the days of visitors, day by day: their ids are packed, so no key refers to them."""
        kind = self._kind
        with self._store.read() as connection:
            self._mark_waiting(connection)
        day = type_coerce(VisitorDay.day, BigInteger)
        query = select(func.min(day)).where(VisitorDay.kind == kind)
        while True:
            with self._store.read() as connection:
                found = connection.scalar(query)
                if found is None:
                    return
                # Those of all endpoints together are sums of the others.
                parts = select(VisitorDay.figures).where(
                    VisitorDay.kind == kind, day == found, VisitorDay.endpoint_id.is_not(None)
                )
                for figures in connection.scalars(parts):
                    self._mark(Part(figures).ids)
                self._mark_waiting(connection)
            query = select(func.min(day)).where(VisitorDay.kind == kind, day > found)
            yield False

    def _mark_waiting(self, connection: Connection) -> None:
        """Read what waits for its day and was not read yet.

        Where SAMPLE leaves rows out, a name may be used there only.
        """
        ids = set(connection.scalars(select(VisitorDelta.id)))
        for chunk in chunks(sorted(ids - self._waiting)):
            payloads = select(VisitorDelta.payload).where(VisitorDelta.id.in_(chunk))
            for payload in connection.scalars(payloads):
                self._mark([visit[1 + self._kind] for visit in visitor_deltas.decode(payload)])
        self._waiting = ids

    def _mark(self, ids: Any) -> None:
        for number in ids:
            if number is not None and number <= self._highest:
                self._used[number] = 1

    def _delete(self) -> Iterator[bool]:
        last = 0
        while last < self._highest:
            with self._store.read() as connection:
                query = select(self._model.id).where(self._model.id > last)
                ids = connection.scalars(query.order_by(self._model.id).limit(_DELETE)).all()
                # Outside of the lock, so that little is left to be looked at inside.
                self._catch_up(connection)
            if not ids:
                return
            last = ids[-1]
            unused = [number for number in ids if self._is_unused(number)]
            yield bool(unused) and self._delete_some(unused) > 0

    def _is_unused(self, number: int) -> bool:
        return number <= self._highest and not self._used[number]

    def _catch_up(self, connection: Connection) -> None:
        for reference in self._references:
            if reference.has_id:
                high = connection.scalar(select(func.max(reference.column.table.c.id))) or 0
                self._mark_rows(connection, reference, max(high, reference.read_to))
        self._mark_waiting(connection)

    def _delete_some(self, ids: list[int]) -> int:
        gone = 0
        try:
            with self._store.write() as connection:
                self._fence(connection)
                self._catch_up(connection)
                left = [number for number in ids if self._is_unused(number)]
                for start in range(0, len(left), _CHUNK):
                    chunk = left[start : start + _CHUNK]
                    statement = delete(self._model).where(self._model.id.in_(chunk))
                    gone += connection.execute(statement).rowcount
                if gone:
                    bump(connection)
                    self._note(connection, gone)
        except IntegrityError:
            # A row that is not committed yet uses one of them: they wait for the next run.
            return 0
        return gone
