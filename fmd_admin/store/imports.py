"""Marks how far a database of another product was brought over, so that nothing comes twice."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, select, update

from .dimensions import insert_unless_there
from .import_models import Imported


@dataclass(frozen=True, slots=True)
class Mark:
    """The highest ids of the source that were dealt with, 0 before the first."""

    last_request: int
    last_value: int
    last_user: int
    endpoints: Mapping[int, int]


def begin(connection: Connection, source: str) -> Mark:
    """Return how far ``source`` was brought over; it is noted if it is new."""
    connection.execute(
        insert_unless_there(connection, Imported),
        {
            "source": source,
            "last_request": 0,
            "last_value": 0,
            "last_user": 0,
            "endpoints": "{}",
            "begun_at": time.time_ns() // 1_000_000,
        },
    )
    row = connection.execute(
        select(
            Imported.last_request, Imported.last_value, Imported.last_user, Imported.endpoints
        ).where(Imported.source == source)
    ).one()
    return Mark(row[0], row[1], row[2], _ids(row[3]))


def move(connection: Connection, source: str, name: str, above: int, to: int) -> bool:
    """Move the mark ``name`` from ``above`` to ``to``; False if it is not there any more.

    To be called in the transaction that stores what lies between. Where it is False, another run
    has stored it, or an earlier try whose answer was lost.
    """
    column = getattr(Imported, name)
    moved = connection.execute(
        update(Imported).where(Imported.source == source, column == above).values({name: to})
    )
    return moved.rowcount > 0


def keep_endpoints(connection: Connection, source: str, ids: Mapping[int, int]) -> None:
    """Note which endpoints here are which of the source."""
    connection.execute(
        update(Imported).where(Imported.source == source).values(endpoints=json.dumps(dict(ids)))
    )


def endpoint_of(connection: Connection, old_id: int) -> int | None:
    """Return the endpoint that had the id ``old_id`` in what was brought over last, or None."""
    newest = select(Imported.endpoints).order_by(Imported.begun_at.desc()).limit(1)
    found = connection.scalar(newest)
    return None if found is None else _ids(found).get(old_id)


def _ids(text: str) -> dict[int, int]:
    return {int(old): new for old, new in json.loads(text).items()}
