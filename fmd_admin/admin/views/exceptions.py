"""The page Exceptions, of all endpoints or of one, and the page of one group."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from flask import Response, abort, flash, redirect, request, url_for
from flask_admin import expose
from flask_login import current_user
from sqlalchemy import Connection
from werkzeug.wrappers import Response as BaseResponse

from ...errors import ScopeError
from ...read import exception_page, exceptions
from ...read.callgraph import Line
from ...read.exception_page import OCCURRENCE_COLUMNS, Occurrence, Shown, Trend
from ...read.exceptions import COLUMNS, OPEN, SORTS, STATES, GroupInfo, GroupList, Wanted
from ...read.measured import Asked
from ...read.scope import Scope
from ...read.timeline import markers
from ...store import exceptions as store
from ...store.calendar import Calendar
from ...store.exception_detail import StoredFrame, StoredLink
from ...store.exception_models import ExceptionRow
from .. import charts, csv, format
from ..links import here, ids_of, onward, panel_url
from ..menu import show_as
from . import measured
from .data_rows import export
from .pages import (
    MAX_ID,
    Chart,
    Page,
    deploys,
    endpoint_tabs,
    is_admin,
    range_suffix,
    scope_words,
)

CATEGORY = "Problems"
_STATE_LABELS = {
    "open": "Open",
    "returned": "Came back",
    "resolved": "Resolved",
    "all": "All",
}
#: How a chain is told, from the exception that was raised last.
_LINKS = {
    "": "",
    "cause": "It was caused by",
    "context": "It happened while this was handled:",
}
#: Lines of source shown around the one that counts.
_AROUND = 5


@dataclass(frozen=True, slots=True)
class SourceLine:
    """A line of a function's text; ``here`` is the one that the exception passed."""

    number: int
    text: str
    here: bool


@dataclass(frozen=True, slots=True)
class FrameView:
    """A frame with the lines around it."""

    frame: StoredFrame
    lines: list[SourceLine]

    @property
    def text(self) -> str:
        """The line itself."""
        return next((line.text.strip() for line in self.lines if line.here), "")


@dataclass(frozen=True, slots=True)
class Run:
    """Frames that follow each other; ``library`` is empty for the host's own."""

    library: str
    frames: list[FrameView]


@dataclass(frozen=True, slots=True)
class LinkView:
    """One exception of a chain, its frames in runs, innermost first."""

    link: StoredLink
    intro: str
    runs: list[Run]


class ExceptionsPage(Page):
    """What went wrong in the app, grouped by type and place."""

    def __init__(self) -> None:
        super().__init__("Exceptions", "exceptions", CATEGORY)

    @expose("/exceptions")
    @expose("/endpoint/<int:endpoint_id>/exceptions")
    def index(self, endpoint_id: int | None = None) -> str:
        """Show the list of groups."""
        asked, wanted = self._asked(self.panel.config.values.page_size)
        with self.panel.store.read() as connection:
            endpoint = None
            if endpoint_id is not None:
                endpoint = self.find_endpoint(connection, endpoint_id)
            scope = self.scope(connection, endpoint_id)
            result = exceptions.groups(connection, scope, asked, wanted)
            hidden = {"state"} if endpoint is None else {"state", "endpoints"}
            columns = [column for column in COLUMNS if column.key not in hidden]
            kept = [pair for pair in request.args.items(multi=True) if pair[0] not in _FILTERS]
            return self.page(
                "fmd_admin/exceptions.html",
                connection,
                scope,
                self.name if endpoint is None else endpoint.name,
                endpoint=endpoint,
                endpoint_tabs=endpoint_tabs(endpoint, "exceptions.index"),
                result=result,
                wanted=wanted,
                states=[
                    (name, _STATE_LABELS[name], measured.here(state=name, page=None))
                    for name in STATES
                ],
                state_labels=_STATE_LABELS,
                kept=kept,
                clear_url=measured.here(q=None, state=None, page=None),
                heads=measured.heads(columns, SORTS, asked),
                pager=measured.pager(result.page, result.pages),
                page_size=asked.page_size,
                group_url=lambda group: panel_url("exceptions.group", group_id=group.id),
                csv_url=panel_url(
                    "exceptions.data_csv",
                    endpoint_id=endpoint_id,
                    state=wanted.state,
                    q=wanted.search or None,
                ),
            )

    @expose("/exceptions/data.json")
    @expose("/endpoint/<int:endpoint_id>/exceptions/data.json")
    def data_json(self, endpoint_id: int | None = None) -> dict[str, Any]:
        """Return the groups of the page."""
        scope, result = self._download(endpoint_id, self.panel.config.values.page_size)
        rows = []
        for row in result.rows:
            values = dict(zip((c.key for c in COLUMNS), row.values(), strict=True))
            values["first"], values["last"] = row.first.isoformat(), row.last.isoformat()
            rows.append({"id": row.group.id, **values})
        return {
            "range": {"label": scope.label, "timezone": str(scope.zone)},
            "rows": rows,
            "total": result.total,
            "hits": result.hits,
            "page": result.page,
            "pages": result.pages,
        }

    @expose("/exceptions/data.csv")
    @expose("/endpoint/<int:endpoint_id>/exceptions/data.csv")
    def data_csv(self, endpoint_id: int | None = None) -> Response:
        """Return every group that matches."""
        scope, result = self._download(endpoint_id, None)
        return csv.from_table(result.table(), range_suffix(scope))

    @expose("/exceptions/<int:group_id>")
    def group(self, group_id: int) -> str:
        """Show one group, with its newest exception or the one that is asked for."""
        with self.panel.store.read() as connection:
            group = self._find(connection, group_id)
            scope = self.scope(connection)
            asked = request.args.get("occurrence", type=ids_of(ExceptionRow))
            found = exception_page.group_page(connection, scope, group, asked)
            if asked and found.shown is None:
                flash("This exception is not stored any more. The newest one is shown.", "error")
                found = exception_page.group_page(connection, scope, group, None)
            return self.page(
                "fmd_admin/exception.html",
                connection,
                scope,
                group.type,
                group=group,
                found=found,
                state_label=_STATE_LABELS[group.state],
                chart=self._chart(scope, group, found.trend) if found.hits else None,
                links=[] if found.shown is None else chain_of(found.shown),
                endpoint_url=lambda part: panel_url("exceptions.index", endpoint_id=part.id),
                occurrence_url=lambda row: measured.here(occurrence=str(row.id)),
                occurrences_csv_url=panel_url("exceptions.occurrences_csv", group_id=group.id),
                list_url=panel_url("exceptions.index"),
                here=here(),
                drawings=("drawings",),
                chart_scripts=charts.scripts(
                    self.panel.config.values, ("chart.js", "chartjs-plugin-annotation")
                ),
            )

    @expose("/exceptions/<int:group_id>/data.json")
    def group_json(self, group_id: int) -> dict[str, Any]:
        """Return what the chart of a group draws."""
        with self.panel.store.read() as connection:
            self._find(connection, group_id)
            scope = self.scope(connection, strict=True)
            found = exception_page.trend(connection, scope, group_id)
            calendar = Calendar(scope.zone)
            starts = [calendar.date_start(day) for day in scope.days]
            end_ms = calendar.next_day(scope.end_ms - 1)
            return {
                "range": {"label": scope.label, "timezone": str(scope.zone)},
                "days": found.days,
                "series": [
                    {"name": s.name, "other": s.version_id is None, "hits": s.hits}
                    for s in found.series
                ],
                "deploys": deploys(markers(connection, scope), starts, end_ms),
                "total": found.total,
                "noun": "exceptions",
            }

    @expose("/exceptions/<int:group_id>/data.csv")
    def group_csv(self, group_id: int) -> Response:
        """Return the counts of a group by day and version."""
        with self.panel.store.read() as connection:
            self._find(connection, group_id)
            scope = self.scope(connection, strict=True)
            found = exception_page.trend(connection, scope, group_id)
        return csv.from_table(found.table(), range_suffix(scope))

    @expose("/exceptions/<int:group_id>/occurrences/data.csv")
    def occurrences_csv(self, group_id: int) -> Response:
        """Return every stored exception of a group, the newest first."""
        with self.panel.store.read() as connection:
            self._find(connection, group_id)
        order = (ExceptionRow.time, ExceptionRow.id)
        found = export(self.panel.store, exception_page.every(group_id), order)
        rows = (exception_page.occurrence_values(Occurrence(*row)) for row in found)
        header = [column.label for column in OCCURRENCE_COLUMNS]
        return csv.stream(f"exceptions-{group_id}", header, rows)

    @expose("/exceptions/<int:group_id>/resolve", methods=("POST",))
    def resolve(self, group_id: int) -> BaseResponse:
        """Mark a group as resolved, or take that back (``resolved`` is "no")."""
        if not is_admin():
            abort(403)
        back = request.form.get("resolved") == "no"
        now_ms, by = time.time_ns() // 1_000_000, current_user.username

        def mark(connection: Connection) -> None:
            self._find(connection, group_id)
            if back:
                store.reopen(connection, [group_id])
            else:
                store.resolve(connection, [group_id], now_ms, by)

        self.panel.store.transact(mark)
        text = (
            "It is open again."
            if back
            else "Marked as resolved. It comes back when it happens in a version that is new then."
        )
        flash(text, "ok")
        return self._back(group_id)

    @expose("/exceptions/<int:group_id>/delete", methods=("GET", "POST"))
    def delete(self, group_id: int) -> BaseResponse | str:
        """Ask whether a group shall go; delete it once that is confirmed."""
        if not is_admin():
            abort(403)
        if request.method == "POST":

            def delete(connection: Connection) -> None:
                self._find(connection, group_id)
                store.delete_groups(connection, [group_id])

            self.panel.store.transact(delete)
            flash("The exceptions were deleted.", "ok")
            return redirect(url_for("exceptions.index"), 303)
        with self.panel.store.read() as connection:
            group = self._find(connection, group_id)
        page: str = self.render(
            "fmd_admin/confirm.html",
            page_title="Delete these exceptions?",
            note="Their counts and all that is stored of them go, for good. Should it happen "
            "again, it is a new one.",
            ids=[],
            names=[f"{group.type} in {group.place}"],
            hidden=0,
            action=url_for("exceptions.delete", group_id=group_id),
            back=url_for("exceptions.group", group_id=group_id),
            back_path="",
            button="Delete them",
        )
        return page

    def _back(self, group_id: int) -> BaseResponse:
        default = url_for("exceptions.group", group_id=group_id)
        return redirect(onward(request.form.get("back"), default), 303)

    def _find(self, connection: Connection, group_id: int) -> GroupInfo:
        found = exception_page.group_info(connection, group_id) if group_id <= MAX_ID else None
        if found is None:
            abort(404, "There are no such exceptions (any more).")
        show_as("exceptions")
        return found

    def _asked(self, page_size: int | None, *, strict: bool = False) -> tuple[Asked, Wanted]:
        sort = request.args.get("sort", "last")
        asked = Asked(
            sort=sort if sort in SORTS else "last",
            descending=request.args.get("desc", "1") != "0",
            page=max(request.args.get("page", 1, type=int), 1),
            page_size=page_size,
        )
        state = request.args.get("state", OPEN)
        if state not in STATES:
            if strict:
                abort(400, f"State {state[:40]!r} is not known. Use one of {', '.join(STATES)}.")
            state = OPEN
        return asked, Wanted(state, request.args.get("q", "").replace("\0", "").strip()[:200])

    def _download(self, endpoint_id: int | None, page_size: int | None) -> tuple[Scope, GroupList]:
        asked, wanted = self._asked(page_size, strict=True)
        with self.panel.store.read() as connection:
            if endpoint_id is not None:
                self.find_endpoint(connection, endpoint_id)
            scope = self.scope(connection, endpoint_id, strict=True)
            try:
                return scope, exceptions.groups(connection, scope, asked, wanted)
            except ScopeError as error:
                abort(400, str(error))

    def _chart(self, scope: Scope, group: GroupInfo, trend: Trend) -> Chart:
        words = scope_words(scope)
        return Chart(
            kind="stacked",
            label=f"Bars of exceptions a day by version, {scope.label}: "
            f"{format.count(trend.total)} in all.",
            data_url=panel_url("exceptions.group_json", group_id=group.id, **words),
            csv_url=panel_url("exceptions.group_csv", group_id=group.id, **words),
            table=trend.table(),
        )


_FILTERS = frozenset({"q", "state", "page"})


def chain_of(shown: Shown) -> list[LinkView]:
    """Return the exceptions of a chain with the source around each frame."""
    return [
        LinkView(link, _LINKS.get(link.link, ""), _runs(link, shown.sources))
        for link in shown.detail.links
    ]


def _runs(link: StoredLink, sources: dict[int, str]) -> list[Run]:
    def owner(view: FrameView) -> str:
        frame = view.frame
        return "" if frame.own else Line(frame.file, 0, "", "", False).library

    views = [FrameView(frame, _lines(frame, sources)) for frame in reversed(link.frames)]
    return [Run(name, list(found)) for name, found in groupby(views, owner)]


def _lines(frame: StoredFrame, sources: dict[int, str]) -> list[SourceLine]:
    text = sources.get(frame.source_id, "")
    if not text:
        return []
    lines = text.split("\n")
    at = frame.line - frame.first_line
    first = max(at - _AROUND, 0)
    return [
        SourceLine(frame.first_line + first + index, line, first + index == at)
        for index, line in enumerate(lines[first : at + _AROUND + 1])
    ]
