"""The store of one host app: its engine, and transactions to read and to write."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from flask import Flask
from sqlalchemy import Connection, Engine
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from ..errors import StoreError
from ..settings import Settings
from . import job_models, visitor_models  # noqa: F401 - a store has all tables
from .engine import WRITE, configure, engine_options
from .models import db
from .transactions import Transactions


class Store:
    """Binds the tables to ``app`` (the panel's, never the host's) with the settings' database.

    ``folder`` is where a relative SQLite file lies; it is made if need be. Raises StoreError for
    a URL that SQLAlchemy does not understand or whose driver is missing.
    """

    def __init__(self, app: Flask, settings: Settings, folder: str | None = None) -> None:
        self.settings = settings
        self.timezone = ZoneInfo(settings.timezone)
        try:
            url = make_url(settings.database)
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
        app.config["SQLALCHEMY_DATABASE_URI"] = url
        app.config["SQLALCHEMY_ENGINE_OPTIONS"] = engine_options(url)
        try:
            db.init_app(app)
        except (ImportError, OSError, ArgumentError) as error:
            shown = url.render_as_string(hide_password=True)
            raise StoreError(f"Database {shown} cannot be used: {error}") from error
        with app.app_context():
            self.engine: Engine = db.engine
        configure(self.engine)
        self._transactions = Transactions()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection in one read transaction: everything read in it is of one moment."""
        # SQLite and InnoDB give a transaction one snapshot by themselves.
        options: dict[str, Any] = {}
        if self.engine.dialect.name == "postgresql":
            options["isolation_level"] = "REPEATABLE READ"
        with (
            self._transactions.one(),
            self.engine.connect().execution_options(**options) as connection,
            connection.begin(),
        ):
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A connection in one write transaction, committed at the end.

        SQLite takes its write lock at the start, so that it waits instead of failing half way.
        """
        with (
            self._transactions.one(),
            self.engine.connect().execution_options(**{WRITE: True}) as connection,
            connection.begin(),
        ):
            yield connection

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
