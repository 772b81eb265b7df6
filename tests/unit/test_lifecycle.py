from __future__ import annotations

import os
import threading
from collections.abc import Callable

import pytest

from fmd_admin import lifecycle
from fmd_admin.store import transactions
from fmd_admin.store.transactions import Transactions

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
