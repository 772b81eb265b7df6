"""Plain tuples through the driver: a third of what they cost through Core."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Dialect, Table

_PLACEHOLDERS = {"qmark": "?", "format": "%s", "pyformat": "%s"}


def insert_sql(dialect: Dialect, table: Table, columns: Sequence[str]) -> str:
    """Return an INSERT for ``exec_driver_sql(sql, tuples)``."""
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
