"""What a watched request goes by, and what the watcher notes of it while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .outliers import Stuck
from .sampler import Tree


@dataclass(frozen=True, slots=True)
class Rules:
    """The levels and settings that a request goes by from its start to its end.

    ``levels`` holds known endpoints, ``default`` counts for others. ``words`` and ``ip`` are the
    settings REDACT and IP.
    """

    levels: Mapping[str, int] = field(default_factory=dict)
    default: int = 1
    period_ms: float = 5.0
    words: tuple[str, ...] = ()
    ip: str = "full"
    with_json: bool = False

    def level(self, endpoint: str) -> int:
        """Return the level of an endpoint."""
        return self.levels.get(endpoint, self.default)

    @property
    def highest(self) -> int:
        """The highest level that any endpoint has."""
        return max(self.default, *self.levels.values(), 0)


class Trace:
    """Notes on one running request; only the watcher writes them.

    ``look_at_ns`` is the age of the request at which its stack is taken (again), None for never.
    ``seen_ns`` is when it was last found on a stack, 0 before.
    """

    __slots__ = ("endpoint", "limit_ns", "look_at_ns", "missed", "seen_ns", "stuck", "tree")

    def __init__(self, endpoint: str, level: int, limit_ns: int | None) -> None:
        self.endpoint = endpoint
        self.limit_ns = limit_ns
        self.look_at_ns = limit_ns
        self.tree = Tree() if level >= 3 else None
        self.stuck: Stuck | None = None
        self.missed = False
        self.seen_ns = 0
