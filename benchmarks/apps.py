"""The host apps that are measured, and what other monitors do with them; Flask is all it needs.

Imported by our own Python as well as by those of other packages' virtual environments.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask, jsonify

#: CPU time of the busy views.
WORK_MS = {"/work": 2.0, "/long": 50.0}
#: Numbers that are added up in one call of C code, which keeps the interpreter for 10 ms or so.
LONG_CALL = 800_000
PATHS = ("/", "/json", *WORK_MS, "/call")


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
