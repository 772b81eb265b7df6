"""Requests of a batch on their way into the days of visitors: columns of plain numbers.

What a batch adds for groups and clients would be nearly as many rows as it has requests, as most
of them come a few times a day only. So the requests themselves wait in one row, and are added up
when there are many.

Stored form: the number of requests (4 bytes), the number of days (2), the days (8 bytes each, UTC
ms), then five :mod:`columns`: index of the day, endpoint id, group id, client id (0 without one),
duration in ns.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from ..errors import StoreError
from .columns import pack, unpack
from .visitor_models import VisitorDelta

_HEAD = struct.Struct("<IH")
#: (day as UTC ms, endpoint id, group id or 0, client id or 0, duration in ns)
Visit = tuple[int, int, int, int, int]


def to_ns(duration_ms: float) -> int:
    """Return a duration in whole nanoseconds: sums of these are exact in any order."""
    return round(duration_ms * 1_000_000)


def encode(visits: Sequence[Visit]) -> bytes:
    """Return the stored form of ``visits``, of which there must be some."""
    days, *columns = zip(*visits, strict=True)
    return encode_columns(days, columns)


def encode_columns(days: Sequence[int], columns: Sequence[Sequence[int]]) -> bytes:
    """Return the stored form of visits by column: their days, and all that comes after them."""
    known = {day: index for index, day in enumerate(dict.fromkeys(days))}
    head = _HEAD.pack(len(days), len(known)) + struct.pack(f"<{len(known)}q", *known)
    return b"".join((head, pack([known[day] for day in days]), *map(pack, columns)))


def decode(data: bytes) -> Iterator[Visit]:
    """Return the visits of a stored form. Raises StoreError if it cannot be read."""
    try:
        size, day_count = _HEAD.unpack_from(data)
        days = struct.unpack_from(f"<{day_count}q", data, _HEAD.size)
        start = _HEAD.size + 8 * day_count
        columns: list[array[int]] = []
        for _ in range(5):
            column, start = unpack(data, start, size)
            columns.append(column)
        indexes, *rest = columns
        return zip([days[index] for index in indexes], *rest, strict=True)
    except (ValueError, IndexError, struct.error):
        raise _unreadable() from None


def days_of(data: bytes) -> tuple[int, ...]:
    """Return the days of the visits of a stored form. Raises StoreError if it cannot be read."""
    try:
        _, day_count = _HEAD.unpack_from(data)
        days: tuple[int, ...] = struct.unpack_from(f"<{day_count}q", data, _HEAD.size)
    except struct.error:
        raise _unreadable() from None
    return days


def drop(connection: Connection, goes: Callable[[Visit], bool]) -> None:
    """Take the visits out of all that waits for which ``goes`` is true."""
    rows = connection.execute(select(VisitorDelta.id, VisitorDelta.payload)).all()
    gone: list[dict[str, Any]] = []
    changed: list[dict[str, Any]] = []
    for id, payload in rows:
        visits = list(decode(payload))
        kept = [visit for visit in visits if not goes(visit)]
        if not kept:
            gone.append({"key": id})
        elif len(kept) < len(visits):
            changed.append({"key": id, "count": len(kept), "bytes": encode(kept)})
    if changed:
        connection.execute(
            update(VisitorDelta)
            .where(VisitorDelta.id == bindparam("key"))
            .values(requests=bindparam("count"), payload=bindparam("bytes")),
            changed,
        )
    remove(connection, [row["key"] for row in gone])


def join(connection: Connection, rows: Iterable[Sequence[Any]]) -> None:
    """Put rows (id, version id, payload) together, one for each version."""
    ids: list[int] = []
    by_version: dict[int, list[Visit]] = {}
    for id, version_id, payload in rows:
        ids.append(id)
        by_version.setdefault(version_id, []).extend(decode(payload))
    remove(connection, ids)
    connection.execute(
        insert(VisitorDelta),
        [
            {"version_id": version_id, "requests": len(visits), "payload": encode(visits)}
            for version_id, visits in by_version.items()
        ],
    )


def remove(connection: Connection, ids: Iterable[int]) -> None:
    """Delete rows by id, not up to the highest one: a lower one may be committed meanwhile."""
    gone = [{"key": id} for id in ids]
    if gone:
        connection.execute(delete(VisitorDelta).where(VisitorDelta.id == bindparam("key")), gone)


def _unreadable() -> StoreError:
    return StoreError(
        "Waiting requests of visitors cannot be read. "
        "Run 'flask fmd rebuild-rollups' to compute the rollups again."
    )
