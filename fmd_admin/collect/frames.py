"""Turns code objects into the frames that are stored: short paths, names, and whose code it is."""

from __future__ import annotations

import linecache
import os
import sys
import sysconfig
from bisect import bisect_right
from collections.abc import Callable, Mapping
from pathlib import Path
from types import CodeType
from typing import Any

from ..records import Frame

#: Where installed packages lie, whatever interpreter they belong to.
_INSTALLED = ("site-packages", "dist-packages")
_PACKAGE = str(Path(__file__).parents[1]) + os.sep
#: A process that sees more than this starts its caches anew instead of growing for ever. They keep
#: code alive, and a host may make new code, with new file names, in each request
#: (``render_template_string`` does).
_MAX_CACHED = 10_000

#: Turns a line of a compiled template into one of its source.
LineMap = Callable[[int], int]


class Frames:
    """What is known about files and lines; used by the watcher and by the flusher.

    ``import_name`` is the host app's: its package counts as the host's code even where it is
    installed. Every method works on plain dicts in single steps, so it needs no lock.
    """

    def __init__(self, import_name: str | None = None) -> None:
        self._host = _package_folder(import_name)
        paths = sysconfig.get_paths()
        self._libraries = tuple(
            {os.path.realpath(paths[name]) + os.sep for name in ("stdlib", "platstdlib")}
            | {paths[name] + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib")}
            | {_PACKAGE}
        )
        self._own: dict[str, bool] = {}
        self._short: dict[str, str] = {}
        self._long: dict[str, str] = {}
        self._frames: dict[tuple[int, int], tuple[CodeType, Frame]] = {}
        self._lines: dict[int, tuple[CodeType, list[int], list[int]]] = {}

    def is_own(self, file: str) -> bool:
        """Tell whether ``file`` (as in a code object) is the host's code."""
        own = self._own.get(file)
        if own is None:
            if len(self._own) >= _MAX_CACHED:
                self._own.clear()
            own = self._own[file] = self._decide(file)
        return own

    def _decide(self, file: str) -> bool:
        if file.startswith("<"):
            return False
        if self._host and file.startswith(self._host):
            return True
        if file.startswith(self._libraries):
            return False
        return not any(part in _INSTALLED for part in file.replace("\\", "/").split("/"))

    def frame(self, code: CodeType, instruction: int, to_source: LineMap | None = None) -> Frame:
        """Return the frame of an instruction (its offset in the code, as ``f_lasti``)."""
        # By identity: a code object's own hash and comparison go through all of its constants.
        key = (id(code), instruction)
        known = self._frames.get(key)
        if known is not None:
            return known[1]
        line = self._line(code, instruction)
        frame = Frame(
            file=self.short(code.co_filename),
            line=to_source(line) if to_source is not None else line,
            function=getattr(code, "co_qualname", code.co_name),
            own=self.is_own(code.co_filename),
        )
        if len(self._frames) >= _MAX_CACHED:
            self._frames.clear()
        self._frames[key] = (code, frame)
        return frame

    def file_of(self, file: str) -> tuple[str, bool]:
        """Return the path that is stored for a file on this machine, and whether it is own code."""
        return self.short(file), self.is_own(file)

    def _line(self, code: CodeType, instruction: int) -> int:
        known = self._lines.get(id(code))
        if known is None:
            spans = [(start, line) for start, _, line in code.co_lines() if line is not None]
            if len(self._lines) >= _MAX_CACHED:
                self._lines.clear()
            starts, lines = [start for start, _ in spans], [line for _, line in spans]
            known = self._lines[id(code)] = (code, starts, lines)
        at = bisect_right(known[1], instruction) - 1
        return known[2][at] if at >= 0 else code.co_firstlineno

    def short(self, file: str) -> str:
        """Return ``file`` (as in a code object) as it is stored."""
        short = self._short.get(file)
        if short is None:
            if len(self._short) >= _MAX_CACHED:
                # Source of what waits to be stored is looked for on Python's path then.
                for cache in (self._short, self._long, self._frames):
                    cache.clear()
            short = _below_path(file)
            # Two files may lie at the same place below two roots; the second keeps its long name.
            if self._long.setdefault(short, file) != file:
                short = file
                self._long[file] = file
            self._short[file] = short
        return short

    def source(self, frame: Frame) -> str:
        """Return the text of a frame's line without its indentation; empty if it is not there."""
        return linecache.getline(self._long.get(frame.file, frame.file), frame.line).strip()


def template_lines(module: Mapping[str, Any]) -> LineMap | None:
    """Return what finds the lines of a Jinja template's source, from the globals of its code."""
    template = module.get("__jinja_template__")
    found: LineMap | None = getattr(template, "get_corresponding_lineno", None)
    return found


def _below_path(file: str) -> str:
    """Return ``file`` relative to the longest folder of Python's path that it is in."""
    best = 0
    for entry in sys.path:
        folder = os.path.abspath(entry or ".").rstrip(os.sep) + os.sep
        if len(folder) > max(best, 1) and file.startswith(folder):
            best = len(folder)
    return file[best:].replace(os.sep, "/")


def _package_folder(import_name: str | None) -> str | None:
    """Return the folder of the package that ``import_name`` is in; None for a single module."""
    if not import_name:
        return None
    package = sys.modules.get(import_name.split(".", 1)[0])
    paths = list(getattr(package, "__path__", ()))
    return os.path.abspath(paths[0]) + os.sep if paths else None
