"""How many requests a second gunicorn answers with fmd_admin, beside the same app without it.

    python -m benchmarks throughput [--sittings 3] [--rounds 4] [--seconds 1.5]
        [--workers sync,gthread] [--paths /work,/json] [--together] [--peers all|fmd,prometheus]
        [--json FILE]

One gunicorn with one worker process for each app, all on one processor; the client, on another
one, keeps as many requests under way as the worker takes at once (1 for sync, 8 for gthread with 8
threads). Rounds are interleaved: each server is asked for some seconds in turn. A part is that of
the bare app's rate in the same round; "bare again" is a second server of the same app, and says
how much of a part is noise. A process is quicker or slower than its twin for as long as it lives,
so that takes many sittings; with ``--together`` one process serves the bare app and all of ours, in
turns that end when all is stored, and only peers have processes of their own. Turns of 0.9 s, with
``--together --seconds 0.9 --rounds 25``, have one flush each as a server has in that time; shorter
ones have more of them, longer ones more of what the processors' pace does from second to second.
"By CPU" is the same part by the CPU time of the server's processes, which is what is left of the
rate where nothing else runs on the machine. At the end the servers are stopped, and the rows stored
are compared with the answers that arrived.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import selectors
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from .apps import calibrate
from .calls import spread
from .peers import VENVS, Package, chosen, environment, python_of, version_of

WORKERS = {"sync": 1, "gthread": 8}
#: The part of the bare app's rate that must be left, by our level and path.
WANTED = {(1, "/work"): 0.97, (1, "/json"): 0.90, (3, "/work"): 0.93}
START_S = 60.0
#: The watcher of levels 2 and 3 sleeps by then.
ASLEEP_S = 0.12
STOP_S = 120.0
READ = 65_536


@dataclass
class Served:
    """One app behind a gunicorn of its own."""

    name: str
    kind: str
    level: int
    package: Package | None
    folder: Path
    process: subprocess.Popen[bytes] | None = None
    port: int = 0
    answered: int = 0
    #: The one whose process serves this one too, and those that it serves.
    host: Served | None = None
    guests: list[Served] = field(default_factory=list)
    rates: dict[str, list[float]] = field(default_factory=dict)
    cpu_us: dict[str, list[float]] = field(default_factory=dict)

    def start(self, worker: str, venvs: Path, steps: float, processor: int) -> None:
        """Start it, and wait until it answers."""
        if self.host is not None:
            self.process, self.port = self.host.process, self.host.port
            self.answered += ask(self.port, f"{self.prefix}/", 1, 0.0)[0]
            return
        python = sys.executable if self.package is None else python_of(self.package, venvs)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        threads = ["--threads", str(WORKERS[worker])] if worker == "gthread" else []
        module = "benchmarks.served_app:app"
        command = [
            *("taskset", "-c", str(processor), python, "-m", "gunicorn", module, "-w", "1"),
            *("-b", f"127.0.0.1:{self.port}", "--no-control-socket"),
            *("-k", worker, *threads, "--keep-alive", "75", "--timeout", "300"),
            *("--graceful-timeout", str(int(STOP_S))),
        ]
        told = {
            "BENCHED_KIND": self.kind,
            "BENCHED_LEVEL": str(self.level),
            "BENCHED_FOLDER": str(self.folder),
            "BENCHED_STEPS": str(steps),
        }
        if self.guests:
            names = [one.folder.name for one in (self, *self.guests)]
            told |= {"BENCHED_TOGETHER": ",".join(names), "BENCHED_FOLDER": str(self.folder.parent)}
        log = (self.folder / "server.log").open("ab")
        with log:
            self.process = subprocess.Popen(
                command,
                cwd=self.folder,
                env={**environment(), **told},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_S
        while True:
            try:
                if ask(self.port, f"{self.prefix}/", 1, 0.0)[0]:
                    break
            except OSError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    text = (self.folder / "server.log").read_text()[-2000:]
                    raise RuntimeError(f"{self.name} does not answer: {text}") from None
                time.sleep(0.05)
        self.answered += 1

    @property
    def prefix(self) -> str:
        """What its paths begin with."""
        return f"/{self.folder.name}" if self.host or self.guests else ""

    def turn(self, path: str, connections: int, seconds: float) -> None:
        """Ask it for some seconds, and note rate and CPU time."""
        before_s = self.cpu_s()
        answered, took_s = ask(self.port, self.prefix + path, connections, seconds)
        if self.prefix:
            # All is stored within the turn: the next one's must have nothing of it.
            took_s += ask(self.port, f"{self.prefix}/flush", 1, 0.0)[1]
            self.answered += 1
        spent_s = self.cpu_s() - before_s
        self.answered += answered
        self.rates.setdefault(path, []).append(answered / took_s)
        self.cpu_us.setdefault(path, []).append(1e6 * spent_s / answered)
        if self.prefix:
            time.sleep(ASLEEP_S)

    def cpu_s(self) -> float:
        """Return the CPU time of its processes so far."""
        assert self.process is not None
        parent = psutil.Process(self.process.pid)
        times = [one.cpu_times() for one in (parent, *parent.children(recursive=True))]
        return sum(one.user + one.system for one in times)

    def stop(self) -> None:
        """Stop it as a deployment does, so that it can store what is left."""
        if self.host is None and self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()

    def rows(self) -> int | None:
        """Return how many requests are stored; None where none are."""
        table = {"ours": "fmd_request", "fmd": "Request"}.get(self.kind)
        path = self.folder / ("ours.db" if self.kind == "ours" else "fmd.db")
        if table is None or self.level == 0 or not path.exists():
            return None
        with sqlite3.connect(path) as connection:
            return int(connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0])


def ask(port: int, path: str, connections: int, seconds: float) -> tuple[int, float]:
    """Keep ``connections`` requests under way; return the answers and the seconds they took.

    At least one is sent on each. A worker that closes its connections gets new ones.
    """
    order = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
    answered = 0
    with selectors.DefaultSelector() as waiting:
        buffers: dict[socket.socket, bytes] = {}

        def send(made: socket.socket | None) -> None:
            if made is None:
                made = socket.create_connection(("127.0.0.1", port), 60)
                made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                waiting.register(made, selectors.EVENT_READ)
            buffers[made] = b""
            made.sendall(order)

        def drop(made: socket.socket) -> None:
            waiting.unregister(made)
            made.close()
            del buffers[made]

        began = time.perf_counter()
        for _ in range(connections):
            send(None)
        while buffers:
            for key, _ in waiting.select():
                made: Any = key.fileobj
                data = made.recv(READ)
                buffers[made] += data
                whole, closes = _is_whole(buffers[made])
                if not whole:
                    if not data:
                        raise ConnectionError(f"{path}: the answer is cut off")
                    continue
                answered += 1
                going_on = time.perf_counter() - began < seconds
                if closes or not going_on:
                    drop(made)
                    made = None
                if going_on:
                    send(made)
        return answered, time.perf_counter() - began


def _is_whole(data: bytes) -> tuple[bool, bool]:
    """Tell whether ``data`` is a whole answer, and whether its server closes the connection."""
    head, gap, body = data.partition(b"\r\n\r\n")
    if not gap:
        return False, False
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"answered {head[:60]!r}")
    lowered = head.lower()
    length = int(lowered.split(b"content-length:")[1].split(b"\r\n")[0])
    return len(body) >= length, b"connection: close" in lowered


def interleave(served: Sequence[Served], path: str, connections: int, options: Any) -> None:
    """Ask each server in turn, for some rounds."""
    for one in served:
        one.answered += ask(one.port, one.prefix + path, connections, 0.3)[0]
    for number in range(options.rounds):
        shift = number % len(served)
        for one in (*served[shift:], *served[:shift]):
            one.turn(path, connections, options.seconds)


def table(served: Sequence[Served], path: str) -> dict[str, Any]:
    """Return medians, and the parts of the bare app's rate in the same rounds."""
    bare, bare_us = served[0].rates[path], served[0].cpu_us[path]
    rows: dict[str, Any] = {}
    for one in served:
        parts = [mine / its for mine, its in zip(one.rates[path], bare, strict=True)]
        by_cpu = [its / mine for mine, its in zip(one.cpu_us[path], bare_us, strict=True)]
        rows[one.name] = {
            "per_second": spread(one.rates[path]),
            "part": _spread(parts),
            "by_cpu": _spread(by_cpu),
            "cpu_us": round(statistics.median(one.cpu_us[path]), 1),
        }
    return rows


def _spread(values: list[float]) -> dict[str, float]:
    # To a hundredth of a percent.
    return {name: value / 100 for name, value in spread([100 * value for value in values]).items()}


def show(title: str, rows: dict[str, Any]) -> None:
    """Print one table."""
    print(f"\n{title}")
    print(
        f"{'':24}{'requests a second':>26}{'part of the bare app':>30}{'by CPU':>30}{'CPU µs':>9}"
    )
    for name, row in rows.items():
        rate = row["per_second"]
        line = f"{name:24}{rate['median']:10.0f} ({rate['q1']:.0f} to {rate['q3']:.0f})".ljust(50)
        for part in (row["part"], row["by_cpu"]):
            low, high = 100 * part["q1"], 100 * part["q3"]
            line += f"{100 * part['median']:11.1f} % ({low:.1f} to {high:.1f})".ljust(30)
        print(f"{line}{row['cpu_us']:9.0f}", flush=True)


def apps(folder: Path, peers: str, levels: Sequence[int], together: bool) -> list[Served]:
    """Return the apps that are compared; the first is the bare one."""
    wanted: list[tuple[str, str, int, Package | None]] = [
        ("bare", "bare", 0, None),
        ("bare again", "bare", 0, None),
        *((f"level {level}", "ours", level, None) for level in levels),
        *((peer.name, peer.kind, peer.level, peer.package) for peer in chosen(peers)),
    ]
    found = []
    for name, kind, level, package in wanted:
        mine = folder / f"{kind}-{level}-{len(found)}"
        mine.mkdir(parents=True)
        found.append(Served(name, kind, level, package, mine))
    if together:
        found[0].guests = [one for one in found[1:] if one.package is None]
        for one in found[0].guests:
            one.host = found[0]
    return found


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Serve, ask and count."""
    figures: dict[str, Any] = {"versions": versions(options)}
    processors = sorted(os.sched_getaffinity(0))
    if len(processors) < 2:
        raise SystemExit("Two processors are needed: one for the servers, one for the client.")
    levels = [int(level) for level in options.levels.split(",")]
    steps = calibrate()
    for worker in options.workers.split(","):
        with tempfile.TemporaryDirectory() as folder:
            served = apps(Path(folder), options.peers, levels, options.together)
            for _ in range(options.sittings):
                sit(served, worker, steps, processors, options)
            for path in options.paths.split(","):
                rows = table(served, path)
                figures[f"{worker} {path}"] = rows
                show(f"{worker}, {path}", rows)
            counts = figures[f"{worker} rows"] = {}
            for one in served:
                rows_stored = one.rows()
                if rows_stored is not None:
                    counts[one.name] = {"answered": one.answered, "stored": rows_stored}
                    print(f"{one.name}: {one.answered:,} answered, {rows_stored:,} stored")
    return figures


def sit(
    served: Sequence[Served],
    worker: str,
    steps: float,
    processors: list[int],
    options: argparse.Namespace,
) -> None:
    """Start all servers, ask them for some rounds, and stop them."""
    with ExitStack() as stack:
        for one in served:
            stack.callback(one.stop)
            one.start(worker, options.venvs, steps, processors[0])
        os.sched_setaffinity(0, set(processors[1:]))
        try:
            for path in options.paths.split(","):
                interleave(served, path, WORKERS[worker], options)
        finally:
            os.sched_setaffinity(0, set(processors))


def versions(options: argparse.Namespace) -> dict[str, str]:
    """Return the versions of what is compared."""
    found = {"python": platform.python_version(), "flask": version("flask")}
    found["gunicorn"] = version("gunicorn")
    for peer in chosen(options.peers):
        found[peer.package.name] = version_of(peer.package, options.venvs)
    return found


def verdicts(figures: dict[str, Any]) -> list[str]:
    """Return a line for each part that must be left."""
    lines = []
    for key, rows in figures.items():
        worker, _, path = key.partition(" ")
        for (level, wanted_path), wanted in WANTED.items():
            row = rows.get(f"level {level}") if path == wanted_path else None
            if row:
                for kind, what in (("part", "rate"), ("by_cpu", "CPU")):
                    part = row[kind]["median"]
                    verdict = "holds" if part >= wanted else "MISSED"
                    noise = 100 * abs(1 - rows["bare again"][kind]["median"])
                    lines.append(
                        f"{worker}, {path}, level {level}, by {what}: {100 * part:.1f} % of "
                        f"{100 * wanted:.0f} % wanted, bare against bare {noise:.1f} % apart: "
                        f"{verdict}"
                    )
    return lines


def main(arguments: list[str] | None = None) -> int:
    """The command; see the module's text."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks throughput", description=__doc__.split("\n", 1)[0]
    )
    parser.add_argument("--sittings", type=int, default=3, help="times that all are started")
    parser.add_argument("--rounds", type=int, default=4, help="of each sitting")
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--workers", default=",".join(WORKERS))
    parser.add_argument("--paths", default="/work,/json")
    parser.add_argument("--levels", default="1,2,3")
    parser.add_argument("--together", action="store_true", help="one process for all of ours")
    parser.add_argument("--peers", default="", help='others to measure as well: "all", "fmd" …')
    parser.add_argument("--venvs", type=Path, default=VENVS, help="where theirs are installed")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args(arguments)
    before = os.getloadavg()[0]
    # The servers must not outlive it, however it ends.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    figures = run(options)
    print("\nwanted")
    for text in verdicts(figures):
        print(f"  {text}")
    figures["machine_load"] = {"before": round(before, 2), "after": round(os.getloadavg()[0], 2)}
    print(f"load of the machine: {before:.1f} before, {figures['machine_load']['after']} after")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
