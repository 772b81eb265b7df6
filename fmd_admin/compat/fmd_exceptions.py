"""Exceptions of requests as Flask-MonitoringDashboard keeps them, from version 4.0 on."""

from __future__ import annotations

import linecache
import sys
import warnings
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from types import CodeType
from typing import NamedTuple

from ..collect.exceptions import function_name
from ..collect.held import INNER, MAX_LOOK, OUTER
from ..collect.source import block_in
from ..records import Frame, RaisedFrame
from .fmd_database import FMDDatabase

#: A function's name and first line, and its name with what it is in.
Named = tuple[tuple[str, int], str]
_OCCURRENCE = (
    *("id", "request_id", "exception_type_id", "exception_msg_id"),
    *("stack_trace_snapshot_id", "is_user_captured"),
)
_STACK_LINE = ("stack_trace_snapshot_id", "position", "exception_frame_id")

#: Gives the frame of a file, line and function.
MakeFrame = Callable[[str, int, str], Frame]


class Stack(NamedTuple):
    """A stack as it is stored, the outermost line first; (module, function) is its ``place``."""

    frames: list[RaisedFrame]
    cut: int
    place: tuple[str, str]


class Raised(NamedTuple):
    """One exception; its message has to be looked up."""

    request_id: int
    type: str
    message_id: int
    handled: bool
    stack: Stack


class FMDExceptions:
    """Finds the exceptions of requests."""

    def __init__(self, old: FMDDatabase, frame: MakeFrame) -> None:
        self._old = old
        self._frame = frame
        # Its table has no index by requests.
        pairs = [
            (request, id)
            for request, id in old.rows("ExceptionOccurrence", "request_id", "id")
            if request is not None
        ]
        self._requests = [request for request, _ in pairs]
        self._ids = [id for _, id in pairs]
        self._names = dict(old.rows("ExceptionType", "id", "type")) if pairs else {}
        self._frames = _Frames(old, frame) if pairs else None

    def missing(self, last: int) -> int:
        """Return how many belong to no request, or to one after ``last``."""
        known = bisect_right(self._requests, last)
        return self._old.count("ExceptionOccurrence") - known

    def between(self, above: int, to: int) -> list[Raised]:
        """Return the exceptions of the requests with ids in (``above``, ``to``], by their ids."""
        first, end = (bisect_right(self._requests, id) for id in (above, to))
        if first == end or self._frames is None:
            return []
        found = list(
            self._old.by_ids("ExceptionOccurrence", _OCCURRENCE, sorted(self._ids[first:end]))
        )
        stacks = dict(self._frames.stacks({row.stack_trace_snapshot_id for row in found}))
        none = Stack([], 0, ("", ""))
        return [
            Raised(
                row.request_id,
                self._names.get(row.exception_type_id) or "Exception",
                row.exception_msg_id,
                bool(row.is_user_captured),
                stacks.get(row.stack_trace_snapshot_id, none),
            )
            for row in found
        ]

    def messages(self, ids: Iterable[int]) -> dict[int, str]:
        """Return the texts of messages, as long as one is looked at."""
        rows = self._old.by_ids("ExceptionMessage", ("id", "message"), ids)
        return {row.id: (row.message or "")[:MAX_LOOK] for row in rows}


class _Frames:
    """The lines of code that stacks are made of; there are as many as the app has places."""

    def __init__(self, old: FMDDatabase, frame: MakeFrame) -> None:
        self._old = old
        self._frame = frame
        self._made: dict[int, RaisedFrame] = {}
        self._modules = _modules()
        self._names: dict[str, dict[tuple[str, int], str]] = {}
        self._paths = dict(old.rows("FilePath", "id", "path"))
        columns = ("id", "file_path_id", "function_definition_id", "function_start_line_number")
        self._locations = {row.id: row for row in old.rows("FunctionLocation", *columns)}
        self._functions = {
            row.id: row for row in old.rows("FunctionDefinition", "id", "name", "code")
        }
        lines = old.rows("ExceptionFrame", "id", "function_location_id", "line_number")
        self._lines = {row.id: row for row in lines}

    def stacks(self, ids: Iterable[int]) -> Iterator[tuple[int, Stack]]:
        """Yield the stacks with these ids."""
        rows = self._old.by_ids("ExceptionStackLine", _STACK_LINE, ids, _STACK_LINE[:2])
        for id, lines in groupby(rows, key=itemgetter(0)):
            known = [line.exception_frame_id for line in lines]
            known = [id for id in known if id in self._lines]
            cut = max(len(known) - OUTER - INNER, 0)
            if cut:
                known[OUTER:-INNER] = []
            frames = [self._raised(id) for id in known]
            yield id, Stack(frames, cut, self._place(known, frames))

    def _raised(self, id: int) -> RaisedFrame:
        made = self._made.get(id)
        if made is None:
            location = self._locations.get(self._lines[id].function_location_id)
            function = location and self._functions.get(location.function_definition_id)
            path, line = self._path(id), self._lines[id].line_number
            begins = location.function_start_line_number if location else line
            name = (function and function.name) or ""
            frame = self._frame(path, line, self._full_name(path, name, begins))
            text = (function and function.code) or ""
            made = self._made[id] = RaisedFrame(frame, *block_in(text, begins, frame))
        return made

    def _full_name(self, file: str, name: str, begins: int) -> str:
        """Return a function's name with what it is in, where the app's code is the same still."""
        if file not in self._modules:
            return name
        if file not in self._names:
            self._names[file] = dict(_functions(file))
        return self._names[file].get((name, begins), name)

    def _path(self, id: int) -> str:
        location = self._locations.get(self._lines[id].function_location_id)
        return (location and self._paths.get(location.file_path_id)) or ""

    def _place(self, ids: list[int], frames: list[RaisedFrame]) -> tuple[str, str]:
        """Return the module and function of the innermost own line, or of the innermost one."""
        if not frames:
            return "", ""
        own = [index for index, item in enumerate(frames) if item.frame.own]
        index = own[-1] if own else -1
        frame = frames[index].frame
        return self._module(self._path(ids[index]), frame.file), frame.function

    def _module(self, file: str, short: str) -> str:
        known = self._modules.get(file)
        if known is not None:
            return known
        if not short.endswith(".py") or short.startswith(("/", "<")) or ":" in short:
            return short
        return short.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _modules() -> dict[str, str]:
    """Return the names of the modules that are loaded by their files.

    With them exceptions that come again belong to the groups of those that are brought over.
    """
    found: dict[str, str] = {}
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and name != "__main__":
            found.setdefault(file, name)
    return found


def _functions(file: str) -> Iterator[Named]:
    """Yield the functions in a file; it is compiled, not run."""
    try:
        with warnings.catch_warnings():
            # The app's own business.
            warnings.simplefilter("ignore")
            module = compile("".join(linecache.getlines(file)), file, "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return
    waiting = [module]
    while waiting:
        code = waiting.pop()
        yield (code.co_name, code.co_firstlineno), function_name(code)
        waiting += (inner for inner in code.co_consts if isinstance(inner, CodeType))
