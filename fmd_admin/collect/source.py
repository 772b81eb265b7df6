"""The text of functions, read when an exception passed them is about to be stored."""

from __future__ import annotations

import linecache
from collections.abc import Iterator, Sequence
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
    first, last = _shown(code.co_firstlineno, max(_lines(code), default=frame.line), frame)
    return Block(frame.file, frame.function, _text(lines[first - 1 : last])), first


def block_in(text: str, begins: int, frame: Frame) -> tuple[Block, int]:
    """Return the same of a function whose text is known, and which ``begins`` in that line."""
    lines = text.splitlines()
    begins = max(begins, 1)
    first, last = _shown(begins, begins + len(lines) - 1, frame)
    first = max(first, begins)
    return Block(
        frame.file, frame.function, _text(lines[first - begins : last - begins + 1])
    ), first


def _shown(first: int, last: int, frame: Frame) -> tuple[int, int]:
    """Return the lines that are kept of a function's."""
    outside = not first <= frame.line <= last
    if last - first >= _MAX_LINES or outside or frame.function == "<module>":
        first, last = frame.line - _AROUND, frame.line + _AROUND
    return max(first, 1), last


def _text(lines: Sequence[str]) -> str:
    return "\n".join(line.rstrip()[:_MAX_WIDTH] for line in lines)


def _lines(code: CodeType) -> Iterator[int]:
    """Yield the lines of a function and of those inside of it."""
    for _start, _end, line in code.co_lines():
        if line is not None:
            yield line
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _lines(inner)
