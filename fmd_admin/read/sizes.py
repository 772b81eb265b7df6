"""How big the store is: bytes, and rows per table without counting millions of them."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Engine,
    func,
    literal,
    select,
    text,
    type_coerce,
)
from sqlalchemy import Table as SQLTable

from ..store.calendar import HOUR_MS
from ..store.models import db
from ..store.retention import Amount

#: What the first column of a key of sums is cut into.
_UNITS_MS = {"hour": HOUR_MS, "day": 24 * HOUR_MS}
#: Rows of a table that are counted one by one.
_COUNTED = 10_000
#: Hours or days that stand for all.
_SAMPLES = 16
#: Steps of this share of the whole never meet the same hour of the day again and again.
_GOLDEN = 0.618034


@dataclass(frozen=True)
class Storage:
    """A database: its kind and version, its address without the password, and bytes.

    ``free_bytes`` are in the file, but empty and used next; ``log_bytes`` are not merged into
    the file yet. None where the kind of database has no such thing.
    """

    kind: str
    version: str
    url: str
    size_bytes: int | None
    free_bytes: int | None
    log_bytes: int | None


def storage(engine: Engine, connection: Connection) -> Storage:
    """Look at the database."""
    name = engine.dialect.name
    url = engine.url.render_as_string(hide_password=True)
    if name == "sqlite":
        pages, page_bytes, free = (
            int(connection.exec_driver_sql(f"PRAGMA {pragma}").scalar() or 0)
            for pragma in ("page_count", "page_size", "freelist_count")
        )
        return Storage(
            kind="SQLite",
            version=sqlite3.sqlite_version,
            url=url,
            size_bytes=pages * page_bytes,
            free_bytes=free * page_bytes,
            log_bytes=_file_bytes(f"{engine.url.database}-wal"),
        )
    version = ".".join(str(part) for part in engine.dialect.server_version_info or ())
    kind = {"postgresql": "PostgreSQL", "mysql": "MySQL", "mariadb": "MariaDB"}.get(name, name)
    if getattr(engine.dialect, "is_mariadb", False):
        kind = "MariaDB"  # Reached through a URL that says mysql.
    return Storage(kind, version, url, _server_bytes(connection), None, None)


def _file_bytes(path: str) -> int:
    try:
        return os.path.getsize(path)
    except OSError:
        return 0


def _server_bytes(connection: Connection) -> int | None:
    """Return what our tables take on a server."""
    queries = {
        "postgresql": "SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c WHERE "
        "c.relkind = 'r' AND c.relname LIKE 'fmd\\_%' AND pg_table_is_visible(c.oid)",
        "mysql": "SELECT sum(data_length + index_length) FROM information_schema.tables "
        "WHERE table_schema = database() AND table_name LIKE 'fmd\\_%'",
    }
    queries["mariadb"] = queries["mysql"]
    query = queries.get(connection.dialect.name)
    found = None if query is None else connection.scalar(text(query))
    return None if found is None else int(found)


def rows_per_table(connection: Connection) -> Sequence[tuple[str, Amount]]:
    """Return the rows of each of our tables, by its name: exact for small ones."""
    return [
        (name, _rows(connection, table))
        for name, table in sorted(db.metadata.tables.items())
        if name.startswith("fmd_")
    ]


def _rows(connection: Connection, table: SQLTable) -> Amount:
    some = select(literal(1)).select_from(table).limit(_COUNTED + 1).subquery()
    rows = connection.scalar(select(func.count()).select_from(some)) or 0
    if rows <= _COUNTED:
        return Amount(rows)
    if "id" in table.c:
        # Rows are appended at one end and deleted at the other.
        low, high = _ends(connection, table.c.id)
        return Amount(max(rows, high - low + 1), exact=False)
    first = next(iter(table.primary_key.columns))
    unit_ms = _UNITS_MS.get(first.name)
    if unit_ms is None:
        return Amount(_COUNTED, exact=False, least=True)
    return Amount(max(rows, _sampled(connection, table, unit_ms)), exact=False)


def _ends(connection: Connection, column: ColumnElement[int]) -> tuple[int, int]:
    # One by one: SQLite finds each at an end of the index, but reads all rows for both at once.
    low = connection.scalar(select(func.min(column)))
    high = connection.scalar(select(func.max(column)))
    return low or 0, high or 0


def _sampled(connection: Connection, table: SQLTable, unit_ms: int) -> int:
    """Count some of the hours or days that a table of sums is keyed by."""
    moment = type_coerce(next(iter(table.primary_key.columns)), BigInteger)
    low, high = _ends(connection, moment)
    slots = (high - low) // unit_ms + 1
    rows = 0
    for number in range(_SAMPLES):
        start = low + int((number + 0.5) * _GOLDEN % 1 * slots) * unit_ms
        inside = (moment >= start, moment < start + unit_ms)
        rows += connection.scalar(select(func.count()).select_from(table).where(*inside)) or 0
    return rows * slots // _SAMPLES
