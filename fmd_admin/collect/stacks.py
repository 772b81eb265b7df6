"""Finds the stack of each running request among those of all threads.

A request's frames begin below its border: the frame of the collector's call, and later the one
that sends or closes its body. They are also looked for where they are not in its own thread (async
views run in another one).

Frames are let go at once: while one is held, what ends with it would end in our thread. And their
variables are left alone: Python copies all of them, and the copies would live on.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from threading import get_ident
from types import CodeType, CoroutineType, FrameType, GeneratorType
from typing import TYPE_CHECKING, Any, cast

from flask import Flask

from .frames import Frames, LineMap, template_lines
from .garbage import GarbagePause

if TYPE_CHECKING:
    from .watching import WatchedExchange

#: One line on a stack: code, offset of the instruction in it, and what finds a template's lines.
#: Outermost first in a stack.
Entry = tuple[CodeType, int, LineMap | None]
Stack = list[Entry]
#: The same during the walk: with the globals of what may be a template. Nothing is asked of them
#: then, and they are not held for longer.
Walked = list[tuple[CodeType, int, dict[str, Any] | None]]

#: Deeper than Python's own limit lets a stack of the host grow by default.
_MAX_WALK = 3_000
#: Coroutines that wait for each other.
_MAX_AWAITS = 200

_WSGI_APP = Flask.wsgi_app.__code__
_DISPATCH = frozenset(
    function.__code__
    for function in (Flask.preprocess_request, Flask.dispatch_request, Flask.process_response)
)


class Stacks:
    """Walks frames.

    ``call`` is the code of the collector's ``__call__``; ``send`` and ``close`` are the codes of
    what the server calls afterwards. They are the borders of requests.
    """

    def __init__(self, frames: Frames, *, call: CodeType, send: CodeType, close: CodeType) -> None:
        self._frames = frames
        self._call = call
        self._send = send
        self._close = close
        self._to_sync: CodeType | None = None
        self._garbage = GarbagePause()

    def after_fork(self) -> None:
        """What another thread was about to do is done in a child."""
        self._garbage.end()

    def look(
        self, wanted: Mapping[int, Collection[WatchedExchange]]
    ) -> list[tuple[WatchedExchange, Stack | None]]:
        """Return the stacks of requests, given by thread; None where one is on no stack."""
        if not wanted:
            return []
        self._garbage.begin()
        try:
            found = self._walk(wanted)
        finally:
            self._garbage.end()
        return [(exchange, None if s is None else _as_stack(s)) for exchange, s in found]

    def _walk(
        self, wanted: Mapping[int, Collection[WatchedExchange]]
    ) -> list[tuple[WatchedExchange, Walked | None]]:
        tops = sys._current_frames()
        # Our own frame would hold the dict that holds it.
        tops.pop(get_ident(), None)
        found: list[tuple[WatchedExchange, Walked | None]] = []
        for thread, exchanges in wanted.items():
            met = self.find(thread, exchanges, tops)
            if len(met) < len(exchanges):
                known = {exchange for exchange, _ in met}
                found += [(exchange, None) for exchange in exchanges if exchange not in known]
            found += met
        return found

    def find(
        self,
        thread: int,
        wanted: Collection[WatchedExchange],
        tops: Mapping[int, FrameType],
    ) -> list[tuple[WatchedExchange, Walked]]:
        """Return the stack of each of ``wanted`` that is on ``thread``, innermost request first.

        ``wanted`` is in the order of their starts, ``tops`` what :func:`sys._current_frames` gave.
        A stack is whole: from the border's callee to the innermost line.
        """
        call, send, close = self._call, self._send, self._close
        to_sync = self._to_sync
        if to_sync is None and "asgiref.sync" in sys.modules:
            to_sync = self._find_to_sync()
        # The border of one that was given up may be gone, and a later one's be in its place.
        borders = {exchange.border: exchange for exchange in wanted}
        met: list[tuple[WatchedExchange, Walked]] = []
        inner: Walked = []
        frame = tops.get(thread)
        for _ in range(_MAX_WALK):
            if frame is None:
                break
            code = frame.f_code
            if code is call or code is send or code is close:
                found = borders.get(id(frame))
                if found is not None and (found.body is None) is (code is call):
                    met.append((found, inner[::-1]))
                    if len(met) == len(borders):
                        break
            elif code is to_sync:
                # What waits here in this thread says nothing; the coroutine runs elsewhere.
                inner = self._coroutine(_awaited(frame), tops)
            # Inline, as this is done most: see _globals().
            module = None if code.co_filename.endswith(".py") else frame.f_globals
            inner.append((code, frame.f_lasti, module))
            frame = frame.f_back
        return met

    def _find_to_sync(self) -> CodeType | None:
        """asgiref is imported by Flask with the first async view."""
        # It may be there in part only: another thread is importing it.
        kind = getattr(sys.modules.get("asgiref.sync"), "AsyncToSync", None)
        if kind is not None:
            self._to_sync = kind.__call__.__code__
        return self._to_sync

    def _coroutine(self, awaited: Any, tops: Mapping[int, FrameType]) -> Walked:
        """Return the frames of a coroutine that was handed to another thread, innermost first."""
        if type(awaited) is CoroutineType and awaited.cr_running:
            return _running_from(awaited.cr_frame, tops)
        inner: Walked = []
        for _ in range(_MAX_AWAITS):
            # What runs must not be asked what it waits for: Python looks for that on a stack that
            # is in use. No other thread can start it between these two questions in one line.
            if type(awaited) is CoroutineType:
                frame, running = awaited.cr_frame, awaited.cr_running
                awaited = None if awaited.cr_running else awaited.cr_await
            elif type(awaited) is GeneratorType:
                frame, running = awaited.gi_frame, awaited.gi_running
                awaited = None if awaited.gi_running else awaited.gi_yieldfrom
            else:
                break
            if frame is None or running:
                break
            inner.append((frame.f_code, frame.f_lasti, _globals(frame, frame.f_code)))
        return inner[::-1]

    def host_part(self, stack: Stack) -> Stack:
        """Cut what is above the first frame of the host's code.

        Where the host has none (a library's view), what Flask dispatched to is left, or else all
        that Flask called for this request.
        """
        is_own = self._frames.is_own
        for index, entry in enumerate(stack):
            if is_own(entry[0].co_filename):
                return stack[index:]
        start = 0
        for index, entry in enumerate(stack):
            if entry[0] in _DISPATCH:
                return stack[index + 1 :] or stack[index:]
            if entry[0] is _WSGI_APP:
                start = index + 1
        return stack[start:]


def _globals(frame: FrameType, code: CodeType) -> dict[str, Any] | None:
    return None if code.co_filename.endswith(".py") else frame.f_globals


def _as_stack(walked: Walked) -> Stack:
    for _, _, module in walked:
        if module is not None:
            break
    else:
        return cast("Stack", walked)
    return [
        (code, instruction, None if module is None else template_lines(module))
        for code, instruction, module in walked
    ]


def _awaited(frame: FrameType) -> Any:
    """Return the coroutine that asgiref waits for in ``frame``.

    There is no other way to it than the variables. This frame's are set once, before it waits, so
    that nothing is replaced; and it is asgiref's, not the host's.
    """
    return frame.f_locals.get("awaitable")


def _running_from(outermost: FrameType | None, tops: Mapping[int, FrameType]) -> Walked:
    """Return the frames of the thread that runs ``outermost`` now, from there, innermost first."""
    for top in tops.values():
        inner: Walked = []
        frame: FrameType | None = top
        for _ in range(_MAX_WALK):
            if frame is None:
                break
            inner.append((frame.f_code, frame.f_lasti, _globals(frame, frame.f_code)))
            if frame is outermost:
                return inner
            frame = frame.f_back
    return []
