"""What is taken from an exception while its request waits: types, texts and places.

Never the exception, its traceback or a frame: these keep the host's local variables alive.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from operator import attrgetter
from types import CodeType, FrameType, SimpleNamespace, TracebackType
from typing import Any, NamedTuple

from werkzeug.datastructures import MultiDict

from ..records import ExceptionKey

#: Lines kept of a stack: so many from its outer end, and so many from its inner one.
OUTER = 12
INNER = 48
#: Steps along the tracebacks of a chain, some 15 ns each: more than Python's own limit of 1,000
#: calls. What is deeper is ``deep``, and its inner end is only looked for by ``go_on``.
MAX_STEPS = 21 * INNER
ENDLESS = 10**9
#: Exceptions of a chain that are looked at.
MAX_CHAIN = 8
#: Longest part of a message that is looked at.
MAX_LOOK = 4_000
#: Goes so many steps along a traceback, without Python's interpreter. Raises AttributeError where
#: it ends.
_skip = attrgetter(".".join(["tb_next"] * INNER))

#: A parsed JSON body is looked through for secrets if it is not longer than this. In memory it
#: takes so many times its length.
MAX_JSON = 65_536
_JSON_TIMES = 10
#: So much of a form, and of each field: longer secrets are looked for by their beginning.
MAX_FORM = 65_536
MAX_FIELD = 4_000
#: Memory is counted in nodes of an execution tree.
NODE_BYTES = 300

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
        self.weight += weight_of(link.message for link in self.links)

    def came_with(self, texts: dict[str, str], request: Any) -> None:
        """Take what came with a request: its texts, and of the body what the host has read."""
        length = texts.get("CONTENT_LENGTH", "")
        # What comes in chunks has no length, and nobody knows how much there is of it.
        json_length = int(length) if length.isdecimal() and len(length) < 10 else MAX_JSON + 1
        parsed = getattr(request, "_cached_json", (..., ...))
        if json_length > MAX_JSON or parsed[0] is ...:
            parsed, json_length = (..., ...), 0
        form = _shortened(getattr(request, "__dict__", {}).get("form"))
        self.texts = texts
        self.request = SimpleNamespace(
            url_rule=getattr(request, "url_rule", None),
            form=MultiDict(form) if form else None,
            _cached_json=parsed,
        )
        self.weight += _JSON_TIMES * json_length // NODE_BYTES
        self.weight += weight_of([*texts.values(), *(text for pair in form for text in pair)])


def weight_of(texts: Iterable[str]) -> int:
    """Return what texts weigh, in nodes of a tree."""
    return sum(map(sys.getsizeof, texts)) // NODE_BYTES


def _shortened(form: Any) -> list[tuple[str, str]]:
    """Return the fields of a form as far as they are looked through; it may be a whole file."""
    kept: list[tuple[str, str]] = []
    room = MAX_FORM
    for key, value in () if form is None else form.items(multi=True):
        pair = (str(key)[:MAX_FIELD], str(value)[:MAX_FIELD])
        # An empty one takes room too.
        room -= len(pair[0]) + len(pair[1]) + 100
        if room < 0:
            break
        kept.append(pair)
    return kept


class Stack:
    """One exception of a chain with its way through the code. Lives within one call only."""

    __slots__ = ("_begin", "_inner", "_last", "cut", "deep", "error", "how", "points", "steps")

    def __init__(self, error: BaseException, how: str, steps: int) -> None:
        self.error = error
        self.how = how
        #: Its traceback, or frames where it was never raised; the outermost first. The inner end
        #: of a long one is added when it is asked for.
        self.points: list[Any] = _walk(error.__traceback__, OUTER)
        self.cut = self.steps = 0
        #: Whether it is longer than the steps were enough for, so that nobody knows its inner end.
        self.deep = False
        self._begin: TracebackType | None = None
        self._last: TracebackType | None = None
        self._inner: list[TracebackType] = []
        if len(self.points) == OUTER:
            self._find_end(self.points[-1].tb_next, steps)

    def _find_end(self, tb: TracebackType | None, steps: int) -> None:
        """Find where the last lines begin, without looking at each one before them."""
        before = None
        while tb is not None:
            try:
                following = _skip(tb)
            except AttributeError:
                break  # It ends before.
            if following is None:
                break
            if self.steps + INNER > steps:
                self.deep = True
                break
            self.steps += INNER
            before, tb = tb, following
        # At least as many as are kept, at most twice as many.
        self._begin = before or tb
        self.cut = self.steps - (INNER if before else 0)
        self._inner = _walk(self._begin, 2 * INNER)
        # Of a deep one only where nobody has looked any further.
        self._last = tb if self.deep else self._inner[-1] if self._inner else None

    def go_on(self) -> None:
        """Look for the inner end of a deep one, however far away it is."""
        if self.deep:
            self.deep = False
            self.steps = self.cut
            self._find_end(self._begin, ENDLESS)

    def complete(self) -> list[Any]:
        """Return all points that are kept."""
        if self._begin is not None:
            inner = self._inner
            self._begin = None
            # How many there are beyond the end of a deep one nobody counts: it could be any number.
            self.cut += max(len(inner) - INNER, 0) + self.deep
            self.points += inner[-INNER:]
        return self.points

    def shape(self) -> tuple[Any, ...]:
        """Return what tells deep ones apart: the type, and the outer end by its instructions."""
        outer = [(id(tb.tb_frame.f_code), tb.tb_lasti) for tb in self.points[:OUTER]]
        return (type(self.error), *outer)

    def place(self, is_own: Callable[[str], bool]) -> tuple[Any, CodeType] | None:
        """Return the globals and code of the innermost own frame, or of the innermost one."""
        last = self._last or (self.points[-1] if self.points else None)
        if last is None:
            return None
        frame = _frame(last)
        if not is_own(frame.f_code.co_filename):
            for point in reversed(self.complete()):
                found = _frame(point)
                if is_own(found.f_code.co_filename):
                    frame = found
                    break
        return frame.f_globals, frame.f_code

    def link(self) -> HeldLink:
        """Return what is kept of it."""
        name, text = type_name(type(self.error)), message(self.error)
        points = self.complete()
        if points and type(points[0]) is not TracebackType:
            codes = [frame.f_code for frame in points]
            offsets = [frame.f_lasti for frame in points]
        else:
            codes = [tb.tb_frame.f_code for tb in points]
            offsets = [tb.tb_lasti for tb in points]
        return HeldLink(name, text, self.how, codes, offsets, self.cut)


def chain(error: BaseException, steps: int = MAX_STEPS) -> list[Stack]:
    """Return ``error`` and what is behind it, as Python would print them.

    ``steps`` are those along all tracebacks together.
    """
    found: list[Stack] = []
    how = ""
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
