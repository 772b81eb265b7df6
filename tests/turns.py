"""Lets some tests run alone, whatever runs the others in parallel.

What a profiler says is compared with clocks. With other tests on the same processors both are
about something else: how long threads wait for one.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path


@contextmanager
def _locked(path: Path, how: int) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)


class Turns:
    """The turns of one test process; ``folder`` is the same for all of them.

    Who wants to be alone holds the gate while others finish: none begins meanwhile. Tests that want
    it one after the other keep it, or each would have to wait for the others again.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._alone = ExitStack()
        self._is_alone = False

    @contextmanager
    def turn(self, *, alone: bool, next_alone: bool) -> Iterator[None]:
        """Wait until this test may run."""
        if alone:
            yield from self._run_alone(next_alone)
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        running = self._folder / "running"
        descriptor = os.open(running, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            with _locked(self._folder / "gate", fcntl.LOCK_EX):
                fcntl.flock(descriptor, fcntl.LOCK_SH)
            yield
        finally:
            os.close(descriptor)

    def _run_alone(self, next_alone: bool) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True)
        if not self._is_alone:
            for name in ("gate", "running"):
                self._alone.enter_context(_locked(self._folder / name, fcntl.LOCK_EX))
            self._is_alone = True
        try:
            yield
        finally:
            if not next_alone:
                self._alone.close()
                self._is_alone = False
