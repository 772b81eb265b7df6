"""The page Outliers: the list of all endpoints or one, and one outlier in detail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, func, select

from ..store import outlier_detail
from ..store.models import Endpoint, Outlier, OutlierSkipped
from ..store.outlier_detail import Detail, SourceFrame
from .measured import Asked, RequestInfo, conditions, part, statement
from .scope import Scope
from .table import Column

COLUMNS = (
    Column("time", "Time", "time"),
    Column("endpoint", "Endpoint"),
    Column("duration_ms", "Duration", "ms"),
    Column("limit_ms", "Limit", "ms"),
    Column("stuck", "Stuck in"),
    Column("method", "Method"),
    Column("status", "Status", "count"),
    Column("version", "Version"),
    Column("group", "Group"),
    Column("client", "Client"),
)
SORTS: dict[str, Any] = {
    "time": Outlier.time,
    "endpoint": Endpoint.name,
    "duration_ms": Outlier.duration_ms,
    "status": Outlier.status,
}

#: Orders rows of the same time.
KEY: Any = Outlier.id


@dataclass(frozen=True, slots=True)
class OutlierRow:
    """A request over its limit; ``stuck`` is the innermost frame of the host's own code."""

    request: RequestInfo
    limit_ms: float
    stuck: SourceFrame | None
    note: str

    def values(self) -> tuple[object, ...]:
        """Return the values of ``COLUMNS``."""
        request = self.request
        return (
            request.time,
            request.endpoint,
            request.duration_ms,
            self.limit_ms,
            place(self.stuck) if self.stuck else None,
            request.method,
            request.status,
            request.version,
            request.group,
            request.client,
        )


@dataclass(frozen=True, slots=True)
class OutlierList:
    """A page of outliers. ``left_out`` counts those over the cap, which are not stored."""

    rows: list[OutlierRow]
    total: int
    page: int
    pages: int
    left_out: int


@dataclass(frozen=True, slots=True)
class OutlierInfo:
    """One outlier with everything that is known of it."""

    request: RequestInfo
    limit_ms: float
    detail: Detail


@dataclass(frozen=True, slots=True)
class OutlierCounts:
    """Outliers in the range: stored ones by endpoint id, and how many were left out."""

    stored: dict[int, int]
    left_out: int

    @property
    def total(self) -> int:
        """All outliers, those left out included."""
        return sum(self.stored.values()) + self.left_out


def place(frame: SourceFrame) -> str:
    """Return function, file and line of a frame: ``find_items (shop/catalog.py:41)``."""
    return f"{frame.function} ({frame.file}:{frame.line})"


def outliers(connection: Connection, scope: Scope, asked: Asked) -> OutlierList:
    """Return one page of the outliers in ``scope``."""
    found = part(connection, Outlier, scope, asked, Outlier.limit_ms, Outlier.detail, sorts=SORTS)
    rows = [row_of(row) for row in found.rows]
    left_out = sum(_left_out(connection, scope).values())
    return OutlierList(rows, found.total, found.page, found.pages, left_out)


def every(scope: Scope) -> Select[Any]:
    """Return the select of all outliers in ``scope``; :func:`row_of` understands its rows."""
    return statement(Outlier, Outlier.limit_ms, Outlier.detail).where(*conditions(Outlier, scope))


def row_of(found: Sequence[Any]) -> OutlierRow:
    """Return a row of the list."""
    *request, limit_ms, data = found
    detail = outlier_detail.decode(data)
    stack = [frame for frame in detail.stack if frame.own] or detail.stack
    stuck = stack[-1] if stack else None
    return OutlierRow(RequestInfo(*request), limit_ms, stuck, detail.note)


def outlier(connection: Connection, endpoint_id: int, outlier_id: int) -> OutlierInfo | None:
    """Return one outlier; None if the endpoint has no such one."""
    query = statement(Outlier, Outlier.limit_ms, Outlier.detail).where(
        Outlier.id == outlier_id, Outlier.endpoint_id == endpoint_id
    )
    found = connection.execute(query).one_or_none()
    if found is None:
        return None
    *request, limit_ms, data = found
    return OutlierInfo(RequestInfo(*request), limit_ms, outlier_detail.decode(data))


def counts(connection: Connection, scope: Scope) -> OutlierCounts:
    """Return how many outliers there are in ``scope``."""
    query = (
        select(Outlier.endpoint_id, func.count())
        .where(*conditions(Outlier, scope))
        .group_by(Outlier.endpoint_id)
    )
    stored = {row[0]: row[1] for row in connection.execute(query)}
    return OutlierCounts(stored, sum(_left_out(connection, scope).values()))


def _left_out(connection: Connection, scope: Scope) -> dict[int, int]:
    query = (
        select(OutlierSkipped.endpoint_id, func.sum(OutlierSkipped.hits))
        .where(*conditions(OutlierSkipped, scope))
        .group_by(OutlierSkipped.endpoint_id)
    )
    return {row[0]: int(row[1]) for row in connection.execute(query)}
