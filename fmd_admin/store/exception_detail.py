"""What is known of an exception besides its request, as one compressed value."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..records import Block, Occurrence
from .inflate import deflate, inflate


class StoredFrame(NamedTuple):
    """A line that an exception passed; ``source_id`` is its function's text."""

    file: str
    line: int
    function: str
    own: bool
    source_id: int
    first_line: int


@dataclass(frozen=True, slots=True)
class StoredLink:
    """One exception of a chain; see :class:`fmd_admin.records.Link`."""

    type: str
    message: str
    link: str
    cut: int
    frames: list[StoredFrame]


@dataclass(frozen=True, slots=True)
class ExceptionDetail:
    """The chain, the last one raised first, and what came with the request, redacted."""

    links: list[StoredLink]
    url: str
    values: dict[str, list[str]]
    headers: list[tuple[str, str]]


def encode(occurrence: Occurrence, blocks: Mapping[Block, int]) -> bytes:
    """Return the detail of ``occurrence`` as bytes; ``blocks`` gives the ids of its sources."""
    fields: dict[str, Any] = {
        "links": [
            {
                "type": link.type,
                "message": link.message,
                "link": link.link,
                "cut": link.cut,
                "frames": [
                    (*item.frame, blocks[item.block], item.first_line) for item in link.frames
                ],
            }
            for link in occurrence.links
        ],
        "url": occurrence.url,
        "values": occurrence.values,
        "headers": occurrence.headers,
    }
    text = json.dumps(fields, separators=(",", ":"), ensure_ascii=False)
    # Half characters come in with messages and names of files; no page could show them.
    return deflate(text.encode("utf-8", "replace"))


def decode(data: bytes) -> ExceptionDetail:
    """Return the detail from what :func:`encode` made."""
    fields = json.loads(inflate(data))
    links = [
        StoredLink(
            item["type"],
            item["message"],
            item["link"],
            item["cut"],
            [StoredFrame(*frame) for frame in item["frames"]],
        )
        for item in fields["links"]
    ]
    headers = [(name, value) for name, value in fields["headers"]]
    return ExceptionDetail(links, fields["url"], fields["values"], headers)
