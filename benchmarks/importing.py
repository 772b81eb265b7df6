"""How fast a database of Flask-MonitoringDashboard is brought over: rows a second.

    python -m benchmarks importing [--rows 200000] [--rounds 3]

Makes an SQLite file with the tables of its version 5.1 and requests of 50 endpoints, 20 versions,
200 users and 200 addresses, and brings it into a new SQLite store. Wall time and CPU time of the
process, both until all rollups are merged. Once with as many requests a day as 10 million in 90
days make, and once with all of them spread over 90 days: there nearly each request has an hour of
its endpoint for itself, and the rollups are most of the work.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path

from flask import Flask

from fmd_admin import settings
from fmd_admin.compat.fmd_database import open_fmd
from fmd_admin.compat.import_fmd import import_fmd
from fmd_admin.store import schema
from fmd_admin.store.store import Store

_TABLES = """
CREATE TABLE "Endpoint" (id INTEGER NOT NULL PRIMARY KEY, name VARCHAR(250) NOT NULL UNIQUE,
    monitor_level INTEGER, time_added DATETIME, version_added VARCHAR(100),
    last_requested DATETIME);
CREATE TABLE "Request" (id INTEGER NOT NULL PRIMARY KEY, endpoint_id INTEGER,
    duration FLOAT NOT NULL, time_requested DATETIME, version_requested VARCHAR(100),
    group_by VARCHAR(100), ip VARCHAR(100) NOT NULL, status_code INTEGER);
"""
_DAYS = 90
_BUSY_ROWS = 10_000_000


def main(arguments: list[str] | None = None) -> int:
    """The command; see the module's text."""
    parser = argparse.ArgumentParser("python -m benchmarks importing")
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    for days in (_DAYS * options.rows / _BUSY_ROWS, _DAYS):
        with tempfile.TemporaryDirectory() as folder:
            make(Path(folder, "old.db"), options.rows, days)
            for number in range(options.rounds):
                wall_s, cpu_s = bring_over(Path(folder, "old.db"), Path(folder, f"new{number}.db"))
                print(
                    f"{options.rows:,} rows of {days:.1f} days: {options.rows / wall_s:,.0f} a "
                    f"second, {options.rows / cpu_s:,.0f} a second of CPU"
                )
    return 0


def make(path: Path, rows: int, days: float) -> None:
    """Make a database as the old product has it."""
    chance = random.Random(1)
    first = datetime(2026, 1, 1)
    connection = sqlite3.connect(path)
    connection.executescript(_TABLES)
    connection.executemany(
        'INSERT INTO "Endpoint" VALUES (?, ?, 1, ?, ?, ?)',
        [(n, f"shop.page{n}", str(first), "1.0", str(first)) for n in range(1, 51)],
    )
    step = timedelta(days=days) / rows
    connection.executemany(
        'INSERT INTO "Request" VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)',
        (
            (
                chance.randint(1, 50),
                chance.lognormvariate(3, 0.7),
                str(first + number * step),
                f"1.{number * 20 // rows}",
                f"user{chance.randint(1, 200)}",
                f"192.0.2.{chance.randint(1, 200)}",
                200,
            )
            for number in range(rows)
        ),
    )
    connection.commit()
    connection.close()


def bring_over(old_path: Path, new_path: Path) -> tuple[float, float]:
    """Return the seconds that passed and those of CPU."""
    values = settings.load(environ={}, code={"DATABASE": f"sqlite:///{new_path}"}).values
    store = Store(Flask("importing"), values)
    schema.migrate(store)
    old = open_fmd(f"sqlite:///{old_path}")
    wall_s, cpu_s = time.monotonic(), time.process_time()
    import_fmd(old, store, values)
    passed = time.monotonic() - wall_s, time.process_time() - cpu_s
    old.close()
    store.close()
    return passed
