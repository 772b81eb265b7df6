"""The first page of an endpoint: its figures, how they went over time, and the time before."""

from __future__ import annotations

import dataclasses
from typing import Any

from flask import Response
from flask_admin import expose
from sqlalchemy import Connection

from ...read.scope import Scope
from ...read.summary import Summary, summary
from .. import format
from .pages import ChartPage, Looked, deploys
from .utilization import requests_url


class SummaryPage(ChartPage):
    """Tiles with what changed, and three charts over time that share their figures."""

    chart_kind = "durations"
    packages = ("chart.js", "hammerjs", "chartjs-plugin-zoom", "chartjs-plugin-annotation")
    drawings = ("time_drawings",)
    template = "fmd_admin/summary.html"
    compared = True
    explanation = "Drag over a chart to look closer."

    def __init__(self) -> None:
        super().__init__("Summary", "summary")

    def is_visible(self) -> bool:
        return False

    @expose("/endpoint/<int:endpoint_id>")
    def index(self, endpoint_id: int) -> str:
        """Show the page."""
        return self.show(endpoint_id)

    @expose("/endpoint/<int:endpoint_id>/data.json")
    def data_json(self, endpoint_id: int) -> dict[str, Any]:
        """Return what the charts draw."""
        return self.download_json(endpoint_id)

    @expose("/endpoint/<int:endpoint_id>/data.csv")
    def data_csv(self, endpoint_id: int) -> Response:
        """Return the steps as CSV."""
        return self.download_csv(endpoint_id)

    def read(self, connection: Connection, scope: Scope) -> Summary:
        return summary(connection, scope)

    def is_empty(self, result: Summary) -> bool:
        return result.now.hits == 0

    def chart_label(self, looked: Looked) -> str:
        now = looked.result.now
        return (
            f"Durations of the requests, {looked.scope.label}: median {format.ms(now.p50_ms)}, "
            f"95 % below {format.ms(now.p95_ms)}, 99 % below {format.ms(now.p99_ms)}."
        )

    def as_json(self, looked: Looked) -> dict[str, Any]:
        result: Summary = looked.result
        edges = result.steps.edges()
        return {
            "now": dataclasses.asdict(result.now),
            "before": None if result.before is None else dataclasses.asdict(result.before),
            "change": None if result.change is None else dataclasses.asdict(result.change),
            "step": result.steps.unit,
            # On the wall clock of the panel's zone, whatever that of the browser is.
            "labels": [start for start, _ in edges],
            "ends": [end for _, end in edges],
            "points": [
                dataclasses.asdict(point) | {"time": point.time.isoformat()}
                for point in result.points
            ],
            "deploys": deploys(result.markers, result.steps.starts, looked.scope.end_ms),
            "requests_url": requests_url(looked),
        }
