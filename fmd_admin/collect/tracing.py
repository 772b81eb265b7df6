"""What a watched request goes by, and what the watcher notes of it while it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from ..records import Profile, Row
from .frames import Frames
from .outliers import Stuck
from .sampler import FEW, Tree, to_profile, to_profile_of_few
from .stacks import Stack

#: Lines on the stacks of samples that wait to be folded into the tree, at most.
MAX_WAITING = 1_000


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
    #: Whether any endpoint is at level 3.
    profiles: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "profiles", self.highest >= 3)

    def level(self, endpoint: str) -> int:
        """Return the level of an endpoint."""
        return self.levels.get(endpoint, self.default)

    @property
    def highest(self) -> int:
        """The highest level that any endpoint has."""
        return max(self.default, *self.levels.values(), 0)


class Ended(NamedTuple):
    """A request that has ended while a look at it was late; its notes are asked for when needed."""

    start_ns: int
    end_ns: int
    trace: Callable[[], Trace]


class Trace:
    """Notes on one running request; only the watcher writes them.

    Samples wait in ``samples`` with the wall time that they stand for: many at a time are folded
    with the processor's caches full of what that needs.

    ``look_at_ns`` is the age of the request at which its stack is taken (again), None for never.
    ``seen_ns`` is when it was last found on a stack, 0 before.
    """

    __slots__ = (
        "endpoint",
        "limit_ns",
        "look_at_ns",
        "missed",
        "profiled",
        "samples",
        "seen_ns",
        "stuck",
        "tree",
        "waiting",
    )

    def __init__(self, endpoint: str, level: int, limit_ns: int | None) -> None:
        self.endpoint = endpoint
        self.limit_ns = limit_ns
        self.look_at_ns = limit_ns
        self.profiled = level >= 3
        #: Made by :meth:`fold`: most that are met at all are met a few times, and need none.
        self.tree: Tree | None = None
        self.samples: list[tuple[Stack, int]] = []
        #: Lines on their stacks, and one for each.
        self.waiting = 0
        self.stuck: Stuck | None = None
        self.missed = False
        self.seen_ns = 0

    def note(self, stack: Stack, weight_ns: int, cut: Callable[[Stack], Stack]) -> None:
        """Take a sample of what is profiled; :meth:`fold` is called once there are too many."""
        self.samples.append((stack, weight_ns))
        self.waiting += len(stack) + 1
        if self.waiting > MAX_WAITING:
            self.fold(cut)

    def profile(
        self, row: Row, period_ms: float, frames: Frames, cut: Callable[[Stack], Stack]
    ) -> Profile:
        """Return the profile of the request ``row``."""
        samples = self.samples
        if self.tree is None and len(samples) <= FEW:
            profile = to_profile_of_few([(cut(stack), ns) for stack, ns in samples], row, frames)
            if profile is not None:
                return profile
        return to_profile(self.fold(cut), row, period_ms, frames)

    def fold(self, cut: Callable[[Stack], Stack]) -> Tree | None:
        """Return the tree of all samples; ``cut`` returns the part of a stack that is shown.

        None where there are no samples.
        """
        if self.samples:
            tree = self.tree
            if tree is None:
                tree = self.tree = Tree()
            for stack, weight_ns in self.samples:
                tree.add(cut(stack), weight_ns)
            self.samples.clear()
            self.waiting = 0
        return self.tree
