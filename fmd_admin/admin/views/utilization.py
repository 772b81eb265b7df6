"""The pages Hourly API Utilization (also for one endpoint) and Daily API Utilization."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any
from urllib.parse import urlencode

from flask import Response
from flask_admin import expose
from sqlalchemy import Connection

from ...read import utilization
from ...read.scope import Scope
from ...read.utilization import DailyUtilization, HourlyUtilization
from ...store.calendar import Calendar
from .. import format
from ..links import panel_url
from .pages import ChartPage, Looked, deploys

#: The words ``from`` and ``to`` of a URL.
Edges = tuple[str | None, str | None]


def requests_url(looked: Looked, edges: Edges = (None, None)) -> str:
    """Return the list of requests behind the chart; with ``edges`` only those between them.

    Without them the chart's script adds ``from`` and ``to`` of what was clicked.
    """
    times = dict(zip(("from", "to"), edges, strict=True))
    address = panel_url("requests.index_view", range="custom", **times)
    if looked.endpoint is None:
        return address
    # Flask's url_for keeps the word "endpoint" for itself.
    return f"{address}&{urlencode({'endpoint': looked.endpoint.name})}"


def day_edges(scope: Scope) -> list[Edges]:
    """Return where each of the scope's days begins and ends in it, in the words of the URL.

    The first and the last one may be cut: what is shown of them counts from there, or until then.
    """
    calendar = Calendar(scope.zone)
    found: list[Edges] = []
    for day in scope.days:
        start_ms = max(calendar.date_start(day), scope.start_ms)
        end_ms = min(calendar.next_day(start_ms), scope.end_ms)
        part = replace(scope, range_name="custom", start_ms=start_ms, end_ms=end_ms)
        words = dict(part.to_query())
        found.append((words["from"], words["to"]))
    return found


class HourlyPage(ChartPage):
    """Hits by day and hour as a heat map."""

    chart_kind = "matrix"
    packages = ("chart.js", "chartjs-chart-matrix")
    explanation = "Requests in each hour of each day. The colour grows with the square root."

    def __init__(self) -> None:
        super().__init__("Hourly API Utilization", "hourly")

    @expose("/hourly-utilization")
    @expose("/endpoint/<int:endpoint_id>/hourly-utilization")
    def index(self, endpoint_id: int | None = None) -> str:
        """Show the page."""
        return self.show(endpoint_id)

    @expose("/hourly-utilization/data.json")
    @expose("/endpoint/<int:endpoint_id>/hourly-utilization/data.json")
    def data_json(self, endpoint_id: int | None = None) -> dict[str, Any]:
        """Return what the chart draws."""
        return self.download_json(endpoint_id)

    @expose("/hourly-utilization/data.csv")
    @expose("/endpoint/<int:endpoint_id>/hourly-utilization/data.csv")
    def data_csv(self, endpoint_id: int | None = None) -> Response:
        """Return the table as CSV."""
        return self.download_csv(endpoint_id)

    def read(self, connection: Connection, scope: Scope) -> HourlyUtilization:
        return utilization.hourly(connection, scope)

    def is_empty(self, result: HourlyUtilization) -> bool:
        return result.total == 0

    def chart_label(self, looked: Looked) -> str:
        result: HourlyUtilization = looked.result
        return (
            f"Heat map of requests by day and hour, {looked.scope.label}: "
            f"{format.count(result.total)} in all, at most {format.count(result.peak)} an hour."
        )

    def as_json(self, looked: Looked) -> dict[str, Any]:
        result: HourlyUtilization = looked.result
        return {
            "days": result.days,
            "hits": result.hits,
            "total": result.total,
            "peak": result.peak,
            "requests_url": requests_url(looked),
        }

    def links(self, looked: Looked) -> list[str]:
        return [requests_url(looked, edges) for edges in day_edges(looked.scope)]


class DailyPage(ChartPage):
    """Hits a day as bars, stacked by endpoint."""

    chart_kind = "stacked"
    packages = ("chart.js", "chartjs-plugin-annotation")
    explanation = "Requests a day, stacked by endpoint. Click a name to leave an endpoint out."

    def __init__(self) -> None:
        super().__init__("Daily API Utilization", "daily")

    @expose("/daily-utilization")
    def index(self) -> str:
        """Show the page."""
        return self.show()

    @expose("/daily-utilization/data.json")
    def data_json(self) -> dict[str, Any]:
        """Return what the chart draws."""
        return self.download_json()

    @expose("/daily-utilization/data.csv")
    def data_csv(self) -> Response:
        """Return the table as CSV."""
        return self.download_csv()

    def read(self, connection: Connection, scope: Scope) -> DailyUtilization:
        return utilization.daily(connection, scope)

    def is_empty(self, result: DailyUtilization) -> bool:
        return result.total == 0

    def chart_label(self, looked: Looked) -> str:
        result: DailyUtilization = looked.result
        return (
            f"Bars of requests a day by endpoint, {looked.scope.label}: "
            f"{format.count(result.total)} in all."
        )

    def as_json(self, looked: Looked) -> dict[str, Any]:
        result: DailyUtilization = looked.result
        calendar = Calendar(looked.scope.zone)
        starts = [calendar.date_start(date.fromisoformat(day)) for day in result.days]
        return {
            "days": result.days,
            "series": [
                {"name": series.name, "other": series.endpoint_id is None, "hits": series.hits}
                for series in result.series
            ],
            # A bar stands for its whole date, even where the range ends within it.
            "deploys": deploys(result.markers, starts, calendar.next_day(looked.scope.end_ms - 1)),
            "total": result.total,
            "edges": day_edges(looked.scope),
            "requests_url": requests_url(looked),
        }

    def links(self, looked: Looked) -> list[str]:
        return [requests_url(looked, edges) for edges in day_edges(looked.scope)]
