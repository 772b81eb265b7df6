"""Lines of code that were seen on stacks: stored once each, with their text."""

from __future__ import annotations

import linecache
import time
from collections.abc import Callable, Mapping
from typing import Any

from ..records import MAX_NAME, Frame
from .models import CodeLine
from .seen_rows import SEEN_EVERY_MS, SeenRows, clean
from .store import Store

MAX_FILE = 500
MAX_SOURCE = 1000

#: Returns the text of a frame's line, without its indentation; empty if it cannot be read.
SourceOf = Callable[[Frame], str]

__all__ = ["MAX_FILE", "SEEN_EVERY_MS", "CodeLines", "SourceOf", "clean", "source_line"]


def source_line(frame: Frame) -> str:
    """Read a frame's line from its file, which is looked for on Python's path too."""
    return linecache.getline(frame.file, frame.line).strip()


class CodeLines(SeenRows[Frame]):
    """Finds and makes the ids of lines."""

    model = CodeLine

    def __init__(
        self, store: Store, source: SourceOf, clock: Callable[[], float] = time.time
    ) -> None:
        super().__init__(store, clock)
        self._source = source

    def columns(self, key: Frame) -> tuple[Mapping[str, Any], str]:
        """Return the columns of a line; one whose text changed is another one."""
        line = {
            "file": clean(key.file, MAX_FILE),
            "line": key.line,
            "function": clean(key.function, MAX_NAME),
            "source": clean(self._source(key), MAX_SOURCE),
        }
        return {**line, "own": key.own}, "\0".join(str(part) for part in line.values())
