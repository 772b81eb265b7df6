"""The page Overview: every endpoint that was ever seen, with its figures in the range."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, select

from ..errors import ScopeError
from ..store.calendar import HOUR_MS
from ..store.models import Endpoint, RollupDelta
from .buckets import Buckets, Total, first_hour, together
from .catalog import blueprint_of
from .figures import QUANTILES, Change, Figures, change, figures, relative
from .scope import Scope, named_range
from .table import Column, Table

COLUMNS = (
    Column("name", "Endpoint"),
    Column("blueprint", "Blueprint"),
    Column("level", "Level", "count"),
    Column("hits_today", "Hits today", "count"),
    Column("hits_week", "Hits in 7 days", "count"),
    Column("hits", "Hits", "count"),
    Column("errors", "Errors", "count"),
    Column("error_share", "Error share", "percent"),
    Column("p50_ms", "Median", "ms"),
    Column("p95_ms", "95 % below", "ms"),
    Column("p99_ms", "99 % below", "ms"),
    Column("total_ms", "Total time", "ms"),
    Column("share", "Share of time", "percent"),
    Column("change", "Change of the median", "percent"),
    Column("last_requested", "Last requested", "time"),
)
#: With fewer hits a change of the median is mostly chance.
COMPARABLE = 30
SPARK_STEPS = 30
#: Up to so many days the sparkline is made from hours, beyond from days.
SPARK_HOURLY_DAYS = 13
#: What rows may be sorted by: the keys of the columns.
SORTS = tuple(column.key for column in COLUMNS)


@dataclass(frozen=True, slots=True)
class EndpointRow:
    """One endpoint. ``hits_today`` and ``hits_week`` do not depend on the range.

    Errors are responses with a status of 400 and above. Quantiles are None without hits, and
    within 1 %. ``share`` is the part (0 to 1) of all endpoints' total time. ``change`` is how
    the median differs from that of the time before (0.5 = half as long again), None if one of them
    has fewer than ``COMPARABLE`` hits or nothing is compared. ``spark`` are hits
    over the range, in up to 30 equal steps from its beginning to its end.
    """

    id: int
    name: str
    blueprint: str | None
    level: int
    hits_today: int
    hits_week: int
    hits: int
    errors: int
    error_share: float
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    total_ms: float
    share: float
    change: float | None
    last_requested: datetime
    spark: list[int]


@dataclass(frozen=True, slots=True)
class Overview:
    """One page of rows. ``total`` counts the rows of all pages, ``blueprints`` are all there are.

    ``page`` is the page shown (1 to ``pages``): one behind the last gives the last. ``summary``
    are the rows that match search and blueprint, taken together; ``change`` is how it differs from
    the time before, None if nothing is compared.
    """

    rows: list[EndpointRow]
    total: int
    page: int
    pages: int
    blueprints: list[str]
    summary: Figures
    change: Change | None
    sort: str
    descending: bool

    def table(self) -> Table:
        """Return the rows of this page."""
        rows: list[tuple[object, ...]] = [
            tuple(getattr(row, key) for key in SORTS) for row in self.rows
        ]
        return Table("overview", COLUMNS, rows)


def overview(
    connection: Connection,
    scope: Scope,
    *,
    search: str = "",
    blueprint: str | None = None,
    sort: str = "share",
    descending: bool = True,
    page: int = 1,
    page_size: int | None = 50,
) -> Overview:
    """Return the rows of one page; all of them if ``page_size`` is None.

    ``search`` is a part of the name in any case. ``blueprint`` None or "" means all. Raises
    ScopeError for a column that there is none to sort by.
    """
    if sort not in SORTS:
        raise ScopeError(f"Cannot sort by {sort[:40]!r}. Use one of {', '.join(SORTS)}.")
    every = _rows(connection, scope)
    needle = search.strip().casefold()
    found = [
        entry
        for entry in every
        if needle in entry.row.name.casefold() and blueprint in (None, "", entry.row.blueprint)
    ]
    found.sort(key=lambda entry: entry.row.name)
    ordered = _sorted([entry.row for entry in found], sort, descending)
    now = figures(together(entry.total for entry in found), scope)
    earlier = scope.before()
    before = None
    if earlier is not None:
        total = together(entry.before for entry in found)
        before = figures(total, earlier, first_hour(connection))
    pages = 1 if page_size is None else max(1, -(-len(ordered) // page_size))
    page = min(max(page, 1), pages)
    if page_size is not None:
        ordered = ordered[(page - 1) * page_size : page * page_size]
    return Overview(
        rows=ordered,
        total=len(found),
        page=page,
        pages=pages,
        blueprints=sorted({entry.row.blueprint for entry in every if entry.row.blueprint}),
        summary=now,
        change=None if before is None else change(now, before),
        sort=sort,
        descending=descending,
    )


class _Entry(NamedTuple):
    row: EndpointRow
    total: Total
    before: Total


def _rows(connection: Connection, scope: Scope) -> list[_Entry]:
    """Return every endpoint with its figures, in no order."""
    buckets = Buckets(connection, scope)
    totals = buckets.totals()
    today, week = _recent(buckets)
    sparks = _sparks(buckets)
    steps = len(next(iter(sparks.values()), []))
    earlier = scope.before()
    before = {} if earlier is None else Buckets(connection, earlier).totals()
    all_ms = sum(total.sum_ms for total in totals.values())
    entries = []
    for endpoint_id, name, level, last_requested in _endpoints(connection, scope.endpoint_id):
        total = totals.get(endpoint_id) or Total()
        old = before.get(endpoint_id) or Total()
        p50, p95, p99 = total.quantiles(QUANTILES) or (None, None, None)
        row = EndpointRow(
            id=endpoint_id,
            name=name,
            blueprint=blueprint_of(name),
            level=level,
            hits_today=today.get(endpoint_id, 0),
            hits_week=week.get(endpoint_id, 0),
            hits=total.hits,
            errors=total.errors,
            error_share=total.errors / total.hits if total.hits else 0.0,
            p50_ms=p50,
            p95_ms=p95,
            p99_ms=p99,
            total_ms=total.sum_ms,
            share=total.sum_ms / all_ms if all_ms else 0.0,
            change=_change(total, p50, old),
            last_requested=last_requested,
            spark=sparks.get(endpoint_id) or [0] * steps,
        )
        entries.append(_Entry(row, total, old))
    return entries


def _change(total: Total, p50: float | None, before: Total) -> float | None:
    if min(total.hits, before.hits) < COMPARABLE:
        return None
    return relative(p50, before.quantiles((0.5,))[0])


def _endpoints(
    connection: Connection, endpoint_id: int | None
) -> list[tuple[int, str, int, datetime]]:
    """Return id, name, level and time of the last request of every endpoint, or of one."""
    query = select(Endpoint.id, Endpoint.name, Endpoint.level, Endpoint.last_requested)
    waiting = select(RollupDelta.endpoint_id, func.max(RollupDelta.last_requested)).group_by(
        RollupDelta.endpoint_id
    )
    if endpoint_id is not None:
        query = query.where(Endpoint.id == endpoint_id)
    newest: dict[int, datetime] = {row[0]: row[1] for row in connection.execute(waiting)}
    return [
        (key, name, level, max(last, newest.get(key, last)))
        for key, name, level, last in connection.execute(query)
    ]


def _recent(buckets: Buckets) -> tuple[dict[int, int], dict[int, int]]:
    """Return hits of today and of the last 7 days by endpoint id, whatever the range is."""
    calendar, now_ms = buckets.calendar, buckets.scope.now_ms
    start, end = named_range(calendar, "7d", now_ms)
    midnight = calendar.day_start(now_ms)
    today: dict[int, int] = {}
    week: dict[int, int] = {}
    for moment, endpoint_id, hits in buckets.endpoint_hits_by_day(start, end):
        week[endpoint_id] = week.get(endpoint_id, 0) + hits
        if moment >= midnight:
            today[endpoint_id] = today.get(endpoint_id, 0) + hits
    return today, week


def _sparks(buckets: Buckets) -> dict[int, list[int]]:
    """Return hits in equal steps over the range by endpoint id."""
    scope, calendar = buckets.scope, buckets.calendar
    starts: list[int] = []
    by_day = scope.end_ms - scope.start_ms > SPARK_HOURLY_DAYS * 24 * HOUR_MS
    moment = scope.start_ms
    while moment < scope.end_ms:
        starts.append(moment)
        moment = calendar.next_day(moment) if by_day else calendar.next_hour(moment)
    width = -(-len(starts) // SPARK_STEPS)
    edges = starts[::width]
    if by_day:
        hits = buckets.endpoint_hits_by_day(scope.start_ms, scope.end_ms)
    else:
        hits = buckets.endpoint_hits_by_hour(scope.start_ms, scope.end_ms)
    places = {moment: number // width for number, moment in enumerate(starts)}
    sparks: dict[int, list[int]] = {}
    for moment, endpoint_id, count in hits:
        row = sparks.get(endpoint_id)
        if row is None:
            row = sparks[endpoint_id] = [0] * len(edges)
        place = places.get(moment)
        if place is None:
            # An hour that is not merged yet, among days.
            place = bisect_right(edges, moment) - 1
        row[place] += count
    return sparks


def _sorted(rows: list[EndpointRow], sort: str, descending: bool) -> list[EndpointRow]:
    """Sort by a column; what has no value there comes last in both directions."""

    def key(row: EndpointRow) -> Any:
        value = getattr(row, sort)
        return value.casefold() if isinstance(value, str) else value

    known = [row for row in rows if getattr(row, sort) is not None]
    unknown = [row for row in rows if getattr(row, sort) is None]
    return sorted(known, key=key, reverse=descending) + unknown
