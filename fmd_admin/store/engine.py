"""What each kind of database needs: drivers, timeouts and how a transaction begins."""

from __future__ import annotations

import sqlite3
from time import monotonic, sleep
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import ExceptionContext
from sqlalchemy.exc import DBAPIError

from . import hosts

#: Execution option of a connection that is going to write.
WRITE = "fmd_write"
#: Execution option of a connection whose reads must all be of one moment.
SNAPSHOT = "fmd_snapshot"
BUSY_TIMEOUT_S = 30
_WAL_PAUSE_S = 0.01
CONNECT_TIMEOUT_S = 5
#: A server that says nothing for so long is given up. InnoDB waits for a lock for 50 s.
READ_TIMEOUT_S = 60

MYSQL = frozenset({"mysql", "mariadb"})
#: The driver that the extras bring, where a URL names none, and the extra.
_DRIVERS = {
    "postgres": ("postgresql+psycopg", "postgres"),
    "postgresql": ("postgresql+psycopg", "postgres"),
    "mysql": ("mysql+pymysql", "mysql"),
    "mariadb": ("mariadb+pymysql", "mysql"),
}
#: The transaction was given up for another one: a deadlock, a row that changed meanwhile, or a
#: lock that was not to be had in time. By SQLSTATE, and by MySQL's number.
_CONFLICTS: frozenset[object] = frozenset({"40001", "40P01", "55P03", 1020, 1205, 1213})
#: Besides what SQLAlchemy knows: no quorum (Galera), shutdown, cannot connect, killed, gone,
#: lost, and PyMySQL's own for a closed connection.
_MYSQL_DISCONNECTS = frozenset({0, 1047, 1053, 1927, 2003, 2006, 2013, 2055, 4031})
#: Servers that do not take writes any more, after a fail-over: PostgreSQL, MySQL and MariaDB.
_READ_ONLY: frozenset[object] = frozenset({"25006", 1290, 1836})


def with_driver(url: URL) -> URL:
    """Return ``url`` with the driver of our extras where it names none."""
    found = _DRIVERS.get(url.drivername)
    return url if found is None else url.set(drivername=found[0])


def extra_of(url: URL) -> str | None:
    """Return the extra that installs the driver of ``url``, None if none of ours does."""
    extras = dict(_DRIVERS.values())
    return extras.get(url.drivername)


def engine_options(url: URL) -> dict[str, Any]:
    """Return the options for create_engine that suit ``url``.

    Errors never show what was written: there are password hashes and addresses among it.
    """
    name = url.get_backend_name()
    if name == "sqlite":
        return {
            "hide_parameters": True,
            "connect_args": {"timeout": BUSY_TIMEOUT_S, "check_same_thread": False},
        }
    options: dict[str, Any] = {
        "hide_parameters": True,
        "pool_pre_ping": True,
        "pool_recycle": 1800,
        "pool_size": 5,
        "max_overflow": 10,
        # InnoDB's own level locks gaps between rows, and hides what other processes commit.
        "isolation_level": "READ COMMITTED",
    }
    if url.drivername == "postgresql+psycopg":
        options["connect_args"] = _psycopg_arguments(url)
    elif url.get_driver_name() == "pymysql":
        options["connect_args"] = {
            "connect_timeout": CONNECT_TIMEOUT_S,
            "read_timeout": READ_TIMEOUT_S,
            "write_timeout": READ_TIMEOUT_S,
            # Without it a text that is too long would be cut without a word.
            "sql_mode": "STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION",
        }
    return options


def _psycopg_arguments(url: URL) -> dict[str, Any]:
    wanted: dict[str, Any] = {
        "connect_timeout": CONNECT_TIMEOUT_S,
        # A host that is gone without a word is found out in about 20 s, idle or not.
        "keepalives_idle": 10,
        "keepalives_interval": 3,
        "keepalives_count": 3,
        "tcp_user_timeout": 20_000,
    }
    if hosts.of(url):
        wanted["target_session_attrs"] = "read-write"
    return {name: value for name, value in wanted.items() if name not in url.query}


def configure(engine: Engine, url: URL, several: hosts.Hosts = ()) -> None:
    """Install the listeners that ``engine`` needs. To be called once for an engine.

    ``url`` is as it was set, and ``several`` are its hosts where its driver takes one only.
    """
    hosts.note_errors(engine, url)
    name = engine.dialect.name
    if name == "sqlite":
        event.listen(engine, "connect", _sqlite_connect)
        event.listen(engine, "begin", _sqlite_begin)
        return
    event.listen(engine, "handle_error", _find_disconnects)
    if engine.dialect.driver == "psycopg":
        event.listen(engine, "before_cursor_execute", _psycopg_execute)
    if name in MYSQL:
        event.listen(engine, "begin", _mysql_begin)
        if several:
            hosts.install(engine, several, CONNECT_TIMEOUT_S)


def is_conflict(error: BaseException) -> bool:
    """Whether the database gave a transaction up for another one, so that it may be run again."""
    return isinstance(error, DBAPIError) and error_code(error.orig) in _CONFLICTS


def error_code(error: BaseException | None) -> object:
    """Return the SQLSTATE of PostgreSQL's errors, the number of MySQL's."""
    first = error.args[0] if error is not None and error.args else None
    # PyMySQL's errors have a SQLSTATE as well since 1.2: 08S01 and HY000 stand for many numbers.
    return first if isinstance(first, int) else getattr(error, "sqlstate", None)


def _find_disconnects(context: ExceptionContext) -> None:
    code = error_code(context.original_exception)
    mysql = context.dialect.name in MYSQL
    if code in _READ_ONLY or (mysql and code in _MYSQL_DISCONNECTS):
        context.is_disconnect = True


def _sqlite_connect(connection: Any, _record: Any) -> None:
    # sqlite3 must not begin transactions by itself: _sqlite_begin does.
    connection.isolation_level = None
    try:
        _use_wal(connection)
        # WAL with NORMAL survives a crash of the process; a power cut may cost the last commits.
        connection.execute("PRAGMA synchronous = NORMAL").close()
    except BaseException:
        # It gets into no pool. The error that is raised holds it, perhaps until after a fork.
        connection.close()
        raise


def _use_wal(connection: Any) -> None:
    """Let a new file be read while it is written to.

    SQLite does not wait for another process that is about to do the same, whatever the timeout.
    """
    give_up = monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").close()
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or monotonic() > give_up:
                raise
        sleep(_WAL_PAUSE_S)


def _sqlite_begin(connection: Connection) -> None:
    write = connection.get_execution_options().get(WRITE, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _psycopg_execute(
    connection: Connection, cursor: Any, statement: str, *_of_statement: Any
) -> None:
    options = connection.get_execution_options()
    is_read = options.get(SNAPSHOT, False) and not options.get(WRITE, False)
    # SQLAlchemy takes what PostgreSQL tells about tables apart as text.
    if is_read and "pg_catalog." not in statement:
        # As text histograms are sent and read in hexadecimal digits, which takes pages a fifth
        # longer. 1 is psycopg.pq.Format.BINARY.
        cursor.format = 1


def _mysql_begin(connection: Connection) -> None:
    if connection.get_execution_options().get(SNAPSHOT, False):
        # For the transaction that begins with the next statement only.
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
