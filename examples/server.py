"""Starts and ends a gunicorn in a process of its own, for the programs in this folder."""

from __future__ import annotations

import contextlib
import errno
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STARTING_S = 60.0
STOPPING_S = 15.0
#: How many ports after the asked one are tried.
PORTS = 20


class ServerError(Exception):
    """A server or another process that is needed cannot run; the message says why."""


@contextlib.contextmanager
def listening(host: str = "127.0.0.1", port: int = 0) -> Iterator[socket.socket]:
    """Listen on ``port`` or the next free one; 0 takes any.

    The socket stays ours while servers come and go: requests wait in it instead of failing.
    Raises ServerError where that is not possible.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for candidate in range(port, port + PORTS) if port else (0,):
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, candidate))
        except (OSError, OverflowError) as error:
            listener.close()
            if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
                continue
            raise ServerError(f"cannot listen on {host} port {candidate}: {error}") from error
        with listener:
            listener.listen(128)
            yield listener
        return
    raise ServerError(
        f"ports {port} to {port + PORTS - 1} are all in use; choose another one with --port"
    )


def address_of(listener: socket.socket) -> tuple[str, int]:
    """Where to ask what listens there: 0.0.0.0 and :: are addresses to listen on only."""
    host, port = listener.getsockname()[:2]
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port


def environment(extra: Mapping[str, str], *folders: Path) -> dict[str, str]:
    """Our environment with ``extra``; the checkout and ``folders`` can be imported from."""
    known = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([*map(str, folders), str(ROOT), *([known] if known else [])])
    return {**os.environ, "PYTHONPATH": path, **extra}


class Gunicorn:
    """One gunicorn on a socket that is listening already. Its output goes to the file ``log``."""

    def __init__(
        self,
        target: str,
        listener: socket.socket,
        environ: Mapping[str, str],
        log: Path,
        *,
        workers: int = 2,
        threads: int = 4,
    ) -> None:
        number = listener.fileno()
        command = [sys.executable, "-m", "gunicorn", "--no-control-socket", target]
        command += ["--bind", f"fd://{number}", "--graceful-timeout", "10"]
        command += ["--workers", str(workers), "--threads", str(threads)]
        self.log = log
        self.address = address_of(listener)
        with log.open("ab") as output:
            # A session of its own: Ctrl-C reaches only us, and we end the rest in order.
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=dict(environ),
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                pass_fds=(number,),
                start_new_session=True,
            )

    def wait(self, path: str, is_given_up: Callable[[], bool] = lambda: False) -> bool:
        """Wait until GET ``path`` is answered; False if given up. Raises ServerError."""
        end = time.monotonic() + STARTING_S
        while not is_given_up():
            self.check()
            if time.monotonic() > end:
                raise ServerError(f"the server does not answer. {self.last_lines()}")
            connection = http.client.HTTPConnection(*self.address, timeout=1)
            try:
                connection.request("GET", path)
                connection.getresponse().read()
                return True
            except (OSError, http.client.HTTPException):
                time.sleep(0.1)
            finally:
                connection.close()
        return False

    def check(self) -> None:
        """Raise ServerError if it is gone."""
        if self.process.poll() is not None:
            raise ServerError(f"the server ended by itself. {self.last_lines()}")

    def last_lines(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:]
        return "Its last lines:\n" + "\n".join(lines)

    def end(self) -> None:
        end(self.process)


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask a child to end; kill it and all of its own children if it does not."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(STOPPING_S)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
