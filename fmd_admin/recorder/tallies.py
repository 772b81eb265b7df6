"""What is counted between two batches without a request's record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from threading import Lock
from typing import Any

from ..records import Batch, ExceptionKey, Occurrence, RaisedCount
from .batching import storable

#: Kinds of exceptions that are told apart in one batch, and those kept of no request.
_MAX_KEYS = 5_000
_MAX_LOOSE = 100
_QUARTER_MS = 15 * 60_000


class Tallies:
    """Outliers that are left out, and exceptions. Any thread may count, one at a time takes."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._left_out: Counter[str] = Counter()
        self._raised: dict[tuple[ExceptionKey, str, int], RaisedCount] = {}
        self._loose: list[Callable[[], Occurrence]] = []
        #: Exceptions that could not be counted, as there were too many kinds of them.
        self.uncounted = 0

    def __bool__(self) -> bool:
        return bool(self._left_out or self._raised or self._loose)

    def leave_out(self, endpoint: str) -> None:
        """Count an outlier that is not stored."""
        with self._lock:
            self._left_out[storable(endpoint)] += 1

    def count_raised(self, key: ExceptionKey, endpoint: str, time_ms: int) -> bool:
        """Count an exception; False if there is no room for another kind."""
        # By quarters of an hour, as every zone's days begin with one: a batch may wait for hours.
        place = (key, endpoint, time_ms - time_ms % _QUARTER_MS)
        with self._lock:
            found = self._raised.get(place)
            if found is None:
                if len(self._raised) >= _MAX_KEYS:
                    self.uncounted += 1
                    return False
                self._raised[place] = RaisedCount(1, time_ms, time_ms)
            else:
                found.hits += 1
                found.last_ms = time_ms
            return True

    def add_loose(self, made: Callable[[], Occurrence]) -> None:
        """Keep an exception of no request; ``made`` gives its record."""
        with self._lock:
            if len(self._loose) < _MAX_LOOSE:
                self._loose.append(made)

    def take_into(self, batch: Batch, report: Callable[[str], Any]) -> None:
        """Put everything into ``batch`` and begin anew."""
        with self._lock:
            left_out, self._left_out = self._left_out, Counter()
            raised, self._raised = self._raised, {}
            loose, self._loose = self._loose, []
        batch.left_out = dict(left_out)
        for (key, endpoint, start_ms), count in raised.items():
            place = (key, storable(endpoint), start_ms)
            other = batch.raised.get(place)
            if other is not None:
                # Long names may be alike once they are cut.
                count.hits += other.hits
                count.first_ms = min(count.first_ms, other.first_ms)
                count.last_ms = max(count.last_ms, other.last_ms)
            batch.raised[place] = count
        for made in loose:
            try:
                batch.exceptions.append(made())
            except Exception:  # noqa: BLE001 - counted, and logged once
                report("making the record of an exception")
