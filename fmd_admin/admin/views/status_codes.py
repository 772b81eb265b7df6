"""The page Status Codes, of all endpoints or of one: over time, by endpoint, and the errors."""

from __future__ import annotations

from functools import cache
from typing import Any

from flask import Response, url_for
from flask_admin import expose
from sqlalchemy import Connection

from ...read import status_codes
from ...read.catalog import EndpointInfo
from ...read.measured import RequestInfo
from ...read.scope import Scope
from ...read.status_codes import (
    COLUMNS,
    OTHER,
    SORTS,
    StatusesByEndpoint,
    StatusesOverTime,
    name_of,
)
from .. import csv, format
from ..links import here, numbered, panel_url, requests_behind
from . import measured
from .charts_page import ChartsPage, NamedPart
from .data_rows import export
from .pages import Looked, range_suffix

CATEGORY = "Problems"
#: The filter of the list of requests that finds errors.
ERRORS = "4xx, 5xx"


class OverTime(NamedPart):
    """Requests by hour or day, stacked by status code."""

    name = "over-time"
    title = "Over time"
    chart_kind = "statuses"
    explanation = "Requests by status code: by hour up to three days, by day beyond."

    def read(self, connection: Connection, scope: Scope) -> StatusesOverTime:
        return status_codes.over_time(connection, scope)

    def is_empty(self, result: StatusesOverTime) -> bool:
        return result.total == 0

    def chart_label(self, looked: Looked) -> str:
        result: StatusesOverTime = looked.result
        return (
            f"Bars of requests by {result.steps.unit} and status code, {looked.scope.label}: "
            f"{format.count(result.total)} in all, {format.count(sum(result.errors))} errors."
        )

    def links(self, looked: Looked) -> list[str]:
        edges = looked.result.steps.edges()
        return [requests_behind(endpoint=looked.endpoint_name, edges=step) for step in edges]

    def as_json(self, looked: Looked) -> dict[str, Any]:
        result: StatusesOverTime = looked.result
        return {
            "unit": result.steps.unit,
            "steps": result.steps.edges(),
            "totals": result.totals,
            "errors": result.errors,
            "series": [
                {"code": code, "name": name_of(code), "hits": hits}
                for code, hits in zip(result.codes, result.hits, strict=True)
            ],
            "requests_url": requests_behind(endpoint=looked.endpoint_name, edges=("", "")),
        }


class ByEndpoint(NamedPart):
    """The share of the status codes in the requests of each endpoint."""

    name = "by-endpoint"
    title = "Distribution"
    chart_kind = "shares"
    explanation = (
        "The share of the status codes in the requests of each endpoint, those with the most "
        "errors first."
    )

    def read(self, connection: Connection, scope: Scope) -> StatusesByEndpoint:
        return status_codes.by_endpoint(connection, scope)

    def is_empty(self, result: StatusesByEndpoint) -> bool:
        return result.total == 0

    def chart_label(self, looked: Looked) -> str:
        result: StatusesByEndpoint = looked.result
        number = len(result.endpoints)
        noun = "bar" if number == 1 else "bars"
        return (
            f"{number} {noun} of the share of each status code in the requests of an endpoint, "
            f"{looked.scope.label}: {format.count(result.total)} requests in all."
        )

    def links(self, looked: Looked) -> list[str]:
        return [
            requests_behind(
                endpoint=endpoint.name if endpoint.id else None,
                status=None if code == OTHER else str(code),
            )
            for endpoint, code, _ in looked.result.pairs()
        ]

    def as_json(self, looked: Looked) -> dict[str, Any]:
        result: StatusesByEndpoint = looked.result
        return {
            "total": result.total,
            "bars": [
                {
                    "name": endpoint.name,
                    "total": endpoint.total,
                    "errors": endpoint.errors,
                    "hits": endpoint.hits,
                    "url": requests_behind(endpoint=endpoint.name if endpoint.id else None),
                }
                for endpoint in result.endpoints
            ],
            "series": [
                {"code": code, "name": name_of(code), "other": code == OTHER}
                for code in result.codes
            ],
            "filter": "status",
        }


class StatusCodesPage(ChartsPage):
    """What was answered: status codes over time and by endpoint, and the list of errors."""

    parts = (OverTime(), ByEndpoint())
    drawings = ("share_drawings", "status_drawings")
    template = "fmd_admin/status_codes.html"

    def __init__(self) -> None:
        super().__init__("Status Codes", "status_codes", CATEGORY)

    @expose("/status-codes")
    @expose("/endpoint/<int:endpoint_id>/status-codes")
    def index(self, endpoint_id: int | None = None) -> str:
        """Show the page."""
        return self.show(endpoint_id)

    @expose("/status-codes/<part>/data.json")
    @expose("/endpoint/<int:endpoint_id>/status-codes/<part>/data.json")
    def data_json(self, part: str, endpoint_id: int | None = None) -> dict[str, Any]:
        """Return what a chart draws."""
        return self.download_json(part, endpoint_id)

    @expose("/status-codes/<part>/data.csv")
    @expose("/endpoint/<int:endpoint_id>/status-codes/<part>/data.csv")
    def data_csv(self, part: str, endpoint_id: int | None = None) -> Response:
        """Return the table of a chart as CSV."""
        return self.download_csv(part, endpoint_id)

    @expose("/status-codes/errors/data.csv")
    @expose("/endpoint/<int:endpoint_id>/status-codes/errors/data.csv")
    def errors_csv(self, endpoint_id: int | None = None) -> Response:
        """Return every error in the range, newest first."""
        with self.panel.store.read() as connection:
            name = "errors"
            if endpoint_id is not None:
                name += f"-{self.find_endpoint(connection, endpoint_id).name}"
            scope = self.scope(connection, endpoint_id, strict=True)
        order = (SORTS["time"], status_codes.KEY)
        found = export(self.panel.store, status_codes.every_error(scope), order)
        rows = (status_codes.error_values(RequestInfo(*row)) for row in found)
        header = [column.label for column in COLUMNS]
        return csv.stream(f"{name}-{range_suffix(scope)}", header, rows)

    def more(
        self, connection: Connection, scope: Scope, endpoint: EndpointInfo | None
    ) -> dict[str, Any]:
        asked = measured.asked(SORTS, self.panel.config.values.page_size)
        found = status_codes.errors(connection, scope, asked)
        hidden = {"client"} if endpoint is None else {"client", "endpoint"}
        columns = [column for column in COLUMNS if column.key not in hidden]
        ids = {} if endpoint is None else {"endpoint_id": endpoint.id}
        name = None if endpoint is None else endpoint.name
        return {
            "errors": found,
            "heads": measured.heads(columns, SORTS, asked),
            "pager": measured.pager(found.page, found.pages),
            "page_size": asked.page_size,
            "all_url": requests_behind(endpoint=name, status=ERRORS),
            "errors_csv_url": self.get_url("status_codes.errors_csv", **ids),
            "status_url": cache(_status_url),
            "endpoint_url": numbered(_endpoint_url),
            "row_url": numbered(_row_url),
        }


def _status_url(endpoint: str, status: int) -> str:
    return requests_behind(endpoint=endpoint, status=str(status))


def _endpoint_url(endpoint_id: int) -> str:
    return panel_url("status_codes.index", endpoint_id=endpoint_id)


def _row_url(request_id: int) -> str:
    return url_for("requests.details_view", id=request_id, back=here())
