"""Threads in which the functions of custom graphs run.

One is enough as long as they are quick. Nobody can end a function that hangs: its thread is left
to it, and the others go on in another one, up to a number.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue

#: Threads at most: so many functions may hang before the others wait for them.
MOST_THREADS = 4
#: A function that takes longer gets the others a thread of their own.
PATIENCE_S = 0.5
#: A thread without work ends after this time.
IDLE_S = 30.0


class Workers:
    """Runs tasks in the order they came, in as few threads as will do.

    Threads are daemons: a function that hangs must not keep the process from ending. Tasks must
    not raise.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._tasks: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        #: Each thread, and since when it is at its task; None while it waits.
        self._busy: dict[threading.Thread, float | None] = {}
        self._stopped = False

    @property
    def threads(self) -> int:
        """How many threads there are."""
        return len(self._busy)

    def submit(self, task: Callable[[], None]) -> None:
        """Have ``task`` run soon. After :meth:`stop` it never is."""
        self._tasks.put(task)
        self.relieve()

    def relieve(self) -> None:
        """Start another thread if tasks wait for one that hangs; to be called now and then."""
        with self._lock:
            if self._stopped or self._tasks.empty() or len(self._busy) >= MOST_THREADS:
                return
            now = self._clock()
            if all(
                since is not None and now - since >= PATIENCE_S for since in self._busy.values()
            ):
                thread = threading.Thread(target=self._work, name="fmd_admin-graphs", daemon=True)
                self._busy[thread] = None
                thread.start()

    def stop(self, wait_s: float) -> None:
        """End the threads; those at a task get ``wait_s`` to finish it, then are left alone."""
        with self._lock:
            self._stopped = True
            threads = list(self._busy)
        for _ in threads:
            self._tasks.put(None)
        deadline = self._clock() + wait_s
        for thread in threads:
            thread.join(max(deadline - self._clock(), 0.0))

    def _work(self) -> None:
        me = threading.current_thread()
        while True:
            try:
                task = self._tasks.get(timeout=IDLE_S)
            except Empty:
                task = None
            with self._lock:
                if task is None and (self._stopped or self._tasks.empty()):
                    del self._busy[me]
                    return
                if self._stopped:
                    continue
                self._busy[me] = self._clock()
            if task is not None:
                task()
            with self._lock:
                self._busy[me] = None
