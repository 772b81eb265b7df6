"""Lets the watcher run when its time has come, while requests are profiled.

A sample is due in the middle of a calculation. Python lets a thread wait 5 ms for the interpreter,
and Linux lets it wait for a processor too: the sample would be taken where the request next waits
for something, and calculations of a few ms would never be seen. Measured with 1 ms of each in
turn: calculations had 0 % of the samples, with what is done here 45 to 50 %.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import platform
import struct
import sys
from collections.abc import Callable
from sys import getswitchinterval, setswitchinterval
from time import perf_counter_ns

#: With one request at a time: nobody but the watcher asks for the interpreter.
ALONE_S = 0.00005
#: With several: they would take it from each other as often, and each change costs time. With 8
#: that calculate 2.6 % at 1 ms, and 1.1 % at 2 ms, but there shares of streams are off by 3 points.
#: An odd number, so that nobody takes a host's own choice for it.
AMONG_OTHERS_S = 0.001251
#: Both in µs, as Python keeps them, and no host's: ours, or those of another app's watcher.
_OURS_US = frozenset(round(interval_s * 1e6) for interval_s in (ALONE_S, AMONG_OTHERS_S))
#: Python cuts what it is told to whole microseconds: the host's 0.1 s would shrink each time.
_HALF_US = 0.5e-6


class SwitchInterval:
    """Python's switch interval, made shorter while the watcher waits.

    It belongs to the whole process, and counts for whoever begins to wait. While the watcher looks
    it is the host's own again: what is looked at shall not run on meanwhile.
    """

    def __init__(self) -> None:
        self._before: float | None = None
        #: The host's, as it was seen last.
        self._hosts = 0.0

    def shorten(self, *, alone: bool) -> None:
        """Make it short; a shorter one of the host's stays."""
        now = getswitchinterval()
        target = ALONE_S if alone else AMONG_OTHERS_S
        if now > target:
            if now == self._hosts:
                self._before = now
            elif round(now * 1e6) not in _OURS_US:
                self._before = self._hosts = now
            setswitchinterval(target + _HALF_US)

    def restore(self) -> None:
        """Put back what was there, unless the host has chosen another one meanwhile."""
        before = self._before
        if before is not None:
            self._before = None
            if round(getswitchinterval() * 1e6) in _OURS_US:
                setswitchinterval(before + _HALF_US)


#: Bounds of what is learnt about lateness. Who holds the interpreter for longer has no processor,
#: or calculates outside of Python: what is seen then is what was due.
MIN_LATE_NS = 20_000
MAX_LATE_NS = 300_000
#: What is learnt moves by a part in so many with each look.
_PARTS = 64


class Lateness:
    """Makes looks equally late, whether or not the interpreter is free when they are due.

    Who runs has to be asked for it, and goes on meanwhile. If nobody runs, a look is there at
    once. So a look that is due at the end of a calculation would often see the wait that follows
    it, and one that is due at the end of a wait never the calculation after it: of requests of
    2 ms, waits had 5 % too much. Therefore the thread wakes up as much too early as it takes to
    get the interpreter from somebody, and waits for the moment where it gets it at once.
    """

    def __init__(self, clock_ns: Callable[[], int] = perf_counter_ns) -> None:
        self._clock_ns = clock_ns
        self._switches = _switch_counter()
        #: From waking up to having the interpreter: free, it takes less in a quarter of the looks;
        #: taken from somebody in two thirds, as that varies by more and ends in the next wait.
        #: Measured with requests of 2 ms: at a quarter of both, waits had 3 to 5 % too much.
        self.taken_ns = 130_000
        self.free_ns = 70_000
        self._due_ns = self._wake_ns = self._before = 0

    def until_wake_s(self, due_ns: int) -> float:
        """Begin the pause before the look at ``due_ns``; return how long to sleep."""
        self._due_ns = due_ns
        now_ns = self._clock_ns()
        if self._switches is None:
            self._wake_ns = max(due_ns, now_ns)
        else:
            self._wake_ns = max(due_ns - self.taken_ns, now_ns + MIN_LATE_NS)
            self._before = self._switches()
        return (self._wake_ns - now_ns) / 1e9

    def until_due_s(self) -> float:
        """Learn from how late the thread has woken up; return how long to go on sleeping."""
        late_ns = self._clock_ns() - self._wake_ns
        if self._switches is None or late_ns <= 0:
            # There is nothing to compare, or somebody has ended the pause.
            return 0.0
        left_ns = self._due_ns - self._wake_ns - self.free_ns - late_ns
        # The thread gave the processor away once to sleep, and again to wait for the interpreter.
        if self._switches() - self._before > 1:
            self.taken_ns = _nearer(self.taken_ns, late_ns, up=2, down=1)
            # Too early: who had it has just begun to wait for something. If that was looked at, it
            # would have the time of what follows: short waits had up to 3 points too much.
            return left_ns / 1e9 if left_ns > MIN_LATE_NS else 0.0
        self.free_ns = _nearer(self.free_ns, late_ns, up=1, down=3)
        return max(left_ns, 0) / 1e9


def _switch_counter() -> Callable[[], int] | None:
    """Return what tells how often the calling thread has waited; None where nothing does."""
    try:
        resource = importlib.import_module("resource")
    except ImportError:
        return None
    thread = getattr(resource, "RUSAGE_THREAD", None)
    if thread is None:
        return None
    usage = resource.getrusage
    return lambda: usage(thread).ru_nvcsw


def _nearer(learnt_ns: int, late_ns: int, *, up: int, down: int) -> int:
    step_ns = learnt_ns // _PARTS
    learnt_ns += up * step_ns if late_ns > learnt_ns else -down * step_ns
    return min(max(learnt_ns, MIN_LATE_NS), MAX_LATE_NS)


#: sched_setattr(2), which not every libc has as a function.
_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}
_SCHED_OTHER = 0
_PR_SET_TIMERSLACK = 29
_SLICE_NS = 100_000


def be_punctual() -> None:
    """Ask Linux to wake the calling thread on time and to let it run at once.

    Its timers may not be late by the usual 50 µs, and it asks for short slices, for which newer
    kernels interrupt others. Both are what any thread may have: no priority over the host's
    threads or other processes, which stay as they are.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "prctl"):
        libc.prctl(_PR_SET_TIMERSLACK, ctypes.c_ulong(1), 0, 0, 0)
    if os.sched_getscheduler(0) != _SCHED_OTHER:
        # The host has chosen already.
        return
    number = _SCHED_SETATTR.get(platform.machine())
    if number is None:
        return
    # struct sched_attr: size, policy, flags, nice, priority, runtime, deadline, period.
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    attributes = struct.pack("=IIQiIQQQ", 48, _SCHED_OTHER, 0, nice, 0, _SLICE_NS, 0, 0)
    libc.syscall(number, 0, attributes, 0)
