"""Pages of several charts, each with a name, its data and its table."""

from __future__ import annotations

from typing import Any

from flask import Response, abort
from sqlalchemy import Connection

from ...read.catalog import EndpointInfo
from ...read.scope import Scope
from .. import charts, csv
from .pages import ChartPart, Looked, Page, endpoint_tabs, file_suffix


class NamedPart(ChartPart):
    """A chart of a :class:`ChartsPage`: ``name`` stands in the address of its data."""

    name: str
    title: str


class ChartsPage(Page):
    """A page of ``parts``, perhaps also for one endpoint, and of what else its template shows.

    A subclass exposes ``index``, and ``data_json`` and ``data_csv`` below ``<part>/``.
    """

    parts: tuple[NamedPart, ...]
    packages: tuple[str, ...] = ("chart.js",)
    #: Our scripts that hold the drawing functions, without ``.js``.
    drawings: tuple[str, ...] = ("drawings",)
    template = "fmd_admin/charts.html"

    def more(
        self,
        connection: Connection,  # noqa: ARG002
        scope: Scope,  # noqa: ARG002
        endpoint: EndpointInfo | None,  # noqa: ARG002
    ) -> dict[str, Any]:
        """Return what the template needs besides the charts."""
        return {}

    def show(self, endpoint_id: int | None = None) -> str:
        """Render the page; everything on it is of one moment."""
        ids = {} if endpoint_id is None else {"endpoint_id": endpoint_id}
        with self.panel.store.read() as connection:
            endpoint, scope = self._asked(connection, endpoint_id, strict=False)
            shown = []
            for part in self.parts:
                looked = Looked(scope, endpoint, part.read(connection, scope))
                if not part.is_empty(looked.result):
                    chart = part.chart(looked, self.endpoint, part=part.name, **ids)
                    shown.append((part, chart, looked.result))
            return self.page(
                self.template,
                connection,
                scope,
                self.name if endpoint is None else endpoint.name,
                endpoint=endpoint,
                endpoint_tabs=endpoint_tabs(endpoint, f"{self.endpoint}.index"),
                charts=shown,
                drawings=self.drawings,
                chart_scripts=charts.scripts(self.panel.config.values, self.packages),
                **self.more(connection, scope, endpoint),
            )

    def download_json(self, name: str, endpoint_id: int | None = None) -> dict[str, Any]:
        """Return the data of the chart ``name``; 404 if there is none."""
        part, looked = self._look(name, endpoint_id)
        return part.json_of(looked)

    def download_csv(self, name: str, endpoint_id: int | None = None) -> Response:
        """Return the table of the chart ``name`` as CSV; 404 if there is none."""
        _, looked = self._look(name, endpoint_id)
        return csv.from_table(looked.result.table(), file_suffix(looked))

    def _look(self, name: str, endpoint_id: int | None) -> tuple[NamedPart, Looked]:
        part = next((part for part in self.parts if part.name == name), None)
        if part is None:
            abort(404, "This page has no such chart.")
        with self.panel.store.read() as connection:
            endpoint, scope = self._asked(connection, endpoint_id, strict=True)
            return part, Looked(scope, endpoint, part.read(connection, scope))

    def _asked(
        self, connection: Connection, endpoint_id: int | None, *, strict: bool
    ) -> tuple[EndpointInfo | None, Scope]:
        endpoint = None
        if endpoint_id is not None:
            endpoint = self.find_endpoint(connection, endpoint_id)
        return endpoint, self.scope(connection, endpoint_id, strict=strict)
