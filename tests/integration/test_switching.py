"""Levels that are changed in the panel while requests come in, on a server with threads."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from fmd_admin.store.models import Group, Outlier, Profile, Request
from fmd_admin.store.outlier_detail import decode
from fmd_admin.store.store import Store

from ..support import new_store
from .panel_session import PanelSession
from .servers import IMPORTED, Server, gunicorn

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("warm_servers")]

WORKERS = 2
SENDERS = 4
WATCHER = "fmd_admin-watcher"
#: A busy machine takes its time to start two processes and to let them see a change.
IN_FORCE_S = 60.0
#: Requests under each level, once it is in force.
SENT = 300
LEVELS = (3, 2, 1, 0, 1, 3, 0, 2)
#: Each path with what must come back. One in 20 of /sometimes is slow.
PATHS = {"/": "hello", "/busy": "busy", "/sometimes": "done", "/stream": "ab", "/missing": None}
APP = """
import itertools, os, threading, time
from flask import Flask, Response, abort, request
from fmd_admin import FMDAdmin

app = Flask("switching", instance_path={folder!r})
counter = itertools.count()
app.add_url_rule("/", "index", lambda: "hello")
app.add_url_rule("/missing", "missing", lambda: abort(404))
app.add_url_rule("/stream", "stream", lambda: Response(iter("ab")))

@app.route("/busy")
def busy():
    return "busy" if sum(range(100_000)) else ""

def helper():
    time.sleep(0.5)

@app.route("/sometimes")
def sometimes():
    if next(counter) % 20 == 19:
        helper()
    return "done"

@app.route("/state")
def state():
    return {{
        "pid": os.getpid(),
        "threads": [thread.name for thread in threading.enumerate()],
        "levels": dict(monitor.watch.rules.levels),
        "counters": dict(monitor.counters()),
    }}

FMDAdmin(app, group_by=lambda: request.headers.get("X-Phase"), settings={{
    "database": "sqlite:///{folder}/fmd.db", "username": "anna", "password": "correct horse",
    "flush_interval_s": 0.2, "outliers_per_minute": 1000}})
monitor = app.extensions["fmd_admin"]
"""


def get(port: int, path: str, phase: str | None = None) -> tuple[int, str]:
    """GET on a connection of its own, so that every process gets some."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        client.request("GET", path, headers={"X-Phase": phase} if phase else {})
        response = client.getresponse()
        return response.status, response.read().decode()
    finally:
        client.close()


class Load:
    """Requests that go on all the time; each says under which phase it was sent."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._phase = "begin"
        self._under_way: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.faults: list[str] = []
        self._threads = [
            threading.Thread(target=self._send, args=(list(PATHS)[i:] + list(PATHS)[:i],))
            for i in range(SENDERS)
        ]
        for thread in self._threads:
            thread.start()

    def _send(self, paths: list[str]) -> None:
        number = 0
        while not self._end.is_set():
            path = paths[number % len(paths)]
            number += 1
            with self._lock:
                phase = self._phase
                self._under_way[phase] += 1
            try:
                status, text = get(self._port, path, phase)
                expected = PATHS[path]
                if (status, text) != (200, expected) and (status, expected) != (404, None):
                    self.faults.append(f"{path}: {status} {text}")
            except (OSError, http.client.HTTPException) as error:
                self.faults.append(f"{path}: {error!r}")
            with self._lock:
                self._under_way[phase] -= 1
                self.answered[phase] += 1

    def send_as(self, phase: str) -> None:
        """Send as ``phase`` from now on; returns when none of the phase before is under way."""
        with self._lock:
            before, self._phase = self._phase, phase
        wait_until(lambda: self._under_way[before] == 0, "requests are answered")

    def stop(self) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + IN_FORCE_S
    while not is_so():
        assert time.monotonic() < deadline, f"not within {IN_FORCE_S} s: {what}"
        time.sleep(0.05)


def states(server: Server) -> list[dict[str, Any]]:
    """Ask every process about its threads and levels."""
    found: dict[int, dict[str, Any]] = {}
    deadline = time.monotonic() + IN_FORCE_S
    while len(found) < WORKERS:
        assert time.monotonic() < deadline, "not every process answers"
        state = json.loads(get(server.port, "/state")[1])
        found[state["pid"]] = state
    return list(found.values())


def set_levels(anna: PanelSession, level: int) -> None:
    """Change the level of all endpoints in the panel."""
    rows = anna.get("/overview/data.json").json["rows"]
    answer = anna.post("/overview/level", {"ids": [row["id"] for row in rows], "level": level})
    assert answer.status == 303, answer.text


def is_in_force(server: Server, level: int) -> bool:
    """Whether every process has the level, and the watcher if that is for it to run."""
    return all(
        set(state["levels"].values()) == {level}
        and state["threads"].count(WATCHER) == (1 if level >= 2 else 0)
        for state in states(server)
    )


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "switching_app.py").write_text(APP.format(folder=str(tmp_path)))
    options = ["-w", str(WORKERS), "-k", "gthread", "--threads", "4", *IMPORTED]
    with gunicorn("switching_app:app", tmp_path, *options) as made:
        yield made


@pytest.fixture
def load(server: Server) -> Iterator[Load]:
    # The port is open long before the processes are, on a busy machine.
    PanelSession(server.port).get("/login")
    going = Load(server.port)
    yield going
    going.stop()


def stored(store: Store, table: Any, figure: Any = None) -> Counter[str]:
    """Count rows (or take another figure) by the phase in which their requests were sent."""
    query = (
        select(Group.name, func.count() if figure is None else figure)
        .select_from(table)
        .join(Group, Group.id == table.group_id)
        .group_by(Group.name)
    )
    with store.read() as connection:
        return Counter({row[0]: row[1] for row in connection.execute(query)})


def test_levels_switched_under_load(tmp_path: Path, server: Server, load: Load) -> None:
    anna = PanelSession(server.port).log_in()
    # All endpoints must be known before they can be switched.
    wait_until(
        lambda: (
            get(server.port, "/state")[0] == 200
            and len(anna.get("/overview/data.json").json["rows"]) > len(PATHS)
        ),
        "all endpoints are on the overview",
    )
    phases = []
    for number, level in enumerate(LEVELS):
        set_levels(anna, level)
        wait_until(lambda now=level: is_in_force(server, now), f"level {level} is in force")
        phases.append((f"{number} at level {level}", level))
        phase = phases[-1][0]
        load.send_as(phase)
        wait_until(lambda now=phase: load.answered[now] >= SENT, "requests come in")
        # Still as it should be, after all these requests.
        assert is_in_force(server, level)
        load.send_as("between")
    load.stop()
    for state in states(server):
        counters = state["counters"]
        assert {counters[name] for name in ("dropped", "details_dropped", "faults")} == {0}
        assert len([name for name in state["threads"] if name.startswith("fmd_admin")]) <= 3
    assert server.stop() == 0
    assert load.faults == []
    assert "Traceback" not in server.log
    assert "ERROR" not in server.log.upper()
    check_stored(tmp_path, load.answered, phases)


def check_stored(folder: Path, answered: Counter[str], phases: list[tuple[str, int]]) -> None:
    """Every request is stored with what its level asks for, and with nothing else."""
    store = new_store(folder)
    try:
        rows, profiles, outliers = (stored(store, t) for t in (Request, Profile, Outlier))
        samples = stored(store, Profile, func.sum(Profile.samples))
        stuck = in_helper(store)
    finally:
        store.close()
    for phase, level in phases:
        assert rows[phase] == (answered[phase] if level >= 1 else 0), phase
        assert (outliers[phase] > 0) == (level >= 2), phase
        assert profiles[phase] <= rows[phase], phase
        # The thread works again, however often it was ended.
        assert (stuck[phase] > 0) == (level >= 2), phase
        assert (samples[phase] > 0) == (level == 3), phase


def in_helper(store: Store) -> Counter[str]:
    """Count the outliers by phase that were stuck where the slow ones are."""
    query = select(Group.name, Outlier.detail).join(Group, Group.id == Outlier.group_id)
    with store.read() as connection:
        found = connection.execute(query).all()
    stacks = ((phase, decode(detail).stack) for phase, detail in found)
    return Counter(phase for phase, stack in stacks if stack and stack[-1].function == "helper")
