"""What our own recorders could not store, over all processes."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from ..store.models import Writer

#: Processes that wrote nothing for this long do not count any more.
WINDOW_DAYS = 30
_DAY_MS = 86_400_000


@dataclass(frozen=True)
class Health:
    """Requests that were answered but not stored, and faults of ours, in the last 30 days."""

    dropped: int
    faults: int


def health(connection: Connection, now_ms: int) -> Health:
    """Add up what every process counted; ``now_ms`` is UTC."""
    dropped, faults = connection.execute(
        select(func.sum(Writer.dropped), func.sum(Writer.faults)).where(
            Writer.seen_at >= now_ms - WINDOW_DAYS * _DAY_MS
        )
    ).one()
    return Health(int(dropped or 0), int(faults or 0))
