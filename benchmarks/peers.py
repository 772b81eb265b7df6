"""What fmd_admin is compared with: other packages, each in a virtual environment of its own.

The environments are made once, in a folder that stays (``--venvs``), from PyPI.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .calls import Cost

ROOT = Path(__file__).resolve().parents[1]
VENVS = Path(tempfile.gettempdir(), "fmd-benchmark-venvs")
#: The longest that a peer may take to store what it was asked; FMD takes 6 ms a request.
LONGEST_S = 600.0


@dataclass(frozen=True)
class Package:
    """What is installed into one virtual environment, and whose version is printed."""

    name: str
    requirements: tuple[str, ...]


FMD = Package("Flask-MonitoringDashboard", ("Flask-MonitoringDashboard==5.1.0",))
PROMETHEUS = Package("prometheus-flask-exporter", ("prometheus-flask-exporter",))
OPENTELEMETRY = Package(
    "opentelemetry-instrumentation-flask",
    ("opentelemetry-instrumentation-flask", "opentelemetry-sdk"),
)
PYINSTRUMENT = Package("pyinstrument", ("pyinstrument",))


@dataclass(frozen=True)
class Peer:
    """One way to watch an app: the ``kind`` of :mod:`benchmarks.peer_apps`, and its level."""

    name: str
    package: Package
    kind: str
    level: int = 0


PEERS = (
    *(Peer(f"FMD 5.1.0 level {level}", FMD, "fmd", level) for level in range(4)),
    Peer("prometheus exporter", PROMETHEUS, "prometheus"),
    Peer("OpenTelemetry", OPENTELEMETRY, "opentelemetry"),
    Peer("pyinstrument", PYINSTRUMENT, "pyinstrument"),
)


def chosen(words: str) -> list[Peer]:
    """Return the peers whose name holds one of the comma-separated ``words``; "all" for all."""
    if words == "all":
        return list(PEERS)
    wanted = [word.strip().lower() for word in words.split(",") if word.strip()]
    return [peer for peer in PEERS if any(word in peer.name.lower() for word in wanted)]


def python_of(package: Package, venvs: Path) -> str:
    """Return the Python of a package's virtual environment; it is made if need be."""
    folder = venvs / package.name
    python = folder / "bin" / "python"
    done = folder / "installed"
    if not done.exists():
        shutil.rmtree(folder, ignore_errors=True)
        print(f"installing {package.name} into {folder}", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        # The same Flask as ours, so that the bare app is the same.
        from importlib.metadata import version

        ours = [f"{name}=={version(name)}" for name in ("flask", "werkzeug", "gunicorn")]
        pip = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, *package.requirements, *ours], check=True)
        done.touch()
    return str(python)


def version_of(package: Package, venvs: Path) -> str:
    """Return which version of a package is installed."""
    code = f"from importlib.metadata import version; print(version({package.name!r}))"
    found = subprocess.run(
        [python_of(package, venvs), "-c", code], check=True, capture_output=True, text=True
    )
    return found.stdout.strip()


def environment() -> dict[str, str]:
    """Return the environment of a peer's process: it finds this package, and nothing else."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}


class RemoteVariant:
    """A peer in a process of its own that is asked like a variant of ours."""

    def __init__(self, peer: Peer, venvs: Path, folder: Path, steps_per_ms: float) -> None:
        self.peer = peer
        self.name = peer.name
        self.monitor = None
        self.answered = 0
        self.rows: int | None = None
        self._log = (folder / f"{peer.name.replace(' ', '-')}.log").open("w")
        work = folder / peer.name.replace(" ", "-")
        work.mkdir()
        self._process = subprocess.Popen(
            [
                *(python_of(peer.package, venvs), "-m", "benchmarks.peer_worker"),
                *(peer.kind, str(peer.level), str(work), str(steps_per_ms)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            cwd=work,
            env=environment(),
        )
        self._ask({"do": "begin"})

    def _ask(self, what: dict[str, Any]) -> dict[str, Any]:
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(what) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} has ended; see {self._log.name}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def measure(self, path: str, requests: int, threads: int) -> Cost:
        """Return what one request costs on average, and what it added to threads and memory."""
        answer = self._ask(
            {"do": "measure", "path": path, "requests": requests, "threads": threads}
        )
        self.answered += answer["requests"]
        return Cost(*answer["cost"])

    def count(self) -> dict[str, Any]:
        """Return what it stored of the requests that it answered; rows None: it stores none."""
        return {"answered": self.answered, **self._ask({"do": "count"})}

    def close(self) -> None:
        """End the process."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(OSError):
            process.stdin.close()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
        self._log.close()


def remote(peers: Sequence[Peer], venvs: Path, folder: Path, steps: float) -> list[RemoteVariant]:
    """Start the processes of ``peers``."""
    found: list[RemoteVariant] = []
    try:
        for peer in peers:
            found.append(RemoteVariant(peer, venvs, folder, steps))
    except BaseException:
        for variant in found:
            variant.close()
        raise
    return found
