"""The pages under Data: what is stored, row by row."""

from __future__ import annotations

from typing import Any

from flask import request
from sqlalchemy import ColumnElement, Connection, Select, select, type_coerce

from ...read import catalog
from ...read.scope import Scope
from ...store import graphs, live
from ...store.exception_models import ExceptionGroup, ExceptionRow
from ...store.job_models import CustomGraph, CustomGraphValue
from ...store.models import Client, Endpoint, Group, Outlier, Profile, Request, Version
from ...store.types import AllDigits, all_digits
from ..scope_bar import scope_bar
from .data_filters import (
    ENDPOINT_FILTERS,
    GRAPH_FILTERS,
    contains,
    request_filters,
    search_requests,
)
from .data_list import DataView, further_back
from .data_rows import Column, Elsewhere, Wanted


def _request_columns(model: Any) -> tuple[Column, ...]:
    return (
        Column("time", "Time", model.time, lambda row: row.time, "time"),
        Column("endpoint", "Endpoint", Endpoint.name, lambda row: row.endpoint.name),
        Column("method", "Method", model.method, lambda row: row.method),
        Column("status", "Status", model.status, lambda row: row.status, "count"),
        Column(
            "duration_ms", "Duration (ms)", model.duration_ms, lambda row: row.duration_ms, "ms"
        ),
        Column("version", "Version", Version.name, lambda row: row.version.name),
        Column("group", "Group", Group.name, lambda row: row.group and row.group.name),
        Column("client", "Client", Client.name, lambda row: row.client and row.client.name),
    )


class MeasuredData(DataView):
    """Rows that are requests, in the page's range."""

    first_sort = ("time", True)
    own_order_key = "time"

    def statement(self, *more: Any) -> Select[Any]:
        return self._joined(super().statement(*more).select_from(self.model))

    def _joined(self, statement: Select[Any]) -> Select[Any]:
        model = self.model
        return (
            statement.join(Endpoint, Endpoint.id == model.endpoint_id)
            .join(Version, Version.id == model.version_id)
            .outerjoin(Group, Group.id == model.group_id)
            .outerjoin(Client, Client.id == model.client_id)
        )

    def elsewhere(self, column: Any) -> Elsewhere | None:
        model = self.model
        for table, id, few in (
            (Endpoint, model.endpoint_id, True),
            (Version, model.version_id, True),
            (Group, model.group_id, False),
            (Client, model.client_id, False),
        ):
            if column is table.name:
                return Elsewhere(table, id, few)
        return None

    def search_condition(self, text: str) -> ColumnElement[bool]:
        return search_requests(self.model, text)

    def look(self, connection: Connection, *, strict: bool) -> Scope:
        return self.scope(connection, strict=strict)

    def look_conditions(self, looked: Scope) -> Wanted:
        model = self.model
        ids = looked.version_ids
        read = [] if ids is None else [model.version_id.in_(ids)]
        return Wanted([model.time < looked.exact_end_ms], read, looked.exact_start_ms)

    def look_further(self, looked: Scope, since: Any) -> dict[str, str] | None:
        return further_back(looked, since)

    def look_values(self, connection: Connection, looked: Scope) -> dict[str, Any]:
        path = request.script_root + request.path
        args = request.args.items(multi=True)
        return {
            "scope": looked,
            "bar": scope_bar(looked, catalog.versions(connection), path, args),
        }

    def row_name(self, row: Any) -> str:
        return f"{row.method} {row.endpoint.name}, status {row.status}, id {row.id}"


class RequestsData(MeasuredData):
    """Every measured request in the page's range."""

    noun = ("request", "requests")
    delete_note = "The totals and charts keep counting them, as after pruning."
    delete = staticmethod(live.delete_requests)
    columns = _request_columns(Request)
    filters = request_filters(Request)
    own_order = (Request.time, Request.id)

    def __init__(self) -> None:
        super().__init__(Request, "Requests", "requests")

    @property
    def explanation(self) -> str:  # type: ignore[override]
        """Say what the rows are, and what is not among them."""
        sample = self.panel.config.values.sample
        if not sample:
            return "Every request that was measured at level 1 and above."
        return (
            "Requests that were measured at level 1 and above. Of the endpoints in SAMPLE "
            f"({sample}) errors and a random part of the rest are listed; all figures and charts "
            "count every request."
        )


class OutliersData(MeasuredData):
    """Every outlier in the page's range."""

    explanation = "Requests that took much longer than others of their endpoint (level 2 and 3)."
    noun = ("outlier", "outliers")
    delete_note = "Their stack traces and values go, for good. The requests themselves stay."
    delete = staticmethod(live.delete_outliers)
    columns = (
        *_request_columns(Outlier),
        Column("limit_ms", "Limit (ms)", Outlier.limit_ms, lambda row: row.limit_ms, "ms"),
    )
    filters = request_filters(Outlier)
    own_order = (Outlier.time, Outlier.id)
    named_by = (Outlier.endpoint_id,)

    def __init__(self) -> None:
        super().__init__(Outlier, "Outliers", "data_outliers")

    def row_url(self, *ids: int) -> str:
        outlier_id, endpoint_id = ids
        return self.get_url("outliers.detail", endpoint_id=endpoint_id, outlier_id=outlier_id)


class ExceptionsData(MeasuredData):
    """Every stored exception in the page's range."""

    explanation = "Exceptions that are stored; more were counted, which the page Exceptions says."
    noun = ("exception", "exceptions")
    delete_note = "Their stacks and values go, for good. They stay counted."
    delete = staticmethod(live.delete_exceptions)
    columns = (
        _request_columns(ExceptionRow)[0],
        Column(
            "endpoint",
            "Endpoint",
            Endpoint.name,
            lambda row: row.endpoint and row.endpoint.name,
        ),
        Column("type", "Type", ExceptionGroup.type, lambda row: row.raised.type),
        Column("message", "Message", ExceptionRow.message, lambda row: row.message),
        *_request_columns(ExceptionRow)[2:],
    )
    filters = request_filters(ExceptionRow)
    own_order = (ExceptionRow.time, ExceptionRow.id)
    named_by = (ExceptionRow.group_key,)

    def __init__(self) -> None:
        super().__init__(ExceptionRow, "Exceptions", "data_exceptions")

    def _joined(self, statement: Select[Any]) -> Select[Any]:
        return (
            statement.outerjoin(Endpoint, Endpoint.id == ExceptionRow.endpoint_id)
            .join(ExceptionGroup, ExceptionGroup.id == ExceptionRow.group_key)
            .join(Version, Version.id == ExceptionRow.version_id)
            .outerjoin(Group, Group.id == ExceptionRow.group_id)
            .outerjoin(Client, Client.id == ExceptionRow.client_id)
        )

    def row_url(self, *ids: int) -> str:
        occurrence, group_key = ids
        return self.get_url("exceptions.group", group_id=group_key, occurrence=occurrence)

    def row_name(self, row: Any) -> str:
        return f"{row.raised.type}, id {row.id}"


class ProfilesData(MeasuredData):
    """Every profile in the page's range."""

    explanation = "Requests whose lines of code were timed (level 3)."
    noun = ("profile", "profiles")
    delete_note = "Their execution trees go, for good. The requests themselves stay."
    delete = staticmethod(live.delete_profiles)
    columns = (
        *_request_columns(Profile),
        Column("samples", "Samples", Profile.samples, lambda row: row.samples, "count"),
    )
    filters = request_filters(Profile)
    own_order = (Profile.time, Profile.id)
    named_by = (Profile.endpoint_id,)

    def __init__(self) -> None:
        super().__init__(Profile, "Profiles", "data_profiles")

    def row_url(self, *ids: int) -> str:
        profile_id, endpoint_id = ids
        return self.get_url("profiler.index", endpoint_id=endpoint_id, profile=profile_id)


class EndpointsData(DataView):
    """Every endpoint that was ever requested."""

    explanation = "Every endpoint that was ever requested, with its monitoring level."
    noun = ("endpoint", "endpoints")
    delete_note = (
        "All their requests and totals go with them, for good. An endpoint that is requested "
        "again starts anew."
    )
    delete = staticmethod(live.delete_endpoints)
    emptied_by = "endpoint_id"
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
    emptied_by = "version_id"
    columns = (
        Column("name", "Version", Version.name, lambda row: row.name),
        Column("first_seen", "First seen", Version.first_seen, lambda row: row.first_seen, "time"),
    )
    own_order = (Version.id,)
    first_sort = ("first_seen", True)

    def __init__(self) -> None:
        super().__init__(Version, "Versions", "versions")


class GraphValuesData(DataView):
    """Every value of custom graphs in the page's range."""

    explanation = "Every number that the functions of custom graphs gave."
    noun = ("value", "values")
    delete_note = "They go for good, from the graph's chart as well."
    delete = staticmethod(graphs.delete_values)
    columns = (
        Column("time", "Time", CustomGraphValue.time, lambda row: row.time, "time"),
        Column("graph", "Graph", CustomGraph.title, lambda row: row.graph.title),
        Column(
            "value",
            "Value",
            type_coerce(CustomGraphValue.value, AllDigits()),
            lambda row: all_digits(row.value),
            "count",
        ),
    )
    filters = GRAPH_FILTERS
    own_order = (CustomGraphValue.time, CustomGraphValue.id)
    own_order_key = "time"
    first_sort = ("time", True)

    def __init__(self) -> None:
        super().__init__(CustomGraphValue, "Custom graph values", "data_graph_values")

    def statement(self, *more: Any) -> Select[Any]:
        found = super().statement(*more).select_from(CustomGraphValue)
        return found.join(CustomGraph, CustomGraph.id == CustomGraphValue.graph_id)

    def elsewhere(self, column: Any) -> Elsewhere | None:
        is_title = column is CustomGraph.title
        return Elsewhere(CustomGraph, CustomGraphValue.graph_id) if is_title else None

    def search_condition(self, text: str) -> ColumnElement[bool]:
        named = select(CustomGraph.id).where(contains(CustomGraph.title, text))
        return CustomGraphValue.graph_id.in_(named)

    def look(self, connection: Connection, *, strict: bool) -> Scope:
        return self.scope(connection, strict=strict)

    def look_conditions(self, looked: Scope) -> Wanted:
        before = [CustomGraphValue.time < looked.exact_end_ms]
        return Wanted(before, start=looked.exact_start_ms)

    def look_further(self, looked: Scope, since: Any) -> dict[str, str] | None:
        return further_back(looked, since)

    def look_values(self, connection: Connection, looked: Scope) -> dict[str, Any]:  # noqa: ARG002
        path = request.script_root + request.path
        return {
            "scope": looked,
            "bar": scope_bar(looked, [], path, request.args.items(multi=True)),
        }

    def row_name(self, row: Any) -> str:
        return f"{row.graph.title}, {self._time(row.time)}: {row.value:g}"
