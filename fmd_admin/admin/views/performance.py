"""The page API Performance."""

from __future__ import annotations

import dataclasses
from typing import Any

from flask import Response
from flask_admin import expose
from sqlalchemy import Connection

from ...read.performance import Performance, performance
from ...read.scope import Scope
from .pages import ENDPOINT_TABS, ChartPage, Looked


class PerformancePage(ChartPage):
    """A box plot for each endpoint, on a logarithmic axis."""

    chart_kind = "boxplot"
    packages = ("chart.js", "@sgratzl/chartjs-chart-boxplot")
    explanation = (
        "Durations by endpoint on a logarithmic axis, the slowest median first. A box holds the "
        "middle half of the requests, the line in it is the median; dots are the extremes."
    )

    def __init__(self) -> None:
        super().__init__("API Performance", "performance")

    @expose("/api-performance")
    def index(self) -> str:
        """Show the page."""
        return self.show()

    @expose("/api-performance/data.json")
    def data_json(self) -> dict[str, Any]:
        """Return what the chart draws."""
        return self.download_json()

    @expose("/api-performance/data.csv")
    def data_csv(self) -> Response:
        """Return the table as CSV."""
        return self.download_csv()

    def read(self, connection: Connection, scope: Scope) -> Performance:
        return performance(connection, scope)

    def is_empty(self, result: Performance) -> bool:
        return not result.boxes

    def chart_label(self, looked: Looked) -> str:
        number = len(looked.result.boxes)
        noun = "endpoint" if number == 1 else "endpoints"
        return f"Box plots of the durations of {number} {noun}, {looked.scope.label}."

    def links(self, looked: Looked) -> list[str]:
        return [
            self.get_url(ENDPOINT_TABS[0].view, endpoint_id=box.key) for box in looked.result.boxes
        ]

    def as_json(self, looked: Looked) -> dict[str, Any]:
        links = self.links(looked)
        return {
            "boxes": [
                dataclasses.asdict(box) | {"url": url}
                for box, url in zip(looked.result.boxes, links, strict=True)
            ]
        }
