"""What a failing request costs at level 1, beside the same app without fmd_admin.

    python -m benchmarks errors [--rounds 40] [--requests 20]

CPU time of the request's own thread, the difference to the bare app of the same round: until the
whole answer is with the server, and (after the "+") from there until it is closed. "counted" are
exceptions of a kind of which enough were kept in this minute, "kept" those that are stored with
their stack. The store is not written meanwhile.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from flask import Flask

from .hosts import Variant, monitored

#: Calls of the host between its view and the line that raises.
DEPTHS = (0, 100, 900, 5_000)
BUDGET_US = 100.0
_WARM_UP = 5


def descend(levels: int) -> int:
    """Raise so many calls below."""
    if levels == 0:
        raise ValueError("at the bottom")
    return descend(levels - 1)


def make_app(name: str) -> Flask:
    """One view, which fails so many calls deep as its address says."""
    app = Flask(name)
    app.logger.disabled = True
    app.add_url_rule("/<int:levels>", "fail", lambda levels: str(descend(levels)))
    return app


def failing(app: Flask, levels: int, requests: int) -> tuple[float, float]:
    """Return µs of this thread's CPU time a request: until it is answered, and after that."""
    spent_ns = after_ns = 0
    # Flask leaves the frames of a failed request in a cycle: new memory for each would be what is
    # measured.
    gc.collect()
    for number in range(_WARM_UP + requests):
        if number == _WARM_UP:
            spent_ns = after_ns = 0
        environ = {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": f"/{levels}",
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "wsgi.url_scheme": "http",
            "wsgi.input": BytesIO(),
        }
        start_ns = time.thread_time_ns()
        body = app.wsgi_app(environ, lambda *_: lambda _: None)
        b"".join(body)
        answered_ns = time.thread_time_ns()
        close = getattr(body, "close", None)
        if close is not None:
            close()
        spent_ns += answered_ns - start_ns
        after_ns += time.thread_time_ns() - answered_ns
    return spent_ns / requests / 1000, after_ns / requests / 1000


@contextmanager
def quiet(variants: list[Variant]) -> Iterator[None]:
    """Keep the flushers from working meanwhile; nothing is collected as garbage either."""
    locks = [v.monitor.recorder._flush_lock for v in variants if v.monitor is not None]
    for lock in locks:
        lock.acquire()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        for lock in locks:
            lock.release()


def run(rounds: int, requests: int) -> bool:
    """Print the figures; return whether all are within the budget."""
    sys.setrecursionlimit(20_000)
    with tempfile.TemporaryDirectory() as folder:
        bare = Variant("bare", make_app("bare"))
        found = [monitored(Path(folder), name, 1, make_app(name)) for name in ("counted", "kept")]
        for variant in found:
            if variant.monitor is None:
                raise RuntimeError(f"{variant.name} is not measured")
            exceptions = variant.monitor.exceptions
            for cap in (exceptions._cap, exceptions._deep._cap):
                cap.per_minute = 10**9 if variant.name == "kept" else 0
        fine = True
        try:
            for depth in DEPTHS:
                table: dict[str, list[tuple[float, float]]] = {v.name: [] for v in [bare, *found]}
                apps = [bare, *found]
                for number in range(rounds):
                    shift = number % len(apps)
                    with quiet(found):
                        for variant in apps[shift:] + apps[:shift]:
                            table[variant.name].append(failing(variant.app, depth, requests))
                    for variant in found:
                        variant.settle()
                base = table.pop("bare")
                middle = statistics.median(answer for answer, _ in base)
                print(f"{depth} calls deep; bare app: {middle:.0f} µs")
                for name, figures in table.items():
                    both = list(zip(figures, base, strict=True))
                    q1, median, q3 = statistics.quantiles([a[0] - b[0] for a, b in both], n=4)
                    after = statistics.median(a[1] - b[1] for a, b in both)
                    fine &= median <= BUDGET_US
                    print(
                        f"  {name:10} {median:8.1f} µs added ({q1:.1f} to {q3:.1f}) + {after:.1f}",
                        flush=True,
                    )
        finally:
            for variant in found:
                variant.close()
    return fine


def main(arguments: list[str] | None = None) -> int:
    """The command; see the module's text."""
    parser = argparse.ArgumentParser("python -m benchmarks errors")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--requests", type=int, default=20)
    options = parser.parse_args(arguments)
    before = os.getloadavg()[0]
    fine = run(options.rounds, options.requests)
    print(f"budget {BUDGET_US:.0f} µs: {'kept' if fine else 'EXCEEDED'}; load {before:.1f} before")
    return 0
