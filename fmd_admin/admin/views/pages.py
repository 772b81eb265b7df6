"""What fmd_admin's own pages have in common: addresses, the time range, charts and their tables."""

from __future__ import annotations

import time
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

from flask import Response, abort, flash, request
from flask_admin import BaseView
from flask_login import current_user
from sqlalchemy import Connection

from ...errors import ScopeError
from ...read import catalog
from ...read.catalog import EndpointInfo
from ...read.scope import Scope, parse_scope
from ...read.table import Table
from .. import charts, csv, format
from ..context import Panel, current_panel
from ..links import panel_url
from ..menu import show_as
from ..scope_bar import scope_bar

CATEGORY = "Dashboard"
#: The line of the menu that an endpoint's pages stand below.
OVERVIEW = "overview"

#: Level, and what it collects. Each one collects what those below it do, too.
LEVELS = (
    (0, "Off: only the time of the last request is kept"),
    (1, "Performance: every request with its duration, status and user"),
    (2, "Outliers: also where requests hang that take much longer than others"),
    (3, "Profiler: also in which lines of code each request spends its time"),
)


@dataclass(frozen=True, slots=True)
class Tab:
    """A page of one endpoint: its label, and the Flask endpoint that takes ``endpoint_id``."""

    label: str
    view: str


#: The pages under an endpoint's name, in their order.
ENDPOINT_TABS = (
    Tab("Hourly utilization", "hourly.index"),
    Tab("Profiler", "profiler.index"),
    Tab("Grouped profiler", "grouped.index"),
    Tab("Outliers", "outliers.index"),
    Tab("Users by version", "user_versions.index"),
    Tab("IPs by version", "ip_versions.index"),
    Tab("Users", "user_performance.index"),
)
#: No database has an id above.
MAX_ID = 2**53


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart as its template draws it.

    ``kind`` names the drawing function in charts.js, which reads its data from ``data_url``.
    ``label`` says the same in a sentence. ``links`` are the addresses of the table's rows.
    """

    kind: str
    label: str
    data_url: str
    csv_url: str
    table: Table
    links: list[str] | None = None


@dataclass(frozen=True, slots=True)
class Looked:
    """One read of a chart page: what was asked for and what was found."""

    scope: Scope
    endpoint: EndpointInfo | None
    result: Any


def is_admin() -> bool:
    """Whether the current user may change things."""
    return bool(getattr(current_user, "role", None) == "admin")


class Page(BaseView):
    """Base of fmd_admin's own pages.

    Subclasses expose absolute addresses without a trailing slash; ``index`` is the page itself.
    """

    _default_view = "index"

    def __init__(self, name: str, endpoint: str, category: str = CATEGORY) -> None:
        # Flask-Admin knows a default view only by the address "/", which ours do not have.
        self._default_view = "index"
        # With a static address of its own no page registers Flask-Admin's files once more.
        super().__init__(
            name=name,
            category=category,
            endpoint=endpoint,
            url="/",
            static_url_path="/static/admin",
        )

    def _run_view(self, fn: Any, *args: Any, **kwargs: Any) -> Any:
        # Flask-Admin's own calls the view a second time after a TypeError inside of it.
        return fn(self, *args, **kwargs)

    def get_url(self, endpoint: str, **kwargs: Any) -> str:
        """Return an address that keeps the range and the versions of this one."""
        return panel_url(endpoint, **kwargs)

    @property
    def panel(self) -> Panel:
        """The panel that serves this request."""
        return current_panel()

    def scope(
        self, connection: Connection, endpoint_id: int | None = None, *, strict: bool = False
    ) -> Scope:
        """Return what the URL asks for.

        A range that is not understood is said in a message, and the default one is used. With
        ``strict`` it ends the request with 400: a download must not hold something else.
        """
        options: dict[str, Any] = {
            "zone": self.panel.store.timezone,
            "default_range": self.panel.config.values.default_range,
            "now_ms": time.time_ns() // 1_000_000,
            "endpoint_id": endpoint_id,
        }
        try:
            return parse_scope(connection, request.args, **options)
        except ScopeError as error:
            if strict:
                abort(400, str(error))
            flash(str(error), "error")
            return parse_scope(connection, {}, **options)

    def find_endpoint(self, connection: Connection, endpoint_id: int) -> EndpointInfo:
        """Return an endpoint whose page is shown; 404 if it does not exist."""
        found = catalog.endpoint(connection, endpoint_id) if endpoint_id <= MAX_ID else None
        if found is None:
            abort(404, "This endpoint does not exist (any more).")
        show_as(OVERVIEW)
        return found

    def page(
        self, template: str, connection: Connection, scope: Scope, title: str, **values: Any
    ) -> str:
        """Render a page with the range and version controls in its top bar."""
        bar = scope_bar(
            scope,
            catalog.versions(connection),
            request.script_root + request.path,
            request.args.items(multi=True),
        )
        html: str = self.render(
            template,
            page_title=title,
            scope=scope,
            bar=bar,
            fmt=format,
            share_bar=charts.share_bar,
            sparkline=charts.sparkline,
            is_admin=is_admin(),
            levels=LEVELS,
            back=request.query_string.decode("ascii", "replace"),
            **values,
        )
        return html


class ChartPage(Page):
    """A page of one chart, its table and its CSV; perhaps also for one endpoint.

    Subclasses say what they ``read`` and what is drawn.
    """

    chart_kind: str
    packages: tuple[str, ...] = ("chart.js",)
    #: Our scripts that hold the drawing function, without ``.js``.
    drawings: tuple[str, ...] = ("drawings",)
    template = "fmd_admin/chart.html"
    #: One sentence under the title: what the chart shows and how to read it.
    explanation: str

    @abstractmethod
    def read(self, connection: Connection, scope: Scope) -> Any:
        """Return the dataclass of the page from :mod:`fmd_admin.read`."""

    @abstractmethod
    def chart_label(self, looked: Looked) -> str:
        """Return the sentence that stands for the chart where it cannot be seen."""

    @abstractmethod
    def is_empty(self, result: Any) -> bool:
        """Whether there is nothing to draw."""

    def links(self, looked: Looked) -> list[str] | None:  # noqa: ARG002
        """Return the addresses of the table's rows, if they have any."""
        return None

    @abstractmethod
    def as_json(self, looked: Looked) -> dict[str, Any]:
        """Return what charts.js draws."""

    def read_all(self, connection: Connection, scope: Scope) -> Any:
        """Return what goes into the CSV: more than the page shows, if that is one of several."""
        return self.read(connection, scope)

    def more(self, looked: Looked) -> dict[str, Any]:  # noqa: ARG002
        """Return what else the page's template needs."""
        return {}

    def own_words(self) -> dict[str, str]:
        """Return the page's own words of the query string, which its data needs too."""
        return {}

    def look(self, endpoint_id: int | None, *, strict: bool, read: Any = None) -> Looked:
        """Read the page's data in one transaction; 404 for an endpoint that does not exist."""
        with self.panel.store.read() as connection:
            return self._look(connection, endpoint_id, strict=strict, read=read)

    def _look(
        self, connection: Connection, endpoint_id: int | None, *, strict: bool, read: Any = None
    ) -> Looked:
        endpoint = None
        if endpoint_id is not None:
            endpoint = self.find_endpoint(connection, endpoint_id)
        scope = self.scope(connection, endpoint_id, strict=strict)
        return Looked(scope, endpoint, (read or self.read)(connection, scope))

    def show(self, endpoint_id: int | None = None) -> str:
        """Render the page."""
        with self.panel.store.read() as connection:
            looked = self._look(connection, endpoint_id, strict=False)
            ids: dict[str, Any] = {} if endpoint_id is None else {"endpoint_id": endpoint_id}
            ids |= self.own_words()
            empty = self.is_empty(looked.result)
            chart = Chart(
                kind=self.chart_kind,
                label=self.chart_label(looked),
                data_url=self.get_url(f"{self.endpoint}.data_json", **ids),
                csv_url=self.get_url(f"{self.endpoint}.data_csv", **ids),
                table=looked.result.table(),
                links=self.links(looked),
            )
            return self.page(
                self.template,
                connection,
                looked.scope,
                self.name if looked.endpoint is None else looked.endpoint.name,
                endpoint=looked.endpoint,
                endpoint_tabs=endpoint_tabs(looked.endpoint, f"{self.endpoint}.index"),
                explanation=self.explanation,
                chart=None if empty else chart,
                result=looked.result,
                drawings=self.drawings,
                chart_scripts=charts.scripts(self.panel.config.values, self.packages),
                **self.more(looked),
            )

    def download_json(self, endpoint_id: int | None = None) -> dict[str, Any]:
        """Return the chart's data, for the range of the URL."""
        looked = self.look(endpoint_id, strict=True)
        return {
            "range": {"label": looked.scope.label, "timezone": str(looked.scope.zone)},
            **self.as_json(looked),
        }

    def download_csv(self, endpoint_id: int | None = None) -> Response:
        """Return the chart's table as CSV, for the range of the URL."""
        looked = self.look(endpoint_id, strict=True, read=self.read_all)
        suffix = range_suffix(looked.scope)
        if looked.endpoint is not None:
            suffix = f"{looked.endpoint.name}-{suffix}"
        return csv.from_table(looked.result.table(), suffix)


def endpoint_tabs(endpoint: EndpointInfo | None, active_view: str) -> list[dict[str, Any]]:
    """Return the tabs under an endpoint's name, none for pages of all endpoints."""
    if endpoint is None:
        return []
    return [
        {
            "label": tab.label,
            "url": panel_url(tab.view, endpoint_id=endpoint.id),
            "active": tab.view == active_view,
        }
        for tab in ENDPOINT_TABS
    ]


def range_suffix(scope: Scope) -> str:
    """Return the range for a file name: ``2026-11-16--2026-11-22``."""
    days = scope.days
    return f"{days[0]}--{days[-1]}"
