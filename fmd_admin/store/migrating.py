"""Creates and upgrades the tables with Alembic, one process at a time."""

from __future__ import annotations

from random import SystemRandom
from time import monotonic, sleep

from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from .. import resources
from ..errors import SchemaError
from .engine import MYSQL, error_code, is_conflict
from .schema import is_current
from .store import Store

#: Any number, the same in all processes: the name of the lock on servers.
_LOCK = 0x666D64
#: Less than the time after which a silent server is given up.
_LOCK_WAIT_S = 50
#: MySQL's numbers for a table, column, index or row that is there already.
_MADE_ALREADY = frozenset({1050, 1060, 1061, 1062})
_RACE_PAUSE_S = 0.5


def upgrade(store: Store) -> bool:
    """Bring the tables to this version; return False if another process has done it."""
    config, _ = alembic()
    give_up = monotonic() + _LOCK_WAIT_S
    while True:
        try:
            return _upgrade(store, config)
        except (DBAPIError, CommandError) as error:
            if not _lost_a_race(store, error) or monotonic() > give_up:
                raise
        # Not from the host's ``random``: it may count on what that gives next.
        sleep(SystemRandom().uniform(0, _RACE_PAUSE_S))


def _upgrade(store: Store, config: AlembicConfig) -> bool:
    with store.write() as connection:
        _lock(connection)
        if is_current(connection):
            return False
        _prepare(connection)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return True


def alembic() -> tuple[AlembicConfig, ScriptDirectory]:
    """Return Alembic's configuration, and the migrations."""
    config = AlembicConfig()
    # Alembic reads % in options as interpolation.
    config.set_main_option(
        "script_location", str(resources.folder("migrations")).replace("%", "%%")
    )
    config.set_main_option("path_separator", "os")
    return config, ScriptDirectory.from_config(config)


def _lock(connection: Connection) -> None:
    # SQLite's write transaction is the lock already.
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    elif connection.dialect.name in MYSQL:
        # DDL commits there: the lock is held by the connection, and let go with it. Its name counts
        # for the whole server, on which several apps may have a database each.
        connection.detach()
        name = connection.scalar(text("SELECT concat('fmd_', md5(database()))"))
        got = connection.scalar(
            text("SELECT GET_LOCK(:name, :wait_s)"), {"name": name, "wait_s": _LOCK_WAIT_S}
        )
        if got != 1:
            raise SchemaError("Another process has been migrating for a minute. Try again later.")


def _lost_a_race(store: Store, error: Exception) -> bool:
    """Whether another process made the same tables: no lock counts for all nodes of Galera."""
    if store.engine.dialect.name not in MYSQL:
        return False
    if isinstance(error, DBAPIError):
        return is_conflict(error) or error_code(error.orig) in _MADE_ALREADY
    return True  # Alembic found another revision noted than it had read.


def _prepare(connection: Connection) -> None:
    """See to it that the migrations can run on this database."""
    if connection.dialect.name not in MYSQL:
        return
    charset, name = connection.execute(text("SELECT @@character_set_database, database()")).one()
    if charset != "utf8mb4":
        raise SchemaError(
            f"The database {name} keeps texts as {charset}, which lacks most characters. "
            f"Run in it: ALTER DATABASE `{name}` CHARACTER SET utf8mb4"
        )
    # An index over many rows takes longer than any query of ours. PyMySQL has no other way.
    driver = connection.connection.driver_connection
    if hasattr(driver, "_read_timeout"):
        driver._read_timeout = None  # type: ignore[union-attr]
