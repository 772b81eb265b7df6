"""What a process tells about itself on the system page."""

from __future__ import annotations

import os
import platform
import socket
import statistics
import threading
import time
from collections import deque
from typing import Any

from ..faults import Faults

#: How far back the figures of writing look.
WINDOW_S = 60.0
_OUR_THREADS = ("fmd_admin-", "APScheduler")


class WriteTimes:
    """How long the writes of the last minute took."""

    def __init__(self) -> None:
        # More than two a second are not of a quiet process, and then half a minute is enough.
        self._times: deque[tuple[float, float]] = deque(maxlen=600)

    def add(self, took_s: float) -> None:
        """Note one write."""
        self._times.append((time.monotonic(), 1000 * took_s))

    def clear(self) -> None:
        """Forget all."""
        self._times.clear()

    def figures(self) -> dict[str, float | int | None]:
        """Return ``flushes``, and ``flush_last_ms``, ``flush_median_ms``, ``flush_max_ms``.

        The last one may be older than a minute, the others are of the last minute.
        """
        times = list(self._times)
        since = time.monotonic() - WINDOW_S
        found = [took for moment, took in times if moment >= since]
        return {
            "flushes": len(found),
            "flush_last_ms": round(times[-1][1], 2) if times else None,
            "flush_median_ms": round(statistics.median(found), 2) if found else None,
            "flush_max_ms": round(max(found), 2) if found else None,
        }


def identity() -> dict[str, Any]:
    """Return where this process runs."""
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "python": platform.python_version(),
        "threads": sorted(
            thread.name for thread in threading.enumerate() if thread.name.startswith(_OUR_THREADS)
        ),
    }


def fault_rows(faults: Faults) -> list[dict[str, Any]]:
    """Return the faults of this process by place: how often, when and what last."""
    return [
        {"place": place, "count": count, "last_at": last.time_ms, "error": last.error}
        for place, (count, last) in faults.seen().items()
    ]
