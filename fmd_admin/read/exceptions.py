"""The pages of exceptions: groups of all endpoints or one, and one group with its occurrences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    and_,
    case,
    func,
    literal,
    or_,
    select,
    type_coerce,
)

from ..errors import ScopeError
from ..store.calendar import Calendar
from ..store.exception_models import ExceptionDay, ExceptionGroup, ExceptionRow
from ..store.models import Version
from ..store.types import from_millis
from .measured import Asked
from .scope import Scope
from .search import holds
from .table import Column, Table

OPEN, RESOLVED, RETURNED = "open", "resolved", "returned"
#: What the list may be narrowed down to; "open" has those that came back, too.
STATES = (OPEN, RETURNED, RESOLVED, "all")
#: Groups that are counted and paged at most.
COUNTED = 10_000
_AT_ONCE = 500
_LONGEST_DAY_MS = 25 * 3_600_000

COLUMNS = (
    Column("type", "Type"),
    Column("place", "Place"),
    Column("message", "Latest message"),
    Column("hits", "Count", "count"),
    Column("endpoints", "Endpoints", "count"),
    Column("versions", "Versions", "count"),
    Column("first", "First seen", "time"),
    Column("last", "Last seen", "time"),
    Column("state", "State"),
)


def ms(column: Any) -> Any:
    """Return a column of times as the UTC ms that it holds."""
    return type_coerce(column, BigInteger)


def _came_back() -> ColumnElement[bool]:
    """Whether a resolved group happened again in a version that was first seen later."""
    return (
        select(literal(1))
        .select_from(ExceptionDay)
        .join(Version, Version.id == ExceptionDay.version_id)
        .where(
            ExceptionDay.group_key == ExceptionGroup.id,
            # It says nothing new: fewer rows are looked at.
            ms(ExceptionDay.day) > ms(ExceptionGroup.resolved_at) - _LONGEST_DAY_MS,
            Version.first_seen > ExceptionGroup.resolved_at,
        )
        .exists()
    )


def came_back_at() -> Any:
    """Return when a resolved group happened again in a version that was first seen later (ms)."""
    return (
        select(func.min(ms(ExceptionDay.first_at)))
        .select_from(ExceptionDay)
        .join(Version, Version.id == ExceptionDay.version_id)
        .where(
            ExceptionDay.group_key == ExceptionGroup.id,
            ms(ExceptionDay.day) > ms(ExceptionGroup.resolved_at) - _LONGEST_DAY_MS,
            Version.first_seen > ExceptionGroup.resolved_at,
        )
        .correlate(ExceptionGroup)
        .scalar_subquery()
    )


#: The state of a group, found from its counts: nothing has to be written when one comes back.
STATE: Any = case(
    (ExceptionGroup.resolved_at.is_(None), OPEN), (_came_back(), RETURNED), else_=RESOLVED
)


@dataclass(frozen=True, slots=True)
class GroupInfo:
    """A group of exceptions. Times are aware, in UTC; ``behind`` are the types that led to it."""

    id: int
    type: str
    module: str
    function: str
    behind: tuple[str, ...]
    state: str
    resolved_at: datetime | None
    resolved_by: str | None

    @property
    def place(self) -> str:
        """Module and function: ``shop.basket.total``."""
        return ".".join(part for part in (self.module, self.function) if part)


@dataclass(frozen=True, slots=True)
class GroupRow:
    """A group with its figures in the range. ``first`` and ``last`` are of all that is stored."""

    group: GroupInfo
    hits: int
    endpoints: int
    versions: int
    first: datetime
    last: datetime
    message: str | None
    is_new: bool

    def values(self) -> tuple[object, ...]:
        """Return the values of ``COLUMNS``."""
        return (
            self.group.type,
            self.group.place,
            self.message,
            self.hits,
            self.endpoints,
            self.versions,
            self.first,
            self.last,
            self.group.state,
        )


@dataclass(frozen=True, slots=True)
class GroupList:
    """A page of groups. ``total`` counts groups up to ``COUNTED``, ``hits`` all exceptions."""

    rows: list[GroupRow]
    total: int
    hits: int
    page: int
    pages: int

    def table(self) -> Table:
        """Return the rows of this page."""
        return Table("exceptions", COLUMNS, [row.values() for row in self.rows])


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the list is narrowed down to: a state, and words in type, place or chain."""

    state: str = OPEN
    search: str = ""


def days_of(scope: Scope) -> tuple[int, int]:
    """Return where the days of ``scope`` begin and end (UTC ms): exceptions count by whole days."""
    calendar = Calendar(scope.zone)
    return calendar.day_start(scope.start_ms), calendar.next_day(scope.end_ms - 1)


def conditions(scope: Scope) -> list[ColumnElement[bool]]:
    """Return the conditions of the counts in ``scope``."""
    start_ms, end_ms = days_of(scope)
    found: list[ColumnElement[bool]] = [ExceptionDay.day >= start_ms, ExceptionDay.day < end_ms]
    if scope.endpoint_id is not None:
        found.append(ExceptionDay.endpoint_id == scope.endpoint_id)
    if scope.version_ids is not None:
        found.append(ExceptionDay.version_id.in_(scope.version_ids))
    return found


def _search(text: str, dialect: str) -> ColumnElement[bool]:
    group = ExceptionGroup
    columns = (group.type, group.module, group.function, group.behind)
    found = [
        or_(*(holds(column, word, dialect) for column in columns)) for word in text.split()[:10]
    ]
    return and_(*found)


def groups(connection: Connection, scope: Scope, asked: Asked, wanted: Wanted) -> GroupList:
    """Return one page of the groups that happened in ``scope``; the last one if there are fewer.

    Raises ScopeError for an unknown sort or state.
    """
    if wanted.state not in STATES:
        raise ScopeError(
            f"State {wanted.state[:40]!r} is not known. Use one of {', '.join(STATES)}."
        )
    if asked.sort not in SORTS:
        raise ScopeError(f"Cannot sort by {asked.sort[:40]!r}. Use one of {', '.join(SORTS)}.")
    sums = (
        select(
            ExceptionDay.group_key,
            func.sum(ExceptionDay.hits).label("hits"),
            func.max(ms(ExceptionDay.last_at)).label("last"),
        )
        .where(*conditions(scope))
        .group_by(ExceptionDay.group_key)
        .subquery()
    )
    group = ExceptionGroup
    query = select(*GROUP, STATE.label("state"), sums.c.hits).join(
        sums, sums.c.group_key == group.id
    )
    if wanted.state != "all":
        states = (OPEN, RETURNED) if wanted.state == OPEN else (wanted.state,)
        query = query.where(STATE.in_(states))
    if wanted.search:
        query = query.where(_search(wanted.search, connection.dialect.name))
    column = {
        "last": sums.c.last,
        "first": group.first_seen,
        "hits": sums.c.hits,
        "type": group.type,
        "place": group.module,
    }[asked.sort]
    order = (column.desc() if asked.descending else column.asc(), group.id.desc())
    # All of them at once: there are few, and only these are told apart below.
    found = connection.execute(query.order_by(*order).limit(COUNTED)).all()
    total, hits = len(found), sum(int(row.hits) for row in found)
    page, pages = 1, 1
    if asked.page_size is not None:
        pages = max(1, -(-total // asked.page_size))
        page = min(max(asked.page, 1), pages)
        found = found[(page - 1) * asked.page_size : page * asked.page_size]
    return GroupList(_rows(connection, scope, found), total, hits, page, pages)


def _rows(connection: Connection, scope: Scope, found: Sequence[Any]) -> list[GroupRow]:
    """Return the rows of groups with what is only read for those that are shown."""
    rows: list[GroupRow] = []
    start_ms, _ = days_of(scope)
    for begin in range(0, len(found), _AT_ONCE):
        part = found[begin : begin + _AT_ONCE]
        ids = [row.id for row in part]
        messages = _messages(connection, ids)
        spread = _spread(connection, scope, ids)
        spans = _spans(connection, ids)
        for row in part:
            first, last = spans[row.id]
            endpoints, versions = spread[row.id]
            rows.append(
                GroupRow(
                    group=info_of(row),
                    hits=int(row.hits),
                    endpoints=endpoints,
                    versions=versions,
                    first=from_millis(first),
                    last=from_millis(last),
                    message=messages.get(row.id),
                    is_new=first >= start_ms,
                )
            )
    return rows


def _spread(connection: Connection, scope: Scope, ids: Sequence[int]) -> dict[int, tuple[int, int]]:
    """Return at how many endpoints and in how many versions groups happened in the range."""
    query = (
        select(
            ExceptionDay.group_key,
            func.count(ExceptionDay.endpoint_id.distinct()),
            func.count(ExceptionDay.version_id.distinct()),
        )
        .where(*conditions(scope), ExceptionDay.group_key.in_(ids))
        .group_by(ExceptionDay.group_key)
    )
    return {row[0]: (row[1], row[2]) for row in connection.execute(query)}


def _spans(connection: Connection, ids: Sequence[int]) -> dict[int, tuple[int, int]]:
    """Return the first and last time (UTC ms) of groups, of all that is stored."""
    query = (
        select(
            ExceptionDay.group_key,
            func.min(ms(ExceptionDay.first_at)),
            func.max(ms(ExceptionDay.last_at)),
        )
        .where(ExceptionDay.group_key.in_(ids))
        .group_by(ExceptionDay.group_key)
    )
    return {row[0]: (row[1], row[2]) for row in connection.execute(query)}


#: The columns of GroupInfo, but for the state.
GROUP = (
    ExceptionGroup.id,
    ExceptionGroup.type,
    ExceptionGroup.module,
    ExceptionGroup.function,
    ExceptionGroup.behind,
    ExceptionGroup.resolved_at,
    ExceptionGroup.resolved_by,
)


def info_of(row: Any) -> GroupInfo:
    """Return a group from a row of ``GROUP`` and ``STATE``."""
    behind = tuple(row.behind.split("\n")) if row.behind else ()
    return GroupInfo(
        row.id,
        row.type,
        row.module,
        row.function,
        behind,
        row.state,
        row.resolved_at,
        row.resolved_by,
    )


#: What the list may be sorted by.
SORTS = ("last", "first", "hits", "type", "place")


def _messages(connection: Connection, ids: Sequence[int]) -> dict[int, str]:
    """Return the latest message of each group that has a stored exception."""
    newest = (
        select(func.max(ExceptionRow.id))
        .where(ExceptionRow.group_key.in_(ids))
        .group_by(ExceptionRow.group_key)
    )
    rows = connection.execute(
        select(ExceptionRow.group_key, ExceptionRow.message).where(ExceptionRow.id.in_(newest))
    )
    return {row.group_key: row.message for row in rows}


@dataclass(frozen=True, slots=True)
class ExceptionCounts:
    """Exceptions in the range: by endpoint id (None: no request), and how many groups are new.

    Both leave out what is resolved.
    """

    by_endpoint: dict[int | None, int]
    new: int

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.by_endpoint.values())


def counts(connection: Connection, scope: Scope) -> ExceptionCounts:
    """Return how many exceptions there were in ``scope``, resolved ones left out."""
    resolved = select(ExceptionGroup.id).where(STATE == RESOLVED)
    query = (
        select(ExceptionDay.endpoint_id, func.sum(ExceptionDay.hits))
        .where(*conditions(scope), ExceptionDay.group_key.not_in(resolved))
        .group_by(ExceptionDay.endpoint_id)
    )
    by_endpoint = {row[0]: int(row[1]) for row in connection.execute(query)}
    start_ms, end_ms = days_of(scope)
    there = (
        select(literal(1))
        .where(*conditions(scope), ExceptionDay.group_key == ExceptionGroup.id)
        .exists()
    )
    new = select(func.count()).where(
        ExceptionGroup.first_seen >= start_ms,
        ExceptionGroup.first_seen < end_ms,
        there,
        ExceptionGroup.id.not_in(resolved),
    )
    return ExceptionCounts(by_endpoint, connection.scalar(new) or 0)
