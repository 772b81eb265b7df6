"""The page Outliers, of all endpoints or of one, and the page of one outlier."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import groupby

from flask import Response, abort
from flask_admin import expose

from ...read import outliers
from ...read.callgraph import Line
from ...read.outliers import COLUMNS, SORTS, OutlierInfo
from ...store.outlier_detail import SourceFrame
from .. import csv, curl
from ..links import numbered, panel_url
from . import measured
from .data_rows import export
from .pages import Page, endpoint_tabs, range_suffix

CATEGORY = "Problems"


@dataclass(frozen=True, slots=True)
class Run:
    """Frames that follow each other on a stack; ``library`` is empty for the host's own."""

    library: str
    frames: list[SourceFrame]


class OutliersPage(Page):
    """Requests that took much longer than others of their endpoint."""

    def __init__(self) -> None:
        super().__init__("Outliers", "outliers", CATEGORY)

    @expose("/outliers")
    @expose("/endpoint/<int:endpoint_id>/outliers")
    def index(self, endpoint_id: int | None = None) -> str:
        """Show the list."""
        asked = measured.asked(SORTS, self.panel.config.values.page_size)
        with self.panel.store.read() as connection:
            endpoint = None
            if endpoint_id is not None:
                endpoint = self.find_endpoint(connection, endpoint_id)
            scope = self.scope(connection, endpoint_id)
            result = outliers.outliers(connection, scope, asked)
            # Downloads have all columns; here there is no room for the client.
            hidden = {"client"} if endpoint is None else {"client", "endpoint"}
            columns = [c for c in COLUMNS if c.key not in hidden]
            return self.page(
                "fmd_admin/outliers.html",
                connection,
                scope,
                self.name if endpoint is None else endpoint.name,
                endpoint=endpoint,
                endpoint_tabs=endpoint_tabs(endpoint, "outliers.index"),
                result=result,
                heads=measured.heads(columns, SORTS, asked),
                pager=measured.pager(result.page, result.pages),
                page_size=asked.page_size,
                settings=self.panel.config.values,
                row_url=numbered(_detail_url, 2),
                endpoint_url=numbered(_endpoint_url),
                csv_url=panel_url("outliers.data_csv", endpoint_id=endpoint_id),
            )

    @expose("/outliers/data.csv")
    @expose("/endpoint/<int:endpoint_id>/outliers/data.csv")
    def data_csv(self, endpoint_id: int | None = None) -> Response:
        """Return every outlier in the range, newest first."""
        with self.panel.store.read() as connection:
            name = "outliers"
            if endpoint_id is not None:
                name += f"-{self.find_endpoint(connection, endpoint_id).name}"
            scope = self.scope(connection, endpoint_id, strict=True)
        order = (SORTS["time"], outliers.KEY)
        found = export(self.panel.store, outliers.every(scope), order, chunk=200)
        rows = (outliers.row_of(row).values() for row in found)
        header = [column.label for column in COLUMNS]
        return csv.stream(f"{name}-{range_suffix(scope)}", header, rows)

    @expose("/endpoint/<int:endpoint_id>/outliers/<int:outlier_id>")
    def detail(self, endpoint_id: int, outlier_id: int) -> str:
        """Show one outlier."""
        with self.panel.store.read() as connection:
            endpoint = self.find_endpoint(connection, endpoint_id)
            found = outliers.outlier(connection, endpoint_id, outlier_id)
            if found is None:
                abort(404, "This endpoint has no such outlier (any more).")
            return self.page(
                "fmd_admin/outlier.html",
                connection,
                self.scope(connection, endpoint_id),
                endpoint.name,
                endpoint=endpoint,
                endpoint_tabs=endpoint_tabs(endpoint, "outliers.index"),
                found=found,
                detail=found.detail,
                runs=runs(found.detail.stack),
                value_rows=[(k, v) for k, found_ in found.detail.values.items() for v in found_],
                json_body=_indented(found.detail.json),
                command=_command(found),
                list_url=panel_url("outliers.index", endpoint_id=endpoint_id),
            )


def runs(stack: list[SourceFrame]) -> list[Run]:
    """Return the stack in runs of own frames and of each library's, innermost first."""

    def owner(frame: SourceFrame) -> str:
        return "" if frame.own else Line(frame.file, 0, "", "", False).library

    return [Run(name, list(frames)) for name, frames in groupby(reversed(stack), owner)]


def _detail_url(endpoint_id: int, outlier_id: int) -> str:
    return panel_url("outliers.detail", endpoint_id=endpoint_id, outlier_id=outlier_id)


def _endpoint_url(endpoint_id: int) -> str:
    return panel_url("outliers.index", endpoint_id=endpoint_id)


def _command(found: OutlierInfo) -> str:
    detail = found.detail
    return curl.command(
        found.request.method, detail.url, detail.headers, detail.values, detail.json
    )


def _indented(text: str | None) -> str | None:
    """Return JSON with a value a line; as it is if it was cut."""
    if text is None:
        return None
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except ValueError:
        return text
