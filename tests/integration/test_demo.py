"""``manage.py demo`` as a stranger runs it: real processes, real requests, a clean end."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from examples import server
from examples.shop.app import create_app
from examples.shop.client import Tally
from fmd_admin import settings
from fmd_admin.extension import open_store
from tests.support import Stored, stored_rows

from .test_shop import by_endpoint, endpoints

pytestmark = pytest.mark.server


@contextmanager
def demo(folder: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """Run the demo from another folder with its data in ``folder``."""
    command = [sys.executable, str(server.ROOT / "manage.py"), "demo", "--port", "0"]
    command += ["--keep", str(folder / "kept"), *options]
    process = subprocess.Popen(
        command, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=60)


def started_by(folder: Path) -> list[str]:
    """Processes, of anybody, that belong to the demo in ``folder``."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        try:
            about = [*(process.info["cmdline"] or ()), process.environ().get("SHOP_FOLDER", "")]
        except psutil.Error:
            continue
        if any(str(folder) in word for word in about):
            found.append(" ".join(about))
    return found


def rows_in(folder: Path) -> list[Stored]:
    store = open_store(settings.load(environ={}).values, folder / "kept")
    try:
        return stored_rows(store)
    finally:
        store.close()


def test_two_releases_and_true_hits(tmp_path: Path) -> None:
    with demo(tmp_path, "--version-switch-s", "6", "--seconds", "14") as process:
        output, _ = process.communicate(timeout=90)
    assert process.returncode == 0, output
    assert re.search(r"Password  \S{16}", output)
    assert "Release 2.0 of the shop has taken over." in output
    content = json.loads((tmp_path / "kept" / "traffic.json").read_text())
    tally = Tally(Counter({tuple(row[:3]): row[3] for row in content["answered"]}))
    rows = rows_in(tmp_path)
    app = create_app("2.0", tmp_path / "kept", "key")
    assert Counter(row.endpoint for row in rows) == by_endpoint(app, tally)
    sent: Counter[tuple[str, int]] = Counter()
    for (method, _, status), count in tally.answered.items():
        sent[method, status] += count
    assert Counter((row.method, row.status) for row in rows) == sent
    assert {row.endpoint for row in rows} >= endpoints(app)
    assert {row.version for row in rows} == {"1.9", "2.0"}
    assert {"anna", "bart", "visitor"} <= {row.group for row in rows}
    assert len({row.ip for row in rows}) > 5
    assert started_by(tmp_path) == []
    assert "fmd_admin" not in errors_in(tmp_path)


def errors_in(folder: Path) -> str:
    """What the server logged, less the shop's own faults."""
    lines = (folder / "kept" / "server.log").read_text().splitlines()
    return "\n".join(line for line in lines if "fmd_admin" in line and "site-packages" not in line)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_everything(tmp_path: Path, number: signal.Signals) -> None:
    with demo(tmp_path) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("Release 1.9"):
                break
        time.sleep(1)  # For requests to be on their way; the outcome does not hang on it.
        assert len(started_by(tmp_path)) > 3
        process.send_signal(number)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert "requests sent and answered" in output
    assert "Traceback" not in output
    assert started_by(tmp_path) == []


def test_a_signal_during_the_start_ends_everything(tmp_path: Path) -> None:
    with demo(tmp_path) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("Shop")
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert started_by(tmp_path) == []


def test_a_busy_port_gives_way_to_the_next() -> None:
    with server.listening() as first:
        busy = first.getsockname()[1]
        with server.listening(port=busy) as second:
            assert busy < second.getsockname()[1] < busy + server.PORTS
        with pytest.raises(server.ServerError, match="cannot listen on 203"):
            server.listening("203.0.113.1", busy).__enter__()
