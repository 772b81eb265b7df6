"""Plain tuples through the driver: a third of what they cost through Core, in SQLite still less."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

from sqlalchemy import Connection, Dialect, Table

#: Rows that SQLite takes at once, as each statement has its price; it knew 999 variables once.
_AT_ONCE = 50
_PLACEHOLDERS = {"qmark": "?", "format": "%s", "pyformat": "%s"}


def insert(connection: Connection, sql: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert ``rows``, which may be none, in their order; ``sql`` is of :func:`insert_sql`."""
    together = 0
    if connection.dialect.name == "sqlite" and len(rows) >= _AT_ONCE:
        together = len(rows) - len(rows) % _AT_ONCE
        begin, marks = sql.split(" VALUES ")
        many = f"{begin} VALUES {', '.join([marks] * _AT_ONCE)}"
        starts = range(0, together, _AT_ONCE)
        flat = [tuple(chain.from_iterable(rows[at : at + _AT_ONCE])) for at in starts]
        connection.exec_driver_sql(many, flat)
    if len(rows) > together:
        connection.exec_driver_sql(sql, list(rows[together:]))


def insert_sql(dialect: Dialect, table: Table, columns: Sequence[str]) -> str:
    """Return an INSERT for :func:`insert`."""
    placeholder = _PLACEHOLDERS[dialect.paramstyle]
    quote = dialect.identifier_preparer.quote
    names = ", ".join(quote(name) for name in columns)
    marks = ", ".join([placeholder] * len(columns))
    return f"INSERT INTO {table.name} ({names}) VALUES ({marks})"  # noqa: S608 - own names


def find_sql(dialect: Dialect, table: Table, columns: Sequence[str], key: str, number: int) -> str:
    """Return a SELECT of ``columns`` by ``number`` values of ``key``, as the driver has them."""
    quote = dialect.identifier_preparer.quote
    names = ", ".join(quote(name) for name in columns)
    marks = ", ".join([_PLACEHOLDERS[dialect.paramstyle]] * number)
    return f"SELECT {names} FROM {table.name} WHERE {quote(key)} IN ({marks})"  # noqa: S608
