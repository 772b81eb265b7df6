"""What pages show of a merged tree, but for the texts of its lines."""

from __future__ import annotations

import heapq
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from ..store.trees import MergedRow

#: Nodes that a page gets; the lightest ones are left out, downloads have them all.
MAX_NODES = 5_000


@dataclass(frozen=True, slots=True)
class Drawn:
    """The heaviest nodes as JSON, six numbers each, and the ids of their lines.

    The numbers are depth (from 1), index in ``line_ids``, total µs, samples, requests, standard
    deviation µs.
    """

    line_ids: list[int]
    nodes: str


@dataclass(frozen=True)
class Figures:
    """Figures of ``rows``, a tree of so many ``requests`` in preorder; each is computed once.

    Nothing of them may be changed: they are kept for other pages of the same profiles.
    """

    rows: Sequence[MergedRow]
    requests: int

    @cached_property
    def line_ids(self) -> list[int]:
        """The ids of the code lines of all rows, in order."""
        return sorted({row.line_id for row in self.rows})

    @cached_property
    def self_us(self) -> list[int]:
        """The time that each row spent in itself."""
        whole = [round(row.weight_us) for row in self.rows]
        left = whole.copy()
        path: list[int] = []
        for index, row in enumerate(self.rows):
            del path[row.depth :]
            if path:
                left[path[-1]] -= whole[index]
            path.append(index)
        # Rounded parts may add up to a little more than the whole.
        return [value if value > 0 else 0 for value in left]

    @cached_property
    def drawn(self) -> Drawn:
        """What a page draws: at most ``MAX_NODES``."""
        numbers: dict[int, int] = {}
        nodes: list[int] = []
        # Without a Node each, which takes as long as all the rest of it.
        for index in self.heaviest(MAX_NODES):
            row = self.rows[index]
            nodes += (
                row.depth + 1,
                numbers.setdefault(row.line_id, len(numbers)),
                round(row.weight_us),
                row.hits,
                row.requests,
                round(self.deviation_ms(row) * 1000),
            )
        return Drawn(list(numbers), json.dumps(nodes, separators=(",", ":")))

    def deviation_ms(self, row: MergedRow) -> float:
        """Return the standard deviation of a row's time over all requests."""
        # In whole numbers: the difference of two large squares.
        spread = self.requests * row.squares - row.total_us**2
        return math.sqrt(max(spread, 0)) / self.requests / 1000

    def heaviest(self, at_most: int) -> Sequence[int]:
        """Return the numbers of the heaviest rows in preorder, none of them without its parent.

        They are ``MAX_NODES`` at most.
        """
        if len(self.rows) <= min(at_most, MAX_NODES):
            return range(len(self.rows))
        return sorted(self._heaviest[:at_most])

    @cached_property
    def _heaviest(self) -> list[int]:
        """The numbers of ``MAX_NODES`` rows, the heaviest first."""
        # Rounding may make a child heavier than its parent; of equals the first is kept.
        weights: list[float] = []
        path: list[float] = []
        for row in self.rows:
            del path[row.depth :]
            weight = row.weight_us
            if path and path[-1] < weight:
                weight = path[-1]
            path.append(weight)
            weights.append(weight)
        return heapq.nlargest(MAX_NODES, range(len(weights)), key=weights.__getitem__)
