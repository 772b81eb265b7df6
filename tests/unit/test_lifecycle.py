"""How processes end in which an application is bound."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask

from fmd_admin import lifecycle

from ..support import Bound, get

Bind = Callable[..., Bound]
ROOT = Path(__file__).parents[2]

#: The logger's handler keeps what it gets until it is flushed; so does the output of a process.
SCRIPT = """
import atexit, logging, logging.handlers, multiprocessing, signal, sys, time
from flask import Flask
from fmd_admin import FMDAdmin

log = logging.handlers.MemoryHandler(100, target=logging.StreamHandler(sys.stdout))
logging.getLogger("host").addHandler(log)
app = Flask("host", instance_path={folder!r})
FMDAdmin(app, settings=dict(database="sqlite:///{folder}/fmd.db", panel=False,
    username="anna", password="correct horse"))
atexit.register(print, "exit function")
app.add_url_rule("/", "index", lambda: "hello")
app.test_client().get("/").close()


def work(pipe):
    pipe.send("began")
    try:
        time.sleep(60)
    finally:
        print("child unwound", flush=True)


ours, theirs = multiprocessing.Pipe()
child = multiprocessing.get_context("fork").Process(target=work, args=(theirs,))
child.start()
ours.recv()
child.terminate()
child.join()
print("child", child.exitcode)
logging.getLogger("host").warning("log")
try:
    signal.raise_signal(signal.SIGTERM)
finally:
    print("unwound")
"""


def test_sigterm_unwinds_and_ends_the_process_and_its_children_know_nothing_of_us(
    tmp_path: Path,
) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(folder=str(tmp_path)))
    done = subprocess.run(
        [sys.executable, str(script)],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        *(f"child {-signal.SIGTERM}", "unwound", "exit function", "log")
    ]
    assert done.returncode == -signal.SIGTERM
    assert not list(tmp_path.rglob("*.spool")), "all is stored"


class Target:
    """Something that is bound."""

    def __init__(self) -> None:
        self.idle = True
        self.closed = 0

    def close(self) -> None:
        self.closed += 1

    before_fork = after_fork_in_parent = after_fork = close


def test_who_measured_nothing_does_not_wait_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    ends: list[Any] = []
    slept: list[float] = []
    monkeypatch.setattr(lifecycle, "atexit", SimpleNamespace(register=ends.append))
    monkeypatch.setattr(lifecycle, "time", SimpleNamespace(sleep=slept.append))
    target = Target()
    lifecycle.watch(target)
    ends[-1]()
    assert (target.closed, slept) == (1, [])
    target.idle = False
    ends[-1]()
    assert (target.closed, len(slept)) == (2, 1)


@pytest.mark.parametrize("spool", [True, False])
def test_an_application_is_idle_until_it_is_asked(bind: Bind, tmp_path: Path, spool: bool) -> None:
    app = Flask("host", instance_path=str(tmp_path))
    app.add_url_rule("/", "index", lambda: "hello")
    bound = bind(app, spool="on" if spool else "off")
    assert bound.monitor.idle
    get(app, "/")
    assert not bound.monitor.idle
    bound.rows()
    assert not bound.monitor.idle
