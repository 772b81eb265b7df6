"""Tells whether the tables are those of this version, and has them upgraded where they are not.

Alembic, which does that in :mod:`.migrating`, is imported only then: it takes a tenth of a second,
and nearly all processes find the tables as they are.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import Connection, column, inspect, select, table

from .. import resources
from ..errors import NewerSchemaError, SchemaError
from .store import Store

VERSION_TABLE = "fmd_alembic_version"


def migrate(store: Store) -> bool:
    """Bring the tables to this version; return whether anything was done.

    Of several processes that start at once, one migrates and the others wait. Raises
    SchemaError if the tables are newer than this version of fmd_admin.
    """
    with store.read() as connection:
        if is_current(connection):
            return False
    from . import migrating

    return migrating.upgrade(store)


def check_schema(store: Store) -> None:
    """Raise SchemaError unless the tables are exactly those of this version."""
    with store.read() as connection:
        if not is_current(connection):
            raise SchemaError(
                "The tables of fmd_admin are missing or older than this version. "
                "Run: flask fmd migrate (or python manage.py migrate)"
            )


def revision(connection: Connection) -> str:
    """Return the revision that the tables are at, empty if there are none."""
    return ", ".join(sorted(_revisions_of(connection)))


def is_ours(name: str | None, kind: str, _parents: Any) -> bool:
    """Tell Alembic to look at our tables only: the host's may be in the same database."""
    return kind != "table" or (name or "").startswith("fmd_")


def is_current(connection: Connection) -> bool:
    """Tell whether the tables are those of this version. Raises NewerSchemaError."""
    found = _revisions_of(connection)
    known = _known()
    if found - known:
        raise NewerSchemaError(
            f"The tables are at revision {', '.join(sorted(found - known))}, which is newer than "
            "this version of fmd_admin. Upgrade it with: pip install --upgrade fmd_admin"
        )
    return found == {max(known)}


def _revisions_of(connection: Connection) -> set[str]:
    if not inspect(connection).has_table(VERSION_TABLE):
        return set()
    noted = table(VERSION_TABLE, column("version_num"))
    return set(connection.scalars(select(noted.c.version_num)))


@cache
def _known() -> frozenset[str]:
    """All revisions that this version knows: the numbers that their files begin with."""
    files = (resources.folder("migrations") / "versions").glob("[0-9]*.py")
    return frozenset(file.name.partition("_")[0] for file in files)
