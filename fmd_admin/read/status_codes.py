"""Status codes: over time, by endpoint, and the list of requests that were errors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    func,
    literal_column,
    select,
    type_coerce,
)

from ..store.aggregate import FIRST_ERROR
from ..store.calendar import Calendar
from ..store.models import Request
from . import measured, timeline
from .buckets import Buckets
from .catalog import endpoint_names
from .measured import Asked, RequestInfo, conditions, part, statement
from .scope import Scope
from .table import Column, Table
from .timeline import Timeline

#: Codes with a colour of their own; few apps have more.
TOP_CODES = 20
#: Endpoints with a bar of their own.
TOP_ENDPOINTS = 50
#: Databases that have an index of errors alone.
_KNOW_ERRORS = ("sqlite", "postgresql")
#: Requests are many from this part of ``COUNTED`` on: some milliseconds to read them all.
_MANY = 10
#: What stands for all codes without a colour.
OTHER = 0

COLUMNS = (
    Column("time", "Time", "time"),
    Column("endpoint", "Endpoint"),
    Column("status", "Status", "count"),
    Column("method", "Method"),
    Column("duration_ms", "Duration", "ms"),
    Column("version", "Version"),
    Column("group", "Group"),
    Column("client", "Client"),
)
SORTS: dict[str, Any] = {"time": Request.time}
#: Orders rows of the same time.
KEY: Any = Request.id


@dataclass(frozen=True, slots=True)
class StatusesOverTime:
    """Hits in each step by code; ``hits`` has a list for each of ``codes``, OTHER is the last."""

    steps: Timeline
    codes: list[int]
    hits: list[list[int]]
    totals: list[int]
    errors: list[int]

    @property
    def total(self) -> int:
        """All requests."""
        return sum(self.totals)

    def table(self) -> Table:
        """Return a row for each step and a column for each code."""
        columns = (
            self.steps.column(),
            Column("total", "All", "count"),
            Column("errors", "Errors", "count"),
            *(Column(f"s{code}", name_of(code), "count") for code in self.codes),
        )
        figures = zip(self.totals, self.errors, *self.hits, strict=True)
        cells = self.steps.cells()
        return Table(
            "status-codes-over-time",
            columns,
            [(cell, *row) for cell, row in zip(cells, figures, strict=True)],
        )


@dataclass(frozen=True, slots=True)
class EndpointStatuses:
    """The codes of one endpoint; ``id`` is None for all the others together."""

    id: int | None
    name: str
    total: int
    errors: int
    hits: list[int]


@dataclass(frozen=True, slots=True)
class StatusesByEndpoint:
    """Hits by endpoint and code, the endpoint with the most errors first, the others last."""

    endpoints: list[EndpointStatuses]
    codes: list[int]

    @property
    def total(self) -> int:
        """All requests."""
        return sum(endpoint.total for endpoint in self.endpoints)

    def pairs(self) -> list[tuple[EndpointStatuses, int, int]]:
        """Return endpoint, code and hits, where there are hits."""
        return [
            (endpoint, code, hits)
            for endpoint in self.endpoints
            for code, hits in zip(self.codes, endpoint.hits, strict=True)
            if hits
        ]

    def table(self) -> Table:
        """Return a row for each endpoint and code; shares are of the endpoint's requests."""
        columns = (
            Column("endpoint", "Endpoint"),
            Column("status", "Status"),
            Column("hits", "Requests", "count"),
            Column("share", "Share of the endpoint", "percent"),
        )
        rows: list[tuple[object, ...]] = [
            (endpoint.name, name_of(code), hits, hits / endpoint.total)
            for endpoint, code, hits in self.pairs()
        ]
        return Table("status-codes", columns, rows)


@dataclass(frozen=True, slots=True)
class ErrorList:
    """A page of requests that were answered with 400 and above.

    ``total`` counts up to 50,000; ``more`` says that there are more.
    """

    rows: list[RequestInfo]
    total: int
    page: int
    pages: int
    more: bool = False


def name_of(code: int) -> str:
    """Return the name of a column or series."""
    return "other" if code == OTHER else str(code)


def over_time(connection: Connection, scope: Scope, top: int = TOP_CODES) -> StatusesOverTime:
    """Return hits by hour or day and code: of all endpoints, or the scope's one."""
    steps = timeline.timeline(scope)
    found = timeline.statuses(Buckets(connection, scope), steps)
    codes = _codes(found, top)
    rows = [_row(counts, codes) for counts in found]
    return StatusesOverTime(
        steps=steps,
        codes=codes,
        hits=[list(hits) for hits in zip(*rows, strict=True)],
        totals=[sum(counts.values()) for counts in found],
        errors=[_errors(counts) for counts in found],
    )


def by_endpoint(
    connection: Connection,
    scope: Scope,
    top: int = TOP_CODES,
    top_endpoints: int = TOP_ENDPOINTS,
) -> StatusesByEndpoint:
    """Return hits by endpoint and code; a single other endpoint stands under its own name."""
    found = Buckets(connection, scope).statuses("endpoint_id")
    names = endpoint_names(connection)
    codes = _codes(found.values(), top)
    ranked = sorted(
        found, key=lambda key: (-_errors(found[key]), -sum(found[key].values()), names[key])
    )
    shown = ranked if len(ranked) <= top_endpoints + 1 else ranked[:top_endpoints]
    rows = [_endpoint(key, names[key], found[key], codes) for key in shown]
    others = ranked[len(shown) :]
    if others:
        together = _together(found[key] for key in others)
        rows.append(_endpoint(None, f"{len(others)} others", together, codes))
    return StatusesByEndpoint(rows, codes)


def errors(connection: Connection, scope: Scope, asked: Asked) -> ErrorList:
    """Return one page of the errors in ``scope``, from the stored requests."""
    counted = _counted(connection, scope)
    found = part(
        connection, Request, scope, asked, sorts=SORTS, wanted=[is_error()], counted=counted
    )
    rows = [RequestInfo(*row) for row in found.rows]
    return ErrorList(rows, found.total, found.page, found.pages, found.more)


def _counted(connection: Connection, scope: Scope) -> tuple[int, bool] | None:
    """Return how many errors there are up to ``COUNTED``, and if more; None: count the rows.

    MySQL has no index of errors alone: to count them it reads every request. Where these are many
    they are counted as the rollups have them, in the whole hours of what is still stored.
    """
    if connection.dialect.name in _KNOW_ERRORS:
        return None
    hits = _together(Buckets(connection, scope).statuses("version_id").values())
    oldest_ms = connection.scalar(select(type_coerce(func.min(Request.time), BigInteger)))
    if sum(hits.values()) <= measured.COUNTED // _MANY or oldest_ms is None:
        return None
    calendar = Calendar(scope.zone)
    start_ms, end_ms = calendar.hour_start(scope.exact_start_ms), scope.exact_end_ms
    if start_ms < scope.exact_start_ms:
        start_ms = calendar.next_hour(start_ms)
    end_ms = calendar.hour_start(end_ms)
    is_part = (start_ms, end_ms) != (scope.exact_start_ms, scope.exact_end_ms)
    start_ms = max(start_ms, calendar.hour_start(oldest_ms))
    if (start_ms, end_ms) != (scope.start_ms, scope.end_ms):
        hits = {}
        if start_ms < end_ms:
            whole = replace(scope, start_ms=start_ms, end_ms=end_ms)
            hits = _together(Buckets(connection, whole).statuses("version_id").values())
    total = _errors(hits)
    if is_part and not total:
        return None
    return min(total, measured.COUNTED), is_part or total > measured.COUNTED


def every_error(scope: Scope) -> Select[Any]:
    """Return the select of all errors in ``scope``; its rows are those of RequestInfo."""
    return statement(Request).where(*conditions(Request, scope), is_error())


def error_values(row: RequestInfo) -> tuple[object, ...]:
    """Return the values of ``COLUMNS``."""
    return tuple(getattr(row, column.key) for column in COLUMNS)


def is_error() -> ColumnElement[bool]:
    """Return the condition of the index of errors, word for word."""
    # A bound value would not do: databases know a partial index by the text of its condition.
    return Request.status >= literal_column(str(FIRST_ERROR))


def _codes(found: Iterable[Mapping[int, int]], top: int) -> list[int]:
    """Return the codes with the most hits in the order of their numbers, OTHER behind them."""
    counts = _together(found)
    # A status of 0, as imports may have, is no code either: it is among the others.
    known = sorted(counts.keys() - {OTHER})
    if len(counts) <= top + 1:
        return [*known, OTHER] if OTHER in counts else known
    return [*sorted(sorted(known, key=lambda code: (-counts[code], code))[:top]), OTHER]


def _row(counts: Mapping[int, int], codes: list[int]) -> list[int]:
    row = [counts.get(code, 0) for code in codes]
    if codes and codes[-1] == OTHER:
        row[-1] = 0
        row[-1] = sum(counts.values()) - sum(row)
    return row


def _errors(counts: Mapping[int, int]) -> int:
    return sum(hits for code, hits in counts.items() if code >= FIRST_ERROR)


def _together(found: Iterable[Mapping[int, int]]) -> dict[int, int]:
    counts: dict[int, int] = {}
    for part_ in found:
        for code, hits in part_.items():
            counts[code] = counts.get(code, 0) + hits
    return counts


def _endpoint(
    key: int | None, name: str, counts: Mapping[int, int], codes: list[int]
) -> EndpointStatuses:
    total = sum(counts.values())
    return EndpointStatuses(key, name, total, _errors(counts), _row(counts, codes))
