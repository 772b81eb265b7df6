"""Keeps what was computed from stored bytes, within a limit, for as long as the process lives.

What is kept is found by the bytes themselves: where a day changes its bytes are different ones.
Where they are megabytes it is found by their rows' ids, lengths and hashes, which differ as well,
but for one change of a row in 2^64.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection

#: Execution option of every connection of a store: its ``Kept``.
KEPT = "fmd_kept"
#: What all of it may hold.
MOST_BYTES = 32 << 20
V = TypeVar("V")


class Kept:
    """Results by what they were computed from; what was not asked for lately goes first.

    Without a lock, as a fork may come at any time: of two threads that compute the same both may
    keep it. Results must not be changed.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._half = most_bytes // 2
        self._new: dict[Hashable, Any] = {}
        self._old: dict[Hashable, Any] = {}
        self._size = 0

    def find(self, key: Hashable, make: Callable[[], V], size: Callable[[V], int]) -> V:
        """Return what ``make`` gives for ``key``; ``size`` gives the bytes that it takes."""
        found: V | None = self._new.get(key)
        if found is None:
            found = self._old.get(key)
            if found is None:
                found = make()
            self._keep(key, found, size(found))
        return found

    def find_all(
        self,
        keys: Sequence[Hashable],
        make: Callable[[list[int]], Iterable[V]],
        size: Callable[[V], int],
    ) -> list[V]:
        """Return results by their keys; ``make`` gives those of all that are missing at once.

        It gets their numbers in ``keys``, and is only called if there are any.
        """
        found: list[Any] = [self._new.get(key) for key in keys]
        others = [number for number, one in enumerate(found) if one is None]
        for number in others:
            found[number] = self._old.get(keys[number])
        missing = [number for number in others if found[number] is None]
        if missing:
            for number, made in zip(missing, make(missing), strict=True):
                found[number] = made
        for number in others:
            self._keep(keys[number], found[number], size(found[number]))
        return found

    def _keep(self, key: Hashable, found: Any, bytes_more: int) -> None:
        if self._size + bytes_more > self._half:
            # What was asked for since the last time is kept once more, the rest is gone.
            self._old, self._new, self._size = self._new, {}, 0
        if bytes_more <= self._half:
            self._new[key] = found
            self._size += bytes_more


def kept_of(connection: Connection) -> Kept:
    """Return what the store of ``connection`` keeps; nothing on one that is of no store."""
    found = connection.get_execution_options().get(KEPT)
    return found if isinstance(found, Kept) else Kept(0)
