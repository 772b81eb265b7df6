"""Forks and ends of processes in which an application is bound."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask

from fmd_admin import lifecycle
from fmd_admin.store import transactions
from fmd_admin.store.transactions import Transactions

from ..support import Bound, get

Bind = Callable[..., Bound]
ROOT = Path(__file__).parents[2]

#: The logger's handler keeps what it gets until it is flushed; so does the output of a process.
SCRIPT = """
import atexit, logging, logging.handlers, multiprocessing, signal, sys, time
from flask import Flask
from fmd_admin import FMDAdmin

log = logging.handlers.MemoryHandler(100, target=logging.StreamHandler(sys.stdout))
logging.getLogger("host").addHandler(log)
app = Flask("host", instance_path={folder!r})
FMDAdmin(app, settings=dict(database="sqlite:///{folder}/fmd.db", panel=False,
    username="anna", password="correct horse"))
atexit.register(print, "exit function")
app.add_url_rule("/", "index", lambda: "hello")
app.test_client().get("/").close()


def work(pipe):
    pipe.send("began")
    try:
        time.sleep(60)
    finally:
        print("child unwound", flush=True)


ours, theirs = multiprocessing.Pipe()
child = multiprocessing.get_context("fork").Process(target=work, args=(theirs,))
child.start()
ours.recv()
child.terminate()
child.join()
print("child", child.exitcode)
logging.getLogger("host").warning("log")
try:
    signal.raise_signal(signal.SIGTERM)
finally:
    print("unwound")
"""


def test_sigterm_unwinds_and_ends_the_process_and_its_children_know_nothing_of_us(
    tmp_path: Path,
) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(folder=str(tmp_path)))
    done = subprocess.run(
        [sys.executable, str(script)],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        *(f"child {-signal.SIGTERM}", "unwound", "exit function", "log")
    ]
    assert done.returncode == -signal.SIGTERM
    assert not list(tmp_path.rglob("*.spool")), "all is stored"


class Target:
    """Something that is bound."""

    def __init__(self) -> None:
        self.idle = True
        self.closed = 0

    def close(self) -> None:
        self.closed += 1

    before_fork = after_fork_in_parent = after_fork = close


def test_who_measured_nothing_does_not_wait_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    ends: list[Any] = []
    slept: list[float] = []
    monkeypatch.setattr(lifecycle, "atexit", SimpleNamespace(register=ends.append))
    monkeypatch.setattr(lifecycle, "time", SimpleNamespace(sleep=slept.append))
    target = Target()
    lifecycle.watch(target)
    ends[-1]()
    assert (target.closed, slept) == (1, [])
    target.idle = False
    ends[-1]()
    assert (target.closed, len(slept)) == (2, 1)


@pytest.mark.parametrize("spool", [True, False])
def test_an_application_is_idle_until_it_is_asked(bind: Bind, tmp_path: Path, spool: bool) -> None:
    app = Flask("host", instance_path=str(tmp_path))
    app.add_url_rule("/", "index", lambda: "hello")
    bound = bind(app, spool="on" if spool else "off")
    assert bound.monitor.idle
    get(app, "/")
    assert not bound.monitor.idle
    bound.rows()
    assert not bound.monitor.idle


DEADLINE_S = 20.0


class Forked:
    """What is watched: transactions of a store. ``asked`` counts who has begun to fork."""

    def __init__(self) -> None:
        self.transactions = Transactions()
        self.asked = threading.Semaphore(0)

    def before_fork(self) -> None:
        self.asked.release()
        self.transactions.before_fork()

    def after_fork_in_parent(self) -> None:
        self.transactions.after_fork_in_parent()

    def after_fork(self) -> None:
        """It stays in this process."""

    def close(self) -> None:
        """It has nothing to close."""


class Hooks:
    """What Python would call around a fork."""

    def __init__(self) -> None:
        self.before: Callable[[], None] = lambda: None
        self.after_in_parent: Callable[[], None] = lambda: None

    def register(
        self,
        before: Callable[[], None],
        after_in_parent: Callable[[], None],
        after_in_child: Callable[[], None],
    ) -> None:
        self.before, self.after_in_parent = before, after_in_parent


@pytest.fixture
def hooks(monkeypatch: pytest.MonkeyPatch) -> Hooks:
    made = Hooks()
    monkeypatch.setattr(os, "register_at_fork", made.register)
    return made


def begin(target: Callable[[], None]) -> threading.Thread:
    # A daemon: where it hangs, the test fails instead.
    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    return thread


def ends(thread: threading.Thread) -> bool:
    thread.join(DEADLINE_S)
    return not thread.is_alive()


@pytest.mark.parametrize("busy", [False, True])
def test_two_threads_that_fork_at_once_let_the_store_go_on(
    hooks: Hooks, monkeypatch: pytest.MonkeyPatch, busy: bool
) -> None:
    """With ``busy`` a transaction is under way, so that both wait for it with the lock free."""
    monkeypatch.setattr(transactions, "PATIENCE_S", 0.2)
    forked, inside, leave = Forked(), threading.Event(), threading.Event()
    lifecycle.watch(forked)

    def transaction() -> None:
        with forked.transactions.one():
            inside.set()
            leave.wait(DEADLINE_S)

    def fork() -> None:
        hooks.before()
        hooks.after_in_parent()

    working = begin(transaction) if busy else None
    assert not busy or inside.wait(DEADLINE_S)
    hooks.before()
    assert forked.asked.acquire(timeout=DEADLINE_S)
    other = begin(fork)
    assert forked.asked.acquire(timeout=DEADLINE_S)
    hooks.after_in_parent()
    assert ends(other)
    leave.set()
    assert working is None or ends(working)
    inside.clear()
    assert ends(begin(transaction))
    assert inside.is_set()
