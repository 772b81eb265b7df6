"""The page Outliers: the list of all endpoints or one, and one outlier in detail."""

from __future__ import annotations

from collections import Counter
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
    """A page of outliers. ``left_out`` counts those over the cap, which are not stored.

    ``total`` counts up to 50,000; ``more`` says that there are more.
    """

    rows: list[OutlierRow]
    total: int
    page: int
    pages: int
    more: bool
    left_out: int


@dataclass(frozen=True, slots=True)
class OutlierInfo:
    """One outlier with everything that is known of it."""

    request: RequestInfo
    limit_ms: float
    detail: Detail


@dataclass(frozen=True, slots=True)
class OutlierCounts:
    """Outliers in the range by endpoint id: those that are stored, and those left out."""

    stored: dict[int, int]
    skipped: dict[int, int]

    @property
    def left_out(self) -> int:
        """How many were left out."""
        return sum(self.skipped.values())

    @property
    def total(self) -> int:
        """All outliers, those left out included."""
        return sum(self.stored.values()) + self.left_out

    @property
    def by_endpoint(self) -> dict[int, int]:
        """All outliers of each endpoint, those left out included."""
        return dict(Counter(self.stored) + Counter(self.skipped))


def place(frame: SourceFrame) -> str:
    """Return function, file and line of a frame: ``find_items (shop/catalog.py:41)``."""
    return f"{frame.function} ({frame.file}:{frame.line})"


def outliers(connection: Connection, scope: Scope, asked: Asked) -> OutlierList:
    """Return one page of the outliers in ``scope``."""
    found = part(connection, Outlier, scope, asked, Outlier.limit_ms, Outlier.detail, sorts=SORTS)
    rows = [row_of(row) for row in found.rows]
    left_out = sum(_left_out(connection, scope).values())
    return OutlierList(rows, found.total, found.page, found.pages, found.more, left_out)


def every(scope: Scope) -> Select[Any]:
    """Return the select of all outliers in ``scope``; :func:`row_of` understands its rows."""
    return statement(Outlier, Outlier.limit_ms, Outlier.detail).where(*conditions(Outlier, scope))


def row_of(found: Sequence[Any]) -> OutlierRow:
    """Return a row of the list."""
    *request, limit_ms, data = found
    return OutlierRow(RequestInfo(*request), limit_ms, *outlier_detail.stuck(data))


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
    # Endpoint by endpoint the index alone is counted. By time each row would be fetched, and rows
    # of outliers are large.
    hits = (
        select(func.count())
        .where(Outlier.endpoint_id == Endpoint.id, *conditions(Outlier, scope))
        .scalar_subquery()
    )
    query = select(Endpoint.id, hits)
    if scope.endpoint_id is not None:
        query = query.where(Endpoint.id == scope.endpoint_id)
    stored = {row[0]: row[1] for row in connection.execute(query) if row[1]}
    return OutlierCounts(stored, _left_out(connection, scope))


def _left_out(connection: Connection, scope: Scope) -> dict[int, int]:
    query = (
        select(OutlierSkipped.endpoint_id, func.sum(OutlierSkipped.hits))
        .where(*conditions(OutlierSkipped, scope))
        .group_by(OutlierSkipped.endpoint_id)
    )
    return {row[0]: int(row[1]) for row in connection.execute(query)}
