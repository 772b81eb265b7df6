"""The pages under Data: requests, endpoints and versions as they are stored."""

from __future__ import annotations

from typing import Any

from flask import request
from sqlalchemy import ColumnElement, Connection, Select, select
from sqlalchemy.orm import contains_eager

from ...read import catalog
from ...read.scope import Scope
from ...store import live
from ...store.models import Client, Endpoint, Group, Request, Version
from ..scope_bar import scope_bar
from .data_filters import ENDPOINT_FILTERS, REQUEST_FILTERS, search_requests
from .data_list import DataView
from .data_rows import Column


class RequestsData(DataView):
    """Every measured request in the page's range."""

    explanation = "Every request that was measured at level 1 and above."
    noun = ("request", "requests")
    delete_note = "The totals and charts keep counting them, as after pruning."
    delete = staticmethod(live.delete_requests)
    columns = (
        Column("time", "Time", Request.time, lambda row: row.time, "time"),
        Column("endpoint", "Endpoint", Endpoint.name, lambda row: row.endpoint.name),
        Column("method", "Method", Request.method, lambda row: row.method),
        Column("status", "Status", Request.status, lambda row: row.status, "count"),
        Column(
            "duration_ms", "Duration (ms)", Request.duration_ms, lambda row: row.duration_ms, "ms"
        ),
        Column("version", "Version", Version.name, lambda row: row.version.name),
        Column("group", "Group", Group.name, lambda row: row.group and row.group.name),
        Column("client", "Client", Client.name, lambda row: row.client and row.client.name),
    )
    filters = REQUEST_FILTERS
    own_order = (Request.time, Request.id)
    own_order_key = "time"
    first_sort = ("time", True)

    def __init__(self) -> None:
        super().__init__(Request, "Requests", "requests")

    def statement(self) -> Select[Any]:
        return _joined(select(Request)).options(
            contains_eager(Request.endpoint),
            contains_eager(Request.version),
            contains_eager(Request.group),
            contains_eager(Request.client),
        )

    def export_statement(self) -> Select[Any]:
        return _joined(super().export_statement().select_from(Request))

    def search_condition(self, text: str) -> ColumnElement[bool]:
        return search_requests(text)

    def look(self, connection: Connection, *, strict: bool) -> Scope:
        return self.scope(connection, strict=strict)

    def look_conditions(self, looked: Scope) -> list[ColumnElement[bool]]:
        found: list[ColumnElement[bool]] = [
            Request.time >= looked.exact_start_ms,
            Request.time < looked.exact_end_ms,
        ]
        if looked.version_ids is not None:
            found.append(Request.version_id.in_(looked.version_ids))
        return found

    def look_values(self, connection: Connection, looked: Scope) -> dict[str, Any]:
        path = request.script_root + request.path
        args = request.args.items(multi=True)
        return {
            "scope": looked,
            "bar": scope_bar(looked, catalog.versions(connection), path, args),
        }

    def row_name(self, row: Request) -> str:
        return f"{row.method} {row.endpoint.name}, status {row.status}, id {row.id}"


class EndpointsData(DataView):
    """Every endpoint that was ever requested."""

    explanation = "Every endpoint that was ever requested, with its monitoring level."
    noun = ("endpoint", "endpoints")
    delete_note = (
        "All their requests and totals go with them, for good. An endpoint that is requested "
        "again starts anew."
    )
    delete = staticmethod(live.delete_endpoints)
    columns = (
        Column("name", "Endpoint", Endpoint.name, lambda row: row.name),
        Column("level", "Level", Endpoint.level, lambda row: row.level, "count"),
        Column("first_seen", "First seen", Endpoint.first_seen, lambda row: row.first_seen, "time"),
        Column(
            "last_requested",
            "Last requested",
            Endpoint.last_requested,
            lambda row: row.last_requested,
            "time",
        ),
    )
    filters = ENDPOINT_FILTERS
    own_order = (Endpoint.id,)
    first_sort = ("name", False)

    def __init__(self) -> None:
        super().__init__(Endpoint, "Endpoints", "endpoints")


class VersionsData(DataView):
    """Every version of the host app that was seen."""

    explanation = "Every version of the app that answered a measured request."
    noun = ("version", "versions")
    delete_note = "All requests and totals of them go with them, for good."
    delete = staticmethod(live.delete_versions)
    columns = (
        Column("name", "Version", Version.name, lambda row: row.name),
        Column("first_seen", "First seen", Version.first_seen, lambda row: row.first_seen, "time"),
    )
    own_order = (Version.id,)
    first_sort = ("first_seen", True)

    def __init__(self) -> None:
        super().__init__(Version, "Versions", "versions")


def _joined(statement: Select[Any]) -> Select[Any]:
    return (
        statement.join(Endpoint, Endpoint.id == Request.endpoint_id)
        .join(Version, Version.id == Request.version_id)
        .outerjoin(Group, Group.id == Request.group_id)
        .outerjoin(Client, Client.id == Request.client_id)
    )
