"""What a process costs in which nothing is in flight, and how many threads of ours it has."""

from __future__ import annotations

import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil

from .apps import calibrate, make_app
from .calls import call_in_threads, environ, watcher_ns
from .hosts import Variant, monitored

LEVELS = (1, 2, 3)
_WATCHER = "fmd_admin-watcher"


def run(seconds: float) -> list[dict[str, Any]]:
    """Return one row a level, measured over ``seconds`` after requests in 8 threads."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for level in LEVELS:
            name = f"idle {level}"
            before = set(threading.enumerate())
            app = make_app(name.replace(" ", "_"), calibrate())
            variant = monitored(Path(folder), name, level, app)
            try:
                rows.append({"level": level, **_measure(variant, seconds, before)})
            finally:
                variant.close()
    return rows


def _measure(variant: Variant, seconds: float, before: set[threading.Thread]) -> dict[str, Any]:
    shares = [[environ(path) for path in ("/", "/work") * 20] for _ in range(8)]
    call_in_threads(variant.app, shares)
    variant.settle()
    variant.rest()
    # Those of libraries too: the process that runs the jobs has one of APScheduler's.
    ours = set(threading.enumerate()) - before
    watcher = next((t for t in threading.enumerate() if t.name == _WATCHER), None)
    watcher_before, switches = watcher_ns(variant), _switches(watcher)
    process_ns = time.process_time_ns()
    time.sleep(seconds)
    process_ns = time.process_time_ns() - process_ns
    return {
        "threads": len(ours),
        "process_us_per_s": round(process_ns / 1000 / seconds, 1),
        "watcher_us_per_s": round((watcher_ns(variant) - watcher_before) / 1000 / seconds, 3),
        "watcher_wakes": _switches(watcher) - switches,
    }


def _switches(watcher: threading.Thread | None) -> int:
    """Return how often the thread was given a processor."""
    if watcher is None:
        return 0
    status = Path(f"/proc/{psutil.Process().pid}/task/{watcher.native_id}/status").read_text()
    return sum(int(line.split()[1]) for line in status.splitlines() if "ctxt_switches" in line)


def show(rows: list[dict[str, Any]]) -> None:
    """Print the table."""
    print("\nnothing in flight, after requests: CPU in µs a second")
    print(f"{'':10}{'threads of ours':>18}{'process':>12}{'watcher':>12}{'its wakes':>12}")
    for row in rows:
        print(
            f"level {row['level']:<4}{row['threads']:>18}{row['process_us_per_s']:>12}"
            f"{row['watcher_us_per_s']:>12}{row['watcher_wakes']:>12}"
        )
