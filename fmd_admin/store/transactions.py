"""Keeps a process from forking in the middle of its own transactions.

SQLite keeps its locks in the memory of the process as well. A child that is forked while a thread
of its parent writes inherits them, and nobody lets them go there: each write of the child would
wait until it fails.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition, get_ident

#: How long a fork waits at most: a transaction may wait for another process for much longer.
PATIENCE_S = 1.0


class Transactions:
    """The transactions of one store that are under way in this process, by thread."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._open: Counter[int] = Counter()
        #: Threads that fork.
        self._forking = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        """Go through a transaction; waits while the process forks."""
        me = get_ident()
        with self._changed:
            # A second one of the same thread must not wait for the first one's end.
            while self._forking and not self._open[me]:
                self._changed.wait()
            self._open[me] += 1
        try:
            yield
        finally:
            with self._changed:
                self._open[me] -= 1
                if not self._open[me]:
                    del self._open[me]
                self._changed.notify_all()

    def before_fork(self) -> None:
        """Wait until no other thread is in a transaction, and let none begin."""
        me = get_ident()
        self._changed.acquire()
        self._forking += 1
        self._changed.wait_for(lambda: not self._open.keys() - {me}, PATIENCE_S)

    def after_fork_in_parent(self) -> None:
        """Go on."""
        self._forking -= 1
        self._changed.notify_all()
        self._changed.release()
