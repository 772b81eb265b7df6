"""The page Grouped profiler of an endpoint: its most recent profiles merged."""

from __future__ import annotations

from flask import Response
from flask_admin import expose

from ...read.profiler import GROUPED, Grouped, grouped
from ...read.scope import Scope
from .. import charts
from . import graph_files
from .pages import Page, endpoint_tabs, range_suffix
from .profiler import PLAIN_ROWS


class GroupedPage(Page):
    """One tree of up to 100 requests, as a table, an icicle and a sunburst."""

    def __init__(self) -> None:
        super().__init__("Grouped profiler", "grouped")

    def is_visible(self) -> bool:
        return False

    @expose("/endpoint/<int:endpoint_id>/grouped-profiler")
    def index(self, endpoint_id: int) -> str:
        """Show the page."""
        with self.panel.store.read() as connection:
            endpoint = self.find_endpoint(connection, endpoint_id)
            scope = self.scope(connection, endpoint_id)
            result = grouped(connection, scope, endpoint.name)
            return self.page(
                "fmd_admin/grouped.html",
                connection,
                scope,
                endpoint.name,
                endpoint=endpoint,
                endpoint_tabs=endpoint_tabs(endpoint, "grouped.index"),
                result=result,
                graph=result.graph,
                plain=list(result.graph.nodes(PLAIN_ROWS)),
                most=GROUPED,
                files=graph_files.links("grouped", keep_range=True, endpoint_id=endpoint_id),
                chart_scripts=charts.scripts(self.panel.config.values, ("chart.js",)),
            )

    @expose("/endpoint/<int:endpoint_id>/grouped-profiler/data.json")
    def data_json(self, endpoint_id: int) -> Response:
        """Return the tree as profiler.js draws it."""
        result, _ = self._read(endpoint_id)
        return graph_files.as_json(result.graph)

    @expose("/endpoint/<int:endpoint_id>/grouped-profiler/data.csv")
    def data_csv(self, endpoint_id: int) -> Response:
        """Return the tree as CSV."""
        result, name = self._read(endpoint_id)
        return graph_files.as_csv(result.graph, name)

    @expose("/endpoint/<int:endpoint_id>/grouped-profiler/collapsed.txt")
    def collapsed(self, endpoint_id: int) -> Response:
        """Return the tree as collapsed stacks."""
        result, name = self._read(endpoint_id)
        return graph_files.as_collapsed(result.graph, name)

    @expose("/endpoint/<int:endpoint_id>/grouped-profiler/speedscope.json")
    def speedscope(self, endpoint_id: int) -> Response:
        """Return the tree as a speedscope file."""
        result, name = self._read(endpoint_id)
        return graph_files.as_speedscope(result.graph, name, self.panel.version)

    def _read(self, endpoint_id: int) -> tuple[Grouped, str]:
        """Return the merged tree, and a name for files of it."""
        with self.panel.store.read() as connection:
            endpoint = self.find_endpoint(connection, endpoint_id)
            scope: Scope = self.scope(connection, endpoint_id, strict=True)
            result = grouped(connection, scope, endpoint.name)
        return result, f"grouped-{endpoint.name}-{range_suffix(scope)}"
