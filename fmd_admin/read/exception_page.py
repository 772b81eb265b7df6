"""The page of one group of exceptions: how often, where, and single ones of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, func, select

from ..store import exception_detail
from ..store.calendar import Calendar
from ..store.exception_detail import ExceptionDetail
from ..store.exception_models import ExceptionDay, ExceptionGroup, ExceptionRow, SourceBlock
from ..store.models import Client, Endpoint, Group, Version
from ..store.types import from_millis, to_millis
from .catalog import NO_NAME
from .exceptions import GROUP, STATE, GroupInfo, conditions, info_of, ms
from .scope import Scope
from .table import Column, Table

#: What stands for exceptions outside of any request.
NO_REQUEST = "(no request)"
#: Occurrences shown on the page of a group.
SHOWN = 50
#: Versions with a series of their own in the trend.
TOP_VERSIONS = 8


@dataclass(frozen=True, slots=True)
class Series:
    """Counts a day of one version; ``version_id`` None stands for all others together."""

    version_id: int | None
    name: str
    hits: list[int]


@dataclass(frozen=True, slots=True)
class Trend:
    """Counts a day by version in the range. ``days`` are ISO dates."""

    days: list[str]
    series: list[Series]

    @property
    def total(self) -> int:
        """All of them."""
        return sum(sum(series.hits) for series in self.series)

    def table(self) -> Table:
        """Return a row for each day and a column for each version."""
        columns = (
            Column("day", "Day", "date"),
            Column("total", "All", "count"),
            *(Column(f"v{s.version_id or 0}", s.name, "count") for s in self.series),
        )
        rows: list[tuple[object, ...]] = []
        for index, day in enumerate(self.days):
            hits = [series.hits[index] for series in self.series]
            rows.append((day, sum(hits), *hits))
        return Table("exception-trend", columns, rows)


def trend(connection: Connection, scope: Scope, group_id: int) -> Trend:
    """Return how often a group came on each day of ``scope``, by version as first seen."""
    query = (
        select(ExceptionDay.day, ExceptionDay.version_id, func.sum(ExceptionDay.hits))
        .where(ExceptionDay.group_key == group_id, *conditions(scope))
        .group_by(ExceptionDay.day, ExceptionDay.version_id)
    )
    calendar = Calendar(scope.zone)
    days = scope.days
    index = {calendar.date_start(day): number for number, day in enumerate(days)}
    by_version: dict[int, list[int]] = {}
    for day, version_id, hits in connection.execute(query):
        row = by_version.setdefault(version_id, [0] * len(days))
        row[index[calendar.day_start(to_millis(day))]] += int(hits)
    named = connection.execute(
        select(Version.id, Version.name).order_by(Version.first_seen, Version.id)
    )
    names = {row.id: row.name or NO_NAME for row in named if row.id in by_version}
    # The newest ones are shown apart.
    shown = list(names)[-TOP_VERSIONS:]
    series = [Series(key, names[key], by_version[key]) for key in shown]
    others = [hits for key, hits in by_version.items() if key not in shown]
    if others:
        series.insert(0, Series(None, "older", [sum(hits) for hits in zip(*others, strict=True)]))
    return Trend([day.isoformat() for day in days], series)


@dataclass(frozen=True, slots=True)
class Part:
    """How often a group came at one endpoint or in one version."""

    id: int | None
    name: str
    hits: int
    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One stored exception. ``endpoint`` is None outside of requests. Times are aware, in UTC."""

    id: int
    time: datetime
    endpoint_id: int | None
    endpoint: str | None
    version: str
    group: str | None
    client: str | None
    duration_ms: float
    status: int
    method: str
    handled: bool
    message: str


OCCURRENCE_COLUMNS = (
    Column("time", "Time", "time"),
    Column("endpoint", "Endpoint"),
    Column("method", "Method"),
    Column("status", "Status", "count"),
    Column("duration_ms", "Duration", "ms"),
    Column("version", "Version"),
    Column("group", "Group"),
    Column("client", "Client"),
    Column("handled", "Handled"),
    Column("message", "Message"),
)


def occurrence_values(row: Occurrence) -> tuple[object, ...]:
    """Return the values of ``OCCURRENCE_COLUMNS``."""
    return tuple(getattr(row, column.key) for column in OCCURRENCE_COLUMNS)


@dataclass(frozen=True, slots=True)
class Shown:
    """An occurrence with what is known of it; ``sources`` are the texts of functions by id."""

    row: Occurrence
    detail: ExceptionDetail
    sources: dict[int, str]


@dataclass(frozen=True, slots=True)
class GroupPage:
    """One group. The figures are of the range, ``shown`` is the occurrence that was asked for."""

    group: GroupInfo
    hits: int
    first: datetime | None
    last: datetime | None
    trend: Trend
    endpoints: list[Part]
    versions: list[Part]
    occurrences: list[Occurrence]
    shown: Shown | None


def group_info(connection: Connection, group_id: int) -> GroupInfo | None:
    """Return a group; None if there is none with this id."""
    query = select(*GROUP, STATE.label("state")).where(ExceptionGroup.id == group_id)
    found = connection.execute(query).one_or_none()
    return None if found is None else info_of(found)


def group_page(
    connection: Connection, scope: Scope, group: GroupInfo, occurrence_id: int | None
) -> GroupPage:
    """Return the page of a group, with its newest occurrence unless another one is asked for."""
    first, last = connection.execute(
        select(func.min(ms(ExceptionDay.first_at)), func.max(ms(ExceptionDay.last_at))).where(
            ExceptionDay.group_key == group.id
        )
    ).one()
    found = trend(connection, scope, group.id)
    query = every(group.id).order_by(ExceptionRow.time.desc(), ExceptionRow.id.desc())
    rows = [Occurrence(*row) for row in connection.execute(query.limit(SHOWN))]
    wanted = occurrence_id or (rows[0].id if rows else None)
    return GroupPage(
        group=group,
        hits=found.total,
        first=None if first is None else from_millis(first),
        last=None if last is None else from_millis(last),
        trend=found,
        endpoints=_parts(connection, scope, group.id, Endpoint, ExceptionDay.endpoint_id),
        versions=_parts(connection, scope, group.id, Version, ExceptionDay.version_id),
        occurrences=rows,
        shown=None if wanted is None else _shown(connection, group.id, wanted),
    )


def _parts(
    connection: Connection, scope: Scope, group_id: int, model: Any, column: Any
) -> list[Part]:
    query = (
        select(
            column,
            model.name,
            func.sum(ExceptionDay.hits),
            func.min(ms(ExceptionDay.first_at)),
            func.max(ms(ExceptionDay.last_at)),
        )
        .select_from(ExceptionDay)
        .outerjoin(model, model.id == column)
        .where(ExceptionDay.group_key == group_id, *conditions(scope))
        .group_by(column, model.name)
    )
    nameless = NO_REQUEST if model is Endpoint else NO_NAME
    found = [
        Part(key, name or nameless, int(hits), from_millis(first), from_millis(last))
        for key, name, hits, first, last in connection.execute(query)
    ]
    return sorted(found, key=lambda part: (-part.hits, part.name))


def every(group_id: int) -> Select[Any]:
    """Return the select of all stored exceptions of a group; its rows are those of Occurrence."""
    columns: list[Any] = [
        ExceptionRow.id,
        ExceptionRow.time,
        ExceptionRow.endpoint_id,
        Endpoint.name,
        Version.name,
        Group.name,
        Client.name,
        ExceptionRow.duration_ms,
        ExceptionRow.status,
        ExceptionRow.method,
        ExceptionRow.handled,
        ExceptionRow.message,
    ]
    return (
        select(*columns)
        .select_from(ExceptionRow)
        .outerjoin(Endpoint, Endpoint.id == ExceptionRow.endpoint_id)
        .join(Version, Version.id == ExceptionRow.version_id)
        .outerjoin(Group, Group.id == ExceptionRow.group_id)
        .outerjoin(Client, Client.id == ExceptionRow.client_id)
        .where(ExceptionRow.group_key == group_id)
    )


def _shown(connection: Connection, group_id: int, occurrence_id: int) -> Shown | None:
    query = every(group_id).add_columns(ExceptionRow.detail)
    found = connection.execute(query.where(ExceptionRow.id == occurrence_id)).one_or_none()
    if found is None:
        return None
    *values, data = found
    detail = exception_detail.decode(data)
    return Shown(Occurrence(*values), detail, _sources(connection, detail))


def _sources(connection: Connection, detail: ExceptionDetail) -> dict[int, str]:
    ids: Iterable[int] = {frame.source_id for link in detail.links for frame in link.frames}
    query = select(SourceBlock.id, SourceBlock.text).where(SourceBlock.id.in_(ids))
    return {row.id: row.text for row in connection.execute(query)}
