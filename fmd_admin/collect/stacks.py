"""Finds the stack of each running request among those of all threads.

A request's frames begin below the collector's call. They are also looked for where they are not
in its own thread (async views run in another one) or not below that call (the body of a stream is
iterated by the server).
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Mapping
from types import CodeType, FrameType
from typing import Any, TypeVar

from flask import Flask

from .exchange import Exchange
from .frames import Frames

#: One line on a stack: code, offset of the instruction in it, frame. Outermost first in a stack.
Entry = tuple[CodeType, int, FrameType]
Stack = list[Entry]

#: Requests, as whoever asks knows them.
E = TypeVar("E", bound=Exchange)

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
    """Walks frames; ``call`` is the code of the collector's ``__call__``."""

    def __init__(self, frames: Frames, call: CodeType) -> None:
        self._frames = frames
        self._call = call
        self._close = Exchange.close.__code__
        self._to_sync: CodeType | None = None

    def find(
        self,
        thread: int,
        wanted: Collection[E],
        tops: Mapping[int, FrameType],
    ) -> Iterator[tuple[E, Stack]]:
        """Yield the stack of each of ``wanted`` that is on ``thread``, innermost request first.

        ``tops`` is what :func:`sys._current_frames` gave. A stack is whole: from the collector's
        callee to the innermost line.
        """
        to_sync = self._to_sync or self._find_to_sync()
        streams = [exchange for exchange in wanted if exchange.body is not None]
        left = len(wanted)
        inner: Stack = []
        frame = tops.get(thread)
        for _ in range(_MAX_WALK):
            if frame is None:
                return
            code = frame.f_code
            entry = (code, frame.f_lasti, frame)
            if code is self._call:
                found = frame.f_locals.get("exchange")
            elif streams:
                found = self._streaming(frame, code, streams)
            else:
                found = None
            if found is not None and found in wanted:
                # A generator is the host's own; what calls it is not.
                own = [entry] if getattr(found.body, "gi_frame", None) is frame else []
                yield found, own + inner[::-1]
                left -= 1
                if not left:
                    return
            if code is to_sync:
                # What waits here in this thread says nothing; the coroutine runs elsewhere.
                inner = self._coroutine(frame.f_locals.get("awaitable"), tops)
            inner.append(entry)
            frame = frame.f_back

    def _streaming(self, frame: FrameType, code: CodeType, streams: list[E]) -> E | None:
        """Return the exchange whose body runs in ``frame``: iterated by the server, or closed."""
        if code.co_name == "__next__":
            body = frame.f_locals.get("self")
            return next((e for e in streams if e.body is body), None)
        if code is self._close:
            exchange = frame.f_locals.get("self")
            return next((e for e in streams if e is exchange), None)
        return next((e for e in streams if getattr(e.body, "gi_frame", None) is frame), None)

    def _find_to_sync(self) -> CodeType | None:
        """asgiref is imported by Flask with the first async view."""
        # It may be there in part only: another thread is importing it.
        kind = getattr(sys.modules.get("asgiref.sync"), "AsyncToSync", None)
        if kind is not None:
            self._to_sync = kind.__call__.__code__
        return self._to_sync

    def _coroutine(self, awaitable: Any, tops: Mapping[int, FrameType]) -> Stack:
        """Return the frames of a coroutine that was handed to another thread, innermost first."""
        if getattr(awaitable, "cr_running", False):
            return _running_from(awaitable.cr_frame, tops)
        inner: Stack = []
        for _ in range(_MAX_AWAITS):
            frame = _first(awaitable, "cr_frame", "gi_frame", "ag_frame")
            if frame is None:
                break
            inner.append((frame.f_code, frame.f_lasti, frame))
            awaitable = _first(awaitable, "cr_await", "gi_yieldfrom", "ag_await")
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


def _running_from(outermost: FrameType | None, tops: Mapping[int, FrameType]) -> Stack:
    """Return the frames of the thread that runs ``outermost`` now, from there, innermost first."""
    for top in tops.values():
        inner: Stack = []
        frame: FrameType | None = top
        for _ in range(_MAX_WALK):
            if frame is None:
                break
            inner.append((frame.f_code, frame.f_lasti, frame))
            if frame is outermost:
                return inner
            frame = frame.f_back
    return []


def _first(candidate: Any, *names: str) -> Any:
    """Return the first of the attributes that is there and not None."""
    for name in names:
        found = getattr(candidate, name, None)
        if found is not None:
            return found
    return None
