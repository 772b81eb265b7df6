"""Real gunicorn servers around small apps, and a client that sends them many requests."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ..warm import Forked

ROOT = Path(__file__).parents[2]
START_S = 30.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """A running server process with its port and log."""

    def __init__(self, process: subprocess.Popen[bytes] | Forked, port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self._log = log

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def wait_until_up(self) -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise AssertionError(f"the server did not start:\n{self.log}")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End the server; return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(timeout=30)


def start_python(
    arguments: Sequence[str], folder: Path, env: Mapping[str, str], out: IO[bytes], err: IO[bytes]
) -> subprocess.Popen[bytes] | Forked:
    """Start a Python that has imported nothing; the fixture ``warm_servers`` puts another here."""
    command = [sys.executable, *arguments]
    return subprocess.Popen(command, cwd=folder, stdout=out, stderr=err, env=env)


@contextmanager
def command_server(command: list[str], folder: Path, port: int, **env: str) -> Iterator[Server]:
    """Run a server command in ``folder`` until the block ends."""
    log = folder / f"server-{port}.log"
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **env}
    with log.open("wb") as out:
        process: subprocess.Popen[bytes] | Forked
        if command[0] == sys.executable:
            process = start_python(command[1:], folder, env, out, out)
        else:
            process = subprocess.Popen(command, cwd=folder, stdout=out, stderr=out, env=env)
    server = Server(process, port, log)
    try:
        server.wait_until_up()
        yield server
    finally:
        server.stop()


#: Options of gunicorn: its processes share what is imported, each makes its own app.
IMPORTED = ("-c", str(Path(__file__).with_name("imported.py")))


@contextmanager
def gunicorn(app: str, folder: Path, *options: str, **env: str) -> Iterator[Server]:
    """Serve ``module:app`` (a module in ``folder`` or the checkout) with gunicorn."""
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "-b", f"127.0.0.1:{port}", "--no-control-socket"]
    with command_server([*command, *options, app], folder, port, **env) as server:
        yield server


def send_many(port: int, paths: list[str], connections: int) -> Counter[tuple[str, int]]:
    """GET every path over kept-alive connections; count the answers by path and status."""
    answers: Counter[tuple[str, int]] = Counter()
    lock = threading.Lock()
    queue = iter(paths)

    def work() -> None:
        mine: Counter[tuple[str, int]] = Counter()
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        while True:
            with lock:
                path = next(queue, None)
            if path is None:
                break
            client.request("GET", path)
            response = client.getresponse()
            response.read()
            mine[path, response.status] += 1
        client.close()
        with lock:
            answers.update(mine)

    threads = [threading.Thread(target=work) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers
