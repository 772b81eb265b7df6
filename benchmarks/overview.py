"""How long the overview takes with a million requests, beside Flask-MonitoringDashboard's.

    python -m benchmarks overview [--requests 1000000] [--folder /tmp/fmd-history] [--rounds 5]
        [--json FILE]

Both hold the same requests: those of the history (see ``history``), of which each goes into FMD's
tables too. They are asked in turn, the first time to warm up: ours for the whole page of 7 and of
90 days over WSGI, FMD's for the data of its page alone.
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
from urllib.parse import urlencode

from . import history
from .addresses import last_days
from .calls import spread
from .pages import Shown, show
from .peers import FMD, VENVS, environment, python_of, version_of

#: The overview of FMD takes at least so many times as long as ours.
WANTED = 200

#: Fills FMD's tables from ours, then times its overview for each line that comes in.
_FMD = """
import sqlite3, sys, time
import flask_monitoringdashboard as dashboard
from datetime import datetime, timezone
from flask import Flask
path, source = sys.argv[1:]
dashboard.config.database_name = f"sqlite:///{path}"
app = Flask("fmd")
dashboard.bind(app)
from flask_monitoringdashboard.database import Request, Endpoint, session_scope
from flask_monitoringdashboard.controllers.endpoints import get_endpoint_overview
ours = sqlite3.connect(f"file:{source}?mode=ro", uri=True)
with session_scope() as session:
    ids = {}
    for number, name in ours.execute("SELECT id, name FROM fmd_endpoint"):
        endpoint = Endpoint(name=name)
        session.add(endpoint)
        session.flush()
        ids[number] = endpoint.id
    rows = ours.execute(
        "SELECT r.time, r.endpoint_id, r.duration_ms, r.status, v.name, g.name, c.name"
        " FROM fmd_request r JOIN fmd_version v ON v.id = r.version_id"
        " LEFT JOIN fmd_group g ON g.id = r.group_id LEFT JOIN fmd_client c ON c.id = r.client_id"
    )
    count = 0
    while part := rows.fetchmany(20_000):
        session.execute(Request.__table__.insert(), [
            {"endpoint_id": ids[endpoint], "duration": duration, "status_code": status,
             "time_requested": datetime.fromtimestamp(at / 1000, timezone.utc).replace(tzinfo=None),
             "version_requested": version, "group_by": user, "ip": ip}
            for at, endpoint, duration, status, version, user, ip in part
        ])
        count += len(part)
for _ in sys.stdin:
    start = time.perf_counter()
    with session_scope() as session:
        found = get_endpoint_overview(session)
    took_s = time.perf_counter() - start
    assert sum(one["hits-overall"] for one in found) == count, found
    print(took_s, count, flush=True)
"""


class Theirs:
    """FMD in a process of its own, with the requests of our store at ``source``."""

    def __init__(self, folder: Path, source: Path, venvs: Path) -> None:
        self._process = subprocess.Popen(
            [python_of(FMD, venvs), "-c", _FMD, str(folder / "fmd.db"), str(source)],
            cwd=folder,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.requests = 0

    def overview_s(self) -> float:
        """Ask for the overview; return the seconds that it took."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("once more\n")
        self._process.stdin.flush()
        # What it prints at its start comes before.
        for line in self._process.stdout:
            seconds, _, count = line.partition(" ")
            if count.strip().isdigit():
                self.requests = int(count)
                return float(seconds)
        raise RuntimeError("Flask-MonitoringDashboard ended before it had answered")

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()


def run(requests: int, folder: Path, rounds: int, venvs: Path) -> dict[str, Any]:
    """Return the seconds of each."""
    path = folder / f"history-{requests}.db"
    database = f"sqlite:///{path}"
    history.ensure(database, requests).close()
    shown = show(requests, database)
    ranges = {
        "7 days": {"range": "7d"},
        "90 days": last_days(shown.store, time.time_ns() // 1_000_000, history.DAYS),
    }
    with tempfile.TemporaryDirectory() as place:
        theirs = Theirs(Path(place), path, venvs)
        try:
            took = interleaved(shown, ranges, theirs, rounds)
        finally:
            theirs.close()
            shown.store.close()
    figures: dict[str, Any] = {
        "requests": requests,
        "fmd": version_of(FMD, venvs),
        "fmd_requests": theirs.requests,
        **{name: spread(values) for name, values in took.items()},
    }
    slower = took["FMD"]
    for name in ranges:
        parts = [fmd_ms / ours_ms for fmd_ms, ours_ms in zip(slower, took[name], strict=True)]
        figures[f"times, {name}"] = spread(parts)
    return figures


def interleaved(
    shown: Shown, ranges: dict[str, dict[str, str]], theirs: Theirs, rounds: int
) -> dict[str, list[float]]:
    """Return ms of each, round by round."""
    took: dict[str, list[float]] = {name: [] for name in (*ranges, "FMD")}
    for number in range(rounds + 1):
        for name, query in ranges.items():
            wall_ms = shown.get(f"/overview?{urlencode(query)}").wall_ms
            if number:
                took[name].append(wall_ms)
        wall_ms = 1000 * theirs.overview_s()
        if number:
            took["FMD"].append(wall_ms)
    return took


def show_figures(figures: dict[str, Any]) -> None:
    """Print what was measured, ms on the clock."""
    print(f"the overview with {figures['requests']:,} requests, ms on the clock")
    for name in ("7 days", "90 days", "FMD"):
        one = figures[name]
        title = f"FMD {figures['fmd']}, its data alone" if name == "FMD" else f"ours, {name}"
        print(f"  {title:28}{one['median']:10.1f} ({one['q1']:.1f} to {one['q3']:.1f})")
    for name in ("7 days", "90 days"):
        times = figures[f"times, {name}"]["median"]
        verdict = "holds" if times >= WANTED else "MISSED"
        print(f"  FMD takes {times:.0f} times as long as {name}, of {WANTED} wanted: {verdict}")


def main(arguments: list[str] | None = None) -> int:
    """The command; see the module's text."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks overview", description=__doc__.split("\n", 1)[0]
    )
    parser.add_argument("--requests", type=int, default=1_000_000)
    folder = Path(tempfile.gettempdir(), "fmd-history")
    parser.add_argument("--folder", type=Path, default=folder)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--venvs", type=Path, default=VENVS, help="where FMD is installed")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    figures = run(options.requests, options.folder, options.rounds, options.venvs)
    show_figures(figures)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
