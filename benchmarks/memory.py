"""What a process holds while 100,000 requests pass at each level, outliers among them.

    python -m benchmarks memory [--requests 100000] [--threads 4] [--runs 0,1,2,3,switched]

Each run has a process of its own, which prints after every tenth of the requests, once everything
is stored: resident memory, live objects of what requests are made of here, entries of the caches.
In the run "switched" the level goes 3, 2, 1, 0 and again, a tenth of the requests each.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import sys
import tempfile
import time
from collections import Counter
from typing import Any

import psutil
from flask import Flask, request
from sqlalchemy import func, select

from fmd_admin import FMDAdmin
from fmd_admin.collect.exchange import Exchange
from fmd_admin.collect.outliers import Facts, Stuck
from fmd_admin.collect.sampler import Node, Tree
from fmd_admin.collect.tracing import Trace
from fmd_admin.collect.watching import Detail
from fmd_admin.extension import Monitor
from fmd_admin.store.live import set_levels
from fmd_admin.store.models import Endpoint, Outlier, Profile, Request

from .apps import spin
from .calls import call_in_threads, environ
from .hosts import Variant

RUNS = ("0", "1", "2", "3", "switched")
STEPS = 10
#: Until every level was in force once, caches and pools still grow.
WARM_STEPS = 2
#: One request in so many is slow, ten times the mean of its endpoint.
SLOW_EVERY = 200
SLOW_S = 0.02
APPLIED_S = 20.0
OF_REQUESTS = (Exchange, Trace, Tree, Node, Detail, Stuck, Facts)


def make_app() -> Flask:
    """A constant, some work, and a view that is slow at times."""
    app = Flask("memory")
    app.add_url_rule("/", "index", lambda: "hello")
    app.add_url_rule("/work", "work", lambda: str(spin(200)))

    @app.route("/sometimes")
    def sometimes() -> str:
        if request.args.get("slow"):
            time.sleep(SLOW_S)
        return "done"

    return app


def bind(folder: str, level: int) -> Variant:
    """Bind fmd_admin so that every outlier is stored."""
    app = make_app()
    settings = {
        "monitor_level": level,
        "database": f"sqlite:///{folder}/memory.db",
        "outliers_per_minute": 1_000,
        "username": "bench",
        "password": "not a secret",
    }
    FMDAdmin(app, settings=settings)
    return Variant("memory", app, app.extensions["fmd_admin"])


def requests_of(number: int) -> list[dict[str, Any]]:
    """Return ``number`` requests, each with a header and a query of its own."""
    made = []
    for index in range(number):
        one = environ(("/", "/work", "/sometimes")[index % 3])
        if index % SLOW_EVERY == 2:
            one = environ("/sometimes") | {"QUERY_STRING": "slow=1"}
        made.append(one | {"HTTP_X_REQUEST_ID": f"{time.monotonic_ns()}-{index}"})
    return made


def left() -> Counter[str]:
    """Return how many objects of each type are left of what requests are made of."""
    gc.collect()
    return Counter(
        type(found).__name__ for found in gc.get_objects() if isinstance(found, OF_REQUESTS)
    )


def cached(monitor: Monitor) -> int:
    """Return how many entries the caches of the collecting side have."""
    frames = monitor.watch.frames
    return sum(
        len(cache)
        for cache in (
            frames._own,
            frames._short,
            frames._long,
            frames._frames,
            frames._lines,
            monitor.watch.means.limits_ns,
        )
    )


def switch(monitor: Monitor, level: int) -> None:
    """Change the level of all endpoints as the panel does, and wait until it is in force."""
    with monitor.store.write() as connection:
        ids = list(connection.scalars(select(Endpoint.id)))
        set_levels(connection, ids, level)
    deadline = time.monotonic() + APPLIED_S
    while set(monitor.watch.rules.levels.values()) != {level}:
        if time.monotonic() > deadline:
            raise RuntimeError(f"level {level} is not in force after {APPLIED_S} s")
        time.sleep(0.02)


def run(name: str, requests: int, threads: int) -> None:
    """Print one run's table."""
    with tempfile.TemporaryDirectory() as folder:
        variant = bind(folder, 1 if name == "switched" else int(name))
        monitor = variant.monitor
        assert monitor is not None
        rss: list[int] = []
        title = "levels 3, 2, 1, 0 in turn" if name == "switched" else f"level {name}"
        print(
            f"\n{title}\n{'requests':>10}{'RSS MiB':>10}{'objects':>10}{'cached':>10}", flush=True
        )
        for step in range(STEPS + 1):
            if step:
                if name == "switched" and step > 1:
                    switch(monitor, 3 - (step - 2) % 4)
                per_thread = requests // STEPS // threads
                call_in_threads(variant.app, [requests_of(per_thread) for _ in range(threads)])
                variant.settle()
                variant.rest()
            objects = left().total()
            rss.append(psutil.Process().memory_info().rss)
            done = step * (requests // STEPS // threads) * threads
            print(
                f"{done:>10}{rss[-1] / 2**20:>10.1f}{objects:>10}{cached(monitor):>10}", flush=True
            )
        growth = (rss[-1] - rss[WARM_STEPS]) / (requests * (STEPS - WARM_STEPS) / STEPS)
        print(f"growth from {WARM_STEPS}/{STEPS} to the end: {growth:.1f} bytes a request")
        with monitor.store.read() as connection:
            stored = {
                table.__tablename__: connection.scalar(select(func.count()).select_from(table))
                for table in (Request, Outlier, Profile)
            }
        counts = Counter(monitor.counters())
        print(
            f"stored: {stored}; dropped: {counts['dropped']}, "
            f"details dropped: {counts['details_dropped']}, faults: {counts['faults']}"
        )
        variant.close()


def main(arguments: list[str] | None = None) -> int:
    """The command; see the module's text."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks memory", description=__doc__.split("\n", 1)[0]
    )
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--runs", default=",".join(RUNS), help=f"of {','.join(RUNS)}")
    options = parser.parse_args(arguments)
    fresh = multiprocessing.get_context("spawn")
    for name in options.runs.split(","):
        if name not in RUNS:
            parser.error(f"{name!r} is no run; choose of {', '.join(RUNS)}")
        process = fresh.Process(target=run, args=(name, options.requests, options.threads))
        process.start()
        process.join()
        if process.exitcode:
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
