"""Lets views of the host's own models work in the panel, which is another Flask app.

Flask-SQLAlchemy gives a session only the databases of the app that answers the request. For a
model view that is added to the panel, the panel app is entered beside the host with the same
engines, and the session is given back at the end of each of its requests.
"""

from __future__ import annotations

from typing import Any

from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from ..store.models import db as own_db


class HostModels:
    """The host's Flask-SQLAlchemy objects that views of this panel use."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._databases: list[SQLAlchemy] = []
        app.before_request(self._enter)
        app.teardown_appcontext(self._leave)

    def use(self, view: Any) -> None:
        """Take note of the database that a Flask-Admin model view reads and writes."""
        database = _database(getattr(view, "session", None))
        if database is not None and database is not own_db and database not in self._databases:
            self._databases.append(database)

    def _enter(self) -> None:
        # Not when the view is added: the host may set its database up later.
        for database in self._databases:
            known: Any = getattr(database, "_app_engines", None)
            if known is None or self._app in known:
                continue
            hosts = [app for app in known if self._is_host(app)] or list(known)
            if len(hosts) == 1:
                known[self._app] = known[hosts[0]]

    def _is_host(self, app: Flask) -> bool:
        return getattr(app.extensions.get("fmd_admin"), "panel_app", None) is self._app

    def _leave(self, _error: BaseException | None) -> None:
        for database in self._databases:
            database.session.remove()


def _database(session: Any) -> SQLAlchemy | None:
    """Return the Flask-SQLAlchemy object that a view was given, itself or by its session."""
    if isinstance(session, SQLAlchemy):
        return session
    factory = getattr(session, "session_factory", None)
    database = getattr(factory, "kw", {}).get("db")
    return database if isinstance(database, SQLAlchemy) else None
