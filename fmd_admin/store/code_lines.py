"""Lines of code that were seen on stacks: stored once each, with their text."""

from __future__ import annotations

import hashlib
import linecache
import time
from collections.abc import Callable, Iterable, Mapping

from sqlalchemy import Connection, select, update

from ..records import MAX_NAME, Frame
from .dimensions import CHUNK, insert_unless_there
from .models import CodeLine
from .store import Store

MAX_FILE = 500
MAX_SOURCE = 1000
#: A process that sees more lines than this starts its cache anew instead of growing for ever.
_MAX_CACHED = 200_000
#: How often a process marks the lines that it meets.
SEEN_EVERY_MS = 24 * 60 * 60_000

#: Returns the text of a frame's line, without its indentation; empty if it cannot be read.
SourceOf = Callable[[Frame], str]


def source_line(frame: Frame) -> str:
    """Read a frame's line from its file, which is looked for on Python's path too."""
    return linecache.getline(frame.file, frame.line).strip()


def clean(text: str, length: int) -> str:
    """Return ``text`` as every database takes it: no NUL, no half characters, cut to length."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()[:length]


class CodeLines:
    """Finds and makes the ids of lines; one object a process, used by its writer only.

    Each day it looks all lines up again that it meets, and marks them as seen. A line that nobody
    marked for longer than profiles are kept is in none of them and may be deleted.
    """

    def __init__(
        self, store: Store, source: SourceOf, clock: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._source = source
        self._clock = clock
        self._ids: dict[Frame, int] = {}
        self._looked_up_ms = 0

    def forget(self) -> None:
        """Drop all known ids."""
        self._ids = {}

    def resolve(self, frames: Iterable[Frame]) -> Mapping[Frame, int]:
        """Return the ids of all ``frames``.

        Runs a transaction of its own if one is new, before the batch's: two processes that store
        the same line then wait for each other for a moment only.
        """
        wanted = set(frames)
        now_ms = int(self._clock() * 1000)
        if not 0 <= now_ms - self._looked_up_ms < SEEN_EVERY_MS:
            self._ids = {}
            self._looked_up_ms = now_ms
        if wanted - self._ids.keys():
            if len(self._ids) > _MAX_CACHED:
                self._ids = {}
            self._load(wanted - self._ids.keys())
        return self._ids

    def _load(self, frames: Iterable[Frame]) -> None:
        digests: dict[Frame, str] = {}
        values: dict[str, dict[str, object]] = {}
        for frame in sorted(frames):
            line = {
                "file": clean(frame.file, MAX_FILE),
                "line": frame.line,
                "function": clean(frame.function, MAX_NAME),
                "source": clean(self._source(frame), MAX_SOURCE),
            }
            key = "\0".join(str(part) for part in line.values())
            digest = hashlib.sha1(key.encode(), usedforsecurity=False).hexdigest()
            digests[frame] = digest
            values[digest] = {"digest": digest, **line, "own": frame.own}
        ids = self._store.transact(lambda connection: self._find_or_make(connection, values))
        self._ids.update((frame, ids[digest]) for frame, digest in digests.items())

    def _find_or_make(
        self, connection: Connection, values: Mapping[str, dict[str, object]]
    ) -> dict[str, int]:
        found: dict[str, int] = {}
        digests = sorted(values)
        for start in range(0, len(digests), CHUNK):
            chunk = digests[start : start + CHUNK]
            query = select(CodeLine.digest, CodeLine.id).where(CodeLine.digest.in_(chunk))
            self._mark_as_seen(connection, chunk)
            found.update((row.digest, row.id) for row in connection.execute(query))
            seen = {"seen_at": self._looked_up_ms}
            new = [{**values[digest], **seen} for digest in chunk if digest not in found]
            if new:
                connection.execute(insert_unless_there(connection, CodeLine), new)
                found.update((row.digest, row.id) for row in connection.execute(query))
        return found

    def _mark_as_seen(self, connection: Connection, digests: list[str]) -> None:
        # Before they are read: a line that is marked is not deleted in between.
        connection.execute(
            update(CodeLine)
            .where(CodeLine.digest.in_(digests), CodeLine.seen_at < self._looked_up_ms)
            .values(seen_at=self._looked_up_ms)
        )
