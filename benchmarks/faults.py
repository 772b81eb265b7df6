"""Do requests stay as quick while the database is locked or away?

    python -m benchmarks faults [--engine sqlite|postgresql|mariadb|all] [--fault-s 30]

Two gunicorn servers run the same app, one with the monitor. Each client sends a request to one and
to the other in turn, at a steady rate, before, during and after a fault: a foreign process holds
SQLite's write lock, or the database server is stopped. Prints the quantiles of the answers' times.
How many requests took longer than the unmonitored p99 + 5 ms is told for both. Fails if the
monitored p99 is more than 5 ms over the other one during the fault or after it, or if a row is
missing or too many in the end.
"""

from __future__ import annotations

import argparse
import http.client
import sqlite3
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from flask import Flask
from sqlalchemy import func, select

from fmd_admin import settings
from fmd_admin.store import schema
from fmd_admin.store.models import Request
from fmd_admin.store.store import Store
from tests.database_servers import SERVERS, DatabaseServer

from .load import APP, PATHS, quantile_ms, serve, wait_for

PHASES = ("before", "during", "after")
WARM_UP = "warm-up"
#: Pairs of requests by each connection, while the processes start.
WARM_PAIRS = 20
WARM_UP_S = 120.0
BUDGET_MS = 5.0
#: The slowest requests that are told one by one.
SHOWN = 4


class Pairs:
    """Sends each request to the unmonitored and to the monitored server, ``rate`` a second."""

    def __init__(self, ports: dict[str, int], rate: float, connections: int) -> None:
        self._ports = ports
        self._pause_s = connections / rate
        self._end = threading.Event()
        self._lock = threading.Lock()
        self.phase = WARM_UP
        #: By phase and server: when each request began on the monotonic clock, and its time.
        self.found_s: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
        self._threads = [
            threading.Thread(target=self._work, args=(number,)) for number in range(connections)
        ]

    def __enter__(self) -> Pairs:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _work(self, number: int) -> None:
        clients = {
            name: http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            for name, port in self._ports.items()
        }
        names, paths = list(clients), list(PATHS)
        due = time.monotonic() + self._pause_s * number / len(self._threads)
        while not self._end.wait(max(0.0, due - time.monotonic())):
            number += 1
            for name in names if number % 2 else reversed(names):
                phase, began = self.phase, time.monotonic()
                clients[name].request("GET", paths[number % len(paths)])
                clients[name].getresponse().read()
                took_s = time.monotonic() - began
                with self._lock:
                    self.found_s[phase, name].append((began, took_s))
            # Who is late does not catch up: that would be a burst.
            due = max(due + self._pause_s, time.monotonic())
        for client in clients.values():
            client.close()

    def sent(self, name: str) -> int:
        return sum(len(self.found_s[phase, name]) for phase in (WARM_UP, *PHASES))

    def times_s(self, phase: str, name: str) -> list[float]:
        return [took_s for _, took_s in self.found_s[phase, name]]

    def warm_up(self) -> None:
        """Wait until the processes have started and answer."""
        deadline = time.monotonic() + WARM_UP_S
        while self.sent("on") < WARM_PAIRS * len(self._threads):
            if time.monotonic() > deadline:
                raise TimeoutError(f"The servers do not answer within {WARM_UP_S:.0f} s.")
            time.sleep(0.1)
        self.phase = PHASES[0]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the write lock of an SQLite file."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=30)
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield
    finally:
        connection.close()


@contextmanager
def stopped(database: DatabaseServer) -> Iterator[None]:
    """Keep a database server off."""
    database.stop()
    try:
        yield
    finally:
        database.start()


def run(engine: str, fault_s: float, calm_s: float, rate: float, connections: int) -> list[str]:
    """Measure one engine; return what is wrong."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = f"sqlite:///{folder}/fmd.db"
        fault: AbstractContextManager[None] = locked(folder / "fmd.db")
        if engine in SERVERS:
            database = SERVERS[engine]()
            stack.callback(database.remove)
            database.start()
            url = database.create_database("fmd").render_as_string(hide_password=False)
            fault = stopped(database)
        (folder / "load.py").write_text(APP.format(folder=str(folder), database=url))
        store = Store(Flask("store"), settings.load(environ={}, code={"database": url}).values)
        stack.callback(store.close)
        schema.migrate(store)
        ports = {name: serve(folder, stack, name).port for name in ("off", "on")}
        with Pairs(ports, rate, connections) as pairs:
            pairs.warm_up()
            time.sleep(calm_s)
            with fault:
                pairs.phase = "during"
                time.sleep(fault_s)
                pairs.phase = "after"
            time.sleep(calm_s)
        wrong = report(engine, pairs, {name: collections(folder, name) for name in ports})
        sent = pairs.sent("on")
        wait_for(store, sent)
        with store.read() as connection:
            stored = connection.scalar(select(func.count()).select_from(Request))
        print(f"  answered {sent:,}, stored {stored:,}")
        if stored != sent:
            wrong.append(f"{engine}: {sent} requests were answered, {stored} are stored")
        return wrong


def collections(folder: Path, name: str) -> list[tuple[float, float]]:
    """Return when the processes of a server collected garbage of all ages, from and to."""
    path = folder / f"collections-{name}"
    lines = path.read_text().splitlines() if path.exists() else []
    return [(float(begin), float(end)) for begin, end in map(str.split, lines)]


def report(engine: str, pairs: Pairs, collected: dict[str, list[tuple[float, float]]]) -> list[str]:
    """Print the figures; return what is over the budget."""
    print(f"{engine}: milliseconds, without and with the monitor")
    wrong = []
    for phase in PHASES:
        off, on = pairs.times_s(phase, "off"), pairs.times_s(phase, "on")
        figures = "  ".join(
            f"{name} {quantile_ms(off, q):6.2f} {quantile_ms(on, q):6.2f}"
            for name, q in (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0))
        )
        print(f"  {phase:7}{len(on):6} requests each: {figures}")
        slow_ms = quantile_ms(off, 0.99) + BUDGET_MS
        for name, title in (("off", "without"), ("on", "with")):
            slow = [one for one in pairs.found_s[phase, name] if one[1] * 1000 > slow_ms]
            meanwhile = [one for one in slow if _during(one, collected[name])]
            print(
                f"    over {slow_ms:.2f} ms {title} the monitor: {len(slow)}, of these "
                f"{len(meanwhile)} while Python collected garbage of all ages{_seen(slow, pairs)}"
            )
        more_ms = quantile_ms(on, 0.99) - quantile_ms(off, 0.99)
        if phase != "before" and more_ms > BUDGET_MS:
            wrong.append(f"{engine}: p99 is {more_ms:.1f} ms over the unmonitored one {phase} it")
    return wrong


def _during(request: tuple[float, float], collected: list[tuple[float, float]]) -> bool:
    began, took_s = request
    return any(begin < began + took_s and began < end for begin, end in collected)


def _seen(slow: list[tuple[float, float]], pairs: Pairs) -> str:
    """Say when the slowest were, in seconds since the fault began."""
    fault_began = min(began for began, _ in pairs.found_s["during", "off"])
    slowest = sorted(slow, key=lambda one: -one[1])[:SHOWN]
    return "".join(
        f"{', ' if number else '; at '}{began - fault_began:.2f} s {took_s * 1000:.1f} ms"
        for number, (began, took_s) in enumerate(slowest)
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--engine", choices=("sqlite", *SERVERS, "all"), default="all")
    parser.add_argument("--fault-s", type=float, default=30.0)
    parser.add_argument("--calm-s", type=float, default=10.0, help="before and after it")
    parser.add_argument("--rate", type=float, default=100.0, help="requests a second to each")
    parser.add_argument("--connections", type=int, default=8)
    options = parser.parse_args(arguments)
    engines = ("sqlite", *SERVERS) if options.engine == "all" else (options.engine,)
    wrong = []
    for engine in engines:
        wrong += run(engine, options.fault_s, options.calm_s, options.rate, options.connections)
    for what in wrong:
        print(f"WRONG {what}", file=sys.stderr)
    return 1 if wrong else 0
