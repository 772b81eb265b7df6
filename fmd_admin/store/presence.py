"""Signs of life: what each process says of itself in its row of fmd_writer.

A process that measures something moves ``seen_at`` with each batch; an idle one only here, every
ten seconds. So all pages know which processes live, and what they count, through the database
alone.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select, update

from .models import Writer
from .store import Store

#: Pause between two signs of life.
EVERY_S = 10.0
#: A process that was not seen for so long is dead, or cannot write.
ALIVE_MS = 30_000


@dataclass(frozen=True)
class Process:
    """A process as it was seen last. ``status`` is what it said of itself, empty if nothing."""

    writer: str
    seen_at: datetime
    dropped: int
    faults: int
    status: Mapping[str, Any]


class Presence:
    """Gives the signs of life of this process. Called by its flusher only."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._marks: object = None
        self.after_fork()

    def after_fork(self) -> None:
        """The child is a process of its own."""
        self._due = 0.0
        self._dropped = 0
        self._dropped_at_ms: int | None = None

    def beat(
        self, writer: str, sequence: int, status: Callable[[], Mapping[str, Any]], marks: object
    ) -> None:
        """Say what ``status`` gives, if it is time, or if ``marks`` changed since.

        ``sequence`` is the one of the last batch of ``writer``, which must be stored.
        """
        now = self._clock()
        if now < self._due and marks == self._marks:
            return
        now_ms = time.time_ns() // 1_000_000
        said = self._with_drops(status(), now_ms)
        values = {
            "seen_at": now_ms,
            "status": json.dumps(said, separators=(",", ":")),
            "dropped": said["dropped"],
            "faults": said["faults"],
        }

        def say(connection: Connection) -> None:
            known = connection.execute(
                update(Writer).where(Writer.writer == writer).values(**values)
            )
            if not known.rowcount:
                # No batch yet, or it was asleep for so long that its row was pruned.
                connection.execute(
                    insert(Writer).values(writer=writer, last_seq=sequence, **values)
                )

        self._store.transact(say)
        self._due = now + EVERY_S
        self._marks = marks

    def _with_drops(self, said: Mapping[str, Any], now_ms: int) -> Mapping[str, Any]:
        """Return what is said and when requests were dropped last, to within a beat."""
        if said["dropped"] != self._dropped:
            self._dropped, self._dropped_at_ms = said["dropped"], now_ms
        if self._dropped_at_ms is None:
            return said
        return {**said, "dropped_at_ms": self._dropped_at_ms}


def dropped_at_ms(dropped: int, seen_at_ms: int, status: Mapping[str, Any]) -> int:
    """Return when a process dropped requests last (UTC ms), of what its row says.

    What it did not come to say happened since its last word, so that ``seen_at_ms`` is near.
    """
    said: int | None = status.get("dropped_at_ms")
    return seen_at_ms if said is None or dropped > status["dropped"] else said


def processes(connection: Connection, since_ms: int) -> Sequence[Process]:
    """Return the processes that were seen since ``since_ms`` (UTC), the latest first."""
    rows = connection.execute(
        select(Writer.writer, Writer.seen_at, Writer.dropped, Writer.faults, Writer.status)
        .where(Writer.seen_at >= since_ms)
        .order_by(Writer.seen_at.desc())
    )
    return [
        Process(row.writer, row.seen_at, row.dropped, row.faults, json.loads(row.status or "{}"))
        for row in rows
    ]
