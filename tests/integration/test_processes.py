"""Servers that fork, end and restart: what was answered is stored."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ..support import new_store, stored_rows
from .panel_session import PanelSession
from .servers import command_server, free_port, gunicorn, send_many
from .test_switching import get, wait_until

APP = """
import os, threading, time
from flask import Flask
from fmd_admin import FMDAdmin

app = Flask("small", instance_path={folder!r})
app.add_url_rule("/", "index", lambda: str(os.getpid()))
app.add_url_rule("/stuck", "stuck", lambda: print("stuck now", flush=True) or time.sleep(20))
app.add_url_rule("/threads", "threads", lambda: ",".join(t.name for t in threading.enumerate()))
FMDAdmin(app, settings={{"database": "sqlite:///{folder}/fmd.db", "flush_interval_s": 1.0,
    "username": "anna", "password": "correct horse"}})


def open_files():
    # Connections that a fork would share.
    found = []
    for number in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink("/proc/self/fd/" + number))
        except OSError:  # It was the folder's own.
            pass
    return [name for name in found if "fmd.db" in name]


assert not open_files(), "a connection before the fork"
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


def shown(anna: PanelSession) -> dict[str, Any]:
    """The rows of the overview by endpoint."""
    return {row["name"]: row for row in anna.get("/overview/data.json").json["rows"]}


UWSGI = [
    str(Path(sys.executable).with_name("uwsgi")),
    "--master",
    "--die-on-term",
    "--wsgi-file",
    "small.py",
]


NEXT = """
import small, time
small.app.test_client().get("/threads").close()
recorder = small.app.extensions["fmd_admin"].recorder
for _ in range(100):
    recorder._work()
    time.sleep(0.05)
"""


def taken_over(folder: Path) -> None:
    """Let the next process store what a worker that was killed left in its spool."""
    done = subprocess.run([sys.executable, "-c", NEXT], cwd=folder, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize(
    ("options", "threads"),
    [
        # Without enable-threads a thread is started and never runs: requests write at their end.
        (["--processes", "2"], False),
        (["--processes", "2", "--lazy-apps"], False),
        (["--processes", "2", "--threads", "4"], True),
    ],
    ids=["no threads", "no threads, lazy", "threads"],
)
def test_uwsgi(folder: Path, options: list[str], threads: bool) -> None:
    port = free_port()
    command = [*UWSGI, "--callable", "app", "--http-socket", f"127.0.0.1:{port}"]
    with command_server([*command, *options], folder, port) as server:
        # Its socket closes each connection after one answer.
        with ThreadPoolExecutor(4) as clients:
            answers = list(clients.map(lambda path: get(port, path)[0], ["/"] * 200))
        assert answers == [200] * 200
        names = get(port, "/threads")[1].split(",")
        assert ("fmd_admin-flusher" in names) == threads
        # The panel answers, and is kept up to date without a thread of ours.
        anna = PanelSession(port).log_in()
        # Each look is a request as well, at whose end a process without threads writes.
        wait_until(lambda: "index" in shown(anna), "the overview shows the endpoint")
        index = shown(anna)["index"]
        assert anna.post("/overview/level", {"ids": index["id"], "level": 0}).status == 303
        # It writes the line of a request after its end. A worker that is in one is killed: below.
        wait_until(lambda: "POST /dashboard/overview/level" in server.log, "the last one ends")
        time.sleep(0.1)
        assert server.stop() == 0
    assert stored(folder) >= 201
    # That there are no threads is told once a process.
    told = server.log.count("RuntimeError: this server runs without threads")
    assert server.log.count("Traceback") == told
    assert (told > 0) == (not threads)


def test_uwsgi_worker_that_is_killed_in_a_request(folder: Path) -> None:
    """uWSGI kills a busy worker on SIGTERM; the next process stores what its spool holds."""
    port = free_port()
    command = [*UWSGI, "--callable", "app", "--http-socket", f"127.0.0.1:{port}", "--threads", "2"]
    with (
        command_server(command, folder, port) as server,
        closing(sqlite3.connect(folder / "fmd.db", isolation_level=None)) as other,
    ):
        wait_until(lambda: "spawned uWSGI worker 1" in server.log, "the app is bound")
        other.execute("BEGIN IMMEDIATE")  # The worker cannot write.
        assert [get(port, "/")[0] for _ in range(50)] == [200] * 50
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"GET /stuck HTTP/1.0\r\n\r\n")
            wait_until(lambda: "stuck now" in server.log, "the worker is busy")
            assert server.stop() == 0
    assert stored(folder) == 0
    taken_over(folder)
    # And the one of the process that took over.
    assert stored(folder) == 51


def test_flask_run_with_its_reloader(folder: Path) -> None:
    """The parent only watches the files; what the child measured is there when it is replaced."""
    port = free_port()
    command = ["-m", "flask", "--app", "small", "run", "--debug", "--port", str(port)]
    with command_server([sys.executable, *command], folder, port) as server:
        first = get(port, "/")[1]
        send_many(port, ["/"] * 19, connections=2)
        source = folder / "small.py"
        source.write_text(source.read_text() + "\n# changed\n")

        def replaced() -> bool:
            try:
                return get(port, "/threads")[0] == 200 and get(port, "/")[1] != first
            except (OSError, http.client.HTTPException):
                return False

        wait_until(replaced, "the reloader starts a new process")
        assert first != str(server.process.pid)
        send_many(port, ["/"] * 20, connections=2)
        # The parent would kill its child at once; so ends the child first, and the parent with it.
        os.kill(int(get(port, "/")[1]), signal.SIGTERM)
        server.process.wait(timeout=30)
    store = new_store(folder)
    try:
        rows = stored_rows(store)
    finally:
        store.close()
    index = [row for row in rows if row.endpoint == "index"]
    # The one before, the ones sent, at least one that told of the new process, and its number.
    assert len(index) >= 42
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
        # As without us: supervisors take an exit code for a failure.
        assert server.stop(signal.SIGTERM) == -signal.SIGTERM
    assert stored(folder) == 20


@pytest.mark.usefixtures("warm_servers")
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
