"""Writes the exceptions of a batch, and keeps their tables small."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from sqlalchemy import BigInteger, Connection, delete, func, select, type_coerce, update

from ..records import MAX_NAME, Batch, Block, ExceptionKey, RaisedFrame, Row
from . import exception_detail
from .code_lines import MAX_FILE
from .dimensions import CHUNK
from .exception_models import ExceptionDay, ExceptionGroup, ExceptionRow, SourceBlock
from .live import bump
from .profiles import REQUEST
from .seen_rows import SeenRows, clean
from .store import Store
from .tuples import insert_sql

#: Kept of a group and day; older ones of the day go.
KEPT_A_DAY = 20
MAX_MESSAGE = 1_000
_MAX_TEXT = 40_000
_MAX_BEHIND = 4_000
#: What one transaction of :func:`tidy` works on.
_AT_ONCE = 200
_MOST = 20

_DAY_COLUMNS = ("day", "group_key", "endpoint_id", "version_id", "hits", "first_at", "last_at")

_PLACE = (
    ExceptionDay.day,
    ExceptionDay.group_key,
    ExceptionDay.endpoint_id,
    ExceptionDay.version_id,
)
#: Called first in each write transaction of the jobs.
Fence = Callable[[Connection], None]
#: Returns a text of code as it may be stored.
CleanSource = Callable[[str], str]


class Groups(SeenRows[ExceptionKey]):
    """Finds and makes the ids of groups.

    Groups may be deleted in the panel, which moves the version of the configuration: ids count
    only as long as that one stays where it was when they were read.
    """

    model = ExceptionGroup
    _version = -1

    def at(self, version: int) -> Groups:
        """Forget what was read under another version of the configuration."""
        if version != self._version:
            self.forget()
            self._version = version
        return self

    def columns(self, key: ExceptionKey) -> tuple[Mapping[str, Any], str]:
        """Return the columns of a group."""
        kind, module, function = key[0]
        behind = "\n".join(clean(name, MAX_NAME) for name, _module, _function in key[1:])
        columns = {
            "type": clean(kind, MAX_NAME),
            "module": clean(module, MAX_FILE),
            "function": clean(function, MAX_NAME),
            "behind": behind[:_MAX_BEHIND],
            "first_seen": int(self._clock() * 1000),
        }
        text = "\0".join(part for item in key for part in item)
        return columns, clean(text, len(text))


class Blocks(SeenRows[Block]):
    """Finds and makes the ids of texts of functions."""

    model = SourceBlock

    def __init__(self, store: Store, clean_source: CleanSource) -> None:
        super().__init__(store)
        self._clean_source = clean_source

    def columns(self, key: Block) -> tuple[Mapping[str, Any], str]:
        """Return the columns of a block."""
        columns = {
            "file": clean(key.file, MAX_FILE),
            "function": clean(key.function, MAX_NAME),
            "text": clean(self._clean_source(key.text), _MAX_TEXT),
        }
        return columns, "\0".join(columns.values())


def keys(batch: Batch) -> set[ExceptionKey]:
    """Return the key of each group in ``batch``."""
    return {key for key, _endpoint, _start in batch.raised} | {
        occurrence.key for occurrence in batch.exceptions
    }


def blocks(batch: Batch) -> set[Block]:
    """Return the text of each function in ``batch``."""
    return {frame.block for frame in _frames(batch)}


def _frames(batch: Batch) -> Iterable[RaisedFrame]:
    for occurrence in batch.exceptions:
        for link in occurrence.links:
            yield from link.frames


def insert_all(
    connection: Connection,
    batch: Batch,
    *,
    request_columns: Callable[[Row], tuple[Any, ...]],
    endpoints: Mapping[str, int],
    version_id: int,
    groups: Mapping[ExceptionKey, int],
    sources: Mapping[Block, int],
    day_start: Callable[[int], int],
) -> None:
    """Store what ``batch`` has of exceptions, in its transaction."""
    rows = [
        (
            *request_columns(item),
            groups[item.key],
            day_start(item.time_ms),
            item.handled,
            clean(item.links[0].message, MAX_MESSAGE),
            exception_detail.encode(item, sources),
        )
        for item in batch.exceptions
    ]
    columns = (*REQUEST, "group_key", "day", "handled", "message", "detail")
    _insert(connection, ExceptionRow.__table__, columns, rows)
    days = [
        (
            day_start(start_ms),
            groups[key],
            endpoints[endpoint] if endpoint else None,
            version_id,
            count.hits,
            count.first_ms,
            count.last_ms,
        )
        for (key, endpoint, start_ms), count in batch.raised.items()
    ]
    _insert(connection, ExceptionDay.__table__, _DAY_COLUMNS, days)


def _insert(
    connection: Connection, table: Any, columns: Sequence[str], rows: list[tuple[Any, ...]]
) -> None:
    if rows:
        connection.exec_driver_sql(insert_sql(connection.dialect, table, columns), rows)


def tidy(store: Store, fence: Fence) -> None:
    """Merge the counts of batches, and delete exceptions over ``KEPT_A_DAY``; the jobs' part."""
    for find, work in ((_several, _merge_days), (_full, _delete_surplus)):
        # What is left is for the next time: a job must come to an end.
        for _ in range(_MOST):
            with store.read() as connection:
                found = find(connection)
            if not found:
                break
            store.transact(partial(work, fence, found))


def _several(connection: Connection) -> Sequence[Any]:
    """Return days, groups, endpoints and versions that have more than one row."""
    query = select(*_PLACE).group_by(*_PLACE).having(func.count() > 1).limit(_AT_ONCE)
    return connection.execute(query).all()


def _merge_days(fence: Fence, several: Sequence[Any], connection: Connection) -> None:
    fence(connection)
    table = ExceptionDay
    for values in several:
        same = [
            column.is_(None) if value is None else column == value
            for column, value in zip(_PLACE, values, strict=True)
        ]
        rows = connection.execute(
            select(table.id, table.hits, table.first_at, table.last_at).where(*same).limit(CHUNK)
        ).all()
        if len(rows) < 2:
            continue
        # By their ids: more may come in meanwhile.
        kept, *others = (row.id for row in rows)
        connection.execute(delete(table).where(table.id.in_(others)))
        connection.execute(
            update(table)
            .where(table.id == kept)
            .values(
                hits=sum(row.hits for row in rows),
                first_at=min(row.first_at for row in rows),
                last_at=max(row.last_at for row in rows),
            )
        )


def _full(connection: Connection) -> Sequence[Any]:
    """Return groups and days of which more are stored than are kept."""
    table = ExceptionRow
    query = select(table.group_key, table.day).group_by(table.group_key, table.day)
    return connection.execute(query.having(func.count() > KEPT_A_DAY).limit(_AT_ONCE)).all()


def _delete_surplus(fence: Fence, full: Sequence[Any], connection: Connection) -> None:
    fence(connection)
    table = ExceptionRow
    for group_key, day in full:
        rows = (table.group_key == group_key, table.day == day)
        newest = select(table.id).where(*rows).order_by(table.time.desc(), table.id.desc())
        surplus = connection.scalars(newest.offset(KEPT_A_DAY).limit(CHUNK)).all()
        connection.execute(delete(table).where(table.id.in_(surplus)))


def backdate(connection: Connection, id: int, first_ms: int) -> None:
    """Note that a group was there at ``first_ms`` already, if that is earlier than it says."""
    seen = type_coerce(ExceptionGroup.first_seen, BigInteger)
    connection.execute(
        update(ExceptionGroup)
        .where(ExceptionGroup.id == id, seen > first_ms)
        .values(first_seen=first_ms)
    )


def resolve(connection: Connection, ids: Sequence[int], now_ms: int, by: str) -> int:
    """Mark groups as resolved: they come back with a version that is first seen later."""
    return connection.execute(
        update(ExceptionGroup)
        .where(ExceptionGroup.id.in_(ids))
        .values(resolved_at=now_ms, resolved_by=by)
    ).rowcount


def reopen(connection: Connection, ids: Sequence[int]) -> int:
    """Take back that groups are resolved."""
    return connection.execute(
        update(ExceptionGroup)
        .where(ExceptionGroup.id.in_(ids))
        .values(resolved_at=None, resolved_by=None)
    ).rowcount


def delete_groups(connection: Connection, ids: Sequence[int]) -> int:
    """Delete groups with everything that is stored of them; return how many there were."""
    for table in (ExceptionRow, ExceptionDay):
        connection.execute(delete(table).where(table.group_key.in_(ids)))
    gone = connection.execute(delete(ExceptionGroup).where(ExceptionGroup.id.in_(ids))).rowcount
    # Every process reads its ids anew.
    bump(connection)
    return gone


__all__ = [
    "KEPT_A_DAY",
    "Blocks",
    "Groups",
    "backdate",
    "blocks",
    "delete_groups",
    "insert_all",
    "keys",
    "reopen",
    "resolve",
    "tidy",
]
