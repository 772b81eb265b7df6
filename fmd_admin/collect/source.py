"""The text of functions, read when an exception passed them is about to be stored."""

from __future__ import annotations

import linecache
from collections.abc import Iterator
from types import CodeType

from ..records import Block, Frame

#: A function of more lines is cut to those around the one that counts.
_MAX_LINES = 60
_AROUND = 12
_MAX_WIDTH = 400


def block_of(code: CodeType, frame: Frame) -> tuple[Block, int]:
    """Return the text of a function and the number of its first line."""
    # A line that is in no file any more leaves an empty text.
    lines = linecache.getlines(code.co_filename)
    first, last = code.co_firstlineno, max(_lines(code), default=frame.line)
    if last - first >= _MAX_LINES or not first <= frame.line <= last or code.co_name == "<module>":
        first, last = frame.line - _AROUND, frame.line + _AROUND
    first = max(first, 1)
    text = "\n".join(line.rstrip()[:_MAX_WIDTH] for line in lines[first - 1 : last])
    return Block(frame.file, frame.function, text), first


def _lines(code: CodeType) -> Iterator[int]:
    """Yield the lines of a function and of those inside of it."""
    for _start, _end, line in code.co_lines():
        if line is not None:
            yield line
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _lines(inner)
