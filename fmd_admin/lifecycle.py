"""Sees the forks and the end of a process, without keeping what watches them alive."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from types import FrameType
from typing import Protocol
from weakref import ref


class Watched(Protocol):
    """What wants to know."""

    def after_fork(self) -> None:
        """Called in a child right after a fork."""

    def close(self) -> None:
        """Called at the end of the process, and on SIGTERM where the server does not handle it."""


def threads_available() -> bool:
    """Tell whether a thread of ours would run: uWSGI without enable-threads only lets it start."""
    uwsgi = sys.modules.get("uwsgi")
    if uwsgi is None:
        return True
    options = getattr(uwsgi, "opt", {})
    return bool(options.get("enable-threads") or options.get("threads"))


def watch(target: Watched) -> None:
    """Call ``target`` as long as something else keeps it alive."""
    weak = ref(target)

    def after_fork() -> None:
        found = weak()
        if found is not None:
            found.after_fork()

    def close() -> None:
        found = weak()
        if found is not None:
            found.close()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=after_fork)
    atexit.register(close)
    if threading.current_thread() is threading.main_thread():
        _close_on_sigterm(weak)


class _Sigterm:
    """A handler that closes everything and then lets SIGTERM end the process as before."""

    def __init__(self) -> None:
        self.targets: list[ref[Watched]] = []

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        for weak in self.targets:
            target = weak()
            if target is not None:
                target.close()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


def _close_on_sigterm(weak: ref[Watched]) -> None:
    """``flask run`` and waitress leave SIGTERM to the system, which skips atexit."""
    current = signal.getsignal(signal.SIGTERM)
    if current is signal.SIG_DFL:
        current = _Sigterm()
        signal.signal(signal.SIGTERM, current)
    if isinstance(current, _Sigterm):
        current.targets = [known for known in current.targets if known() is not None]
        current.targets.append(weak)
