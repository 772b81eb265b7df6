"""Why a thread may not see the stacks of requests."""

from __future__ import annotations

import sys

from ..lifecycle import threads_available

NO_THREADS = "The server runs without threads, so that no stack can be taken."
NO_LOCK = "Python runs without its interpreter lock, so that no stack can be taken."
GREENLETS = "The server runs requests as greenlets, so that no stack can be taken."


def obstacle() -> str:
    """Return why a thread could not see the requests' stacks; empty if it can."""
    if not threads_available():
        return NO_THREADS
    # Frames must not be looked at while their threads run on.
    has_lock = getattr(sys, "_is_gil_enabled", None)
    if has_lock is not None and not has_lock():
        return NO_LOCK
    gevent = sys.modules.get("gevent.monkey")
    if gevent is not None and gevent.is_module_patched("threading"):
        return GREENLETS
    eventlet = sys.modules.get("eventlet.patcher")
    if eventlet is not None and eventlet.is_monkey_patched("thread"):
        return GREENLETS
    return ""
