"""The page Profiler of an endpoint: its profiled requests, each with its execution tree."""

from __future__ import annotations

from flask import Response, abort, request
from flask_admin import expose
from sqlalchemy import Connection

from ...read import profiler
from ...read.profiler import COLUMNS, SORTS, ProfiledRequest
from .. import csv
from ..links import numbered, panel_url, parse_id
from . import graph_files, measured
from .data_rows import export
from .pages import Page, endpoint_tabs, range_suffix

#: Rows of the tree that are in the page itself, for browsers without JavaScript.
PLAIN_ROWS = 100
#: Requests on a page of the list: it stands below the tree.
LIST_ROWS = 20


class ProfilerPage(Page):
    """An endpoint's profiled requests; one of them is open."""

    def __init__(self) -> None:
        super().__init__("Profiler", "profiler")

    def is_visible(self) -> bool:
        return False

    @expose("/endpoint/<int:endpoint_id>/profiler")
    def index(self, endpoint_id: int) -> str:
        """Show the tree of the request ``profile``, or of the first one with samples."""
        asked = measured.asked(SORTS, LIST_ROWS)
        with self.panel.store.read() as connection:
            endpoint = self.find_endpoint(connection, endpoint_id)
            scope = self.scope(connection, endpoint_id)
            result = profiler.profiles(connection, scope, asked)
            chosen = _asked_profile()
            if chosen is None and result.rows:
                # Short requests without a sample have nothing to show.
                sampled = (row for row in result.rows if row.samples)
                chosen = next(sampled, result.rows[0]).request.id
            shown = None if chosen is None else _find(connection, endpoint_id, chosen)
            return self.page(
                "fmd_admin/profiler.html",
                connection,
                scope,
                endpoint.name,
                endpoint=endpoint,
                endpoint_tabs=endpoint_tabs(endpoint, "profiler.index"),
                result=result,
                shown=shown,
                graph=shown and shown.graph,
                plain=list(shown.graph.nodes(PLAIN_ROWS)) if shown else [],
                around=_around([row.request.id for row in result.rows], chosen),
                files=shown and self._files(shown),
                heads=measured.heads(COLUMNS, SORTS, asked),
                pager=measured.pager(result.page, result.pages),
                page_size=LIST_ROWS,
                open_url=numbered(_open_url),
                csv_url=panel_url("profiler.list_csv", endpoint_id=endpoint_id),
            )

    @expose("/endpoint/<int:endpoint_id>/profiler/data.csv")
    def list_csv(self, endpoint_id: int) -> Response:
        """Return every profiled request in the range."""
        with self.panel.store.read() as connection:
            endpoint = self.find_endpoint(connection, endpoint_id)
            scope = self.scope(connection, endpoint_id, strict=True)
        order = (SORTS["time"], profiler.KEY)
        found = export(self.panel.store, profiler.every(scope), order)
        rows = (profiler.row_of(row).values() for row in found)
        name = f"profiles-{endpoint.name}-{range_suffix(scope)}"
        return csv.stream(name, [column.label for column in COLUMNS], rows)

    @expose("/endpoint/<int:endpoint_id>/profiler/<int:profile_id>/data.json")
    def data_json(self, endpoint_id: int, profile_id: int) -> Response:
        """Return the tree as profiler.js draws it."""
        return graph_files.as_json(self._one(endpoint_id, profile_id).graph)

    @expose("/endpoint/<int:endpoint_id>/profiler/<int:profile_id>/data.csv")
    def data_csv(self, endpoint_id: int, profile_id: int) -> Response:
        """Return the tree as CSV."""
        found = self._one(endpoint_id, profile_id)
        return graph_files.as_csv(found.graph, _name(found))

    @expose("/endpoint/<int:endpoint_id>/profiler/<int:profile_id>/collapsed.txt")
    def collapsed(self, endpoint_id: int, profile_id: int) -> Response:
        """Return the tree as collapsed stacks."""
        found = self._one(endpoint_id, profile_id)
        return graph_files.as_collapsed(found.graph, _name(found))

    @expose("/endpoint/<int:endpoint_id>/profiler/<int:profile_id>/speedscope.json")
    def speedscope(self, endpoint_id: int, profile_id: int) -> Response:
        """Return the tree as a speedscope file."""
        found = self._one(endpoint_id, profile_id)
        return graph_files.as_speedscope(found.graph, _name(found), self.panel.version)

    def _one(self, endpoint_id: int, profile_id: int) -> ProfiledRequest:
        with self.panel.store.read() as connection:
            self.find_endpoint(connection, endpoint_id)
            return _find(connection, endpoint_id, profile_id)

    def _files(self, shown: ProfiledRequest) -> graph_files.Links:
        found = shown.row.request
        return graph_files.links(
            "profiler", keep_range=False, endpoint_id=found.endpoint_id, profile_id=found.id
        )


def _open_url(profile_id: int) -> str:
    return measured.here(profile=str(profile_id))


def _asked_profile() -> int | None:
    text = request.args.get("profile")
    if text is None:
        return None
    try:
        return parse_id(text)
    except ValueError:
        abort(404, "A profile is asked for by its number.")


def _find(connection: Connection, endpoint_id: int, profile_id: int) -> ProfiledRequest:
    found = profiler.profile(connection, endpoint_id, profile_id)
    if found is None:
        abort(404, "This endpoint has no such profile (any more).")
    return found


def _around(ids: list[int], chosen: int | None) -> tuple[int | None, int | None]:
    """Return the ids before and after the chosen one in the list."""
    if chosen not in ids:
        return None, None
    index = ids.index(chosen)
    before = ids[index - 1] if index else None
    return before, ids[index + 1] if index + 1 < len(ids) else None


def _name(found: ProfiledRequest) -> str:
    request_info = found.row.request
    return f"profile-{request_info.endpoint}-{request_info.id}"
