"""Execution trees of Flask-MonitoringDashboard as profiles."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..records import Profile, ProfileNode, Row
from .fmd_texts import MakeFrame, SourcedFrame

#: It writes a view's decorators and its "def" before the lines that were sampled.
_NO_FUNCTION = "None"
_DEF = re.compile(r"(?:async\s+)?def\s+(\w+)")


def to_profile(row: Row, lines: Sequence[Any], codes: Mapping[int, SourcedFrame]) -> Profile:
    """Return the profile of the request ``row`` from its rows of FMD's table StackLine.

    ``lines`` are in order of their positions. What stands above the view's ``def`` (decorators,
    each with the time of the whole request) is left out. How many samples there were is not kept
    there: 0 stands for that.
    """
    profile = Profile(*row.fields(), samples=0, period_ms=0.0)
    path: list[ProfileNode] = []
    for line in _without_decorators(lines, codes):
        node = ProfileNode(codes[line.code_id], total_ms=line.duration)
        del path[max(line.indent, 0) :]
        (path[-1].children if path else profile.roots).append(node)
        path.append(node)
    return profile


def code_frame(found: Any, frame: MakeFrame) -> SourcedFrame:
    """Return the frame of a row of FMD's table CodeLine."""
    function = found.function_name
    if function == _NO_FUNCTION:
        match = _DEF.match(found.code)
        function = match.group(1) if match else ""
    return frame(found.filename, found.line_number, function, found.code)


def _without_decorators(lines: Sequence[Any], codes: Mapping[int, SourcedFrame]) -> Sequence[Any]:
    known = [line for line in lines if line.code_id in codes]
    head = 0
    while head + 1 < len(known) and known[head].indent == known[head + 1].indent == 0:
        head += 1
    return known[head:]
