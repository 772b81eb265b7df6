"""A collection of garbage while frames are looked at would end the process (in Python 3.11)."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fmd_admin.collect import garbage
from fmd_admin.collect.garbage import GarbagePause

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _put_back(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(garbage, "IS_NEEDED", True)
    yield
    gc.enable()


def test_it_is_off_for_a_while() -> None:
    pause = GarbagePause()
    for _ in range(2):
        pause.begin()
        assert not gc.isenabled()
        pause.end()
        assert gc.isenabled()
        pause.end()
        assert gc.isenabled()


def test_where_the_host_has_switched_it_off_it_stays_off() -> None:
    gc.disable()
    pause = GarbagePause()
    pause.begin()
    pause.end()
    assert not gc.isenabled()


def test_where_it_is_not_needed_nothing_is_switched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garbage, "IS_NEEDED", False)
    GarbagePause().begin()
    assert gc.isenabled()


# Each look finds garbage that gives up the interpreter when it is collected, and leaves more: one
# of the next objects that are made would be the one that collects it. Without the pause this ends
# with a segmentation fault at one of the first looks.
CRASH = """
import gc, sys, time, warnings
from threading import Thread
warnings.simplefilter("ignore")
from fmd_admin.collect.stacks import Stacks
from tests.unit.collect.watched import Watched, until

class Garbage:
    def __init__(self, more):
        self.me, self.more = self, more
    def __del__(self):
        time.sleep(0.001)
        if self.more:
            Garbage(self.more - 1)

looks = 0

def walk(self, wanted, real=Stacks._walk):
    global looks
    looks += 1
    Garbage(5)
    return real(self, wanted)

def deep(depth):
    return deep(depth - 1) if depth else sum(range(50))

Stacks._walk = walk
watched = Watched(3, period_ms=1.0)

def requests():
    while looks < 20:
        watched.request(lambda: deep(300))

threads = [Thread(target=requests) for _ in range(2)]
gc.set_threshold(1, 1000, 1000)
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
watched.watch.close()
assert gc.isenabled()
assert watched.faults.by_place() == {}
print("alive", sum(r[3] is not None for r in watched.records + watched.heavy) > 0)
"""


def test_nothing_is_collected_while_frames_are_looked_at() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CRASH], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "alive True\n"), done.stderr
