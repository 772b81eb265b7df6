"""The pages Multi Version API Utilization and Version Performance (also of one endpoint)."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from typing import Any

from flask import Response, request
from flask_admin import expose
from sqlalchemy import Connection

from ...read import versions
from ...read.scope import Scope
from ...read.versions import MultiVersion, VersionPage, VersionPerformance
from .. import format
from ..links import requests_behind
from . import measured
from .data_filters import asked_text
from .pages import COMPARED, ChartPage, Looked


class VersionsPage(ChartPage):
    """A page of versions, the one first seen last on top; it is paged where there are many."""

    template = "fmd_admin/versions.html"
    words: tuple[str, ...] = ("page",)

    @abstractmethod
    def find(self, connection: Connection, scope: Scope, page: int | None) -> Any:
        """Return a page of the versions, or with None all of them."""

    def read(self, connection: Connection, scope: Scope) -> Any:
        return self.find(connection, scope, request.args.get("page", 1, type=int))

    def read_all(self, connection: Connection, scope: Scope) -> Any:
        return self.find(connection, scope, None)

    def values(self, looked: Looked) -> dict[str, Any]:
        found: VersionPage[Any] = looked.result.versions
        return {
            "versions": found,
            "pager": measured.pager(found.page, found.pages),
            "page_size": versions.PAGE_SIZE,
        }


class MultiVersionPage(VersionsPage):
    """The share of the endpoints in the requests of each version."""

    chart_kind = "shares"
    drawings = ("share_drawings",)
    words = ("page", "q")
    explanation = (
        "What share of each version's requests went to which endpoint. Versions in the order "
        "first seen, the newest on top; endpoints with the most requests first."
    )

    def __init__(self) -> None:
        super().__init__("Multi Version API Utilization", "multi_version")

    @expose("/multi-version-utilization")
    def index(self) -> str:
        """Show the page."""
        return self.show()

    @expose("/multi-version-utilization/data.json")
    def data_json(self) -> dict[str, Any]:
        """Return what the chart draws."""
        return self.download_json()

    @expose("/multi-version-utilization/data.csv")
    def data_csv(self) -> Response:
        """Return the table as CSV."""
        return self.download_csv()

    def find(self, connection: Connection, scope: Scope, page: int | None) -> MultiVersion:
        search = asked_text(request.args, "q")
        return versions.multi_version(connection, scope, page=page, search=search)

    def values(self, looked: Looked) -> dict[str, Any]:
        return {
            **super().values(looked),
            "search": asked_text(request.args, "q"),
            "keep": [p for p in request.args.items(multi=True) if p[0] not in self.words],
            "clear": measured.here(q=None, page=None),
            "matches": sum(endpoint.id is not None for endpoint in looked.result.endpoints),
        }

    def is_empty(self, result: MultiVersion) -> bool:
        return result.total == 0

    def chart_label(self, looked: Looked) -> str:
        result: MultiVersion = looked.result
        return (
            f"Bars of the share of each endpoint in the requests of {_versions(result.versions)}, "
            f"{looked.scope.label}: {format.count(result.total)} requests in all."
        )

    def links(self, looked: Looked) -> list[str]:
        return [
            requests_behind(version=version.name, endpoint=endpoint.id and endpoint.name)
            for version, endpoint, _ in looked.result.pairs()
        ]

    def as_json(self, looked: Looked) -> dict[str, Any]:
        result: MultiVersion = looked.result
        return {
            "total": result.total,
            "bars": [
                {
                    "name": version.name,
                    "total": version.total,
                    "hits": version.hits,
                    "url": requests_behind(version=version.name),
                }
                for version in result.versions.rows
            ],
            "series": [
                {"name": endpoint.name, "other": endpoint.id is None}
                for endpoint in result.endpoints
            ],
            "filter": "endpoint",
        }


class VersionPerformancePage(VersionsPage):
    """A box plot for each version, of all endpoints or of one."""

    chart_kind = "boxplot"
    packages = ("chart.js", "@sgratzl/chartjs-chart-boxplot")
    explanation = (
        "Durations by version on a logarithmic axis, versions in the order first seen, the newest "
        "on top. A box holds the middle half of the requests, the line in it is the median; dots "
        "are the extremes."
    )

    def __init__(self) -> None:
        super().__init__("Version Performance", "version_performance", COMPARED)

    @expose("/version-performance")
    @expose("/endpoint/<int:endpoint_id>/versions")
    def index(self, endpoint_id: int | None = None) -> str:
        """Show the page."""
        return self.show(endpoint_id)

    @expose("/version-performance/data.json")
    @expose("/endpoint/<int:endpoint_id>/versions/data.json")
    def data_json(self, endpoint_id: int | None = None) -> dict[str, Any]:
        """Return what the chart draws."""
        return self.download_json(endpoint_id)

    @expose("/version-performance/data.csv")
    @expose("/endpoint/<int:endpoint_id>/versions/data.csv")
    def data_csv(self, endpoint_id: int | None = None) -> Response:
        """Return the table as CSV."""
        return self.download_csv(endpoint_id)

    def find(self, connection: Connection, scope: Scope, page: int | None) -> VersionPerformance:
        return versions.version_performance(connection, scope, page=page)

    def is_empty(self, result: VersionPerformance) -> bool:
        return not result.boxes

    def chart_label(self, looked: Looked) -> str:
        result: VersionPerformance = looked.result
        of = "" if looked.endpoint is None else f" of {looked.endpoint.name}"
        return (
            f"Box plots of the durations{of} in {_versions(result.versions)}, {looked.scope.label}."
        )

    def links(self, looked: Looked) -> list[str]:
        return [
            requests_behind(version=box.name, endpoint=looked.endpoint_name)
            for box in looked.result.boxes
        ]

    def as_json(self, looked: Looked) -> dict[str, Any]:
        links = self.links(looked)
        return {
            "boxes": [
                dataclasses.asdict(box) | {"url": url}
                for box, url in zip(looked.result.boxes, links, strict=True)
            ]
        }


def _versions(found: VersionPage[Any]) -> str:
    number = "1 version" if found.total == 1 else f"{found.total} versions"
    return number if found.pages == 1 else f"{number} (page {found.page} of {found.pages})"
