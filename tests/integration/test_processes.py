"""Servers that fork, end and restart: what was answered is stored."""

from __future__ import annotations

import http.client
import signal
import sys
import time
from pathlib import Path

import pytest

from ..support import new_store, stored_rows
from .servers import command_server, free_port, gunicorn, send_many

APP = """
import os, threading
from flask import Flask
from fmd_admin import FMDAdmin

app = Flask("small", instance_path={folder!r})
app.add_url_rule("/", "index", lambda: str(os.getpid()))
app.add_url_rule("/threads", "threads", lambda: ",".join(t.name for t in threading.enumerate()))
FMDAdmin(app, settings={{"database": "sqlite:///{folder}/fmd.db", "flush_interval_s": 1.0,
    "username": "anna", "password": "correct horse"}})
assert not [t.name for t in threading.enumerate() if "fmd" in t.name], "a thread before the fork"
"""

pytestmark = pytest.mark.server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "small.py").write_text(APP.format(folder=str(tmp_path)))
    return tmp_path


def stored(folder: Path) -> int:
    store = new_store(folder)
    try:
        return len(stored_rows(store))
    finally:
        store.close()


@pytest.mark.parametrize(
    "options",
    [
        ["-w", "2", "-k", "sync"],
        ["-w", "2", "-k", "gthread", "--threads", "4", "--preload"],
        ["-w", "2", "-k", "gevent"],
    ],
    ids=["sync", "gthread preload", "gevent"],
)
def test_a_graceful_end_stores_everything(folder: Path, options: list[str]) -> None:
    with gunicorn("small:app", folder, *options) as server:
        answers = send_many(server.port, ["/"] * 200, connections=4)
        assert server.stop() == 0
    assert sum(answers.values()) == 200
    assert stored(folder) == 200
    assert "Traceback" not in server.log


@pytest.mark.parametrize("server_command", ["flask", "waitress"])
def test_sigterm_of_servers_that_do_not_handle_it(folder: Path, server_command: str) -> None:
    port = free_port()
    if server_command == "flask":
        command = ["-m", "flask", "--app", "small", "run", "--port", str(port)]
    else:
        command = ["-m", "waitress", "--port", str(port), "--host", "127.0.0.1", "small:app"]
    with command_server([sys.executable, *command], folder, port) as server:
        send_many(port, ["/"] * 20, connections=2)
        server.stop(signal.SIGTERM)
    assert stored(folder) == 20


def test_requests_of_a_worker_that_is_replaced(folder: Path) -> None:
    with gunicorn("small:app", folder, "-w", "1", "--max-requests", "30") as server:
        sent = 0
        deadline = time.monotonic() + 180
        while sent < 100 and time.monotonic() < deadline:
            # Long enough for a new worker to start: what a client gave up on is answered as well.
            client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
            try:
                client.request("GET", "/")
                client.getresponse().read()
                sent += 1
            except (OSError, http.client.HTTPException):
                time.sleep(0.05)  # Between two workers.
            finally:
                client.close()
        assert server.stop() == 0
    assert stored(folder) == sent == 100
