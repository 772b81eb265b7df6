"""How long a writer waits while old rows are deleted beside it, and how fast they go.

    python -m benchmarks.retention [--rows 1000000] [--seconds 20]

Fills a SQLite store, then lets one process write a batch of 100 requests every 100 ms, first
alone, then while another process deletes. Prints the times of the writes, and what pages read.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from flask import Flask

from fmd_admin import settings
from fmd_admin.records import Batch, Row
from fmd_admin.store import retention, schema
from fmd_admin.store.pruner import Pruner
from fmd_admin.store.rollups import merge_deltas
from fmd_admin.store.store import Store
from fmd_admin.store.writer import BatchWriter

DAY_MS = 86_400_000
PAUSE_S = 0.1
BATCH = 100


def open_store(folder: str) -> Store:
    code = {"database": f"sqlite:///{folder}/fmd.db"}
    return Store(Flask("store"), settings.load(environ={}, code=code).values)


def fill(store: Store, rows: int) -> None:
    """Requests over 60 days, half of them too old."""
    now_ms = time.time_ns() // 1_000_000
    writer = BatchWriter(store, lambda: 1)
    step_ms = 60 * DAY_MS / rows
    for number, start in enumerate(range(0, rows, 5_000)):
        found = [
            Row(
                int(now_ms - 60 * DAY_MS + index * step_ms),
                f"endpoint{index % 50}",
                1.0 + index % 97,
                200,
                "GET",
                f"user{index % 200}",
                f"10.0.{index % 40}.{index % 250}",
            )
            for index in range(start, min(start + 5_000, rows))
        ]
        writer.write(Batch("filler", number + 1, "1", found))
        with store.write() as connection:
            merge_deltas(connection, store.timezone)


def write(folder: str, name: str, seconds: float, answers: Any) -> None:
    """Write batches for some seconds; answer with the ms that each took."""
    store = open_store(folder)
    writer = BatchWriter(store, lambda: 1)
    times = []
    end = time.monotonic() + seconds
    sequence = 0
    while time.monotonic() < end:
        now_ms = time.time_ns() // 1_000_000
        rows = [
            Row(now_ms, f"endpoint{n % 50}", 5.0, 200, "GET", "anna", None) for n in range(BATCH)
        ]
        sequence += 1
        began = time.perf_counter()
        writer.write(Batch(name, sequence, "1", rows))
        times.append(1000 * (time.perf_counter() - began))
        time.sleep(PAUSE_S)
    store.close()
    answers.put(times[2:])


def beside(folder: str, name: str, seconds: float) -> tuple[Any, Any]:
    answers = multiprocessing.Queue()
    process = multiprocessing.Process(target=write, args=(folder, name, seconds, answers))
    process.start()
    return process, answers


def shown(times: list[float]) -> str:
    ordered = sorted(times)
    p99 = ordered[int(0.99 * (len(ordered) - 1))]
    return (
        f"{len(times)} writes: median {statistics.median(times):.1f}, p99 {p99:.1f}, "
        f"max {max(times):.1f} ms"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args()
    multiprocessing.set_start_method("spawn")
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(folder)
        schema.migrate(store)
        fill(store, options.rows)
        print(f"{options.rows:,} rows, {Path(folder, 'fmd.db').stat().st_size / 1e6:.0f} MB")
        process, answers = beside(folder, "alone", options.seconds)
        print("writer alone:  ", shown(answers.get()))
        process.join()
        now_ms = time.time_ns() // 1_000_000
        plan = retention.plan(store.settings, store.timezone, now_ms)
        with store.read() as connection:
            began = time.perf_counter()
            for name, before_ms in plan.items():
                retention.amount_before(connection, retention.BY_NAME[name], before_ms)
            print(f"preview: {1000 * (time.perf_counter() - began):.1f} ms")
        locks: list[float] = []
        pruner = Pruner(
            store, plan, fence=lambda _: None, record=lambda _connection, _deleted: None
        )
        delete_oldest = Pruner._delete_rows

        def timed(self: Pruner, *arguments: Any) -> float:
            began = time.perf_counter()
            pause = delete_oldest(self, *arguments)
            locks.append(1000 * (time.perf_counter() - began))
            return pause

        Pruner._delete_rows = timed  # type: ignore[method-assign]
        process, answers = beside(folder, "beside", options.seconds)
        time.sleep(2)
        began = time.perf_counter()

        def wait(seconds: float) -> bool:
            time.sleep(seconds)
            return False

        while not pruner.work(1.0, wait):
            time.sleep(1.0)
        took_s = time.perf_counter() - began
        print("writer beside: ", shown(answers.get()))
        process.join()
        print("transactions:  ", shown(locks))
        gone = sum(pruner.deleted.values())
        print(f"{gone:,} rows deleted in {took_s:.1f} s, {gone / took_s:,.0f} a second")
        store.close()


if __name__ == "__main__":
    main()
