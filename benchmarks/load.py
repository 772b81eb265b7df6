"""Real HTTP against gunicorn: are the rows stored exactly the requests that were answered?

    python -m benchmarks.load [--engine sqlite|postgresql|mariadb|all] [--requests 60000]

Starts a server of the database's own (Debian's packages), gunicorn with 4 processes of 8 threads,
and 64 connections that send the requests. Then compares what the clients saw with the raw rows and
the rollups, and looks for errors in the log. With ``--stop-s 30`` the database is stopped for that
long in the middle (not SQLite). Prints the rates and quantiles of the answers' times, with
``--compare`` also of the same app without the monitor; fails if a figure is not exact.
"""

from __future__ import annotations

import argparse
import http.client
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from flask import Flask
from sqlalchemy import func, select

from fmd_admin import settings
from fmd_admin.store import schema
from fmd_admin.store.models import Endpoint, Hour, HourStatus, Request, RollupDelta
from fmd_admin.store.rollups import merge_deltas
from fmd_admin.store.store import Store
from tests.database_servers import SERVERS, DatabaseServer
from tests.integration.servers import Server, gunicorn

PATHS = {"/": "index", "/json": "json", "/missing": "missing"}
PROCESSES, THREADS, CONNECTIONS = 4, 8, 64
APP = """
import gc, os, time
from flask import Flask, abort, jsonify
from fmd_admin import FMDAdmin

app = Flask("load", instance_path={folder!r})
app.add_url_rule("/", "index", lambda: "hello")
app.add_url_rule("/json", "json", lambda: jsonify({{str(i): i for i in range(20)}}))
app.add_url_rule("/missing", "missing", lambda: abort(404))
monitor = os.environ.get("MONITOR")
begin = []

def note(phase, info):
    begin.append(time.monotonic())
    if phase == "stop":
        if info["generation"] == 2:
            with open({folder!r} + "/collections-" + monitor, "a") as file:
                print(begin[0], begin[-1], file=file)
        begin.clear()

# All threads wait while Python collects garbage of all ages.
gc.callbacks.append(note)
if monitor == "on":
    FMDAdmin(app, settings={{"database": {database!r}, "username": "anna",
        "password": "correct horse"}})
"""
Answers = Counter[tuple[str, int]]


class Clients:
    """Sends requests over kept-alive connections, and times each of them."""

    def __init__(self, port: int, requests: int) -> None:
        self._port = port
        self._left = iter(range(requests))
        self._lock = threading.Lock()
        self.answers: Answers = Counter()
        #: (when it began on the monotonic clock, how long it took), in seconds
        self.times_s: list[tuple[float, float]] = []
        self._threads = [threading.Thread(target=self._work) for _ in range(CONNECTIONS)]

    def _work(self) -> None:
        paths = list(PATHS)
        answers: Answers = Counter()
        times_s: list[tuple[float, float]] = []
        client = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        while True:
            with self._lock:
                number = next(self._left, None)
            if number is None:
                break
            path = paths[number % len(paths)]
            began = time.monotonic()
            client.request("GET", path)
            response = client.getresponse()
            response.read()
            times_s.append((began, time.monotonic() - began))
            answers[PATHS[path], response.status] += 1
        client.close()
        with self._lock:
            self.answers.update(answers)
            self.times_s += times_s

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def wait(self) -> None:
        for thread in self._threads:
            thread.join()


def quantile_ms(times_s: list[float], q: float) -> float:
    return sorted(times_s)[min(int(len(times_s) * q), len(times_s) - 1)] * 1000


def serve(folder: Path, stack: ExitStack, monitor: str) -> Server:
    # A connection may wait long for one of the threads: it must not be closed meanwhile.
    options = ("-w", str(PROCESSES), "-k", "gthread", "--threads", str(THREADS))
    options += ("--keep-alive", "75")
    return stack.enter_context(gunicorn("load:app", folder, *options, MONITOR=monitor))


def report(name: str, clients: Clients) -> None:
    """Print the figures of all but the first quarter: processes start meanwhile."""
    found = sorted(clients.times_s)[len(clients.times_s) // 4 :]
    took_s = max(began + took for began, took in found) - found[0][0]
    times_s = [took for _, took in found]
    p50, p99, most = (quantile_ms(times_s, q) for q in (0.5, 0.99, 1.0))
    rate = len(times_s) / took_s
    print(f"  {name}: {rate:.0f} requests/s, p50 {p50:.1f} ms, p99 {p99:.1f} ms, max {most:.1f} ms")


def run(engine: str, requests: int, stop_s: float, compare: bool) -> list[str]:
    """Run the load on one engine; return what is wrong."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        database, url = None, f"sqlite:///{folder}/fmd.db"
        if engine in SERVERS:
            database = SERVERS[engine]()
            stack.callback(database.remove)
            database.start()
            url = database.create_database("fmd").render_as_string(hide_password=False)
        (folder / "load.py").write_text(APP.format(folder=str(folder), database=url))
        store = Store(Flask("store"), settings.load(environ={}, code={"database": url}).values)
        stack.callback(store.close)
        schema.migrate(store)
        print(engine)
        for monitor in ("off", "on") if compare else ("on",):
            with ExitStack() as serving:
                server = serve(folder, serving, monitor)
                clients = Clients(server.port, requests)
                clients.start()
                if monitor == "on" and stop_s and database is not None:
                    pause(database, stop_s)
                clients.wait()
                report(f"monitor {monitor}", clients)
                if stop_s and monitor == "on":
                    wait_for(store, requests)
        return check(store, clients.answers, server.log, errors_expected=stop_s > 0)


def pause(database: DatabaseServer, stop_s: float) -> None:
    """Stop the database in the middle of the load."""
    time.sleep(2)
    database.stop()
    time.sleep(stop_s)
    database.start()


def wait_for(store: Store, requests: int) -> None:
    """Wait until the processes have stored what they kept; what is missing then is found later."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with store.read() as connection:
            stored = connection.scalar(select(func.count()).select_from(Request)) or 0
        if stored >= requests:
            return
        time.sleep(0.2)


def check(store: Store, answers: Answers, log: str, *, errors_expected: bool) -> list[str]:
    """Compare what clients saw with what is stored."""
    with store.write() as connection:
        merge_deltas(connection, store.timezone, limit=10**9)
    total = sum(answers.values())
    with store.read() as connection:
        raw = connection.execute(
            select(Endpoint.name, Request.status, func.count())
            .join(Endpoint, Endpoint.id == Request.endpoint_id)
            .group_by(Endpoint.name, Request.status)
        )
        stored = Counter({(name, status): hits for name, status, hits in raw})
        rolled = connection.execute(
            select(Endpoint.name, HourStatus.status, func.sum(HourStatus.hits))
            .join(Endpoint, Endpoint.id == HourStatus.endpoint_id)
            .group_by(Endpoint.name, HourStatus.status)
        )
        summed = Counter({(name, status): int(hits) for name, status, hits in rolled})
        hits = connection.scalar(select(func.sum(Hour.hits)))
        waiting = connection.scalar(select(func.count()).select_from(RollupDelta))
    print(f"  answered {total:,}, stored {stored.total():,}, in rollups {summed.total():,}")
    wrong = []
    if stored != answers:
        wrong.append(f"{total} requests were answered, {stored.total()} are stored")
    if summed != answers or hits != total or waiting:
        wrong.append(f"{total} requests were answered, rollups have {summed.total()} and {hits}")
    lines = [line for line in log.splitlines() if "error" in line.lower() or "Traceback" in line]
    if lines and not errors_expected:
        wrong.append("the log has: " + " / ".join(lines[:5]))
    return wrong


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", choices=("sqlite", *SERVERS, "all"), default="all")
    parser.add_argument("--requests", type=int, default=60_000)
    parser.add_argument("--stop-s", type=float, default=0.0)
    parser.add_argument("--compare", action="store_true")
    options = parser.parse_args(arguments)
    engines = ("sqlite", *SERVERS) if options.engine == "all" else (options.engine,)
    wrong = []
    for engine in engines:
        wrong += [
            f"{engine}: {what}"
            for what in run(engine, options.requests, options.stop_s, options.compare)
        ]
    for what in wrong:
        print(f"WRONG {what}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
