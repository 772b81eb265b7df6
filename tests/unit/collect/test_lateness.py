"""Looks are equally late, whether or not the interpreter is free when they are due."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from fmd_admin.collect import switching
from fmd_admin.collect.switching import MAX_LATE_NS, MIN_LATE_NS, Lateness, be_punctual

MS = 1_000_000
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts what a thread waits")


class Machine:
    """A clock, and how often the thread has waited."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, counts: bool = True) -> None:
        self.now_ns = 0
        self.waits = 0
        counter = (lambda: self.waits) if counts else None
        monkeypatch.setattr(switching, "_switch_counter", lambda: counter)
        self.lateness = Lateness(lambda: self.now_ns)

    def look(self, *, late_ns: int, free: bool) -> int:
        """One pause of 5 ms; return how long after its due time the look is, in ns."""
        due_ns = self.now_ns + 5 * MS
        self.now_ns += round(self.lateness.until_wake_s(due_ns) * 1e9) + late_ns
        self.waits += 1 if free else 2
        left_ns = round(self.lateness.until_due_s() * 1e9)
        if left_ns:
            self.now_ns += left_ns + late_ns
        return self.now_ns - due_ns


def test_looks_are_equally_late(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    for _ in range(500):
        machine.look(late_ns=200_000, free=False)
        machine.look(late_ns=50_000, free=True)
    # It goes on moving by a few parts in 64.
    assert machine.look(late_ns=200_000, free=False) == pytest.approx(0, abs=15_000)
    assert machine.look(late_ns=50_000, free=True) == pytest.approx(0, abs=15_000)


@pytest.mark.parametrize("late_ns", [30_000, 80_000, 110_000])
def test_who_begins_to_wait_before_the_look_is_due_is_not_looked_at_yet(
    monkeypatch: pytest.MonkeyPatch, late_ns: int
) -> None:
    machine = Machine(monkeypatch)
    for _ in range(500):
        machine.look(late_ns=200_000, free=False)
        machine.look(late_ns=50_000, free=True)
    assert machine.look(late_ns=late_ns, free=False) == pytest.approx(0, abs=70_000)


def test_who_has_no_processor_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    for _ in range(500):
        machine.look(late_ns=20 * MS, free=False)
    assert machine.lateness.taken_ns == MAX_LATE_NS
    for _ in range(500):
        machine.look(late_ns=1, free=True)
    assert machine.lateness.free_ns == MIN_LATE_NS


def test_a_pause_that_was_ended_teaches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    before = machine.lateness.taken_ns, machine.lateness.free_ns
    machine.lateness.until_wake_s(5 * MS)
    machine.now_ns += MS
    assert machine.lateness.until_due_s() == 0.0
    assert (machine.lateness.taken_ns, machine.lateness.free_ns) == before


def test_a_pause_that_is_over_already_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    machine.now_ns = 9 * MS
    assert machine.lateness.until_wake_s(5 * MS) == pytest.approx(MIN_LATE_NS / 1e9)


def test_systems_that_do_not_count_wake_at_the_due_time(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, counts=False)
    assert machine.look(late_ns=70_000, free=True) == 70_000
    assert machine.look(late_ns=200_000, free=False) == 200_000


#: In a process of its own: other threads of the tests would take the interpreter as well.
LEARNING = """
import threading
import time

from fmd_admin.collect.switching import Lateness

bell = threading.Lock()
bell.acquire()
MS = 1_000_000


def pause(lateness):
    bell.acquire(True, lateness.until_wake_s(time.perf_counter_ns() + MS))
    lateness.until_due_s()


def calculate():
    while not end.is_set():
        pass


lateness = Lateness()
before = lateness.taken_ns, lateness.free_ns
for _ in range(50):
    pause(lateness)
assert lateness.taken_ns == before[0], "nobody had the interpreter"
assert lateness.free_ns != before[1]

end = threading.Event()
lateness = Lateness()
before = lateness.taken_ns
threading.Thread(target=calculate).start()
deadline = time.monotonic() + 30
try:
    # Where others keep both processors, who calculates has none for many of the pauses.
    while lateness.taken_ns <= before and time.monotonic() < deadline:
        pause(lateness)
finally:
    end.set()
assert lateness.taken_ns > before, "the interpreter was busy"
"""


@linux
def test_the_interpreter_was_free_or_taken() -> None:
    """In real threads: only a busy interpreter is learnt as one."""
    done = subprocess.run(
        [sys.executable, "-c", LEARNING], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


@linux
def test_no_thread_gets_priority() -> None:
    """Neither the one that is made punctual nor any other; see test_switching for its timers."""

    def priority() -> tuple[int, int, int]:
        return (
            os.sched_getscheduler(0),
            os.getpriority(os.PRIO_PROCESS, 0),
            os.sched_getparam(0).sched_priority,
        )

    found: list[tuple[int, int, int]] = []

    def run() -> None:
        be_punctual()
        found.append(priority())

    before = priority()
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == [before]
    assert priority() == before
