"""The pages of visitors: users and IPs by version, and the performance of each user."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from flask import Response, request
from flask_admin import expose
from sqlalchemy import Connection

from ...read.scope import Scope
from ...read.visitor_performance import VisitorPerformance, visitor_performance
from ...read.visitor_versions import VisitorVersions, visitor_versions
from ...read.visitors import Shown, Wanted
from ...store.visitor_models import Kind
from ...store.visitor_parts import OTHER
from ...store.visitors import MOST_OF_APP, MOST_OF_ENDPOINT
from .. import format
from ..links import panel_url
from . import measured
from .data_filters import asked_text
from .pages import COMPARED, ChartPage, Looked

#: Visitors on one page: as many as one can look at.
PAGE_SIZE = 25


class VisitorPage(ChartPage):
    """A chart of the visitors with the most requests, with a search and pages."""

    template = "fmd_admin/visitors.html"
    words = ("q", "page")
    kind = Kind.GROUP
    #: What a visitor is called: one, and several.
    noun = ("user", "users")

    @abstractmethod
    def find(self, connection: Connection, scope: Scope, wanted: Wanted) -> Any:
        """Return the page's data."""

    def read(self, connection: Connection, scope: Scope) -> Any:
        page = max(request.args.get("page", 1, type=int), 1)
        return self.find(connection, scope, Wanted(_search(), page, PAGE_SIZE))

    def read_all(self, connection: Connection, scope: Scope) -> Any:
        return self.find(connection, scope, Wanted(_search(), page_size=None))

    def is_empty(self, result: Any) -> bool:
        return not result.shown.ids

    def values(self, looked: Looked) -> dict[str, Any]:
        shown: Shown = looked.result.shown
        keep = [pair for pair in request.args.items(multi=True) if pair[0] not in ("q", "page")]
        return {
            "shown_label": looked.result.scope.label,
            "by_the_day": looked.result.scope != looked.scope,
            "other": OTHER in shown.hits,
            "most": MOST_OF_APP if looked.endpoint is None else MOST_OF_ENDPOINT,
            "noun": self.noun,
            "of_groups": self.kind == Kind.GROUP,
            "ip_setting": self.panel.config.values.ip,
            "search": _search(),
            "keep": keep,
            "all_url": measured.here(q=None, page=None),
            "pager": measured.pager(shown.page, shown.pages),
            "first_shown": (shown.page - 1) * PAGE_SIZE + 1,
            "number_shown": sum(1 for id in shown.ids if id != OTHER),
        }

    def json_of(self, looked: Looked) -> dict[str, Any]:
        # The range that is shown, which is made of whole days.
        return super().json_of(dataclasses.replace(looked, scope=looked.result.scope))

    def requests_url(self, looked: Looked) -> str:
        """Return the list of all requests in the range, to which a visitor can be added."""
        scope = dataclasses.replace(looked.result.scope, range_name="custom", versions=())
        pairs = scope.to_query()
        if looked.endpoint is not None:
            pairs.append(("endpoint", looked.endpoint.name))
        address = panel_url("requests.index_view", range=None, version=None, **_UNSET)
        # What is compared with is kept, so that there may be a query string.
        return f"{address}{'&' if '?' in address else '?'}{urlencode(pairs)}"

    def visitor_url(self, looked: Looked, base: str, id: int, versions: Sequence[str]) -> str:
        """Return the list of a visitor's requests to ``versions``, () for all of them.

        Of the visitors who are counted together nobody knows which they are: all are listed.
        """
        pairs = [("version", name) for name in versions]
        if id != OTHER:
            word = "group" if self.kind == Kind.GROUP else "ip"
            pairs.append((word, looked.result.shown.names[id]))
        return f"{base}&{urlencode(pairs)}" if pairs else base


_UNSET: dict[str, Any] = {"from": None, "to": None}


def _fields(row: Any) -> dict[str, Any]:
    # As dataclasses.asdict, which copies each value: a page of bubbles took a third longer.
    return {field.name: getattr(row, field.name) for field in dataclasses.fields(row)}


def _search() -> str:
    return asked_text(request.args, "q")


class _VersionsPage(VisitorPage):
    """Bubbles: a visitor a row, a version a column."""

    chart_kind = "bubbles"
    drawings = ("visitor_drawings",)

    def find(self, connection: Connection, scope: Scope, wanted: Wanted) -> VisitorVersions:
        return visitor_versions(connection, scope, self.kind, wanted)

    def chart_label(self, looked: Looked) -> str:
        result: VisitorVersions = looked.result
        return (
            f"Bubbles of {format.count(len(result.names))} {self.noun[1]} by "
            f"{format.count(len(result.versions))} versions, {result.scope.label}: a larger one "
            "means a longer mean duration."
        )

    def links(self, looked: Looked) -> list[str]:
        result: VisitorVersions = looked.result
        base = self.requests_url(looked)
        return [
            self.visitor_url(
                looked, base, result.shown.ids[bubble.visitor], [result.versions[bubble.version]]
            )
            for bubble in result.bubbles
        ]

    def as_json(self, looked: Looked) -> dict[str, Any]:
        result: VisitorVersions = looked.result
        return {
            "visitors": result.names,
            "versions": result.versions,
            "median_ms": result.median_ms,
            "total": result.shown.total,
            "page": result.shown.page,
            "pages": result.shown.pages,
            "bubbles": [
                _fields(bubble) | {"against_median": result.against_median(bubble), "url": url}
                for bubble, url in zip(result.bubbles, self.links(looked), strict=True)
            ],
        }


class UserVersionsPage(_VersionsPage):
    """How often each user came to each version, and how long it took."""

    explanation = (
        "Users by version, those with the most requests first. A larger bubble is slower; its "
        "colour compares the mean with the median."
    )

    def __init__(self) -> None:
        super().__init__("Users by Version", "user_versions", COMPARED)

    @expose("/users-versions")
    @expose("/endpoint/<int:endpoint_id>/users-versions")
    def index(self, endpoint_id: int | None = None) -> str:
        """Show the page."""
        return self.show(endpoint_id)

    @expose("/users-versions/data.json")
    @expose("/endpoint/<int:endpoint_id>/users-versions/data.json")
    def data_json(self, endpoint_id: int | None = None) -> dict[str, Any]:
        """Return what the chart draws."""
        return self.download_json(endpoint_id)

    @expose("/users-versions/data.csv")
    @expose("/endpoint/<int:endpoint_id>/users-versions/data.csv")
    def data_csv(self, endpoint_id: int | None = None) -> Response:
        """Return the table of all users as CSV."""
        return self.download_csv(endpoint_id)


class IpVersionsPage(_VersionsPage):
    """How often each client address came to each version, and how long it took."""

    kind = Kind.CLIENT
    noun = ("IP", "IPs")
    explanation = (
        "Client addresses by version, those with the most requests first. A larger bubble is "
        "slower; its colour compares the mean with the median."
    )

    def __init__(self) -> None:
        super().__init__("IPs by Version", "ip_versions", COMPARED)

    @expose("/ips-versions")
    @expose("/endpoint/<int:endpoint_id>/ips-versions")
    def index(self, endpoint_id: int | None = None) -> str:
        """Show the page."""
        return self.show(endpoint_id)

    @expose("/ips-versions/data.json")
    @expose("/endpoint/<int:endpoint_id>/ips-versions/data.json")
    def data_json(self, endpoint_id: int | None = None) -> dict[str, Any]:
        """Return what the chart draws."""
        return self.download_json(endpoint_id)

    @expose("/ips-versions/data.csv")
    @expose("/endpoint/<int:endpoint_id>/ips-versions/data.csv")
    def data_csv(self, endpoint_id: int | None = None) -> Response:
        """Return the table of all addresses as CSV."""
        return self.download_csv(endpoint_id)


class UserPerformancePage(VisitorPage):
    """A box plot for each user, on a logarithmic axis."""

    chart_kind = "boxplot"
    packages = ("chart.js", "@sgratzl/chartjs-chart-boxplot")
    explanation = (
        "Durations by user on a logarithmic axis, those with the most requests first. A box holds "
        "the middle half of the requests, the line in it is the median; dots are the extremes."
    )

    def __init__(self) -> None:
        super().__init__("Performance by User", "user_performance", COMPARED)

    @expose("/user-performance")
    @expose("/endpoint/<int:endpoint_id>/users")
    def index(self, endpoint_id: int | None = None) -> str:
        """Show the page."""
        return self.show(endpoint_id)

    @expose("/user-performance/data.json")
    @expose("/endpoint/<int:endpoint_id>/users/data.json")
    def data_json(self, endpoint_id: int | None = None) -> dict[str, Any]:
        """Return what the chart draws."""
        return self.download_json(endpoint_id)

    @expose("/user-performance/data.csv")
    @expose("/endpoint/<int:endpoint_id>/users/data.csv")
    def data_csv(self, endpoint_id: int | None = None) -> Response:
        """Return the table of all users as CSV."""
        return self.download_csv(endpoint_id)

    def find(self, connection: Connection, scope: Scope, wanted: Wanted) -> VisitorPerformance:
        return visitor_performance(connection, scope, wanted)

    def chart_label(self, looked: Looked) -> str:
        result: VisitorPerformance = looked.result
        number = len(result.boxes)
        noun = self.noun[number != 1]
        return f"Box plots of the durations of {number} {noun}, {result.scope.label}."

    def links(self, looked: Looked) -> list[str]:
        base, versions = self.requests_url(looked), looked.scope.versions
        return [self.visitor_url(looked, base, box.key, versions) for box in looked.result.boxes]

    def as_json(self, looked: Looked) -> dict[str, Any]:
        result: VisitorPerformance = looked.result
        return {
            "total": result.shown.total,
            "page": result.shown.page,
            "pages": result.shown.pages,
            "boxes": [
                _fields(box) | {"url": url}
                for box, url in zip(result.boxes, self.links(looked), strict=True)
            ],
        }
