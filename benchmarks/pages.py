"""How long every page and chart of the panel takes on a full store.

    python -m benchmarks pages [--requests 1000000,10000000] [--folder /tmp/fmd-history]
        [--engine sqlite|postgresql] [--rounds 7] [--load 1000] [--only WORD] [--json FILE]

Fills a store for each number of requests (see ``history``; a file that is there is used again), and
asks for every page over WSGI: the whole response, rendered and read. Rounds of the stores are
interleaved. Figures in ms:

- cold: the first answer after the connections were closed and the file was thrown out of the
  memory of the operating system (SQLite);
- warm: median and quartiles of the rounds after it, and the CPU time of the thread, which depends
  less on what else the machine does; the ratio between the stores is of CPU time;
- load: the same with so many requests a second coming in, into the largest store, through a host
  app in a process of its own which stores and merges them as ever.

PostgreSQL runs with its own autovacuum and buffers, and has statistics before it is measured.

Then how long a process takes to start on each store, and what one that showed all pages holds.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from fmd_admin import create_panel
from fmd_admin.store.store import Store
from tests.database_servers import SERVERS, PostgreSQL
from tests.unit.admin.browser import Browser

from . import history, incoming
from .addresses import Address, addresses, last_days
from .calls import spread

USER = {"username": "bench", "password": "not a secret at all"}
LIMIT_MS, MOST_GROWTH = 100.0, 1.3
#: Below this a ratio is of the clock and the machine, not of the store.
_TINY_MS = 5.0
COLD_ROUNDS = 3
#: What PostgreSQL does without a configuration, where servers of tests do otherwise.
AS_INSTALLED = {"autovacuum": "on", "shared_buffers": "128MB"}


class Took(NamedTuple):
    """How long an answer took in ms, on the clock and of its thread's CPU."""

    wall_ms: float
    cpu_ms: float


@dataclass
class Shown:
    """A panel on a store of ``requests``."""

    requests: int
    database: str
    store: Store
    browser: Browser

    def get(self, path: str) -> Took:
        """Ask for a page; return how long its whole answer took."""
        start, used = time.perf_counter(), time.thread_time()
        answer = self.browser.get(path)
        body = answer.get_data()
        took = Took(1000 * (time.perf_counter() - start), 1000 * (time.thread_time() - used))
        if answer.status_code != 200 or not body:
            raise RuntimeError(f"{path} answered {answer.status}: {body[:300]!r}")
        return took

    def chill(self) -> None:
        """Close the connections, and have the operating system forget the file."""
        self.store.close()
        path = self.store.engine.url.database
        if self.store.engine.dialect.name != "sqlite" or not path:
            return
        for name in (path, f"{path}-wal"):
            if os.path.exists(name):
                file = os.open(name, os.O_RDONLY)
                try:
                    os.fsync(file)
                    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
                finally:
                    os.close(file)


def show(requests: int, database: str) -> Shown:
    """Return a panel on the store at ``database``, logged in."""
    settings: dict[str, Any] = {"database": database, "timezone": history.ZONE}
    app = create_panel(settings={**settings, **history.KEEP_ALL, **USER})
    store = app.extensions["fmd_standalone"].store
    browser = Browser(app, prefix="")
    answer = browser.login(USER["username"], USER["password"])
    if answer.status_code != 303:
        raise RuntimeError(f"the login answered {answer.status}")
    return Shown(requests, database, store, browser)


def measure(shown: list[Shown], rounds: int, only: str, *, with_cold: bool) -> dict[str, Any]:
    """Return the figures of every page by its name and number of requests."""
    now_ms = time.time_ns() // 1_000_000
    lists: list[list[Address]] = []
    for one in shown:
        words = {
            "of 7 days": {"range": "7d"},
            "of 90 days": last_days(one.store, now_ms, history.DAYS),
        }
        lists.append([a for a in addresses(one.store, words) if only in a.name])
    figures: dict[str, Any] = {}
    for places in zip(*lists, strict=True):
        name = places[0].name
        pairs = list(zip(shown, places, strict=True))
        cold: dict[int, list[float]] = {one.requests: [] for one in shown}
        warm: dict[int, list[Took]] = {one.requests: [] for one in shown}
        for _ in range(COLD_ROUNDS if with_cold else 0):
            for one, place in pairs:
                one.chill()
                cold[one.requests].append(one.get(place.path).wall_ms)
        for one, place in pairs:
            one.get(place.path)
        for _ in range(rounds):
            for one, place in pairs:
                warm[one.requests].append(one.get(place.path))
        row: dict[str, Any] = {}
        for one in shown:
            found = warm[one.requests]
            cell = row[str(one.requests)] = {
                "warm_ms": spread([took.wall_ms for took in found]),
                "cpu_ms": spread([took.cpu_ms for took in found]),
            }
            if with_cold:
                cell["cold_ms"] = round(statistics.median(cold[one.requests]), 1)
        if len(shown) > 1:
            # Of CPU time: a ratio of times on the clock is that of what else the machine does.
            pairs_ms = zip(warm[shown[0].requests], warm[shown[-1].requests], strict=True)
            row["growth"] = round(statistics.median(b.cpu_ms / a.cpu_ms for a, b in pairs_ms), 2)
        figures[name] = row
        print(line(name, row), flush=True)
    return figures


def line(name: str, row: dict[str, Any]) -> str:
    """Return a page's line of the table."""
    cells = []
    for requests, cell in row.items():
        if requests == "growth":
            continue
        warm, cpu = cell["warm_ms"], cell["cpu_ms"]
        text = f"{warm['median']:7.1f} ({warm['q1']:.0f} to {warm['q3']:.0f})"
        text += f" CPU {cpu['median']:.1f}"
        if "cold_ms" in cell:
            text += f" cold {cell['cold_ms']:.0f}"
        cells.append(f"{text:42}")
    growth = f" x{row['growth']:.2f}" if "growth" in row else ""
    mark = "" if not missed(row) else "  EXCEEDED"
    return f"{name:66}{''.join(cells)}{growth}{mark}"


def missed(row: dict[str, Any]) -> list[str]:
    """Return which of the two limits a page misses."""
    sizes = [key for key in row if key != "growth"]
    most = row[max(sizes, key=int)]
    wrong = []
    if most["warm_ms"]["median"] > LIMIT_MS:
        cpu_ms = most["cpu_ms"]["median"]
        wrong.append(f"{most['warm_ms']['median']:.0f} of {LIMIT_MS:.0f} ms (CPU {cpu_ms:.0f})")
    if row.get("growth", 0.0) > MOST_GROWTH and most["cpu_ms"]["median"] > _TINY_MS:
        wrong.append(f"{row['growth']:.2f} of {MOST_GROWTH} times")
    return wrong


def _start(database: str, answers: Any) -> None:
    """Bind a host app in this process; answer with the seconds until its first answer."""
    from flask import Flask

    from fmd_admin import FMDAdmin

    start = time.perf_counter()
    app = Flask("start")
    app.add_url_rule("/", history.endpoint_name(0), lambda: "hello")
    FMDAdmin(
        app,
        settings={
            **history.KEEP_ALL,
            "database": database,
            "timezone": history.ZONE,
            "spool": "off",
            **USER,
            "monitor_level": 2,
        },
    )
    app.test_client().get("/")
    answers.put(time.perf_counter() - start)
    app.extensions["fmd_admin"].close()


def starts(shown: list[Shown], rounds: int) -> dict[str, Any]:
    """Return how many ms an app takes to bind and to answer first, at level 2."""
    fresh = multiprocessing.get_context("spawn")
    found: dict[str, list[float]] = {str(one.requests): [] for one in shown}
    for _ in range(rounds):
        for one in shown:
            answers = fresh.Queue()
            process = fresh.Process(target=_start, args=(one.database, answers))
            process.start()
            found[str(one.requests)].append(1000 * answers.get(timeout=120))
            process.join()
    return {requests: spread(values) for requests, values in found.items()}


def _hold(requests: int, database: str, answers: Any) -> None:
    """Show every page once in this process; answer with its memory before and at most, in MiB."""
    shown = show(requests, database)
    process = psutil.Process()
    before = process.memory_info().rss / 2**20
    now_ms = time.time_ns() // 1_000_000
    words = {"of 90 days": last_days(shown.store, now_ms, history.DAYS)}
    most = ("", before)
    for place in addresses(shown.store, words):
        shown.get(place.path)
        most = max(most, (place.name, process.memory_info().rss / 2**20), key=lambda m: m[1])
    answers.put((before, most[1], most[0]))


def held(shown: Shown) -> dict[str, Any]:
    """Return what a process holds that shows every page of a store."""
    fresh = multiprocessing.get_context("spawn")
    answers = fresh.Queue()
    process = fresh.Process(target=_hold, args=(shown.requests, shown.database, answers))
    process.start()
    before, most, name = answers.get(timeout=600)
    process.join()
    return {"before_mib": round(before, 1), "most_mib": round(most, 1), "after_page": name}


@contextmanager
def databases(engine: str, folder: Path, sizes: list[int]) -> Iterator[list[str]]:
    """Give the URL of a database for each size."""
    folder.mkdir(parents=True, exist_ok=True)
    if engine == "sqlite":
        yield [f"sqlite:///{folder}/history-{size}.db" for size in sizes]
        return
    with ExitStack() as stack:
        server = SERVERS[engine]()
        if isinstance(server, PostgreSQL):
            server.settings = AS_INSTALLED
        stack.callback(server.remove)
        server.start()
        yield [
            server.create_database(f"history_{size}").render_as_string(hide_password=False)
            for size in sizes
        ]


def _tend(store: Store) -> None:
    """Do what autovacuum would do within a minute: without statistics plans read all rows."""
    with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Fill the stores and measure."""
    sizes = [int(number) for number in options.requests.split(",")]
    figures: dict[str, Any] = {
        "versions": {
            "python": platform.python_version(),
            "flask": version("flask"),
            "sqlalchemy": version("sqlalchemy"),
            "sqlite": sqlite3.sqlite_version,
            "engine": options.engine,
        }
    }
    with databases(options.engine, options.folder, sizes) as urls:
        for size, url in zip(sizes, urls, strict=True):
            store = history.ensure(url, size)
            # What the load of an earlier run has left would be compared with none.
            history.merge(store, time.time_ns() // 1_000_000, at=1)
            if options.engine == "postgresql":
                _tend(store)
            store.close()
        shown = [show(size, url) for size, url in zip(sizes, urls, strict=True)]
        print(f"\nat rest, ms: {' and '.join(f'{size:,}' for size in sizes)} requests")
        cold = not options.warm_only
        figures["rest"] = measure(shown, options.rounds, options.only, with_cold=cold)
        if not options.only:
            figures["start_ms"] = starts(shown, 3)
            figures["held"] = held(shown[-1])
            print(f"start of a process, ms: {figures['start_ms']}")
            print(f"memory of a process that showed every page: {figures['held']}")
        if options.load:
            print(f"\nwith {options.load} requests a second coming in, ms")
            with incoming.requests(urls[-1], options.load) as flow:
                figures["load"] = measure(shown[-1:], options.rounds, options.only, with_cold=False)
            figures["incoming"] = flow.result
            print(f"came in: {flow.result}")
        for one in shown:
            one.store.close()
    return figures


def main(arguments: list[str] | None = None) -> int:
    """The command; see the module's text."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks pages", description=__doc__.split("\n", 1)[0]
    )
    parser.add_argument("--requests", default="1000000,10000000")
    default = Path(tempfile.gettempdir(), "fmd-history")
    parser.add_argument("--folder", type=Path, default=default)
    parser.add_argument("--engine", choices=("sqlite", *SERVERS), default="sqlite")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--load", type=int, default=1_000, help="requests a second; 0: none")
    parser.add_argument("--only", default="", help="a part of the names of the pages")
    parser.add_argument("--warm-only", action="store_true")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args(arguments)
    before = os.getloadavg()[0]
    figures = run(options)
    figures["machine_load"] = {"before": round(before, 2), "after": round(os.getloadavg()[0], 2)}
    rows = {name: missed(row) for name, row in figures["rest"].items()}
    loaded = {f"{name} (load)": missed(row) for name, row in figures.get("load", {}).items()}
    wrong = {name: text for name, text in {**rows, **loaded}.items() if text}
    print(f"\n{len(rows)} pages at rest, {len(loaded)} under load; over a limit: {len(wrong)}")
    for name, text in wrong.items():
        print(f"  {name}: {', '.join(text)}")
    print(f"load of the machine: {before:.1f} before, {figures['machine_load']['after']} after")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
