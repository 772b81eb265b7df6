"""How long a writer waits while old rows are deleted beside it, and how fast they go.

    python -m benchmarks retention [--rows 1000000] [--seconds 20]
    python -m benchmarks retention --database sqlite:////tmp/fmd-history/history-10000000.db
        [--prune 1000000] [--load 1000]

Fills a SQLite store, then lets one process write a batch of 100 requests every 100 ms, first
alone, then while another process deletes. Prints the times of the writes, and what pages read.

With ``--database`` a store that is filled already (see ``history``) loses its oldest rows, about
as many as said, while a host app in a process of its own answers, stores and merges so many
requests a second. Prints how long its writes took at most, before and meanwhile, whether a request
was lost, and the file before, after, and after as many requests have come in again. The rows are
gone afterwards.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sqlite3
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from flask import Flask
from sqlalchemy import BigInteger, select, type_coerce

from fmd_admin import settings
from fmd_admin.jobs.pruning import EVERY_S, WORK_S
from fmd_admin.records import Batch, Row
from fmd_admin.store import retention, schema
from fmd_admin.store.models import Request
from fmd_admin.store.pruner import Pruner
from fmd_admin.store.rollups import merge_deltas
from fmd_admin.store.store import Store
from fmd_admin.store.writer import BatchWriter

from . import history, incoming

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


def prune_history(database: str, rows: int, per_second: int) -> dict[str, Any]:
    """Delete the oldest ``rows`` of a full store while requests come in; return the figures."""
    store = history.open_store(database)
    path = str(store.engine.url.database)
    time_ms = type_coerce(Request.time, BigInteger)
    with store.read() as connection:
        before = connection.scalar(select(time_ms).order_by(time_ms).offset(rows).limit(1))
    figures: dict[str, Any] = {"file_before": _file(path)}
    with incoming.requests(database, per_second) as flow:
        time.sleep(15)
    figures["before"] = flow.result
    took_s, locks = 0.0, []
    with incoming.requests(database, per_second) as flow:
        plan = {"requests": int(before or 0)}
        pruner = Pruner(store, plan, fence=lambda _: None, record=lambda _, __: None)
        delete_oldest = pruner._delete_rows

        def timed(*arguments: Any) -> float:
            began = time.perf_counter()
            pause = delete_oldest(*arguments)
            locks.append(1000 * (time.perf_counter() - began))
            return pause

        pruner._delete_rows = timed  # type: ignore[method-assign]

        def wait(seconds: float) -> bool:
            time.sleep(seconds)
            return False

        began = time.perf_counter()
        # As the jobs do: so many seconds of work, then a pause.
        while not pruner.work(WORK_S, wait):
            time.sleep(max(EVERY_S - WORK_S, 0.0))
        took_s = time.perf_counter() - began
    figures["meanwhile"] = flow.result
    figures["deleted"] = pruner.deleted["requests"]
    figures["took_s"] = round(took_s, 1)
    figures["transactions_ms"] = {"count": len(locks), "most": round(max(locks), 1)}
    figures["file_after"] = _file(path)
    store.close()
    return figures


def _file(path: str) -> dict[str, float]:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA busy_timeout = 10000")
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        size, free, page = (
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
    return {"mb": round(size * page / 1e6, 1), "free_mb": round(free * page / 1e6, 1)}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        "python -m benchmarks retention", description=__doc__.split("\n", 1)[0]
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--database", default="", help="a filled SQLite file, as a URL")
    parser.add_argument("--prune", type=int, default=1_000_000)
    parser.add_argument("--load", type=int, default=1_000)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args(arguments)
    if options.database:
        figures = prune_history(options.database, options.prune, options.load)
        for name, value in figures.items():
            print(f"{name:18}{value}")
        if options.json:
            options.json.write_text(json.dumps(figures, indent=2) + "\n")
        return 0
    fill_and_prune(options)
    return 0


def fill_and_prune(options: argparse.Namespace) -> None:
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
    sys.exit(main())
