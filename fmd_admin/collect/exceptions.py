"""Exceptions of the host: unhandled ones, and those it passes to ``capture``.

In the request's thread the way of the exception is walked once, it is counted under its type and
place, and, if fewer than the cap were kept of the kind in this minute, what is needed later is
held. Where it is longer than Python's own limit of 1,000 calls, that is done when the answer has
been sent. Texts are redacted and source is read in the flusher.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import CodeType
from typing import Any, NamedTuple

from flask import Flask, got_request_exception, has_request_context, request
from werkzeug.exceptions import HTTPException

from ..faults import Faults
from ..records import (
    UNMATCHED,
    ExceptionKey,
    Frame,
    Link,
    Occurrence,
    RaisedFrame,
    RequestRecord,
    Row,
)
from .deep_keys import DeepKeys
from .frames import Frames
from .held import Held, Stack, callers, calling_frame, chain, type_name
from .outliers import Cap, collect_facts, read_json, texts_of
from .raised import Raised, Seen
from .redaction import Redactor
from .source import block_of
from .tracing import Rules

#: Kept of a kind of exception in a minute by each process; the rest is counted.
PER_MINUTE = 5
#: What one that has lost its request may weigh: only a number of them is bounded.
_MAX_LOOSE = 500
#: In the dictionary of an exception that was captured: most types cannot be referred to weakly, a
#: reference would keep the host's variables alive, and an identity is soon that of another one.
_MARK = "_fmd_admin_captured"


class _Noted(NamedTuple):
    """What is known of an exception before it is counted. Lives as long as its request at most."""

    stacks: list[Stack]
    endpoint: str
    time_ms: int
    handled: bool
    environ: dict[str, Any] | None
    asked: Any
    seen: Seen | None


class Exceptions:
    """Notes the exceptions of one host app.

    ``count`` takes (key, endpoint, UTC ms) and returns False where it has no room for another
    key. ``append_heavy`` takes records with a detail, ``loose`` what was captured outside of any
    request.
    """

    def __init__(
        self,
        *,
        count: Callable[[ExceptionKey, str, int], bool],
        append_heavy: Callable[[RequestRecord], None],
        loose: Callable[[Held], None],
        frames: Frames,
        faults: Faults,
    ) -> None:
        self.raised = Raised(self, append_heavy)
        self._count = count
        self._loose = loose
        self._frames = frames
        self._faults = faults
        self._cap = Cap(per_minute=PER_MINUTE)
        self._deep = DeepKeys(PER_MINUTE)
        self._rules = Rules()
        #: Tells of which endpoints anything is kept; the collector knows.
        self.measures: Callable[[str], bool] = bool

    def apply(self, rules: Rules) -> None:
        """Take over settings."""
        self._rules = rules

    def watch(self, app: Flask) -> None:
        """Note what ``app`` does not handle."""
        got_request_exception.connect(self._unhandled, app)

    def after_fork(self) -> None:
        """Begin anew in a child: the parent's requests are not here."""
        self.raised.clear()
        self._cap.after_fork()
        self._deep = DeepKeys(PER_MINUTE)

    def tick(self) -> None:
        """Called about once a second, in the flusher."""
        if self.raised:
            self.raised.tend(time.perf_counter_ns())

    def let_go(self, held: Iterable[Held]) -> None:
        """Have exceptions stored as those of no request: theirs has ended without them."""
        for one in held:
            if one.weight <= _MAX_LOOSE:
                self._loose(one)

    def _unhandled(self, _sender: Any, exception: BaseException, **_more: Any) -> None:
        self._guarded(exception, handled=False)

    def capture(self, error: BaseException, depth: int = 1) -> None:
        """Note an exception that the host handles; each object once.

        ``depth`` is how many calls above this the host's frame is: it counts as the place where
        an exception that was never raised came from.
        """
        if isinstance(error, HTTPException):
            # A handler of 500 gets this one around what was raised.
            error = getattr(error, "original_exception", None) or error
        frame = calling_frame(depth) if error.__traceback__ is None else None
        self._guarded(error, handled=True, caller=frame)

    def escaped(self, error: BaseException, environ: dict[str, Any], endpoint: str) -> None:
        """Note what left the host's app, unless it told of it: teardown functions may raise."""
        if endpoint and isinstance(error, Exception):
            self._guarded(error, handled=False, environ=environ, endpoint=endpoint)

    def _guarded(self, error: BaseException, **more: Any) -> None:
        try:
            self._note(error, **more)
        except Exception:  # noqa: BLE001 - counted, and logged once
            self.failed()

    def failed(self) -> None:
        """Count that the error being handled kept us from noting an exception; log it once."""
        self._faults.report("noting an exception")

    def _note(
        self,
        error: BaseException,
        *,
        handled: bool,
        caller: Any = None,
        environ: dict[str, Any] | None = None,
        endpoint: str = "",
    ) -> None:
        at_ns = time.perf_counter_ns()
        asked: Any = None
        if environ is None and has_request_context():
            asked = request._get_current_object()  # type: ignore[attr-defined]
            environ, endpoint = asked.environ, asked.endpoint or UNMATCHED
        if endpoint and not self.measures(endpoint):
            return
        marks = error.__dict__
        if _MARK in marks:
            return
        seen = None if environ is None else self.raised.of(environ, asked, at_ns)
        if seen is not None and seen.unhandled == id(error):
            return
        if handled:
            marks[_MARK] = True
        elif seen is not None:
            # It lives until the request has ended, so nothing else can be found at its place.
            seen.unhandled = id(error)
        stacks = chain(error)
        if caller is not None:
            stacks[0].points = callers(caller)
        time_ms = time.time_ns() // 1_000_000
        noted = _Noted(stacks, endpoint, time_ms, handled, environ, asked, seen)
        shape = _shape_of_deep(noted)
        if shape is None:
            self._keep(noted, self._key(stacks))
            return
        key = self._deep.known(shape)
        if key is not None:
            self._count(key, endpoint, time_ms)
        elif handled or seen is None or not self.raised.wait(seen, partial(self._go, noted, shape)):
            self._go(noted, shape)

    def _go(self, noted: _Noted, shape: Any) -> None:
        """Go to the inner ends of a very deep one: some 15 µs for each 1,000 calls."""
        for stack in noted.stacks:
            stack.go_on()
        key = self._key(noted.stacks)
        self._deep.learn(shape, key)
        self._keep(noted, key)

    def _keep(self, noted: _Noted, key: ExceptionKey) -> None:
        if not self._count(key, noted.endpoint, noted.time_ms) or not self._cap.take(key):
            return
        held = Held(key, noted.time_ms, handled=noted.handled)
        held.fill(noted.stacks)
        if noted.environ is None:
            self._loose(held)
        elif noted.seen is not None:
            held.came_with(texts_of(noted.environ), noted.asked)
            noted.seen.keep(held)

    def _key(self, stacks: list[Stack]) -> ExceptionKey:
        return tuple(self._part(stack) for stack in stacks)

    def _part(self, stack: Stack) -> tuple[str, str, str]:
        place = stack.place(self._frames.is_own)
        name = type_name(type(stack.error))
        if place is None:
            return name, "", ""
        module, code = place
        return name, self._module(module, code), function_name(code)

    def _module(self, module: Mapping[str, Any], code: CodeType) -> str:
        name = module.get("__name__")
        # Those of templates are called by their files.
        if isinstance(name, str) and "/" not in name and "\\" not in name:
            return name
        return self._frames.short(code.co_filename)

    def occurrence(self, held: Held, row: Row | None) -> Occurrence:
        """Return the record of what was held; of no request without ``row``. In the flusher."""
        rules = self._rules
        redactor = Redactor(rules.words)
        # Each secret is known when the texts are finished.
        messages = [redactor.inside(link.message) for link in held.links]
        redactor.json(read_json(held.request))
        row = row or Row(held.time_ms, "", 0.0, 0, "", None, None)
        made = Occurrence(*row.fields(), key=held.key, handled=held.handled)
        if held.texts is not None:
            facts = collect_facts(
                held.texts,
                held.request,
                words=rules.words,
                ip=rules.ip,
                with_json=False,
                redactor=redactor,
            )
            made.url, made.values, made.headers = facts.url, facts.values, facts.headers
        made.links = [
            Link(
                link.type,
                redactor.finish(text),
                link.link,
                [self._frame(*spot) for spot in zip(link.codes, link.offsets, strict=True)],
                link.cut,
            )
            for link, text in zip(held.links, messages, strict=True)
        ]
        return made

    def _frame(self, code: CodeType, instruction: int) -> RaisedFrame:
        frame: Frame = self._frames.frame(code, instruction)
        block, first_line = block_of(code, frame)
        return RaisedFrame(frame, block, first_line)


def _shape_of_deep(noted: _Noted) -> Any:
    """Return what tells exceptions apart whose inner ends nobody has looked for; None: not deep."""
    for stack in noted.stacks:
        if stack.deep:
            return (noted.endpoint, *(one.shape() for one in noted.stacks))
    return None


def function_name(code: CodeType) -> str:
    """Return a function's name with the classes and functions it is in, where Python knows it."""
    return getattr(code, "co_qualname", code.co_name)
