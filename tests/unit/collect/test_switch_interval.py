"""However often the watcher wakes and sleeps, Python's switch interval is the host's again."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import pytest
from flask import Flask

from ...support import Bound, get

ASLEEP_S = 30.0


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
