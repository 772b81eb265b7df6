"""Where very deep exceptions came from, without walking each one to its end.

More than 1,000 calls deep, which needs a host that raised Python's limit, the walk to the inner end
takes longer than a request may. Of each shape (endpoint, types, and the outer ends of the stacks)
the first few of a minute are walked all the same, and kept; the rest is counted where the latest of
them came from.
"""

from __future__ import annotations

from collections.abc import Hashable

from ..records import ExceptionKey
from .outliers import Cap

_MOST_SHAPES = 1_000


class DeepKeys:
    """The latest key of each shape."""

    def __init__(self, per_minute: int) -> None:
        self._cap = Cap(per_minute=per_minute)
        self._keys: dict[Hashable, ExceptionKey] = {}

    def known(self, shape: Hashable) -> ExceptionKey | None:
        """Return where one of this shape is counted; None if it is to be walked to its end."""
        return None if self._cap.take(shape) else self._keys.get(shape)

    def learn(self, shape: Hashable, key: ExceptionKey) -> None:
        """Note where one of this shape came from."""
        if len(self._keys) >= _MOST_SHAPES:
            self._keys.clear()
        self._keys[shape] = key
