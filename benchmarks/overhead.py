"""What a request costs with fmd_admin, beside the same app without it.

    python -m benchmarks.overhead [--rounds 60] [--requests 500] [--json FILE]

Calls the WSGI app in one process, without a network: rounds of the variants are interleaved, so
that a noisy machine hits them alike. Two figures a request, each the difference to the bare app of
the same round:

- thread: CPU time of the request's own thread (time.thread_time_ns);
- all: CPU time of the whole process until everything is stored and merged into the rollups.

The floor is the least that any monitor must do: a WSGI wrapper with two clock reads and an append.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import statistics
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from flask import Flask, jsonify

from fmd_admin import FMDAdmin
from fmd_admin.extension import Monitor
from fmd_admin.store import rollups, visitors

PATHS = ("/", "/json", "/work")
WORK_S = 0.002
#: The busy view takes long enough: fewer requests of it say as much.
FEWER = {"/work": 10}


def make_app(name: str) -> Flask:
    """A constant, 20 keys as JSON, and 2 ms of CPU."""
    app = Flask(name)
    app.add_url_rule("/", "index", lambda: "hello")
    app.add_url_rule("/json", "json", lambda: jsonify({f"key{i}": i for i in range(20)}))

    @app.route("/work")
    def work() -> str:
        end = time.thread_time() + WORK_S
        while time.thread_time() < end:
            pass
        return "done"

    return app


class Floor:
    """Two clock reads and an append around each request."""

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
        if self.monitor is None:
            return
        self.monitor.recorder.flush()
        with self.monitor.store.write() as connection:
            rollups.merge_deltas(connection, self.monitor.store.timezone)
        visitors.tend(self.monitor.store, lambda _connection: None)


def variants(folder: Path) -> list[Variant]:
    found = [Variant("bare", make_app("bare"))]
    floor = make_app("floor")
    floor.wsgi_app = Floor(floor.wsgi_app)  # type: ignore[method-assign]
    found.append(Variant("floor", floor))
    for level in (0, 1):
        found.append(monitored(folder, f"level {level}", level))
    found.append(monitored(folder, "level 1 + group_by", 1, group_by=lambda: "anna"))
    return found


def monitored(folder: Path, name: str, level: int, group_by: Any = None) -> Variant:
    app = make_app(name.replace(" ", "_"))
    settings = {
        "monitor_level": level,
        "database": f"sqlite:///{folder}/{name.replace(' ', '_')}.db",
        "username": "bench",
        "password": "not a secret",
        # Merged by settle(), so that the figure is complete at the end of each round.
        "rollup_interval_s": 60,
    }
    FMDAdmin(app, settings=settings, group_by=group_by)
    return Variant(name, app, app.extensions["fmd_admin"])


def start_response(_status: str, _headers: Any, _exc_info: Any = None) -> Callable[[bytes], None]:
    return lambda _data: None


def environ(path: str) -> dict[str, Any]:
    return {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.url_scheme": "http",
        "wsgi.multithread": True,
    }


def measure(variant: Variant, path: str, requests: int) -> tuple[float, float]:
    """Return µs of the thread and µs of all CPU for one request."""
    wsgi_app = variant.app
    prepared = [environ(path) for _ in range(requests)]
    variant.settle()
    gc.collect()
    process, thread = time.process_time_ns(), time.thread_time_ns()
    for one in prepared:
        body = wsgi_app(one, start_response)
        for _ in body:
            pass
        close = getattr(body, "close", None)
        if close is not None:
            close()
    thread = time.thread_time_ns() - thread
    variant.settle()
    process = time.process_time_ns() - process
    return thread / requests / 1000, process / requests / 1000


def run(rounds: int, requests: int) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        apps = variants(Path(folder))
        for path in PATHS:
            count = max(requests // FEWER.get(path, 1), 50)
            for variant in apps:
                measure(variant, path, count)  # Warm up.
            table: dict[str, list[tuple[float, float]]] = {v.name: [] for v in apps}
            for number in range(rounds):
                # Start with another one each round: what comes first pays for cold caches.
                shift = number % len(apps)
                for variant in apps[shift:] + apps[:shift]:
                    table[variant.name].append(measure(variant, path, count))
            figures[path] = summary(table)
        for variant in apps:
            if variant.monitor is not None:
                figures.setdefault("dropped", {})[variant.name] = variant.monitor.recorder.dropped
                variant.monitor.close()
    return figures


def summary(table: dict[str, list[tuple[float, float]]]) -> dict[str, Any]:
    bare = table["bare"]
    result: dict[str, Any] = {"bare_us": round(statistics.median(all_ for _, all_ in bare), 1)}
    for name, rounds in table.items():
        if name == "bare":
            continue
        thread = [a[0] - b[0] for a, b in zip(rounds, bare, strict=True)]
        everything = [a[1] - b[1] for a, b in zip(rounds, bare, strict=True)]
        result[name] = {"thread_us": spread(thread), "all_us": spread(everything)}
    return result


def spread(values: list[float]) -> dict[str, float]:
    low, middle, high = statistics.quantiles(values, n=4)
    return {"median": round(middle, 2), "q1": round(low, 2), "q3": round(high, 2)}


def show(figures: dict[str, Any]) -> None:
    print(f"Python {platform.python_version()}, Flask {version('flask')}, {platform.machine()}")
    print("µs added to a request: median (quartiles) of the difference to the bare app\n")
    print(f"{'':8}{'':22}{'in the thread':>26}{'all CPU, stored':>28}")
    for path in PATHS:
        print(f"{path:8}bare app: {figures[path]['bare_us']} µs of CPU a request")
        for name, row in figures[path].items():
            if name == "bare_us":
                continue
            cells = [
                f"{c['median']:8.2f} ({c['q1']:.2f} to {c['q3']:.2f})"
                for c in (row["thread_us"], row["all_us"])
            ]
            print(f"{'':8}{name:22}{cells[0]:>26}{cells[1]:>28}")
    print("\nbudgets: level 1 at most 10 µs in the thread, at most 30 µs of all CPU")
    print(f"requests dropped: {sum(figures['dropped'].values())}")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args(arguments)
    figures = run(options.rounds, options.requests)
    show(figures)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
