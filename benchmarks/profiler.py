"""How long the pages of profiles take, beside Flask-MonitoringDashboard's.

    python -m benchmarks profiler [--profiles 100] [--lines 200] [--rounds 9] [--fmd] [--json FILE]

Stores profiles of one endpoint with so many lines each through the product's writer, and asks for
the grouped profiler: what is read and merged, and the whole page and its chart's data over WSGI.
With ``--fmd`` the same number of profiles and lines goes into FMD's tables, and its own function
for the grouped profiler is asked once. What sampling costs a request is in ``overhead``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from fmd_admin.records import Batch
from fmd_admin.store import schema
from fmd_admin.store.writer import BatchWriter

from . import history
from .calls import spread
from .pages import show
from .peers import FMD, VENVS, environment, python_of

LIMIT_MS = 100.0
ENDPOINT = history.endpoint_name(0)

_FMD_PAGE = """
import sys, time
import flask_monitoringdashboard as dashboard
from datetime import datetime
from flask import Flask
path, profiles, lines = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
dashboard.config.database_name = f"sqlite:///{path}"
app = Flask("fmd")
app.add_url_rule("/", "index", lambda: "hello")
dashboard.bind(app)
from flask_monitoringdashboard.database import Request, Endpoint, session_scope
from flask_monitoringdashboard.database.stack_line import add_stack_line
from flask_monitoringdashboard.controllers.profiler import get_grouped_profiler
with session_scope() as session:
    endpoint = session.query(Endpoint).filter_by(name="index").first()
    if endpoint is None:
        endpoint = Endpoint(name="index")
        session.add(endpoint)
        session.flush()
    endpoint_id = endpoint.id
    for number in range(profiles):
        one = Request(endpoint_id=endpoint_id, duration=200.0, status_code=200,
            time_requested=datetime.utcnow(), version_requested="1.0", group_by="anna",
            ip="127.0.0.1")
        session.add(one)
        session.flush()
        for line in range(lines):
            add_stack_line(session, one.id, line, line % 40, 200.0 / (line + 1),
                (f"shop/module_{line % 37}.py", line, f"function_{line}", f"work({line})"))
start = time.perf_counter()
with session_scope() as session:
    found = get_grouped_profiler(session, endpoint_id)
took_s = time.perf_counter() - start
assert len(found) >= lines, f"{len(found)} lines were found"
print(took_s, len(found))
"""


def ours(profiles: int, lines: int, rounds: int) -> dict[str, Any]:
    """Return ms of the grouped profiler."""
    with tempfile.TemporaryDirectory() as folder:
        database = f"sqlite:///{folder}/profiles.db"
        store = history.open_store(database)
        schema.migrate(store)
        world = history.World(seed=4)
        world.profile_lines = lines
        now_ms = time.time_ns() // 1_000_000
        rows = world.rows(60 * profiles, now_ms - 3_600_000, now_ms)
        rows = [row for row in rows if row.endpoint == ENDPOINT][:profiles]
        batch = Batch("profiler", 1, "1.0", rows, profiles=[world.profile(row) for row in rows])
        BatchWriter(store, lambda: 3).write(batch)
        store.close()
        shown = show(profiles, database)
        figures: dict[str, Any] = {"profiles": len(rows), "lines": lines}
        for name in ("", "/data.json"):
            path = f"/endpoint/1/grouped-profiler{name}?range=24h"
            shown.get(path)
            took = [shown.get(path) for _ in range(rounds)]
            figures[f"grouped-profiler{name}"] = {
                **spread([one.wall_ms for one in took]),
                "cpu_ms": spread([one.cpu_ms for one in took])["median"],
            }
        shown.store.close()
    return figures


def fmd(profiles: int, lines: int, venvs: Path) -> float:
    """Return the seconds that FMD's grouped profiler takes."""
    with tempfile.TemporaryDirectory() as folder:
        found = subprocess.run(
            [
                *(python_of(FMD, venvs), "-c", _FMD_PAGE, f"{folder}/fmd.db"),
                *(str(profiles), str(lines)),
            ],
            check=True,
            cwd=folder,
            env=environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
    return float(found.stdout.split()[-2])


def main(arguments: list[str] | None = None) -> int:
    """The command; see the module's text."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks profiler", description=__doc__.split("\n", 1)[0]
    )
    parser.add_argument("--profiles", type=int, default=100)
    parser.add_argument("--lines", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--fmd", action="store_true")
    parser.add_argument("--venvs", type=Path, default=VENVS)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args(arguments)
    figures = ours(options.profiles, options.lines, options.rounds)
    print(f"{figures['profiles']} profiles of {options.lines} lines, ms")
    for name, one in figures.items():
        if isinstance(one, dict):
            verdict = "holds" if one["median"] <= LIMIT_MS else "EXCEEDED"
            print(
                f"  {name:32}{one['median']:8.1f} ({one['q1']:.1f} to {one['q3']:.1f}) of "
                f"{LIMIT_MS:.0f}, CPU {one['cpu_ms']:.1f}: {verdict}"
            )
    if options.fmd:
        figures["fmd_s"] = round(fmd(options.profiles, options.lines, options.venvs), 2)
        print(f"  FMD 5.1.0, its data alone: {figures['fmd_s']} s")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
