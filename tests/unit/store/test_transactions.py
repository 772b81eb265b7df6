from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

import pytest

from fmd_admin.store import transactions
from fmd_admin.store.store import Store

DEADLINE_S = 20.0


def in_child(store: Store, act: Callable[[], None]) -> int:
    """Fork as a process with a bound app does, and return the child's exit code."""
    store.before_fork()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            store.after_fork()
            act()
            code = 0
        finally:
            os._exit(code)
    store.after_fork_in_parent()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def write(store: Store) -> None:
    with store.write() as connection:
        connection.exec_driver_sql("UPDATE fmd_config SET version = version + 1")


def test_a_child_of_a_process_that_writes_can_write(store: Store) -> None:
    """Without the wait, SQLite would think in the child that the parent's write never ends."""
    inside, done = threading.Event(), []

    def long_write() -> None:
        with store.write() as connection:
            connection.exec_driver_sql("UPDATE fmd_config SET version = version + 1")
            inside.set()
            time.sleep(0.3)
            done.append(time.monotonic())

    thread = threading.Thread(target=long_write)
    thread.start()
    assert inside.wait(DEADLINE_S)
    began = time.monotonic()

    def child() -> None:
        began = time.monotonic()
        write(store)
        assert time.monotonic() - began < DEADLINE_S

    assert in_child(store, child) == 0
    assert done
    assert done[0] > began
    thread.join()
    write(store)


def test_a_fork_within_a_transaction_does_not_wait_for_itself(store: Store) -> None:
    with store.read():
        began = time.monotonic()
        assert in_child(store, lambda: None) == 0
        assert time.monotonic() - began < transactions.PATIENCE_S
        write(store)


def test_a_transaction_that_does_not_end_holds_a_fork_up_for_a_moment_only(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transactions, "PATIENCE_S", 0.1)
    inside, end = threading.Event(), threading.Event()

    def stuck() -> None:
        with store.read(), store.read():
            inside.set()
            assert end.wait(DEADLINE_S)

    thread = threading.Thread(target=stuck)
    thread.start()
    assert inside.wait(DEADLINE_S)
    try:
        assert in_child(store, lambda: None) == 0
        write(store)
    finally:
        end.set()
        thread.join()
