"""How busy the machine and this process were while a request was stuck."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import monotonic, process_time

import psutil

_MIB = 1024 * 1024
#: Load is measured between now and a reading that is at least this old.
MIN_WINDOW_S = 0.2
#: And no older than that, as while the store hangs: the mean of an hour is no moment.
MAX_WINDOW_S = 60.0


@dataclass(frozen=True, slots=True)
class Load:
    """One moment. Percentages of CPU are per core, for the process 100 is one core in full use."""

    cpu_percent: list[float] = field(default_factory=list)
    process_cpu_percent: float | None = None
    process_memory_mib: float | None = None
    memory_percent: float | None = None
    memory_available_mib: float | None = None


@dataclass(frozen=True, slots=True)
class _Reading:
    at_s: float
    busy_s: list[float]
    total_s: list[float]
    process_s: float


class Machine:
    """Reads counters; psutil's own ``cpu_percent`` keeps a state that the host may use too.

    One thread may call :meth:`keep_up` while another calls :meth:`load`.
    """

    def __init__(self) -> None:
        #: The last two, the older one first.
        self._readings: tuple[_Reading | None, _Reading | None] = (None, None)
        self._process: psutil.Process | None = None

    def keep_up(self) -> None:
        """Take a reading. To be called about once a second."""
        self._readings = (self._readings[1], self._read())

    def load(self) -> Load:
        """Return the load since a moment ago. Figures that the system hides are left out."""
        now = self._read()
        before, since = self._readings
        if since is None or now.at_s - since.at_s < MIN_WINDOW_S:
            since = before or since
        if since is not None and now.at_s - since.at_s > MAX_WINDOW_S:
            since = None
        if self._process is None:
            self._process = psutil.Process()
        memory = psutil.virtual_memory()
        return Load(
            cpu_percent=_percents(since, now),
            process_cpu_percent=_process_percent(since, now),
            process_memory_mib=self._process.memory_info().rss / _MIB,
            memory_percent=memory.percent,
            memory_available_mib=memory.available / _MIB,
        )

    def _read(self) -> _Reading:
        cores = psutil.cpu_times(percpu=True)
        idle = [core.idle + getattr(core, "iowait", 0.0) for core in cores]
        # Linux counts guests in user time too.
        guests = [getattr(c, "guest", 0.0) + getattr(c, "guest_nice", 0.0) for c in cores]
        total = [sum(core) - guest for core, guest in zip(cores, guests, strict=True)]
        return _Reading(
            at_s=monotonic(),
            busy_s=[all_ - free for all_, free in zip(total, idle, strict=True)],
            total_s=total,
            # Finer than what psutil reads, and without a file.
            process_s=process_time(),
        )


def _percents(since: _Reading | None, now: _Reading) -> list[float]:
    if since is None or len(since.total_s) != len(now.total_s):
        return []
    spent = [b - a for a, b in zip(since.busy_s, now.busy_s, strict=True)]
    passed = [b - a for a, b in zip(since.total_s, now.total_s, strict=True)]
    return [
        round(min(max(100 * busy / all_, 0.0), 100.0), 1) if all_ > 0 else 0.0
        for busy, all_ in zip(spent, passed, strict=True)
    ]


def _process_percent(since: _Reading | None, now: _Reading) -> float | None:
    if since is None or now.at_s <= since.at_s:
        return None
    return round(100 * (now.process_s - since.process_s) / (now.at_s - since.at_s), 1)
