"""A forked command is what a Python of its own would be, as far as tests can tell."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from ..warm import Warm


@pytest.mark.parametrize(
    ("code", "ends"),
    [
        ("pass", 0),
        ("import sys; sys.exit(3)", 3),
        ("1 / 0", 1),
        ("import os; os.kill(os.getpid(), 9)", -signal.SIGKILL),
    ],
)
def test_ends(warm: Warm, tmp_path: Path, code: str, ends: int) -> None:
    assert warm.run(["-c", code], tmp_path, os.environ).returncode == ends


def test_what_a_command_finds(warm: Warm, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("import os, sys\nprint(os.getcwd(), os.environ, sys.argv)")
    done = warm.run(["-c", "import mine", "--x"], tmp_path, {"ONLY": "this"})
    assert done.stdout == f"{tmp_path} environ({{'ONLY': 'this'}}) ['-c', '--x']\n"


def test_threads_and_what_is_left_for_the_end_come_to_it(warm: Warm, tmp_path: Path) -> None:
    code = """
import atexit, threading, time
atexit.register(print, "end")
threading.Thread(target=lambda: (time.sleep(0.1), print("thread"))).start()
"""
    assert warm.run(["-c", code], tmp_path, os.environ).stdout == "thread\nend\n"


def test_warnings_are_errors_where_they_are_asked_to_be(warm: Warm, tmp_path: Path) -> None:
    warn = ["-c", "import warnings; warnings.warn('old', DeprecationWarning)"]
    assert warm.run(warn, tmp_path, os.environ).returncode == 0
    assert warm.run(["-W", "error", *warn], tmp_path, os.environ).returncode == 1


def test_it_has_what_a_new_process_has(warm: Warm, tmp_path: Path) -> None:
    code = """
import os, signal, sys, threading
print(len(os.listdir("/proc/self/fd")), threading.active_count())
print(signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL, "fmd_admin.admin.site" in sys.modules)
"""
    # The three, and the one of the folder that is read.
    assert warm.run(["-c", code], tmp_path, os.environ).stdout == "4 1\nTrue True\n"
