"""Lists of requests: what profiles, outliers and errors share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, select

from ..errors import ScopeError
from ..store.models import (
    Client,
    Endpoint,
    Group,
    Outlier,
    OutlierSkipped,
    Profile,
    Request,
    Version,
)
from .scope import Scope

Model = type[Profile] | type[Outlier] | type[Request]
#: Rows that are counted, paged and sorted at most, the newest ones.
COUNTED = 50_000


@dataclass(frozen=True, slots=True)
class Asked:
    """How a list is sorted, and its page (from 1); ``page_size`` None gives all rows."""

    sort: str = "time"
    descending: bool = True
    page: int = 1
    page_size: int | None = 50


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """One measured request. ``time`` is aware, in UTC."""

    id: int
    time: datetime
    endpoint_id: int
    endpoint: str
    version: str
    group: str | None
    client: str | None
    duration_ms: float
    status: int
    method: str


def conditions(model: Model | type[OutlierSkipped], scope: Scope) -> list[ColumnElement[bool]]:
    """Return the conditions of what lies in ``scope``."""
    found = [model.time >= scope.exact_start_ms, model.time < scope.exact_end_ms]
    if scope.endpoint_id is not None:
        found.append(model.endpoint_id == scope.endpoint_id)
    if scope.version_ids is not None:
        found.append(model.version_id.in_(scope.version_ids))
    return found


def statement(model: Model, *more: Any) -> Select[Any]:
    """Return the select of the columns of RequestInfo, and of ``more``."""
    columns: list[Any] = [
        model.id,
        model.time,
        model.endpoint_id,
        Endpoint.name,
        Version.name,
        Group.name,
        Client.name,
        model.duration_ms,
        model.status,
        model.method,
        *more,
    ]
    return (
        select(*columns)
        .select_from(model)
        .join(Endpoint, Endpoint.id == model.endpoint_id)
        .join(Version, Version.id == model.version_id)
        .outerjoin(Group, Group.id == model.group_id)
        .outerjoin(Client, Client.id == model.client_id)
    )


@dataclass(frozen=True, slots=True)
class Part:
    """A page of rows as they were selected.

    ``total`` counts up to ``COUNTED``; ``more`` says that there are more.
    """

    rows: list[Any]
    total: int
    page: int
    pages: int
    more: bool = False


def part(
    connection: Connection,
    model: Model,
    scope: Scope,
    asked: Asked,
    *more: Any,
    sorts: dict[str, Any],
    wanted: Sequence[ColumnElement[bool]] = (),
    counted: tuple[int, bool] | None = None,
) -> Part:
    """Read one page of the rows in ``scope`` that are ``wanted``; the last one if there are fewer.

    Where there are more than ``COUNTED``, the newest ones are sorted by anything but time. Raises
    ScopeError for an unknown sort. ``counted`` is what :func:`count_up` would say, if it is known.
    """
    column = sorts.get(asked.sort)
    if column is None:
        raise ScopeError(f"Cannot sort by {asked.sort[:40]!r}. Use one of {', '.join(sorts)}.")
    wanted = [*conditions(model, scope), *wanted]
    total, are_more = counted or count_up(connection, model, wanted)
    order = [column, model.time, model.id] if asked.sort != "time" else [column, model.id]
    ordering = [item.desc() if asked.descending else item.asc() for item in order]
    query = statement(model, *more).order_by(*ordering)
    if asked.page_size is None:
        return Part(list(connection.execute(query.where(*wanted))), total, 1, 1, are_more)
    pages = max(1, -(-total // asked.page_size))
    page = min(max(asked.page, 1), pages)
    first = (page - 1) * asked.page_size
    if asked.sort == "time":
        # The index skips what comes before this page; joined to their names it takes ten times.
        keys = select(model.id).where(*wanted).order_by(*ordering)
    else:
        keys = _sorted(model, wanted, column, descending=asked.descending)
    size = min(asked.page_size, total - first)
    ids = connection.scalars(keys.limit(size).offset(first)).all()
    rows = list(connection.execute(query.where(model.id.in_(ids))))
    return Part(rows, total, page, pages, are_more)


def count_up(
    connection: Connection, model: Model, wanted: Sequence[ColumnElement[bool]]
) -> tuple[int, bool]:
    """Return how many rows there are, up to ``COUNTED``, and whether there are more."""
    counted = select(model.id).where(*wanted).limit(COUNTED + 1).subquery()
    total = connection.scalar(select(func.count()).select_from(counted)) or 0
    return min(total, COUNTED), total > COUNTED


def _sorted(
    model: Model, wanted: Sequence[ColumnElement[bool]], column: Any, *, descending: bool
) -> Select[Any]:
    """Return the select of the keys of the newest rows, sorted by ``column``."""
    held = model.endpoint_id if column is Endpoint.name else column
    newest = (
        select(model.id, model.time, held.label("held"))
        .where(*wanted)
        .order_by(model.time.desc(), model.id.desc())
        .limit(COUNTED)
        .subquery()
    )
    keys = select(newest.c.id)
    if column is Endpoint.name:
        keys = keys.join(Endpoint, Endpoint.id == newest.c.held)
    else:
        column = newest.c.held
    order = (column, newest.c.time, newest.c.id)
    return keys.order_by(*(item.desc() if descending else item.asc() for item in order))
