"""Sees the forks and the end of a process, without keeping what watches them alive."""

from __future__ import annotations

import atexit
import gc
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol
from weakref import ref

#: How long the end of a process waits for threads that are finishing a request.
_LAST_ANSWERS_S = 0.1


class Watched(Protocol):
    """What wants to know."""

    @property
    def idle(self) -> bool:
        """Whether it has nothing to do with any request of this process."""

    def before_fork(self) -> None:
        """Called before the process forks."""

    def after_fork_in_parent(self) -> None:
        """Called after a fork, in the process that forked."""

    def after_fork(self) -> None:
        """Called in a child right after a fork."""

    def close(self) -> None:
        """Called at the end of the process."""


def threads_available() -> bool:
    """Tell whether a thread of ours would run: uWSGI without enable-threads only lets it start."""
    uwsgi = sys.modules.get("uwsgi")
    if uwsgi is None:
        return True
    options = getattr(uwsgi, "opt", {})
    return bool(options.get("enable-threads") or options.get("threads"))


def collect_garbage() -> None:
    """Let Python look through everything now, before requests come in.

    It does so whenever a quarter more has come to stay, and all threads wait meanwhile: some 80 ms
    with what an app and we have imported. In most processes that was within their first minute.
    """
    if gc.isenabled():
        gc.collect()


def watch(target: Watched) -> None:
    """Call ``target`` as long as something else keeps it alive."""
    weak = ref(target)
    # By thread, as some may fork at once. Kept alive meanwhile: who waits for the end of the fork
    # must be let go.
    forking: dict[int, Watched] = {}

    def before_fork() -> None:
        found = weak()
        if found is not None:
            forking[threading.get_ident()] = found
            found.before_fork()

    def after_fork_in_parent() -> None:
        found = forking.pop(threading.get_ident(), None)
        if found is not None:
            found.after_fork_in_parent()

    def after_fork() -> None:
        # Not only those in ``forking``: uWSGI may leave the hooks before the fork out.
        forking.clear()
        _leave_sigterm()
        found = weak()
        if found is not None:
            found.after_fork()

    def close() -> None:
        found = weak()
        if found is not None:
            if not found.idle:
                # Clients may have answers whose bodies their threads are only about to close.
                time.sleep(_LAST_ANSWERS_S)
            found.close()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=before_fork,
            after_in_parent=after_fork_in_parent,
            after_in_child=after_fork,
        )
    uwsgi = sys.modules.get("uwsgi")
    if uwsgi is not None:
        _hook(uwsgi, "post_fork_hook", after_fork)
        _hook(uwsgi, "atexit", close)
    if threading.current_thread() is threading.main_thread():
        _exit_on_sigterm()
    atexit.register(close)


def _hook(uwsgi: Any, name: str, call: Callable[[], None]) -> None:
    """Call where uWSGI runs its own hook, and not Python's."""
    before = getattr(uwsgi, name, None)

    def hook() -> None:
        if before is not None:
            before()
        call()

    setattr(uwsgi, name, hook)


def _exit_on_sigterm() -> None:
    """``flask run`` and waitress leave SIGTERM to the system, which skips atexit."""
    if "uwsgi" in sys.modules:
        # It has its own handler, in C, which getsignal does not know. With ours in its place a
        # worker would go on until it is killed a minute later.
        return
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        handler = _Sigterm()
        signal.signal(signal.SIGTERM, handler)
        # Those registered later come first: all that we have to close is closed by then.
        atexit.register(handler.end)


class _Sigterm:
    """Unwinds what runs, and then ends the process by the signal after all, as it would have."""

    def __init__(self) -> None:
        self._came = False

    def __call__(self, number: int, _frame: object) -> None:
        # Transactions unwind, and atexit closes everything outside of the handler.
        self._came = True
        sys.exit(128 + number)

    def end(self) -> None:
        """Die of it: to who started the process, any exit code would be a failure."""
        if not self._came or signal.getsignal(signal.SIGTERM) is not self:
            return
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTERM)


def _leave_sigterm() -> None:
    """In a child: processes that the host starts and ends know nothing of us."""
    if isinstance(signal.getsignal(signal.SIGTERM), _Sigterm):
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
