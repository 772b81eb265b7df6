"""Reads the rows of a list: one page of it, or all of them for an export."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, or_, select

from ...store.models import db
from ...store.store import Store

#: Rows that are counted, paged and sorted at most; a table may hold hundreds of millions.
COUNTED = 100_000
#: Rows a read of an export: each read is a transaction of its own.
EXPORT_CHUNK = 2_000


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a list: what it sorts by and exports in SQL, and its value of a model's row.

    ``kind`` is "text", "time", "count" or "ms".
    """

    key: str
    label: str
    sql: Any
    get: Callable[[Any], Any]
    kind: str = "text"


@dataclass(frozen=True, slots=True)
class Found:
    """A page of rows. ``total`` counts up to ``COUNTED``; ``more`` says that there are more."""

    rows: Sequence[Any]
    total: int
    more: bool
    page: int
    pages: int


@dataclass(frozen=True, slots=True)
class Order:
    """How a page is sorted; ``column`` None is the list's own order."""

    column: Any | None
    descending: bool


def find_page(
    statement: Select[Any],
    wanted: Sequence[ColumnElement[bool]],
    own_order: Sequence[Any],
    order: Order,
    page: int,
    size: int,
) -> Found:
    """Read one page of ``statement`` through the session.

    ``own_order`` are the columns by which the newest row is the highest; the last one is the
    key. What has no index is sorted among the ``COUNTED`` newest rows that match, so that a
    page takes as long with a hundred million rows as with some.
    """
    key = own_order[-1]
    newest_first = [column.desc() for column in own_order]
    newest = select(key).where(*wanted)
    counted = newest.limit(COUNTED + 1).subquery()
    total = db.session.scalar(select(func.count()).select_from(counted)) or 0
    pages = max(1, -(-min(total, COUNTED) // size))
    page = min(max(page, 1), pages)
    if order.column is None:
        ordering = newest_first if order.descending else [column.asc() for column in own_order]
        statement = statement.where(*wanted)
    else:
        first = order.column.desc() if order.descending else order.column.asc()
        ordering = [first, *newest_first]
        if total > COUNTED:
            part = newest.order_by(*newest_first).limit(COUNTED).subquery()
            statement = statement.join(part, part.c[0] == key)
        else:
            statement = statement.where(*wanted)
    statement = statement.order_by(*ordering).limit(size).offset((page - 1) * size)
    rows = db.session.scalars(statement).all()
    return Found(rows, min(total, COUNTED), total > COUNTED, page, pages)


def export(
    store: Store,
    statement: Select[Any],
    own_order: Sequence[Any],
    chunk: int | None = None,
) -> Iterator[Sequence[Any]]:
    """Yield every row of ``statement``, newest first, in constant memory.

    Each ``chunk`` is read in a short transaction: one long one would keep the database from
    cleaning up for as long as a slow client takes. Rows that come in meanwhile are newer than
    where the export began, and do not appear.
    """
    chunk = chunk or EXPORT_CHUNK
    width = len(statement.selected_columns)
    newest = statement.add_columns(*own_order)
    newest = newest.order_by(*(column.desc() for column in own_order)).limit(chunk)
    part = newest
    while True:
        with store.read() as connection:
            rows = connection.execute(part).all()
        for row in rows:
            yield row[:width]
        if len(rows) < chunk:
            return
        part = newest.where(_below(own_order, rows[-1][width:]))


def _below(own_order: Sequence[Any], last: Sequence[Any]) -> ColumnElement[bool]:
    """Return the condition that a row comes after ``last``, in a form that uses the index."""
    column, value = own_order[0], last[0]
    if len(own_order) == 1:
        below: ColumnElement[bool] = column < value
        return below
    return and_(column <= value, or_(column < value, _below(own_order[1:], last[1:])))
