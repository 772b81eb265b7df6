"""How long a report takes over ten million requests: 50 endpoints, 90 days, 20 versions.

    python -m benchmarks.reporting [--requests 10000000]

Fills a SQLite file with rollups (about 205,000 hours and 9,000 days with histograms), then times
each kind of comparison: what is read and computed, and the whole page and its JSON over WSGI.
Prints medians of the rounds with the fastest and the slowest, warm, and the CPU time of the thread,
which does not depend on what else the machine does.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from zoneinfo import ZoneInfo

from flask import Flask
from sqlalchemy import insert

from fmd_admin import FMDAdmin
from fmd_admin.read import catalog
from fmd_admin.read.comparison import compare
from fmd_admin.read.intervals import COMPARES, parse_intervals
from fmd_admin.read.reporting import report
from fmd_admin.read.scope import parse_scope
from fmd_admin.store import histogram
from fmd_admin.store.calendar import HOUR_MS, Calendar
from fmd_admin.store.models import Day, Endpoint, Hour, Version
from fmd_admin.store.store import Store
from fmd_admin.store.types import from_millis
from tests.unit.admin.browser import Browser

ENDPOINTS, DAYS, VERSIONS, ROUNDS = 50, 90, 20, 9
ZONE = "Europe/Amsterdam"


def fill(store: Store, requests: int, now_ms: int) -> tuple[int, int]:
    """Write the rollups; return how many rows of hours and of days."""
    rnd = random.Random(1)
    calendar = Calendar(ZoneInfo(ZONE))
    first = calendar.hour_start(now_ms - DAYS * 24 * HOUR_MS)
    hours = range(first, now_ms, HOUR_MS)
    known = {"first_seen": from_millis(first)}
    with store.write() as connection:
        connection.execute(
            insert(Endpoint),
            [
                {"id": n + 1, "name": f"shop.endpoint_{n}", "level": 1, **known}
                | {"last_requested": from_millis(now_ms)}
                for n in range(ENDPOINTS)
            ],
        )
        connection.execute(
            insert(Version), [{"id": n + 1, "name": f"{n}.0", **known} for n in range(VERSIONS)]
        )
    weights = [1 / (n + 3) for n in range(ENDPOINTS)]
    hits_an_hour = requests / len(hours)
    hour_rows: list[dict[str, object]] = []
    parts: dict[tuple[int, int, int], list[dict[str, object]]] = {}
    for number, hour_ms in enumerate(hours):
        newest = number * VERSIONS // len(hours)
        for endpoint, weight in enumerate(weights):
            for version in {newest, max(newest - 1, 0)}:
                mean = hits_an_hour * weight / sum(weights) / (2 if newest else 1)
                row = rolled_up(rnd, max(round(rnd.gauss(mean, mean**0.5)), 1), endpoint)
                key = (endpoint + 1, version + 1)
                hour_rows.append(
                    {"hour": from_millis(hour_ms), "endpoint_id": key[0], "version_id": key[1]}
                    | row
                )
                parts.setdefault((calendar.day_start(hour_ms), *key), []).append(row)
    day_rows = [
        {"day": from_millis(day), "endpoint_id": endpoint, "version_id": version} | merged(rows)
        for (day, endpoint, version), rows in parts.items()
    ]
    with store.write() as connection:
        connection.execute(insert(Hour), hour_rows)
        connection.execute(insert(Day), day_rows)
    return len(hour_rows), len(day_rows)


def rolled_up(rnd: random.Random, hits: int, endpoint: int) -> dict[str, object]:
    durations = [rnd.lognormvariate(2 + endpoint / 15, 0.6) for _ in range(min(hits, 400))]
    scale = hits / len(durations)
    counts = Counter(map(histogram.bucket, durations))
    scaled = {number: max(round(count * scale), 1) for number, count in sorted(counts.items())}
    return {
        "hits": sum(scaled.values()),
        "errors": sum(rnd.random() < 0.02 for _ in durations),
        "sum_ms": sum(durations) * scale,
        "sum_squares": sum(one * one for one in durations) * scale,
        "min_ms": min(durations),
        "max_ms": max(durations),
        "histogram": histogram.encode(scaled),
    }


def merged(rows: list[dict[str, object]]) -> dict[str, object]:
    added = {
        key: sum(row[key] for row in rows)  # type: ignore[misc]
        for key in ("hits", "errors", "sum_ms", "sum_squares")
    }
    return added | {
        "min_ms": min(row["min_ms"] for row in rows),  # type: ignore[type-var]
        "max_ms": max(row["max_ms"] for row in rows),  # type: ignore[type-var]
        "histogram": histogram.merge(row["histogram"] for row in rows),  # type: ignore[misc]
    }


def timed(run: Callable[[], object]) -> str:
    run()
    times, cpu = [], []
    for _ in range(ROUNDS):
        start, used = time.perf_counter(), time.thread_time()
        run()
        times.append(1000 * (time.perf_counter() - start))
        cpu.append(1000 * (time.thread_time() - used))
    wall = f"{statistics.median(times):6.0f} ms ({min(times):.0f} to {max(times):.0f})"
    return f"{wall:26} CPU {statistics.median(cpu):.0f} ms"


def measure(store: Store, browser: Browser, now_ms: int, args: dict[str, str]) -> None:
    def read() -> None:
        with store.read() as connection:
            words = {word: [value] for word, value in args.items()}
            scope = parse_scope(
                connection, words, zone=ZoneInfo(ZONE), default_range="30d", now_ms=now_ms
            )
            report(connection, parse_intervals(args, scope, catalog.versions(connection)))

    query = "&".join(f"{word}={value}" for word, value in args.items())
    for what, run in (
        ("read", read),
        ("page", lambda: browser.get(f"/reporting?{query}")),
        ("json", lambda: browser.get(f"/reporting/data.json?{query}")),
    ):
        print(f"{query[:58]:58} {what} {timed(run)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000_000)
    requests = parser.parse_args().requests
    now_ms = time.time_ns() // 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        app = Flask("host", instance_path=folder)
        settings = {
            "database": f"sqlite:///{folder}/fmd.db",
            "timezone": ZONE,
            "username": "anna",
            "password": "correct horse",
        }
        FMDAdmin(app, settings=settings)
        monitor = app.extensions["fmd_admin"]
        try:
            start = time.perf_counter()
            hours, days = fill(monitor.store, requests, now_ms)
            print(f"{hours:,} hours and {days:,} days in {time.perf_counter() - start:.0f} s")
            browser = Browser(app)
            browser.login("anna")
            day = from_millis(now_ms - DAYS * 24 * HOUR_MS).date().isoformat()
            middle = from_millis(now_ms - DAYS * 12 * HOUR_MS).date().isoformat()
            today = from_millis(now_ms).date().isoformat()
            for kind in COMPARES:
                measure(monitor.store, browser, now_ms, {"compare": kind})
            whole = {"before_from": f"{day}T05:00", "before_to": f"{middle}T07:00"}
            whole |= {"after_from": f"{middle}T07:00", "after_to": f"{today}T00:00"}
            measure(monitor.store, browser, now_ms, {"compare": "custom", **whole})
            words = {"compare": "version", "before": "5.0", "after": "15.0"}
            words |= {"range": "custom", "from": f"{day}T05:00"}
            measure(monitor.store, browser, now_ms, words)
            measure_statistics()
        finally:
            monitor.close()


def measure_statistics() -> None:
    """The tests alone, for 50 endpoints: they do not depend on the number of requests."""
    from tests.unit.read.trials import draw

    rnd = random.Random(2)
    sides = [{n: draw(rnd, 2000, 50, 0.6, 0.02) for n in range(ENDPOINTS)} for _ in range(2)]
    print(
        f"{'tests and verdicts of 50 endpoints alone':58}      "
        f"{timed(lambda: compare(*sides, 24, 24))}"
    )


if __name__ == "__main__":
    main()
