"""What a process tells about its spool on the system page."""

from __future__ import annotations

from typing import Any

from .recorder import Recorder


def spool_status(recorder: Recorder) -> dict[str, Any]:
    """Return what the system page shows of a process's spool.

    ``on`` is None as long as no request made it known. ``taken_over`` counts requests of dead
    processes that this one stored, ``torn`` what had to be cut off their files.
    """
    spool, others = recorder.spool, recorder.take_over
    return {
        "on": None if spool is None and recorder.unspooled is None else spool is not None,
        "why": recorder.unspooled,
        "path": None if spool is None else str(spool.path),
        "waiting": 0 if spool is None else spool.waiting,
        **({} if spool is None else spool.figures()),
        "taken_over": 0 if others is None else others.stored,
        "torn": 0 if others is None else others.torn,
    }
