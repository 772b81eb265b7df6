"""What is known of an outlier besides its request, as one compressed value."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import NamedTuple

from ..records import Frame, Outlier
from .inflate import deflate, inflate


class SourceFrame(NamedTuple):
    """A line on a stack with its text; ``own`` tells the host's code from libraries."""

    file: str
    line: int
    function: str
    own: bool
    source: str


_OWN = SourceFrame._fields.index("own")


@dataclass(frozen=True, slots=True)
class Detail:
    """The fields of :class:`fmd_admin.records.Outlier` that have no column of their own."""

    stack: list[SourceFrame]
    stack_at_ms: float | None
    note: str
    cpu_percent: list[float]
    process_cpu_percent: float | None
    process_memory_mib: float | None
    memory_percent: float | None
    memory_available_mib: float | None
    url: str
    values: dict[str, list[str]]
    json: str | None
    headers: list[tuple[str, str]]
    environ: dict[str, str]


def encode(outlier: Outlier, source: Callable[[Frame], str]) -> bytes:
    """Return the detail of ``outlier`` as bytes; ``source`` gives the text of a frame's line."""
    detail = Detail(
        stack=[SourceFrame(*frame, source(frame)[:1000]) for frame in outlier.stack],
        stack_at_ms=outlier.stack_at_ms,
        note=outlier.note,
        cpu_percent=outlier.cpu_percent,
        process_cpu_percent=outlier.process_cpu_percent,
        process_memory_mib=outlier.process_memory_mib,
        memory_percent=outlier.memory_percent,
        memory_available_mib=outlier.memory_available_mib,
        url=outlier.url,
        values=outlier.values,
        json=outlier.json,
        headers=outlier.headers,
        environ=outlier.environ,
    )
    text = json.dumps(asdict(detail), separators=(",", ":"), ensure_ascii=False)
    # Half characters come in with environments and names of files; no page could show them.
    return deflate(text.encode("utf-8", "replace"))


def stuck(data: bytes) -> tuple[SourceFrame | None, str]:
    """Return the innermost frame of the host's own code, or of all, and the note.

    It is of what :func:`encode` made; lists do not need the rest.
    """
    fields = json.loads(inflate(data))
    stack = fields["stack"]
    if not stack:
        return None, fields["note"]
    innermost = next((frame for frame in reversed(stack) if frame[_OWN]), stack[-1])
    return SourceFrame(*innermost), fields["note"]


def decode(data: bytes) -> Detail:
    """Return the detail from what :func:`encode` made."""
    fields = json.loads(inflate(data))
    fields["stack"] = [SourceFrame(*frame) for frame in fields["stack"]]
    fields["headers"] = [(name, value) for name, value in fields["headers"]]
    return Detail(**fields)
