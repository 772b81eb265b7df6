"""What each kind of database needs: pragmas, timeouts and how a transaction begins."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import URL

#: Execution option of a connection that is going to write.
WRITE = "fmd_write"
BUSY_TIMEOUT_S = 30


def engine_options(url: URL) -> dict[str, Any]:
    """Return the options for create_engine that suit ``url``.

    Errors never show what was written: there are password hashes and addresses among it.
    """
    if url.get_backend_name() == "sqlite":
        return {
            "hide_parameters": True,
            "connect_args": {"timeout": BUSY_TIMEOUT_S, "check_same_thread": False},
        }
    return {
        "hide_parameters": True,
        "pool_pre_ping": True,
        "pool_recycle": 1800,
        "pool_size": 5,
        "max_overflow": 10,
    }


def configure(engine: Engine) -> None:
    """Install the listeners that ``engine`` needs. To be called once for an engine."""
    if engine.dialect.name != "sqlite":
        return
    event.listen(engine, "connect", _sqlite_connect)
    event.listen(engine, "begin", _sqlite_begin)


def _sqlite_connect(connection: Any, _record: Any) -> None:
    # sqlite3 must not begin transactions by itself: _sqlite_begin does.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    # WAL with NORMAL survives a crash of the process; a power cut may cost the last commits.
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.close()


def _sqlite_begin(connection: Connection) -> None:
    write = connection.get_execution_options().get(WRITE, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
