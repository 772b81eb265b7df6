"""The store of one host app: its engine, and transactions to read and to write."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from flask import Flask
from sqlalchemy import Connection, Engine
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from ..errors import StoreError
from ..settings import Settings
from . import (  # noqa: F401 - a store has all tables
    alert_models,
    exception_models,
    hosts,
    import_models,
    job_models,
    visitor_models,
)
from .engine import (
    SNAPSHOT,
    WRITE,
    configure,
    engine_options,
    extra_of,
    is_conflict,
    with_driver,
)
from .kept import KEPT, Kept
from .models import db
from .transactions import Transactions

T = TypeVar("T")
#: How often a transaction that lost against another one is run, and the longest pause before.
_TRIES = 8
_PAUSE_S = 0.2
#: How often a transaction is run again whose connection was lost.
_LOST_TRIES = 2


class Store:
    """Binds the tables to ``app`` (the panel's, never the host's) with the settings' database.

    ``folder`` is where a relative SQLite file lies; it is made if need be. Raises StoreError for
    a URL that SQLAlchemy does not understand or whose driver is missing.
    """

    def __init__(self, app: Flask, settings: Settings, folder: str | None = None) -> None:
        self.settings = settings
        self.timezone = ZoneInfo(settings.timezone)
        try:
            url = with_driver(make_url(settings.database))
        except ArgumentError:
            raise StoreError(
                "Setting DATABASE is not a database URL. Example: sqlite:////var/lib/app/fmd.db"
            ) from None
        if url.get_backend_name() == "sqlite" and (url.database or ":memory:") == ":memory:":
            raise StoreError(
                "Setting DATABASE names no file: several connections and processes share the "
                "measurements. Example: sqlite:////var/lib/app/fmd.db"
            )
        if folder is not None:
            url = _in_folder(url, Path(folder))
        _keep_private(url)
        try:
            one, several = hosts.split(url)
            app.config["SQLALCHEMY_DATABASE_URI"] = one
            app.config["SQLALCHEMY_ENGINE_OPTIONS"] = engine_options(one)
            db.init_app(app)
        except (ImportError, OSError, ArgumentError) as error:
            shown = url.render_as_string(hide_password=True)
            raise StoreError(f"Database {shown} cannot be used: {_mend(url, error)}") from error
        with app.app_context():
            self.engine: Engine = db.engine
        configure(self.engine, url, several)
        self.engine.update_execution_options(**{KEPT: Kept()})
        self._transactions = Transactions()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection in one read transaction: everything read in it is of one moment.

        It is rolled back, and whatever comes of that: all was read by then.
        """
        # SQLite gives a transaction one snapshot by itself.
        with self._begin(snapshot=True, write=False) as connection:
            yield connection

    @contextmanager
    def write(self, *, snapshot: bool = False) -> Iterator[Connection]:
        """A connection in one write transaction, committed at the end.

        SQLite takes its write lock at the start, so that it waits instead of failing half way.
        On servers each statement sees what is committed by then, or with ``snapshot`` all of them
        the same moment. There the database may give it up for another one: :meth:`transact` runs
        it again.
        """
        with self._begin(snapshot=snapshot, write=True) as connection:
            yield connection

    @contextmanager
    def _begin(self, *, snapshot: bool, write: bool) -> Iterator[Connection]:
        options: dict[str, Any] = {WRITE: write, SNAPSHOT: snapshot}
        if snapshot and self.engine.dialect.name == "postgresql":
            options["isolation_level"] = "REPEATABLE READ"
        with (
            self._transactions.one(),
            self.engine.connect().execution_options(**options) as connection,
            connection.begin() if write else _rolled_back(connection),
        ):
            yield connection

    def transact(
        self, work: Callable[[Connection], T], *, snapshot: bool = False, repeatable: bool = False
    ) -> T:
        """Run ``work`` in a write transaction; again if the database gave it up for another one.

        ``work`` must change nothing but the database before it returns. ``repeatable`` work is
        also run again after its connection was lost, when it may have been committed already.
        """
        lost = _LOST_TRIES if repeatable else 0
        for left in reversed(range(_TRIES)):
            try:
                with self.write(snapshot=snapshot) as connection:
                    return work(connection)
            except DBAPIError as error:
                if not is_conflict(error):
                    if not error.connection_invalidated or not lost:
                        raise
                    lost -= 1
                if not left:
                    raise
            # Of two that met, not both come back at the same moment; and the host may count on
            # what its own seeded ``random`` gives next.
            time.sleep(random.SystemRandom().uniform(0, _PAUSE_S))
        raise AssertionError("the last try returns or raises")

    def before_fork(self) -> None:
        """Let the transactions of other threads end first; nothing of them may get into a child."""
        self._transactions.before_fork()

    def after_fork_in_parent(self) -> None:
        """Let transactions begin again."""
        self._transactions.after_fork_in_parent()

    def after_fork(self) -> None:
        """Forget the parent's connections without closing them: they are the parent's."""
        self._transactions = Transactions()
        self.engine.dispose(close=False)

    def close(self) -> None:
        """Close all pooled connections."""
        self.engine.dispose()


@contextmanager
def _rolled_back(connection: Connection) -> Iterator[None]:
    transaction = connection.begin()
    try:
        yield
    finally:
        with suppress(DBAPIError):
            transaction.rollback()


def _mend(url: URL, error: Exception) -> str:
    extra = extra_of(url)
    if isinstance(error, ImportError) and extra is not None:
        return f"its driver is missing. Run: pip install 'fmd_admin[{extra}]'"
    if isinstance(error, NoSuchModuleError):
        return f"{error}. Known: sqlite, postgresql, mysql, mariadb."
    return str(error)


def _in_folder(url: URL, folder: Path) -> URL:
    name = url.database
    if url.get_backend_name() != "sqlite" or not name or name.startswith((":", "file:")):
        return url
    path = folder / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"The folder of the database {path} cannot be made: {error.strerror}. "
            "Make it, or set DATABASE to a file in another one."
        ) from error
    return url.set(database=str(path))


def _keep_private(url: URL) -> None:
    """Make a new SQLite file that only its owner can read: it holds password hashes."""
    name = url.database
    if url.get_backend_name() != "sqlite" or not name or name.startswith((":", "file:")):
        return
    try:
        os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except OSError:
        return  # It is there already, or SQLite will say in its own words why it cannot be.
