"""Lets a migration that was interrupted go on where each change of a table counts at once.

MySQL and MariaDB commit with each of them: when a process is killed in a migration, a part of it
is done, and its revision is not noted. As it runs again, what is there already is left out. Rows
that a migration writes must be such that writing them again does no harm.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from alembic.ddl.impl import DefaultImpl
from sqlalchemy import Column, Index, Table, inspect

from .engine import MYSQL


def leave_out_what_is_there(impl: DefaultImpl) -> None:
    """Have the operations of a migration make only what is missing, and drop only what is there."""
    if impl.dialect.name not in MYSQL:
        return

    def only_if(name: str, needed: Callable[..., bool]) -> None:
        operation = getattr(impl, name)

        def guarded(*what: Any, **options: Any) -> None:
            if needed(*what):
                operation(*what, **options)

        # This run's object only: the host may use Alembic for tables of its own.
        setattr(impl, name, guarded)

    def has_table(table: Table) -> bool:
        return inspect(impl.connection).has_table(table.name)

    def has_column(table_name: str, column: Column[Any]) -> bool:
        found = inspect(impl.connection).get_columns(table_name)
        return column.name in {one["name"] for one in found}

    def has_index(index: Index) -> bool:
        assert index.table is not None
        found = inspect(impl.connection).get_indexes(index.table.name)
        return index.name in {one["name"] for one in found}

    for kind, has in (("table", has_table), ("index", has_index)):
        only_if(f"create_{kind}", _not(has))
        only_if(f"drop_{kind}", has)
    only_if("add_column", _not(has_column))
    only_if("drop_column", has_column)


def _not(has: Callable[..., bool]) -> Callable[..., bool]:
    return lambda *what: not has(*what)
