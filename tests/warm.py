"""A Python that has imported the package and forks for each command of the tests.

Nine tenths of what a short command or the start of a server takes are imports, and they are the
same for all. What a command does itself is done anew: its process has its own folder, environment,
arguments, files, path of modules and filters of warnings, and ends as any other does.

Tests of what imports do, of threads before a fork or of patched modules start a Python of their
own.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
import types
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy.orm import configure_mappers

ROOT = Path(__file__).parents[1]
MODULES = (
    "fmd_admin.admin.site",
    "fmd_admin.cli",
    "fmd_admin.standalone",
    "fmd_admin.store.migrating",
    "sqlalchemy.dialects.sqlite",
    "flask.cli",
    "flask.testing",
    # Its settings look at the folder where they are imported.
    "gunicorn.arbiter",
    "gunicorn.workers.sync",
    "gunicorn.workers.gthread",
    "psycopg",
    "pymysql",
)
START_S = 60.0
_LARGEST = 1 << 20


class Forked:
    """A process that was forked for a command, as far as it is a ``subprocess.Popen``."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.pid = int(self._line())
        self.returncode: int | None = None

    def _line(self) -> str:
        """The next number; only one is under way at a time."""
        found = b""
        while not found.endswith(b"\n"):
            part = self._connection.recv(64)
            if not part:
                raise ChildProcessError("the process that forks has ended")
            found += part
        return found.decode()

    def poll(self) -> int | None:
        with suppress(subprocess.TimeoutExpired):
            self.wait(timeout=0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            self._connection.settimeout(timeout)
            try:
                self.returncode = int(self._line())
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0) from None
            self._connection.close()
        return self.returncode

    def send_signal(self, how: int) -> None:
        # As with Popen, but for the moment between its end and the word of it.
        if self.poll() is None:
            os.kill(self.pid, how)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


class Warm:
    """The process that forks; ``arguments`` are those that would follow the name of Python."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="fmd-warm-"))
        self._address = str(self._folder / "socket")
        env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        # It ends with its input: never later than we do.
        self._process = subprocess.Popen(
            [sys.executable, "-u", "-m", __name__, self._address],
            cwd=ROOT,
            env=env,
            stdin=subprocess.PIPE,
        )
        self._make_commands()
        deadline = time.monotonic() + START_S
        while not os.path.exists(self._address):
            assert self._process.poll() is None, "see what it has printed"
            assert time.monotonic() < deadline
            time.sleep(0.01)

    @property
    def commands(self) -> Path:
        """A folder for PATH with the commands that are scripts of Python."""
        return self._folder / "bin"

    def _make_commands(self) -> None:
        self.commands.mkdir()
        for name in ("flask", "gunicorn"):
            script = Path(sys.executable).parent / name
            assert script.is_file()
            file = self.commands / name
            file.write_text(
                f"#!{sys.executable} -IS\n{CLIENT.format(script=str(script), to=self._address)}"
            )
            file.chmod(0o700)

    def start(
        self, arguments: Sequence[str], folder: Path, env: Mapping[str, str], out: Any, err: Any
    ) -> Forked:
        """Start a command; ``out`` and ``err`` are files."""
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(self._address)
            wanted = {"arguments": list(arguments), "folder": str(folder), "env": dict(env)}
            with open(os.devnull) as nothing:
                files = [nothing.fileno(), out.fileno(), err.fileno()]
                socket.send_fds(connection, [json.dumps(wanted).encode() + b"\n"], files)
            return Forked(connection)
        except BaseException:
            connection.close()
            raise

    def run(
        self, arguments: Sequence[str], folder: Path, env: Mapping[str, str], timeout_s: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            process = self.start(arguments, folder, env, out, err)
            try:
                code = process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise
            for file in (out, err):
                file.seek(0)
            return subprocess.CompletedProcess(list(arguments), code, out.read(), err.read())

    def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(START_S)
        for name in ("flask", "gunicorn"):
            (self.commands / name).unlink()
        self.commands.rmdir()
        with suppress(FileNotFoundError):
            os.unlink(self._address)
        self._folder.rmdir()


#: A command that hands itself over; it starts in a fiftieth of a second.
CLIENT = """
import json, os, socket, sys
connection = socket.socket(socket.AF_UNIX)
connection.connect({to!r})
arguments = [{script!r}, *sys.argv[1:]]
wanted = {{"arguments": arguments, "folder": os.getcwd(), "env": dict(os.environ)}}
socket.send_fds(connection, [json.dumps(wanted).encode() + b"\\n"], [0, 1, 2])
lines = connection.makefile()
pid, code = int(lines.readline()), int(lines.readline())
sys.exit(code if code >= 0 else 128 - code)
"""


class _Forks:
    """What the forking process does until its input ends."""

    def __init__(self, address: str) -> None:
        self._running: dict[int, socket.socket] = {}
        self._selector = selectors.DefaultSelector()
        self._listener = socket.socket(socket.AF_UNIX)
        # It is there as soon as it listens.
        self._listener.bind(f"{address}.new")
        self._listener.listen(64)
        os.rename(f"{address}.new", address)
        self._ended, to_us = socket.socketpair()
        self._to_us = to_us
        for end in (self._ended, to_us):
            end.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(to_us.fileno())
        for file in (0, self._listener, self._ended):
            self._selector.register(file, selectors.EVENT_READ)

    def next(self) -> dict[str, Any] | None:
        """Return what a new process is to do, in that process; nothing at our own end."""
        while True:
            for key, _ in self._selector.select():
                if key.fileobj == 0:
                    return None
                if key.fileobj is self._ended:
                    self._tell_ends()
                    continue
                wanted = self._accept()
                if wanted is not None:
                    return wanted

    def _tell_ends(self) -> None:
        self._ended.recv(4096)
        while self._running:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            with self._running.pop(pid) as connection, suppress(OSError):
                connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())

    def _accept(self) -> dict[str, Any] | None:
        connection, _ = self._listener.accept()
        data, files, _, _ = socket.recv_fds(connection, _LARGEST, 3)
        while not data.endswith(b"\n"):
            data += connection.recv(_LARGEST)
        pid = os.fork()
        if pid == 0:
            for number, file in enumerate(files):
                os.dup2(file, number)
        for file in files:
            os.close(file)
        if pid == 0:
            self._leave(connection)
            return dict(json.loads(data))
        self._running[pid] = connection
        connection.sendall(f"{pid}\n".encode())
        return None

    def _leave(self, connection: socket.socket) -> None:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._selector.close()
        for mine in (connection, self._listener, self._ended, self._to_us, *self._running.values()):
            mine.close()


def _become(wanted: dict[str, Any]) -> None:
    """Do what ``python`` does with these arguments in this folder and environment."""
    os.chdir(wanted["folder"])
    os.environ.clear()
    os.environ.update(wanted["env"])
    time.tzset()
    arguments: list[str] = wanted["arguments"]
    while arguments[0] == "-W":
        warnings.simplefilter(arguments[1])  # type: ignore[arg-type]
        arguments = arguments[2:]
    python_path = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    first = "" if arguments[0] == "-c" else os.getcwd()
    sys.path[:] = [first, *python_path, *sys.path[1:]]
    importlib.invalidate_caches()
    if arguments[0] == "-c":
        sys.argv = ["-c", *arguments[2:]]
        main = types.ModuleType("__main__")
        main.__dict__["__builtins__"] = __builtins__
        sys.modules["__main__"] = main
        exec(compile(arguments[1], "<string>", "exec"), main.__dict__)
    elif arguments[0] == "-m":
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = arguments
        sys.path[0] = str(Path(arguments[0]).parent)
        runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in MODULES:
            importlib.import_module(name)
        configure_mappers()
    gc.collect()
    gc.freeze()
    command = _Forks(sys.argv[1]).next()
    if command is not None:
        _become(command)
