"""Comparisons with clocks need the processors: others on them are seen, and told apart."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import psutil

#: What other processes may take meanwhile, in processors.
QUIET = 0.2
TRIES = 7
MAJORITY = 3


class Others:
    """How much of the machine processes have taken that are not this one or its children."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._busy_s = self._others_s()

    @staticmethod
    def _others_s() -> float:
        times = psutil.cpu_times()
        busy = times.user + times.nice + times.system + times.irq + times.softirq
        # What a host of virtual machines took away from this one.
        busy += times.steal
        me = psutil.Process()
        own = sum(me.cpu_times()[:4])
        for child in me.children(recursive=True):
            own += sum(child.cpu_times()[:4])
        return float(busy - own)

    def processors(self) -> float:
        """Return how many processors they kept busy on average."""
        return (self._others_s() - self._busy_s) / (time.monotonic() - self._began)


def undisturbed(folder: Path, attempt: Callable[[Path], None]) -> Path:
    """Run ``attempt(a new folder)``; return the folder. The median of five attempts must hold.

    What holds at once is not tried again; after a failure, three must hold before three fail. Not
    everything that disturbs can be seen: what a host of virtual machines takes is not always told.
    A failure while other processes were busy does not count; what never has quiet has failed.
    """
    held = failed = 0
    for number in range(TRIES):
        mine = folder / str(number)
        mine.mkdir()
        others = Others()
        try:
            attempt(mine)
        except AssertionError:
            busy = others.processors()
            print(f"other processes took {busy:.2f} processors")
            failed += busy < QUIET
            if failed == MAJORITY or number == TRIES - 1:
                raise
        else:
            held += 1
            if not failed or held == MAJORITY:
                return mine
    raise AssertionError("the machine was never quiet")
