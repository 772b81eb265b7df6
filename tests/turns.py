"""Lets some tests run alone, whatever runs the others in parallel.

What a profiler says is compared with clocks. With other tests on the same processors both are
about something else: how long threads wait for one.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def _locked(path: Path, how: int) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def turn(folder: Path, *, alone: bool) -> Iterator[None]:
    """Wait until this test may run; ``folder`` is the same for all test processes.

    Who wants to be alone holds the gate while others finish: none begins meanwhile.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if alone:
        with _locked(folder / "gate", fcntl.LOCK_EX), _locked(folder / "running", fcntl.LOCK_EX):
            yield
        return
    descriptor = os.open(folder / "running", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        with _locked(folder / "gate", fcntl.LOCK_EX):
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)
