"""What fmd_admin's own pages have in common: addresses, the time range, charts and their tables."""

from __future__ import annotations

import time
from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Sequence
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
from ...read.timeline import Marker
from .. import charts, csv, format
from ..context import Panel, current_panel
from ..links import KEPT, LARGEST_SMALL_ID, panel_url
from ..menu import show_as
from ..scope_bar import scope_bar

CATEGORY = "Dashboard"
COMPARED = "Versions and users"
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
    Tab("Summary", "summary.index"),
    Tab("Hourly utilization", "hourly.index"),
    Tab("Versions", "version_performance.index"),
    Tab("Users", "user_performance.index"),
    Tab("Users by version", "user_versions.index"),
    Tab("IPs by version", "ip_versions.index"),
    Tab("Status codes", "status_codes.index"),
    Tab("Exceptions", "exceptions.index"),
    Tab("Outliers", "outliers.index"),
    Tab("Profiler", "profiler.index"),
    Tab("Grouped profiler", "grouped.index"),
)
#: The largest id of an endpoint, a custom graph and whatever else there are few of.
MAX_ID = LARGEST_SMALL_ID


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

    @property
    def endpoint_name(self) -> str | None:
        """The name of the endpoint that is looked at, None for all."""
        return None if self.endpoint is None else self.endpoint.name


def is_admin() -> bool:
    """Whether the current user may change things."""
    return bool(getattr(current_user, "role", None) == "admin")


class Page(BaseView):
    """Base of fmd_admin's own pages.

    Subclasses expose absolute addresses without a trailing slash; ``index`` is the page itself.
    """

    _default_view = "index"
    #: Whether the bar at the top lets one choose versions of the app.
    by_version = True

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
        self,
        connection: Connection,
        endpoint_id: int | None = None,
        *,
        strict: bool = False,
        default_range: str | None = None,
    ) -> Scope:
        """Return what the URL asks for, and ``default_range`` (the setting's) if no range.

        A range that is not understood is said in a message, and the default one is used. With
        ``strict`` it ends the request with 400: a download must not hold something else.
        """
        options: dict[str, Any] = {
            "zone": self.panel.store.timezone,
            "default_range": default_range or self.panel.config.values.default_range,
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
        self,
        template: str,
        connection: Connection,
        scope: Scope,
        title: str,
        *,
        compared: bool = False,
        **values: Any,
    ) -> str:
        """Render a page with the range and version controls in its top bar.

        ``compared`` adds what the range is compared with.
        """
        bar = scope_bar(
            scope,
            catalog.versions(connection) if self.by_version else [],
            request.script_root + request.path,
            request.args.items(multi=True),
            compared=compared,
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


class ChartPart:
    """One chart of a page with its table: what it reads and how it is drawn."""

    chart_kind: str
    #: One sentence under the title: what the chart shows and how to read it.
    explanation: str
    #: Words of the query string, besides range and versions, that choose what is shown.
    words: tuple[str, ...] = ()

    @abstractmethod
    def read(self, connection: Connection, scope: Scope) -> Any:
        """Return the dataclass of the chart from :mod:`fmd_admin.read`."""

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

    def chart(self, looked: Looked, view: str, **ids: Any) -> Chart:
        """Return the chart as its template draws it; ``view`` gives the data, for ``ids``."""
        ids.update({word: request.args[word] for word in self.words if request.args.get(word)})
        # What is shown, not what was asked for: that may have been refused.
        ids.update(scope_words(looked.scope))
        return Chart(
            kind=self.chart_kind,
            label=self.chart_label(looked),
            data_url=panel_url(f"{view}.data_json", **ids),
            csv_url=panel_url(f"{view}.data_csv", **ids),
            table=looked.result.table(),
            links=self.links(looked),
        )

    def json_of(self, looked: Looked) -> dict[str, Any]:
        """Return the answer of ``data.json``."""
        return {
            "range": {"label": looked.scope.label, "timezone": str(looked.scope.zone)},
            **self.as_json(looked),
        }


class ChartPage(ChartPart, Page):
    """A page of one chart, its table and its CSV; perhaps also for one endpoint.

    Subclasses say what they ``read`` and what is drawn.
    """

    packages: tuple[str, ...] = ("chart.js",)
    #: Our scripts that hold the drawing function, without ``.js``.
    drawings: tuple[str, ...] = ("drawings",)
    template = "fmd_admin/chart.html"
    #: Whether the page says what changed, so that its bar offers what to compare with.
    compared = False

    def values(self, looked: Looked) -> dict[str, Any]:  # noqa: ARG002
        """Return what the template needs besides the chart."""
        return {}

    def read_all(self, connection: Connection, scope: Scope) -> Any:
        """Return what goes into the CSV: more than the page shows, if that is one of several."""
        return self.read(connection, scope)

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
            ids = {} if endpoint_id is None else {"endpoint_id": endpoint_id}
            empty = self.is_empty(looked.result)
            chart = None if empty else self.chart(looked, self.endpoint, **ids)
            return self.page(
                self.template,
                connection,
                looked.scope,
                self.name if looked.endpoint is None else looked.endpoint.name,
                endpoint=looked.endpoint,
                endpoint_tabs=endpoint_tabs(looked.endpoint, f"{self.endpoint}.index"),
                explanation=self.explanation,
                chart=chart,
                result=looked.result,
                compared=self.compared,
                **self.values(looked),
                drawings=self.drawings,
                chart_scripts=charts.scripts(self.panel.config.values, self.packages),
            )

    def download_json(self, endpoint_id: int | None = None) -> dict[str, Any]:
        """Return the chart's data, for the range of the URL."""
        return self.json_of(self.look(endpoint_id, strict=True))

    def download_csv(self, endpoint_id: int | None = None) -> Response:
        """Return the chart's table as CSV, for the range of the URL."""
        looked = self.look(endpoint_id, strict=True, read=self.read_all)
        return csv.from_table(looked.result.table(), file_suffix(looked))


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


def deploys(markers: Sequence[Marker], times: Sequence[int], end_ms: int) -> list[dict[str, Any]]:
    """Return the markers as charts draw them whose x axis has steps that begin at ``times``.

    ``at`` is where a moment lies among the steps: 2.5 is the middle of the third one.
    """

    def position(time_ms: int) -> float:
        index = max(bisect_right(times, time_ms) - 1, 0)
        following = times[index + 1] if index + 1 < len(times) else max(end_ms, times[index] + 1)
        return index + min((time_ms - times[index]) / (following - times[index]), 1.0)

    return [{"at": position(marker.time_ms), "label": marker.label} for marker in markers]


def scope_words(scope: Scope) -> dict[str, Any]:
    """Return the words of a URL that give ``scope``; None for those that are not in it."""
    found: dict[str, Any] = dict.fromkeys(KEPT)
    for word, value in scope.to_query():
        if word == "version":
            found[word] = [*(found[word] or []), value]
        else:
            found[word] = value
    return found


def file_suffix(looked: Looked) -> str:
    """Return what a file's name ends with: the endpoint, if it is of one, and the range."""
    suffix = range_suffix(looked.scope)
    return suffix if looked.endpoint is None else f"{looked.endpoint.name}-{suffix}"


def range_suffix(scope: Scope) -> str:
    """Return the range for a file name: ``2026-11-16--2026-11-22``."""
    days = scope.days
    return f"{days[0]}--{days[-1]}"
