"""Requests that come into a store while something else is measured on it.

A process with a host app of its own, whose requests are answered, measured, stored and merged as
ever; it is asked so many times a second.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from typing import Any

from flask import Flask, request

from fmd_admin import FMDAdmin

from . import history
from .calls import call, environ

#: Requests are sent in bursts of so many seconds' worth.
_BURST_S = 0.02
_PREPARED = 20_000
#: The newest version of the history goes on.
_VERSION = f"{history.VERSIONS}.0"


class Flow:
    """What came in, once it has ended."""

    def __init__(self) -> None:
        self.result: dict[str, Any] = {}


@contextmanager
def requests(database: str, per_second: int) -> Iterator[Flow]:
    """Have requests come in inside the block."""
    fresh = multiprocessing.get_context("spawn")
    ready, stop, answers = fresh.Event(), fresh.Event(), fresh.Queue()
    arguments = (database, per_second, ready, stop, answers)
    process = fresh.Process(target=_come, args=arguments)
    process.start()
    flow = Flow()
    try:
        if not ready.wait(120):
            raise RuntimeError("no request came in for two minutes")
        yield flow
    finally:
        stop.set()
        flow.result = answers.get(timeout=120)
        process.join()


def _come(database: str, per_second: int, ready: Any, stop: Any, answers: Any) -> None:
    app = Flask("incoming")
    world = history.World(seed=time.time_ns())
    for name in world.endpoints:
        app.add_url_rule(f"/{name}", name, lambda: "hello")
    FMDAdmin(
        app,
        settings={
            **history.KEEP_ALL,
            "database": database,
            "timezone": history.ZONE,
            "app_version": _VERSION,
            "panel": False,
            "spool": "off",
        },
        group_by=lambda: request.headers.get("X-User"),
    )
    monitor = app.extensions["fmd_admin"]
    prepared = []
    for row in world.rows(_PREPARED, 0, 1):
        one = environ(f"/{row.endpoint}") | {"REMOTE_ADDR": row.ip}
        prepared.append(one if row.group is None else one | {"HTTP_X_USER": row.group})
    waiting = cycle(prepared)
    began = time.monotonic()
    sent = 0
    longest_ms = 0.0
    while not stop.is_set():
        due = int((time.monotonic() - began) * per_second) - sent
        # A copy: Flask puts its own things into it.
        call(app, [dict(next(waiting)) for _ in range(due)])
        sent += due
        if sent > per_second:
            ready.set()
        longest_ms = max(longest_ms, monitor.recorder.write_times.figures()["flush_max_ms"] or 0.0)
        time.sleep(_BURST_S)
    took_s = time.monotonic() - began
    monitor.recorder.flush()
    counters = dict(monitor.counters())
    monitor.close()
    answers.put(
        {
            "sent": sent,
            "per_second": round(sent / took_s, 1),
            "stored": counters["stored"],
            "dropped": counters["dropped"],
            "faults": counters["faults"],
            "longest_write_ms": round(longest_ms, 1),
        }
    )
