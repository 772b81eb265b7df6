"""What is taken from an exception while its request waits: types, texts and places.

Never the exception, its traceback or a frame: these keep the host's local variables alive.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from operator import attrgetter
from types import CodeType, FrameType, TracebackType
from typing import Any, NamedTuple

from ..records import ExceptionKey

#: Lines kept of a stack: so many from its outer end, and so many from its inner one.
OUTER = 12
INNER = 48
#: Steps along the tracebacks of a chain. What is deeper is recursion in nearly all cases: its inner
#: end is cut, as each step costs the request some 20 ns.
MAX_STEPS = 12 * INNER
#: Exceptions of a chain that are looked at.
MAX_CHAIN = 8
#: Longest part of a message that is looked at.
MAX_LOOK = 4_000
#: Goes so many steps along a traceback, without Python's interpreter. Raises AttributeError where
#: it ends.
_skip = attrgetter(".".join(["tb_next"] * INNER))

CAUSE = "cause"
CONTEXT = "context"


class HeldLink(NamedTuple):
    """One exception of a chain; ``offsets`` are those of instructions in ``codes``."""

    type: str
    message: str
    link: str
    codes: list[CodeType]
    offsets: list[int]
    cut: int


class Held:
    """One exception with its chain, and what came with its request; see ``Occurrence``."""

    __slots__ = ("handled", "key", "links", "request", "texts", "time_ms", "weight")

    def __init__(self, key: ExceptionKey, time_ms: int, *, handled: bool) -> None:
        self.key = key
        self.time_ms = time_ms
        self.handled = handled
        self.links: list[HeldLink] = []
        #: What is text in the WSGI environment, and what the host has read of the body.
        self.texts: dict[str, str] | None = None
        self.request: Any = None
        self.weight = 0

    def fill(self, stacks: list[Stack]) -> None:
        """Take what is kept of each exception of a chain."""
        self.links = [stack.link() for stack in stacks]
        self.weight = 30 + sum(len(link.codes) for link in self.links) // 5


class Stack:
    """One exception of a chain with its way through the code. Lives within one call only."""

    __slots__ = ("cut", "error", "how", "points", "steps")

    def __init__(self, error: BaseException, how: str, steps: int) -> None:
        self.error = error
        self.how = how
        #: Its traceback, or frames where it was never raised; the outermost first.
        self.points: list[Any] = _walk(error.__traceback__, OUTER)
        self.cut = self.steps = 0
        if len(self.points) == OUTER:
            self._add_inner_end(self.points[-1].tb_next, steps)

    def _add_inner_end(self, tb: TracebackType | None, steps: int) -> None:
        """Add the last lines of a traceback, without looking at each one before them."""
        starts: list[TracebackType | None] = [tb]
        more = False
        while tb is not None:
            try:
                tb = _skip(tb)
            except AttributeError:
                break  # It ends before.
            if tb is None:
                break
            self.steps += INNER
            if self.steps >= steps:
                more = True
                break
            starts.append(tb)
        # At least as many as are kept, at most twice as many.
        begin = max(len(starts) - 2, 0)
        inner = _walk(starts[begin], 2 * INNER)
        self.cut = begin * INNER + max(len(inner) - INNER, 0)
        if more:
            # How many there are beyond nobody counts: it could be any number.
            self.cut += 1
        self.points += inner[-INNER:]

    def place(self, is_own: Callable[[str], bool]) -> tuple[Any, CodeType] | None:
        """Return the globals and code of the innermost own frame, or of the innermost one."""
        points = self.points
        if not points:
            return None
        for point in reversed(points):
            frame = _frame(point)
            if is_own(frame.f_code.co_filename):
                return frame.f_globals, frame.f_code
        frame = _frame(points[-1])
        return frame.f_globals, frame.f_code

    def link(self) -> HeldLink:
        """Return what is kept of it."""
        name, text = type_name(type(self.error)), message(self.error)
        points = self.points
        if points and type(points[0]) is not TracebackType:
            codes = [frame.f_code for frame in points]
            offsets = [frame.f_lasti for frame in points]
        else:
            codes = [tb.tb_frame.f_code for tb in points]
            offsets = [tb.tb_lasti for tb in points]
        return HeldLink(name, text, self.how, codes, offsets, self.cut)


def chain(error: BaseException) -> list[Stack]:
    """Return ``error`` and what is behind it, as Python would print them."""
    found: list[Stack] = []
    steps, how = MAX_STEPS, ""
    known: set[int] = set()
    following: BaseException | None = error
    while following is not None and len(found) < MAX_CHAIN and id(following) not in known:
        known.add(id(following))
        stack = Stack(following, how, steps)
        found.append(stack)
        steps -= stack.steps
        if following.__cause__ is not None:
            following, how = following.__cause__, CAUSE
        elif following.__context__ is not None and not following.__suppress_context__:
            following, how = following.__context__, CONTEXT
        else:
            following = None
    return found


def callers(frame: FrameType | None) -> list[FrameType]:
    """Return a frame and those that led to it, the outermost first."""
    found: list[FrameType] = []
    while frame is not None and len(found) < INNER:
        found.append(frame)
        frame = frame.f_back
    found.reverse()
    return found


def type_name(kind: type) -> str:
    """Return the name of a type with its module, but for those of Python itself."""
    if kind.__module__ == "builtins":
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


def message(error: BaseException) -> str:
    """Return an exception's text; it is the host's code that makes it."""
    try:
        return str(error)[:MAX_LOOK]
    except Exception:  # noqa: BLE001 - an exception that cannot even be shown
        return "(it raises an exception when it is turned into text)"


def _walk(tb: TracebackType | None, most: int) -> list[TracebackType]:
    found: list[TracebackType] = []
    append = found.append
    while tb is not None and most > 0:
        append(tb)
        tb = tb.tb_next
        most -= 1
    return found


def _frame(point: Any) -> FrameType:
    frame: FrameType = point.tb_frame if type(point) is TracebackType else point
    return frame


def calling_frame(depth: int) -> FrameType:
    """Return the frame ``depth`` calls above the one that calls this."""
    return sys._getframe(depth + 1)
