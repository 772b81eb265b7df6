"""Counts and logs our own faults, so that none is silent and none reaches the host's response."""

from __future__ import annotations

import logging
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock

logger = logging.getLogger("fmd_admin")

_MAX_ERROR = 200


@dataclass(frozen=True)
class LastFault:
    """The last fault at a place: when (UTC ms), and its type and first line."""

    time_ms: int
    error: str


class Faults:
    """Faults by place. The first one of a kind at a place is logged with its traceback.

    A kind is the exception's type: a second, different error at the same place is logged too.
    """

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._last: dict[str, LastFault] = {}
        self._logged: set[tuple[str, str]] = set()
        self._lock = Lock()

    def report(self, place: str) -> None:
        """Count the exception that is being handled under ``place``; log it once."""
        error = sys.exc_info()[1]
        kind = type(error).__name__
        # It may be the host's code that makes an error's text: not while others wait for us.
        last = LastFault(time.time_ns() // 1_000_000, _described(error))
        with self._lock:
            self._counts[place] += 1
            self._last[place] = last
            first = (place, kind) not in self._logged
            self._logged.add((place, kind))
        if first:
            _log(place, error)

    def total(self) -> int:
        """Return how many faults were reported in this process."""
        return sum(self._counts.values())

    def by_place(self) -> dict[str, int]:
        """Return the number of faults per place."""
        return dict(self._counts)

    def seen(self) -> dict[str, tuple[int, LastFault]]:
        """Return how often something failed at each place, and the last time."""
        with self._lock:
            return {place: (count, self._last[place]) for place, count in self._counts.items()}

    def after_fork(self) -> None:
        """Start from zero in a child: the parent's faults are the parent's."""
        self._lock = Lock()
        self._counts.clear()
        self._last.clear()
        self._logged.clear()


def _log(place: str, error: BaseException | None) -> None:
    # A handler or filter of the host's may raise: the fault is counted, and the request goes on.
    with suppress(Exception):
        logger.error(
            "fmd_admin: %s failed; the request is not affected. "
            "Further failures of this kind are counted, not logged.",
            place,
            exc_info=error,
        )


def _described(error: BaseException | None) -> str:
    try:
        first = str(error).partition("\n")[0]
    except Exception:  # noqa: BLE001 - a host's exception that cannot even be shown
        first = ""
    return f"{type(error).__name__}: {first}"[:_MAX_ERROR]
