"""How many rows a batch has, and how long the flusher rests between two.

After the store was locked or away, a lot has come together. Written at once, it would keep requests
from the interpreter for 10 µs a row; so it is written in small batches, with rests in between.
"""

from __future__ import annotations

from threading import Event

#: Most rows of one transaction, so that no other process waits long for its turn.
MAX_BATCH = 5_000
#: The same while it catches up, and how many times as long as a batch took it then rests.
CATCH_UP_BATCH, REST = 100, 3
#: Batches of one round while it catches up: levels, settings and the lease wait for its end.
_ROUND = 40
#: A write that took longer had to wait, and others came together meanwhile.
_SLOW_S = 0.5
_MAX_REST_S = 0.05


class Pace:
    """Of one flusher; ``wake`` is set when it has to end."""

    def __init__(self, wake: Event) -> None:
        self._wake = wake
        self._waited = False
        self._rests = False
        #: Most rows of the next batch.
        self.most = MAX_BATCH

    def begin(self, waiting: int, *, failing: bool, hurry: bool) -> int:
        """Return how many batches to write of so many rows that are ``waiting``.

        ``failing`` says that the last write failed, ``hurry`` that a request waits for this one.
        """
        behind = (failing or self._waited or self._rests) and waiting > CATCH_UP_BATCH
        self._rests = behind and not hurry and not self._wake.is_set()
        self._waited = False
        self.most = CATCH_UP_BATCH if self._rests else MAX_BATCH
        batches = max(1, -(-waiting // self.most))
        return min(batches, _ROUND) if self._rests else batches

    def wrote(self, took_s: float) -> None:
        """Note that a batch took so long; rest."""
        self._waited |= took_s > _SLOW_S
        if self._rests:
            self._wake.wait(min(REST * took_s, _MAX_REST_S))
