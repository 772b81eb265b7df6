"""A level that is changed over HTTP is in force in every worker process within 2 s."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import select

from fmd_admin.store.models import Endpoint
from fmd_admin.store.types import to_millis

from ..support import Stored, new_store, stored_rows
from .panel_session import PanelSession
from .servers import IMPORTED, Server, gunicorn

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("warm_servers")]

WORKERS = 2
IN_FORCE_S = 2.0
#: How long requests are watched after a level must be in force.
WATCHED_S = 1.0
#: Flushed twice a second, but a busy machine takes long to start the second process.
FLUSHED_S = 60.0
APP = """
import os
from flask import Flask
from fmd_admin import FMDAdmin

app = Flask("live", instance_path={folder!r})
app.add_url_rule("/", "index", lambda: str(os.getpid()))
app.add_url_rule("/other", "other", lambda: str(os.getpid()))
# The group of a row is the process that answered.
FMDAdmin(app, group_by=lambda: str(os.getpid()), settings={{
    "database": "sqlite:///{folder}/fmd.db", "username": "anna", "password": "correct horse"}})
"""


@dataclass(frozen=True)
class Sent:
    """A request: when it was sent (UTC ms), its path and the process that answered."""

    time_ms: float
    path: str
    pid: str


@dataclass
class Traffic:
    """Requests that go on all the time, on new connections, so that all workers get some."""

    port: int
    sent: list[Sent] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._send, args=(p,)) for p in ("/", "/other")]
        for thread in self._threads:
            thread.start()

    def _send(self, path: str) -> None:
        while not self._end.wait(0.01):
            time_ms = time.time() * 1000
            client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
            try:
                client.request("GET", path)
                response = client.getresponse()
                self.sent.append(Sent(time_ms, path, response.read().decode()))
            except (OSError, http.client.HTTPException) as error:
                self.faults.append(repr(error))
            finally:
                client.close()

    def stop(self) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def between(self, start_ms: float, end_ms: float, path: str) -> list[Sent]:
        return [s for s in list(self.sent) if s.path == path and start_ms <= s.time_ms < end_ms]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "live.py").write_text(APP.format(folder=str(tmp_path)))
    return tmp_path


@pytest.fixture
def server(folder: Path) -> Iterator[Server]:
    with gunicorn(
        *("live:app", folder, "-w", str(WORKERS), *IMPORTED),
        *("-k", "gthread", "--threads", "2"),
    ) as made:
        yield made
        assert "Traceback" not in made.log


@pytest.fixture
def traffic(server: Server) -> Iterator[Traffic]:
    # The port is open long before the processes are, on a busy machine.
    PanelSession(server.port).get("/login")
    going = Traffic(server.port)
    yield going
    going.stop()
    assert going.faults == []


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + FLUSHED_S
    while not is_so():
        assert time.monotonic() < deadline, f"not so within {FLUSHED_S} s"
        time.sleep(0.05)


def rows(folder: Path, start_ms: float, end_ms: float, endpoint: str) -> list[Stored]:
    store = new_store(folder)
    try:
        found = stored_rows(store)
    finally:
        store.close()
    return [row for row in found if row.endpoint == endpoint and start_ms <= row.time_ms < end_ms]


def last_requested_ms(folder: Path, name: str) -> int:
    store = new_store(folder)
    try:
        with store.read() as connection:
            query = select(Endpoint.last_requested).where(Endpoint.name == name)
            return to_millis(connection.execute(query).scalar_one())
    finally:
        store.close()


def set_level(anna: PanelSession, name: str, level: int) -> float:
    """Change a level in the panel; return when that was answered (UTC ms)."""
    (row,) = anna.get(f"/overview/data.json?q={name}").json["rows"]
    answer = anna.post("/overview/level", {"ids": row["id"], "level": level})
    assert answer.status == 303
    return time.time() * 1000


def watch(traffic: Traffic, changed_ms: float) -> tuple[float, float]:
    """Let the change come into force, then watch; return the watched times (UTC ms)."""
    start_ms = changed_ms + IN_FORCE_S * 1000
    end_ms = start_ms + WATCHED_S * 1000
    time.sleep(max(0.0, end_ms / 1000 + 0.2 - time.time()))
    for path in ("/", "/other"):
        pids = {sent.pid for sent in traffic.between(start_ms, end_ms, path)}
        assert len(pids) == WORKERS, f"not every process was asked for {path}"
    return start_ms, end_ms


def test_every_process_honours_a_level(folder: Path, server: Server, traffic: Traffic) -> None:
    anna = PanelSession(server.port).log_in()
    wait_until(lambda: len({row.group for row in rows(folder, 0, 1e15, "index")}) == WORKERS)

    span = watch(traffic, set_level(anna, "index", 0))
    wait_until(lambda: last_requested_ms(folder, "index") >= span[1] - 200)
    assert rows(folder, *span, "index") == []
    # The other endpoint goes on in all processes, with every request of the time.
    wait_until(lambda: matches(folder, traffic, span, "/other"))

    span = watch(traffic, set_level(anna, "index", 1))
    wait_until(lambda: matches(folder, traffic, span, "/"))


def matches(folder: Path, traffic: Traffic, span: tuple[float, float], path: str) -> bool:
    """Whether as many rows as requests are there, by process.

    A request was sent a little before its row's time, so the edges are left out.
    """
    start_ms, end_ms = span
    found = rows(folder, start_ms, end_ms, "index" if path == "/" else "other")
    sent = traffic.between(start_ms, end_ms, path)
    return (
        all(
            abs(sum(row.group == pid for row in found) - sum(one.pid == pid for one in sent)) <= 1
            for pid in {one.pid for one in sent}
        )
        and len({row.group for row in found}) == WORKERS
    )
