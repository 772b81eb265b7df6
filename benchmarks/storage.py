"""What storing costs: bytes a request by table, and CPU a request by step.

    python -m benchmarks storage [--database sqlite:////tmp/fmd-history/history-10000000.db]
        [--rows 100000] [--batch 500] [--rounds 5] [--profile 25] [--fmd] [--json FILE]

- bytes: of a filled SQLite file (see ``history``; made with 1,000,000 requests if none is named),
  each table with its indexes, a request;
- CPU: requests like the history's, written in batches on top of a day of them: µs a request for
  turning records into rows, for the batch's transaction, for merging it into the hours and days,
  and for putting its users and clients into their days, which waits for 40,000 of them;
- with ``--profile`` the functions in which the time of the writing goes, by cProfile (which makes
  Python's own functions look dearer than they are);
- with ``--fmd`` the bytes of a row of Flask-MonitoringDashboard 5.1.0 with the same requests.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy.engine import make_url

from fmd_admin.recorder.batching import fill
from fmd_admin.records import Batch
from fmd_admin.store import schema, visitors
from fmd_admin.store.rollups import merge_deltas
from fmd_admin.store.store import Store
from fmd_admin.store.writer import BatchWriter

from . import history
from .calls import spread
from .peers import FMD, VENVS, environment, python_of

BUDGET_BYTES, BUDGET_US = 75.0, 30.0
#: What a table of the file counts as.
PARTS = {
    "fmd_request": "requests",
    **dict.fromkeys(
        ("fmd_hour", "fmd_day", "fmd_status", "fmd_day_status", "fmd_rollup_delta"), "rollups"
    ),
    **dict.fromkeys(("fmd_visitor_day", "fmd_visitor_delta"), "visitors"),
    **dict.fromkeys(("fmd_group", "fmd_client", "fmd_endpoint", "fmd_version"), "names"),
}
COUNTED = ("requests", "rollups", "visitors", "names")
_STEPS = ("rows", "batch", "merge", "visitors")


def sizes(path: str) -> dict[str, Any]:
    """Return bytes a request by table and by part, each table with its indexes."""
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        requests = connection.execute("SELECT COUNT(*) FROM fmd_request").fetchone()[0]
        tables = dict(connection.execute("SELECT name, tbl_name FROM sqlite_master").fetchall())
        rows = connection.execute(
            "SELECT name, SUM(pgsize), SUM(payload) FROM dbstat GROUP BY name"
        ).fetchall()
    by_name: dict[str, float] = {}
    by_part: dict[str, float] = {}
    for name, size, _ in rows:
        table = tables.get(name, name)
        by_name[name] = round(size / requests, 3)
        part = PARTS.get(table, "other")
        by_part[part] = by_part.get(part, 0.0) + size / requests
    return {
        "requests": requests,
        "by_name": dict(sorted(by_name.items(), key=lambda item: -item[1])),
        "by_part": {part: round(size, 2) for part, size in by_part.items()},
        "counted": round(sum(by_part.get(part, 0.0) for part in COUNTED), 2),
    }


def show_sizes(found: dict[str, Any]) -> None:
    """Print the bytes."""
    print(f"\nbytes a request, of {found['requests']:,}")
    for name, size in found["by_name"].items():
        if size >= 0.01:
            print(f"  {name:32}{size:8.2f}")
    print("  " + ", ".join(f"{part} {size:.1f}" for part, size in found["by_part"].items()))
    verdict = "holds" if found["counted"] <= BUDGET_BYTES else "EXCEEDED"
    print(f"  counted: {found['counted']:.1f} of {BUDGET_BYTES:.0f} bytes: {verdict}")


class Storing:
    """A store into which batches go, each step of it timed."""

    def __init__(self, folder: str, batch: int) -> None:
        self.batch = batch
        self.store = history.open_store(f"sqlite:///{folder}/storage.db")
        schema.migrate(self.store)
        self.world = history.World(seed=3)
        self.writer = BatchWriter(self.store, lambda: 1)
        self.sequence = 0
        self.now_ms = time.time_ns() // 1_000_000
        self.spent: dict[str, float] = dict.fromkeys(_STEPS, 0.0)
        self.profiler: cProfile.Profile | None = None

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Take the CPU time of a step."""
        start_ns = time.thread_time_ns()
        if self.profiler is not None:
            self.profiler.enable()
        try:
            yield
        finally:
            if self.profiler is not None:
                self.profiler.disable()
            self.spent[name] += (time.thread_time_ns() - start_ns) / 1000

    def write(self, requests: int, days: float) -> dict[str, float]:
        """Write ``requests`` over the last ``days``; return µs of CPU a request by step."""
        self.spent = dict.fromkeys(_STEPS, 0.0)
        rows = self.world.rows(requests, self.now_ms - int(days * 86_400_000), self.now_ms)
        offset_ns = 0
        for number, start in enumerate(range(0, requests, self.batch), 1):
            records = [
                (
                    (row.endpoint, row.method, f"{row.status} X", row.group, row.ip),
                    *(row.time_ms * 1_000_000, int(row.time_ms * 1e6 + row.duration_ms * 1e6)),
                    *(None, 0),
                )
                for row in rows[start : start + self.batch]
            ]
            self.sequence += 1
            batch = Batch("storage", self.sequence, "20.0")
            with self.step("rows"):
                fill(batch, records, offset_ns, lambda ip: ip, lambda _place: None)
            with self.step("batch"):
                self.writer.write(batch)
            # Four batches in the two seconds between two merges, at 1,000 requests a second.
            if number % 4 == 0:
                with self.step("merge"):
                    _merge(self.store)
                with self.step("visitors"):
                    visitors.tend(self.store, lambda _connection: None)
        with self.step("merge"):
            _merge(self.store)
        with self.step("visitors"):
            visitors.tend(self.store, lambda _connection: None, at=1)
        return {name: spent / requests for name, spent in self.spent.items()}


def _merge(store: Store) -> None:
    with store.write() as connection:
        merge_deltas(connection, store.timezone)


def cpu(rows: int, batch: int, rounds: int, functions: int) -> dict[str, Any]:
    """Return µs of CPU a request by step, and the functions in which it goes."""
    with tempfile.TemporaryDirectory() as folder:
        storing = Storing(folder, batch)
        try:
            storing.write(rows, days=1.0)
            # All in the newest hour, as requests come in.
            found = [storing.write(rows, days=1 / 24) for _ in range(rounds)]
            figures: dict[str, Any] = {
                name: spread([one[name] for one in found]) for name in _STEPS
            }
            figures["together"] = spread([sum(one.values()) for one in found])
            if functions:
                storing.profiler = cProfile.Profile()
                storing.write(rows, days=1 / 24)
                figures["functions"] = top(storing.profiler, rows, functions)
        finally:
            storing.store.close()
    return figures


def top(profiler: cProfile.Profile, requests: int, functions: int) -> list[dict[str, Any]]:
    """Return the functions with the most time of their own, in µs a request."""
    stats: Any = pstats.Stats(profiler)
    found = sorted(stats.stats.items(), key=lambda item: -item[1][2])[:functions]
    return [
        {
            "function": f"{'/'.join(Path(file).parts[-2:])}:{line} {name}",
            "own_us": round(1e6 * own / requests, 3),
            "calls": round(calls / requests, 3),
        }
        for (file, line, name), (calls, _, own, _, _) in found
    ]


def show_cpu(figures: dict[str, Any]) -> None:
    """Print the µs."""
    print("\nCPU of storing, µs a request")
    titles = {
        "rows": "records into rows",
        "batch": "the batch's transaction",
        "merge": "merging hours and days",
        "visitors": "days of users and clients",
        "together": "together",
    }
    for name, title in titles.items():
        one = figures[name]
        print(f"  {title:32}{one['median']:8.2f} ({one['q1']:.2f} to {one['q3']:.2f})")
    for one in figures.get("functions", []):
        print(f"  {one['own_us']:8.3f} µs, {one['calls']:6.2f} calls  {one['function']}")


_FMD_ROWS = """
import json, sqlite3, sys
import flask_monitoringdashboard as dashboard
from datetime import datetime, timezone
path, source = sys.argv[1:]
dashboard.config.database_name = f"sqlite:///{path}"
from flask_monitoringdashboard.database import Request, Endpoint, session_scope
with open(source) as lines, session_scope() as session:
    ids = {}
    for line in lines:
        at, name, duration, status, user, ip = json.loads(line)
        if name not in ids:
            endpoint = Endpoint(name=name)
            session.add(endpoint)
            session.flush()
            ids[name] = endpoint.id
        session.add(Request(endpoint_id=ids[name], duration=duration, status_code=status,
            time_requested=datetime.fromtimestamp(at / 1000, timezone.utc).replace(tzinfo=None),
            version_requested="20.0", group_by=user, ip=ip))
"""


def fmd_bytes(rows: int, venvs: Path) -> float:
    """Return the bytes of a row of FMD's table with its indexes, with our requests in it."""
    world = history.World(seed=3)
    with tempfile.TemporaryDirectory() as folder:
        source, path = Path(folder, "rows"), Path(folder, "fmd.db")
        with source.open("w") as lines:
            for row in world.rows(rows, 0, 86_400_000):
                values = (row.time_ms, row.endpoint, row.duration_ms, row.status, row.group, row.ip)
                lines.write(json.dumps(values) + "\n")
        subprocess.run(
            [python_of(FMD, venvs), "-c", _FMD_ROWS, str(path), str(source)],
            check=True,
            cwd=folder,
            env=environment(),
        )
        with sqlite3.connect(path) as connection:
            names = connection.execute(
                "SELECT name FROM sqlite_master WHERE tbl_name LIKE 'request'"
            ).fetchall()
            size = sum(
                connection.execute(
                    "SELECT SUM(pgsize) FROM dbstat WHERE name = ?", name
                ).fetchone()[0]
                or 0
                for name in names
            )
    return float(size / rows)


def main(arguments: list[str] | None = None) -> int:
    """The command; see the module's text."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks storage", description=__doc__.split("\n", 1)[0]
    )
    parser.add_argument("--database", default="", help="a filled SQLite file, as a URL")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--profile", type=int, default=25, help="functions; 0: none")
    parser.add_argument("--fmd", action="store_true")
    parser.add_argument("--venvs", type=Path, default=VENVS)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args(arguments)
    figures: dict[str, Any] = {"sqlite": sqlite3.sqlite_version}
    with _filled(options.database) as path:
        figures["bytes"] = sizes(path)
        show_sizes(figures["bytes"])
    figures["cpu_us"] = cpu(options.rows, options.batch, options.rounds, options.profile)
    show_cpu(figures["cpu_us"])
    if options.fmd:
        figures["fmd_bytes"] = round(fmd_bytes(options.rows, options.venvs), 1)
        print(f"\nFMD 5.1.0, bytes a row with its indexes: {figures['fmd_bytes']}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


@contextmanager
def _filled(database: str) -> Iterator[str]:
    if database:
        yield str(make_url(database).database)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/history.db"
        history.ensure(f"sqlite:///{path}", 1_000_000).close()
        yield path


if __name__ == "__main__":
    sys.exit(main())
