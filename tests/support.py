"""What several tests need: stores, a bound app, a real HTTP server around it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from ssl import SSLContext
from typing import Any, NoReturn

import pytest
from flask import Flask
from sqlalchemy import select
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from fmd_admin import settings
from fmd_admin.extension import Monitor
from fmd_admin.store.models import Client, Endpoint, Group, Request, Version
from fmd_admin.store.store import Store

#: In a test's folder: the URL of the database to be used instead of an SQLite file.
DATABASE_URL = "database.url"


def missing(what: str, mend: str) -> NoReturn:
    """Skip the test, or fail it in CI, where nothing may be missing."""
    text = f"{what}. Get it with: {mend}"
    if os.environ.get("CI") == "true":
        pytest.fail(text)
    pytest.skip(text)


def not_at_midnight(longest_s: float) -> None:
    """Wait if the day is about to end: "today" must be the same from beginning to end of a test."""
    left_s = 86_400 - time.time() % 86_400
    if left_s < longest_s:
        time.sleep(left_s + 0.1)


def database_url(folder: Path) -> str:
    """The database of ``folder``: the one the test is run on, or else a file in it."""
    try:
        return (folder / DATABASE_URL).read_text()
    except FileNotFoundError:
        return f"sqlite:///{folder}/fmd.db"


def new_store(folder: Path, **code: Any) -> Store:
    """A store on the database of ``folder``, not migrated."""
    code.setdefault("database", database_url(folder))
    return Store(Flask("store"), settings.load(environ={}, code=code).values)


@dataclass
class Stored:
    """One row of fmd_request with its names."""

    endpoint: str
    version: str
    group: str | None
    ip: str | None
    time_ms: int
    duration_ms: float
    status: int
    method: str


def stored_rows(store: Store) -> list[Stored]:
    """Every stored request, in the order of arrival."""
    query = (
        select(
            Endpoint.name,
            Version.name,
            Group.name,
            Client.name,
            Request.time,
            Request.duration_ms,
            Request.status,
            Request.method,
        )
        .join(Endpoint, Endpoint.id == Request.endpoint_id)
        .join(Version, Version.id == Request.version_id)
        .outerjoin(Group, Group.id == Request.group_id)
        .outerjoin(Client, Client.id == Request.client_id)
        .order_by(Request.time, Request.id)
    )
    with store.read() as connection:
        return [
            Stored(row[0], row[1], row[2], row[3], int(row[4].timestamp() * 1000), *row[5:])
            for row in connection.execute(query)
        ]


@dataclass
class Bound:
    """A host app with fmd_admin bound to it."""

    app: Flask
    monitor: Monitor

    def rows(self) -> list[Stored]:
        """Write the buffer, then return every stored request."""
        self.monitor.recorder.flush()
        return stored_rows(self.monitor.store)


class QuietHandler(WSGIRequestHandler):
    """Does not print a line for each request."""

    def log(self, type: str, message: str, *args: Any) -> None:
        pass


@contextmanager
def serve(app: Any, ssl_context: SSLContext | None = None) -> Iterator[int]:
    """Serve ``app`` over HTTP on 127.0.0.1; gives the port."""
    server: BaseWSGIServer = make_server(
        *("127.0.0.1", 0, app),
        threaded=True,
        request_handler=QuietHandler,
        ssl_context=ssl_context,
    )
    # The default looks for the end twice a second only.
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server.port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def get(app: Flask, path: str, **options: Any) -> str:
    """GET through the test client, and close the answer as a server does; return its text."""
    with app.test_client().get(path, **options) as response:
        return str(response.text)
