"""The host apps that are measured: alike but for what watches them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from flask import Flask, jsonify

from fmd_admin import FMDAdmin
from fmd_admin.extension import Monitor
from fmd_admin.store import rollups

#: CPU time of the busy views.
WORK_MS = {"/work": 2.0, "/long": 50.0}
#: Numbers that are added up in one call of C code, which keeps the interpreter for 10 ms or so.
LONG_CALL = 800_000
PATHS = ("/", "/json", *WORK_MS, "/call")
#: The watcher sleeps 0.1 s after the last request.
ASLEEP_S = 10.0


def step(number: int) -> int:
    """Some work in a function of its own, so that there is a tree to be found."""
    return sum(range(number % 30))


def spin(steps: int) -> int:
    """Fixed work. Until a clock says so would hide what is spent on anything else meanwhile."""
    total = 0
    for number in range(steps):
        total += step(number)
    return total


def calibrate(rounds: int = 15, steps: int = 2_000) -> float:
    """Return how many steps take one ms of CPU on this machine, at its best."""
    best_ns = 0
    for _ in range(rounds):
        start_ns = time.thread_time_ns()
        spin(steps)
        taken_ns = time.thread_time_ns() - start_ns
        best_ns = min(best_ns or taken_ns, taken_ns)
    return steps * 1e6 / best_ns


def make_app(name: str, steps_per_ms: float) -> Flask:
    """A constant, 20 keys as JSON, 2 ms and 50 ms of CPU, and a long call of C code."""
    app = Flask(name)
    app.add_url_rule("/", "index", lambda: "hello")
    app.add_url_rule("/json", "json", lambda: jsonify({f"key{i}": i for i in range(20)}))
    for path, ms in WORK_MS.items():
        app.add_url_rule(path, path[1:], _busy(int(ms * steps_per_ms)))
    app.add_url_rule("/call", "call", lambda: str(sum(range(LONG_CALL))))
    return app


def _busy(steps: int) -> Callable[[], str]:
    def busy() -> str:
        return f"done: {spin(steps)}"

    return busy


class Floor:
    """The least that any monitor must do: two clock reads and an append around each request."""

    def __init__(self, wsgi_app: Any) -> None:
        self.wsgi_app = wsgi_app
        self.records: deque[tuple[int, int]] = deque(maxlen=10_000)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start = time.perf_counter_ns()
        body: Iterable[bytes] = self.wsgi_app(environ, start_response)
        self.records.append((start, time.perf_counter_ns()))
        return body


class Variant:
    """One app with what must happen until all of its requests are stored."""

    def __init__(self, name: str, app: Flask, monitor: Monitor | None = None) -> None:
        self.name = name
        self.app = app
        self.monitor = monitor

    def settle(self) -> None:
        """Store everything and merge it into the rollups."""
        if self.monitor is None:
            return
        self.monitor.recorder.flush()
        with self.monitor.store.write() as connection:
            rollups.merge_deltas(connection, self.monitor.store.timezone)

    def rest(self) -> None:
        """Wait until its watcher sleeps, so that the next one is measured alone."""
        if self.monitor is None:
            return
        deadline = time.monotonic() + ASLEEP_S
        while not self.monitor.watch.watcher.asleep:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.name}: the watcher did not go to sleep")
            time.sleep(0.01)

    def close(self) -> None:
        """End its threads."""
        if self.monitor is not None:
            self.monitor.close()


def monitored(
    folder: Path, name: str, level: int, app: Flask, group_by: Any = None, spool: str = "on"
) -> Variant:
    """Bind fmd_admin to ``app`` with every endpoint at ``level``."""
    settings = {
        "monitor_level": level,
        "database": f"sqlite:///{folder}/{name.replace(' ', '_')}.db",
        "username": "bench",
        "password": "not a secret",
        # Merged by settle(), so that the figure is complete at the end of each round.
        "rollup_interval_s": 60,
        "spool": spool,
    }
    FMDAdmin(app, settings=settings, group_by=group_by)
    return Variant(name, app, app.extensions["fmd_admin"])


def variants(folder: Path) -> list[Variant]:
    """Return all that are compared; the first is the bare app."""
    steps_per_ms = calibrate()

    def app(name: str) -> Flask:
        return make_app(name.replace(" ", "_"), steps_per_ms)

    floor = app("floor")
    floor.wsgi_app = Floor(floor.wsgi_app)  # type: ignore[method-assign]
    found = [Variant("bare", app("bare")), Variant("floor", floor)]
    for level in range(4):
        name = f"level {level}"
        found.append(monitored(folder, name, level, app(name)))
    name = "level 1 no spool"
    found.append(monitored(folder, name, 1, app(name), spool="off"))
    name = "level 1 + group_by"
    found.append(monitored(folder, name, 1, app(name), group_by=lambda: "anna"))
    return found
