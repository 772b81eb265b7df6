"""Custom graphs under four processes: each tick runs once, also when the process that runs dies."""

from __future__ import annotations

import http.client
import os
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from sqlalchemy import BigInteger, select, type_coerce

from fmd_admin.store.job_models import CustomGraphValue
from fmd_admin.store.store import Store

from ..support import new_store
from .servers import IMPORTED, Server, gunicorn

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("warm_servers")]

WORKERS = 4
MINUTE = 60
#: What the issue asks for: another process runs the graphs within this time.
TAKEN_OVER_S = 10.0
#: For four processes of a busy machine to start.
STARTED_S = 120.0
APP = """
import os, time
from flask import Flask, current_app, has_request_context
from fmd_admin import FMDAdmin

app = Flask("small", instance_path={folder!r})
app.add_url_rule("/", "index", lambda: str(os.getpid()))
fmd = FMDAdmin(app, settings={{"database": "sqlite:///{folder}/fmd.db",
    "username": "anna", "password": "correct horse"}})

@fmd.graph("Runs", "interval", seconds=1)
def runs():
    assert current_app.name == "small" and not has_request_context()
    with open({folder!r} + "/runs", "a") as file:
        file.write(f"{{os.getpid()}} {{time.time()}}\\n")
    return os.getpid()
"""


@dataclass(frozen=True)
class Run:
    """One call of the graph's function."""

    pid: int
    at: float


@dataclass
class Ticking:
    """A server whose graph ticks each second; ``store`` is its database."""

    folder: Path
    server: Server
    store: Store

    def runs(self) -> list[Run]:
        try:
            lines = (self.folder / "runs").read_text().splitlines()
        except FileNotFoundError:
            return []
        return [Run(int(pid), float(at)) for pid, at in (line.split() for line in lines)]

    def values(self) -> dict[int, int]:
        """The process of each stored tick (UTC ms)."""
        time_ms = type_coerce(CustomGraphValue.time, BigInteger)
        with self.store.read() as connection:
            rows = connection.execute(select(time_ms, CustomGraphValue.value)).all()
        assert len({row[0] for row in rows}) == len(rows)
        return {row[0]: int(row[1]) for row in rows}

    def start_all(self) -> None:
        """Send requests until every process has answered one."""
        seen = set()
        deadline = time.monotonic() + STARTED_S
        while len(seen) < WORKERS:
            assert time.monotonic() < deadline, self.server.log
            client = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
            client.request("GET", "/")
            seen.add(client.getresponse().read())
            client.close()
            time.sleep(0.01)  # Those that start need the processors more.

    def until(self, condition: Callable[[], bool], seconds: float) -> float:
        """Wait until ``condition`` holds; return how long it took."""
        started = time.monotonic()
        while not condition():
            assert time.monotonic() - started < seconds, (self.runs()[-5:], self.server.log[-2000:])
            time.sleep(0.05)
        return time.monotonic() - started


@pytest.fixture
def ticking(tmp_path: Path) -> Iterator[Ticking]:
    (tmp_path / "small.py").write_text(APP.format(folder=str(tmp_path)))
    with gunicorn("small:app", tmp_path, "-w", str(WORKERS), *IMPORTED) as server:
        store = new_store(tmp_path)
        try:
            one = Ticking(tmp_path, server, store)
            one.start_all()
            one.until(lambda: len(one.values()) > 1, STARTED_S)
            yield one
        finally:
            store.close()
    assert "Traceback" not in server.log


def test_a_minute_has_sixty_values_and_a_killed_process_is_followed(ticking: Ticking) -> None:
    begin_ms = max(ticking.values()) + 1
    end_ms = begin_ms + MINUTE * 1000
    ticking.until(lambda: max(ticking.values()) >= end_ms, MINUTE * 2)
    minute = {at: pid for at, pid in ticking.values().items() if begin_ms <= at < end_ms}
    assert MINUTE - 1 <= len(minute) <= MINUTE + 1
    assert len(set(minute.values())) == 1
    assert all(at % 1000 == 0 for at in minute)

    holder = ticking.runs()[-1].pid
    os.kill(holder, signal.SIGKILL)
    took_s = ticking.until(lambda: ticking.runs()[-1].pid != holder, 60)
    assert took_s <= TAKEN_OVER_S, took_s
    follower = ticking.runs()[-1].pid
    count = len(ticking.values())
    ticking.until(lambda: len(ticking.values()) >= count + 3, 30)
    # Each call of the function is a value of its own; the killed process may have lost one.
    values = Counter(ticking.values().values())
    calls = Counter(run.pid for run in ticking.runs())
    assert values.keys() == calls.keys() == {holder, follower}
    assert 0 <= calls[holder] - values[holder] <= 1
    assert 0 <= calls[follower] - values[follower] <= 1  # One may run just now.


def freeze(pid: int, database: Path) -> None:
    """Stop a process where it holds no lock on ``database``: all others would wait for it too."""
    for _ in range(100):
        os.kill(pid, signal.SIGSTOP)
        wait_until_stopped(pid)
        connection = sqlite3.connect(database, timeout=2, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
        except sqlite3.OperationalError:
            os.kill(pid, signal.SIGCONT)
            time.sleep(0.01)
        else:
            return
        finally:
            connection.close()
    raise AssertionError(f"process {pid} holds its lock all the time")


def wait_until_stopped(pid: int) -> None:
    deadline = time.monotonic() + 10
    while psutil.Process(pid).status() != psutil.STATUS_STOPPED:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_process_that_was_frozen_runs_nothing_again(ticking: Ticking) -> None:
    holder = ticking.runs()[-1].pid
    freeze(holder, ticking.folder / "fmd.db")
    try:
        ticking.until(lambda: ticking.runs()[-1].pid != holder, 60)
    finally:
        os.kill(holder, signal.SIGCONT)
    follower = ticking.runs()[-1].pid
    mark = len(ticking.runs())
    ticking.until(lambda: len(ticking.runs()) >= mark + 4, 30)
    # What the holder was at when it was frozen may still be finished, and stays without a value.
    later = [run.pid for run in ticking.runs()[mark:]]
    assert set(later) == {follower}
    values = Counter(ticking.values().values())
    calls = Counter(run.pid for run in ticking.runs())
    assert 0 <= calls[holder] - values[holder] <= 1
    assert 0 <= calls[follower] - values[follower] <= 1
