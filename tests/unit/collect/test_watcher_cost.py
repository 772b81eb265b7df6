"""The watcher takes its share of a processor only, and leaves the host's switch interval alone."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator

import pytest
from flask import Flask

from fmd_admin.collect.collector import Collector
from fmd_admin.collect.frames import Frames
from fmd_admin.collect.means import Means
from fmd_admin.collect.outliers import Cap
from fmd_admin.collect.stacks import Stacks
from fmd_admin.collect.watcher import FIT_NS, MAX_SHARE, MAX_STRETCH, Watcher
from fmd_admin.faults import Faults

from ...support import Bound, get

ASLEEP_S = 30.0


@pytest.fixture
def watcher() -> Iterator[Watcher]:
    call = Collector.__call__.__code__
    made = Watcher(stacks=Stacks(Frames(), call), means=Means(), cap=Cap(), faults=Faults())
    yield made
    made.close()


def spend(watcher: Watcher, share: float, awake_ns: int = FIT_NS) -> None:
    """Let ``watcher`` find that it took a share of a processor."""
    watcher._awake_ns = awake_ns
    watcher._fit(watcher._spent_ns + int(share * awake_ns))


def test_cheap_samples_are_taken_at_the_period(watcher: Watcher) -> None:
    spend(watcher, MAX_SHARE / 10)
    assert watcher._stretch == 1


def test_dear_samples_are_fewer_until_they_keep_to_the_share(watcher: Watcher) -> None:
    # What a sample costs stays the same, so that the share falls as the period grows.
    for _ in range(5):
        spend(watcher, 4 * MAX_SHARE / watcher._stretch)
    assert watcher._stretch == pytest.approx(4)
    spend(watcher, MAX_SHARE / 4)
    assert watcher._stretch == pytest.approx(1)


def test_however_dear_there_are_samples(watcher: Watcher) -> None:
    for _ in range(5):
        spend(watcher, 1.0)
    assert watcher._stretch == MAX_STRETCH


def wait_until_asleep(bound: Bound) -> None:
    deadline = time.monotonic() + ASLEEP_S
    while not bound.monitor.watch.watcher.asleep:
        assert time.monotonic() < deadline, "the watcher did not go to sleep"
        time.sleep(0.02)


@pytest.mark.parametrize("interval_s", [0.005, 0.02, 0.00001])
def test_the_switch_interval_is_the_hosts(bind: Callable[..., Bound], interval_s: float) -> None:
    before = sys.getswitchinterval()
    app = Flask("interval")
    app.add_url_rule("/", "index", lambda: str(sum(range(20_000))))
    bound = bind(app, monitor_level=3, sampling_period_ms=1.0)
    sys.setswitchinterval(interval_s)
    try:
        own = sys.getswitchinterval()
        for _ in range(3):
            for _ in range(50):
                get(app, "/")
            wait_until_asleep(bound)
            assert sys.getswitchinterval() == own
        get(app, "/")
        bound.monitor.close()
        assert sys.getswitchinterval() == own
    finally:
        sys.setswitchinterval(before)
    assert bound.monitor.counters()["faults"] == 0
