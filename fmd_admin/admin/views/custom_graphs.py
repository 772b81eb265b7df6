"""Custom graphs: their list, a page for each, and their lines in the menu."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flask import Response, abort, flash, g, redirect, request
from flask_admin import expose
from flask_admin.menu import BaseMenu, MenuCategory
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.wrappers import Response as BaseResponse

from ...read import graphs
from ...read.graphs import GraphInfo, GraphValues
from ...read.timeline import markers
from ...store.graphs import delete_graphs
from ...store.types import all_digits
from .. import charts, csv, format
from ..context import current_panel
from ..links import panel_url
from .pages import MAX_ID, Chart, Page, is_admin, range_suffix

CATEGORY = "Custom graphs"
_PACKAGES = ("chart.js", "chartjs-plugin-annotation", "chartjs-plugin-zoom")


class GraphMenu(MenuCategory):
    """The category of the menu with a line for each graph there is now."""

    def get_children(self) -> list[BaseMenu]:
        """Return the lines; only the fixed ones where the store does not answer."""
        try:
            with current_panel().store.read() as connection:
                found = graphs.titles(connection)
        except SQLAlchemyError:
            found = []
        return [*super().get_children(), *(GraphLink(*one) for one in found)]


class GraphLink(BaseMenu):
    """The line of one graph."""

    def __init__(self, graph_id: int, title: str) -> None:
        super().__init__(title)
        self.graph_id = graph_id

    def get_url(self) -> str:
        return panel_url("custom_graph.index", graph_id=self.graph_id)

    def is_active(self, view: Any) -> bool:  # noqa: ARG002 - one view shows all of them
        return bool(g.get("fmd_graph_id") == self.graph_id)


class GraphsPage(Page):
    """All custom graphs with their newest values."""

    def __init__(self) -> None:
        super().__init__("All graphs", "custom_graphs", CATEGORY)

    @expose("/custom-graphs")
    def index(self) -> str:
        """Show the list, or how to add the first one."""
        with self.panel.store.read() as connection:
            found = graphs.graphs(connection, with_errors=is_admin())
        page: str = self.render(
            "fmd_admin/custom_graphs.html",
            page_title=CATEGORY,
            found=found,
            zone=self.panel.store.timezone,
            sparks=[_spark(one.recent, one.graph.title) for one in found.graphs],
            fmt=format,
        )
        return page

    @expose("/custom-graphs/data.csv")
    def data_csv(self) -> Response:
        """Return the list as CSV."""
        with self.panel.store.read() as connection:
            found = graphs.graphs(connection, with_errors=is_admin())
        return csv.from_table(found.table())


class GraphPage(Page):
    """One custom graph: a line over time, its values, and what went wrong last."""

    by_version = False

    def __init__(self) -> None:
        super().__init__("Custom graph", "custom_graph", CATEGORY)

    def is_visible(self) -> bool:
        return False  # The menu has a line for each graph instead.

    @expose("/custom-graph/<int:graph_id>")
    def index(self, graph_id: int) -> str:
        """Show the page."""
        with self.panel.store.read() as connection:
            info = self._find(connection, graph_id)
            scope = self.scope(connection)
            result = graphs.values(connection, scope, info)
            chart = Chart(
                kind="lineOverTime",
                label=_label(result, scope.exact_label),
                data_url=self.get_url(".data_json", graph_id=graph_id),
                csv_url=self.get_url(".data_csv", graph_id=graph_id),
                table=result.table(),
            )
            return self.page(
                "fmd_admin/custom_graph.html",
                connection,
                scope,
                info.title,
                endpoint=None,
                endpoint_tabs=[],
                result=result,
                graph=info,
                overdue=info.overdue(scope.now_ms),
                chart=chart if result.total else None,
                step=None if result.step_ms is None else _span(result.step_ms),
                delete_url=self.get_url(".delete", graph_id=graph_id),
                drawings=("line_drawings",),
                chart_scripts=charts.scripts(self.panel.config.values, _PACKAGES),
            )

    @expose("/custom-graph/<int:graph_id>/data.json")
    def data_json(self, graph_id: int) -> dict[str, Any]:
        """Return what the chart draws, as line_drawings.js takes it."""
        with self.panel.store.read() as connection:
            info = self._find(connection, graph_id)
            scope = self.scope(connection, strict=True)
            result = graphs.values(connection, scope, info)
            # Of all versions: the graph is not of those that other pages may be narrowed down to.
            deploys = markers(connection, replace(scope, versions=(), version_ids=None))
        series: dict[str, Any] = {"name": info.title, "points": result.points}
        if result.step_ms is not None:
            series["points"] = [(step.start_ms, step.mean) for step in result.steps]
            series["band"] = [(step.start_ms, step.low, step.high) for step in result.steps]
        return {
            "range": {
                "label": scope.exact_label,
                "timezone": str(scope.zone),
                "start_ms": result.start_ms,
                "end_ms": result.end_ms,
            },
            "series": [series],
            "markers": deploys,
            "values": result.total,
            "step_ms": result.step_ms,
            "gap_ms": result.gap_ms,
        }

    @expose("/custom-graph/<int:graph_id>/data.csv")
    def data_csv(self, graph_id: int) -> Response:
        """Return every value in the range, with all its digits, while it is read."""
        with self.panel.store.read() as connection:
            info = self._find(connection, graph_id)
            scope = self.scope(connection, strict=True)
        found = graphs.export(self.panel.store, info.id, scope)
        rows = ((time, all_digits(value)) for time, value in found)
        return csv.stream(f"{info.title}-{range_suffix(scope)}", ("Time", "Value"), rows)

    @expose("/custom-graph/<int:graph_id>/delete", methods=("GET", "POST"))
    def delete(self, graph_id: int) -> BaseResponse | str:
        """Ask whether the graph shall go with its values, and delete it once confirmed."""
        if not is_admin():
            abort(403)
        with self.panel.store.read() as connection:
            info = self._find(connection, graph_id)
        if request.method == "POST" and request.form.get("confirmed") == "yes":
            self.panel.store.transact(lambda connection: delete_graphs(connection, [info.id]))
            flash(f"Custom graph {info.title} is deleted.", "ok")
            return redirect(self.get_url("custom_graphs.index"), 303)
        note = "All its values go with it, for good."
        if info.schedule is not None:
            note += (
                " The app still adds it, so it begins anew with its next run; take it out of the "
                "app's code to end it."
            )
        page: str = self.render(
            "fmd_admin/confirm.html",
            page_title="Delete this custom graph?",
            names=[info.title],
            hidden=0,
            note=note,
            ids=[info.id],
            action=self.get_url(".delete", graph_id=info.id),
            back=self.get_url(".index", graph_id=info.id),
            back_path="",
            button="Delete it",
        )
        return page

    def _find(self, connection: Connection, graph_id: int) -> GraphInfo:
        found = None
        if graph_id <= MAX_ID:
            found = graphs.graph(connection, graph_id, with_error=is_admin())
        if found is None:
            abort(404, "This custom graph does not exist (any more).")
        g.fmd_graph_id = graph_id
        return found


def _label(result: GraphValues, range_label: str) -> str:
    """Return the sentence that stands for the chart."""
    low = min((s.low for s in result.steps), default=None)
    high = max((s.high for s in result.steps), default=None)
    if result.points:
        low = min(value for _, value in result.points)
        high = max(value for _, value in result.points)
    return (
        f"Line of {result.graph.title} over time, {range_label}: "
        f"{format.count(result.total)} values from {format.number(low)} to {format.number(high)}."
    )


def _span(span_ms: int) -> str:
    """Return a round span of time in words: ``5 minutes``."""
    for size_ms, word in ((3_600_000, "hour"), (60_000, "minute"), (1_000, "second")):
        if span_ms % size_ms == 0:
            number = span_ms // size_ms
            return word if number == 1 else f"{number} {word}s"
    return f"{span_ms} ms"


def _spark(values: list[float], title: str) -> Any:
    """Return a small line from the lowest to the highest of the newest values."""
    low, high = min(values, default=0.0), max(values, default=0.0)
    # Halves first: the distance of two floats may be more than a float holds.
    reach = high / 2 - low / 2
    scaled = [round((value / 2 - low / 2) / reach * 1000) if reach else 0 for value in values]
    return charts.sparkline(scaled, f"Newest values of {title}")
