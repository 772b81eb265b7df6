from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from fmd_admin.jobs import workers as workers_module
from fmd_admin.jobs.workers import MOST_THREADS, PATIENCE_S, Workers

SOON_S = 20.0


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def hang() -> Iterator[threading.Event]:
    """An event that functions wait for; set at the end, so that no thread is left."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def workers(clock: Clock, hang: threading.Event) -> Iterator[Workers]:
    made = Workers(clock)
    yield made
    hang.set()
    made.stop(0.0)


def blocker(hang: threading.Event) -> tuple[Callable[[], None], threading.Event]:
    """A task that waits for ``hang``, and what tells that it has begun."""
    at_work = threading.Event()

    def task() -> None:
        at_work.set()
        hang.wait()

    return task, at_work


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + SOON_S
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return False


def test_no_thread_before_the_first_task(workers: Workers) -> None:
    assert workers.threads == 0


def test_quick_tasks_run_in_order_in_one_thread(workers: Workers) -> None:
    done: list[tuple[int, str]] = []
    for n in range(50):
        workers.submit(lambda n=n: done.append((n, threading.current_thread().name)))  # type: ignore[misc]
    assert eventually(lambda: len(done) == 50)
    assert [n for n, _ in done] == list(range(50))
    assert {name for _, name in done} == {"fmd_admin-graphs"}
    assert workers.threads == 1


def test_a_task_that_hangs_gets_its_thread_to_itself(
    workers: Workers, clock: Clock, hang: threading.Event
) -> None:
    task, at_work = blocker(hang)
    done = threading.Event()
    workers.submit(task)
    assert at_work.wait(SOON_S)
    workers.submit(done.set)
    workers.relieve()
    assert workers.threads == 1  # It may only be slow.
    clock.now += PATIENCE_S
    workers.relieve()
    assert done.wait(SOON_S)
    assert workers.threads == 2


def test_threads_are_limited_and_what_waits_runs_in_the_end(
    workers: Workers, clock: Clock, hang: threading.Event
) -> None:
    for _ in range(MOST_THREADS):
        task, at_work = blocker(hang)
        workers.submit(task)
        assert at_work.wait(SOON_S)
        clock.now += PATIENCE_S
    done = threading.Event()
    workers.submit(done.set)
    clock.now += 1000
    workers.relieve()
    assert workers.threads == MOST_THREADS
    assert not done.is_set()
    hang.set()
    assert done.wait(SOON_S)


def test_the_end_does_not_wait_for_a_task_that_hangs(
    workers: Workers, hang: threading.Event
) -> None:
    task, at_work = blocker(hang)
    workers.submit(task)
    assert at_work.wait(SOON_S)
    started = time.monotonic()
    late = threading.Event()
    workers.submit(late.set)
    workers.stop(0.0)
    assert time.monotonic() - started < SOON_S / 2
    hang.set()
    assert eventually(lambda: workers.threads == 0)
    assert not late.is_set()  # Nothing begins after the end.


def test_a_thread_without_work_ends_and_comes_back(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers_module, "IDLE_S", 0.02)
    for _ in range(2):
        done = threading.Event()
        workers.submit(done.set)
        assert done.wait(SOON_S)
        assert eventually(lambda: workers.threads == 0)
