"""Reads the rows of a list: one page of it, or all of them for an export."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, or_, select

from ...store.models import db
from ...store.store import Store

#: Rows that are counted, paged, sorted and looked through at most; a table may hold hundreds of
#: millions.
COUNTED = 50_000
#: Rows a read of an export: each read is a transaction of its own.
EXPORT_CHUNK = 2_000


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a list: its value in SQL, and that of a whole row of the model.

    ``kind`` is "text", "time", "count" or "ms".
    """

    key: str
    label: str
    sql: Any
    get: Callable[[Any], Any]
    kind: str = "text"


@dataclass(frozen=True, slots=True)
class Found:
    """A page of rows as :func:`find_page` was asked for them.

    ``total`` counts up to ``COUNTED``; ``more`` says that there are more.

    ``since`` is set where only the ``COUNTED`` newest rows were looked through: the value of the
    list's own order from which on that was done.
    """

    rows: Sequence[Any]
    total: int
    more: bool
    page: int
    pages: int
    since: Any = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """The conditions of a list: those that an index answers, and those that rows are read for.

    ``start`` is where the first column of the list's own order begins, None for all.
    """

    indexed: Sequence[ColumnElement[bool]] = ()
    read: Sequence[ColumnElement[bool]] = ()
    start: Any = None

    def by_index(self, own_order: Sequence[Any], start: Any = None) -> list[ColumnElement[bool]]:
        """Return what an index answers, from ``start`` on if that is given.

        Never two beginnings: SQLite takes either for its index, and goes through the rest.
        """
        start = self.start if start is None else start
        return list(self.indexed) if start is None else [own_order[0] >= start, *self.indexed]

    def all(self, own_order: Sequence[Any], start: Any = None) -> list[ColumnElement[bool]]:
        """Return all conditions, from ``start`` on if that is given."""
        return [*self.by_index(own_order, start), *self.read]


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """The table that a list is sorted by a column of, and what holds its id in the list's own.

    ``few`` says that the table is small, however long the list.
    """

    table: Any
    id: Any
    few: bool = False


@dataclass(frozen=True, slots=True)
class Order:
    """How a page is sorted; ``column`` None is the list's own order.

    ``elsewhere`` is where ``column`` is in another table.
    """

    column: Any | None
    descending: bool
    elsewhere: Elsewhere | None = None


def find_page(
    statement: Select[Any],
    wanted: Wanted,
    own_order: Sequence[Any],
    order: Order,
    page: int,
    size: int,
) -> Found:
    """Read one page of ``statement``, whose first column is the key, through the session.

    ``own_order`` are the columns by which the newest row is the highest; the last one is the
    key. What has no index is looked for among the ``COUNTED`` newest rows, and sorted among the
    ``COUNTED`` newest that match, so that a page takes as long with a hundred million rows as with
    some.
    """
    since = _looked_since(wanted, own_order) if wanted.read else None
    conditions = wanted.all(own_order, since)
    page, found = max(page, 1), None
    if wanted.read and order.column is None and order.descending and page * size <= COUNTED:
        found = _page_then_rest(conditions, own_order, page, size)
    if found is None:
        found = _count_then_page(conditions, own_order, order, page, size)
    ids, total, page = found
    if not total:
        return Found([], 0, False, 1, 1, since)
    key = own_order[-1]
    rows = {row[0]: row for row in db.session.execute(statement.where(key.in_(ids)))}
    shown = [rows[id] for id in ids if id in rows]
    more = total > COUNTED
    return Found(shown, min(total, COUNTED), more, page, _pages(total, size), since)


def _pages(total: int, size: int) -> int:
    return max(1, -(-min(total, COUNTED) // size))


def _page_then_rest(
    conditions: Sequence[ColumnElement[bool]], own_order: Sequence[Any], page: int, size: int
) -> tuple[Sequence[Any], int, int] | None:
    """Return the keys of a page of the newest first, how many match, and the page.

    Where rows must be read to tell whether they match, none is read twice: only what comes after
    the page is left to count. None where there is no such page.
    """
    before = (page - 1) * size
    newest_first = [column.desc() for column in own_order]
    select_page = select(*own_order).where(*conditions).order_by(*newest_first)
    shown = db.session.execute(select_page.limit(size).offset(before)).all()
    if not shown and page > 1:
        return None
    total = before + len(shown)
    if len(shown) == size:
        # In front: of two ends, SQLite takes the first for its index, and goes through the rest.
        rest = select(own_order[-1]).where(_below(own_order, shown[-1]), *conditions)
        total += _count(rest, COUNTED + 1 - total)
    return [row[-1] for row in shown], total, page


def _count_then_page(
    conditions: Sequence[ColumnElement[bool]],
    own_order: Sequence[Any],
    order: Order,
    page: int,
    size: int,
) -> tuple[Sequence[Any], int, int]:
    """Return the keys of a page, how many match, and which page it is: the last if none is so far.

    An index counts faster than it reads, and what is sorted goes by how many match.
    """
    newest = select(own_order[-1]).where(*conditions)
    total = _count(newest, COUNTED + 1)
    if not total:
        # To look once more takes as long again where there is no index.
        return [], 0, 1
    page = min(page, _pages(total, size))
    if order.column is None:
        ordering = [column.desc() if order.descending else column.asc() for column in own_order]
        keys = newest.order_by(*ordering)
    else:
        keys = _sorted(conditions, own_order, order, newest_only=total > COUNTED)
    # First the keys alone: rows that are skipped or sorted out are not put together.
    keys = keys.limit(size).offset((page - 1) * size)
    return db.session.scalars(keys).all(), total, page


def _count(keys: Select[Any], most: int) -> int:
    """Return how many rows ``keys`` has, counting ``most`` at the most."""
    counted = keys.limit(most).subquery()
    return db.session.scalar(select(func.count()).select_from(counted)) or 0


def _sorted(
    conditions: Sequence[ColumnElement[bool]],
    own_order: Sequence[Any],
    order: Order,
    *,
    newest_only: bool,
) -> Select[Any]:
    """Return the select of the keys sorted by a column, of the ``COUNTED`` newest if need be."""
    newest_first = [column.desc() for column in own_order]
    elsewhere = order.elsewhere
    column: Any = order.column
    held: Any = column if elsewhere is None else elsewhere.id
    keys = select(own_order[-1]).where(*conditions)
    if newest_only:
        # With what they are sorted by: to look these rows up once more takes a third of the time.
        rows = select(*own_order, held.label("held")).where(*conditions)
        part = rows.order_by(*newest_first).limit(COUNTED).subquery()
        *own, held = part.c
        newest_first = [of_part.desc() for of_part in own]
        keys = select(own[-1])
    if elsewhere is None:
        column = held
    else:
        # Only the one table that is needed: all four for 50,000 rows take twice as long.
        table = elsewhere.table
        if elsewhere.few:
            # A few names are compared rather than those of every row.
            place = func.rank().over(order_by=column).label("place")
            places = select(table.id, place).subquery()
            keys, column = keys.outerjoin(places, places.c.id == held), places.c.place
        else:
            keys = keys.outerjoin(table, table.id == held)
    return keys.order_by(column.desc() if order.descending else column.asc(), *newest_first)


def _looked_since(wanted: Wanted, own_order: Sequence[Any]) -> Any:
    """Return the place in the list's order that ``COUNTED`` rows lie above; None if fewer do."""
    query = select(own_order[0]).where(*wanted.by_index(own_order))
    newest = [column.desc() for column in own_order]
    return db.session.scalar(query.order_by(*newest).offset(COUNTED).limit(1))


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
