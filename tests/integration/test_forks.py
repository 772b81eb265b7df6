"""The watcher works in processes that were forked from one in which it ran already."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from fmd_admin.store.models import Group, Outlier, Profile, Request
from fmd_admin.store.outlier_detail import decode
from fmd_admin.store.store import Store

from ..support import new_store
from .panel_session import PanelSession
from .servers import Server, gunicorn, send_many
from .test_switching import get, wait_until

pytestmark = pytest.mark.server

WATCHER = "fmd_admin-watcher"
CHILDREN = 3
APP = """
import os, threading, time
from flask import Flask, request
from fmd_admin import FMDAdmin

app = Flask("forks", instance_path={folder!r})
CHILD_S = 60

def helper():
    time.sleep(0.5)

@app.route("/work")
def work():
    end = time.perf_counter() + 0.005
    while time.perf_counter() < end:
        pass
    if request.args.get("slow"):
        helper()
    return str(os.getpid())

def send(phase):
    client = app.test_client()
    for path in ["/work"] * 20 + ["/work?slow=1"]:
        with client.get(path, headers={{"X-Phase": phase}}) as response:
            response.get_data()

def in_child():
    names = [thread.name for thread in threading.enumerate()]
    assert len(names) == 1, names
    # No connection of the worker's came along.
    assert monitor.store.engine.pool.checkedin() == 0
    send(f"child {{os.getpid()}}")
    deadline = time.monotonic() + CHILD_S
    while monitor.counters()["stored"] < 21 and time.monotonic() < deadline:
        time.sleep(0.05)
    counters = monitor.counters()
    return 0 if (counters["stored"], counters["faults"]) == (21, 0) else 1

@app.route("/fork")
def fork():
    pid = os.fork()
    if pid == 0:
        code = 2
        try:
            code = in_child()
        finally:
            # Nothing of the server's may run on in here.
            os._exit(code)
    return {{"pid": pid, "status": os.waitpid(pid, 0)[1]}}

@app.route("/threads")
def threads():
    return {{"pid": os.getpid(), "threads": [t.name for t in threading.enumerate()]}}

FMDAdmin(app, group_by=lambda: request.headers.get("X-Phase"), settings={{
    "database": "sqlite:///{folder}/fmd.db", "username": "anna", "password": "correct horse",
    "monitor_level": 3, "flush_interval_s": 0.2, "outliers_per_minute": 1000}})
monitor = app.extensions["fmd_admin"]
# Before the server forks, so that the thread is there.
send("master")
print("before the fork:", [thread.name for thread in threading.enumerate()], flush=True)
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "forks_app.py").write_text(APP.format(folder=str(tmp_path)))
    options = ["-w", "2", "-k", "gthread", "--threads", "4", "--preload"]
    with gunicorn("forks_app:app", tmp_path, *options) as made:
        PanelSession(made.port).get("/login")
        yield made


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = new_store(tmp_path)
    yield made
    made.close()


def sampled(store: Store) -> Counter[str]:
    """Count samples of all profiles by phase."""
    return by_phase(store, select(Group.name, func.sum(Profile.samples)), Profile)


def by_phase(store: Store, query: Any, table: Any) -> Counter[str]:
    joined = query.select_from(table).join(Group, Group.id == table.group_id)
    with store.read() as connection:
        return Counter({row[0]: row[1] for row in connection.execute(joined.group_by(Group.name))})


def stuck(store: Store) -> set[str]:
    """Return the phases that have an outlier with the slow function at the top of its stack."""
    query = select(Group.name, Outlier.detail).join(Group, Group.id == Outlier.group_id)
    with store.read() as connection:
        found = connection.execute(query).all()
    stacks = ((phase, decode(detail).stack) for phase, detail in found)
    return {phase for phase, stack in stacks if stack and stack[-1].function == "helper"}


def slow_ones(port: int, end: threading.Event) -> None:
    """Keep requests under way, so that the watcher is at work whenever a process forks."""
    while not end.is_set():
        get(port, "/work?slow=1", "beside")


def test_preloaded_and_forked_processes_are_watched(server: Server, store: Store) -> None:
    assert WATCHER in server.log.split("before the fork:")[1].split("\n")[0]
    # Each worker has a watcher of its own.
    pids: set[int] = set()

    def both_watch() -> bool:
        send_many(server.port, ["/work"] * 8, connections=4)
        state = json.loads(get(server.port, "/threads")[1])
        assert state["threads"].count(WATCHER) <= 1
        if WATCHER in state["threads"]:
            pids.add(state["pid"])
        return len(pids) == 2

    wait_until(both_watch, "both workers have a watcher")
    for _ in range(4):
        get(server.port, "/work?slow=1", "worker")
    assert_watched(store, ["worker"])


def test_a_worker_that_forks(server: Server, store: Store) -> None:
    """The child is watched anew; the worker goes on as before."""
    send_many(server.port, ["/work"] * 60, connections=4)
    end = threading.Event()
    beside = [threading.Thread(target=slow_ones, args=(server.port, end)) for _ in range(2)]
    for thread in beside:
        thread.start()
    try:
        answers = [json.loads(get(server.port, "/fork")[1]) for _ in range(CHILDREN)]
    finally:
        end.set()
        for thread in beside:
            thread.join()
    assert [answer["status"] for answer in answers] == [0] * CHILDREN, server.log
    children = [f"child {answer['pid']}" for answer in answers]
    assert_watched(store, [*children, "beside"])
    rows = by_phase(store, select(Group.name, func.count()), Request)
    assert [rows[child] for child in children] == [21] * CHILDREN
    assert server.stop() == 0
    assert "Traceback" not in server.log


def assert_watched(store: Store, phases: list[str]) -> None:
    """Wait until every phase has samples and the stack of a slow request."""
    wait_until(lambda: all(sampled(store)[phase] > 0 for phase in phases), f"samples of {phases}")
    wait_until(lambda: set(phases) <= stuck(store), f"stacks of {phases}")
