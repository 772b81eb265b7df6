"""The page Overview, and the change of monitoring levels."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode

from flask import Response, abort, flash, jsonify, redirect, request, url_for
from flask_admin import expose
from sqlalchemy import Connection
from werkzeug.wrappers import Response as BaseResponse

from ...errors import ScopeError
from ...read.exceptions import counts as exception_counts
from ...read.health import health
from ...read.outliers import counts
from ...read.overview import Overview, overview
from ...read.scope import Scope
from ...records import UNMATCHED
from ...store.live import set_levels
from ...store.models import Endpoint
from .. import csv
from ..links import ids_of
from .pages import ENDPOINT_TABS, LEVELS, OVERVIEW, Page, is_admin, range_suffix

#: What is said of endpoints that are none of the app's.
NOTES = {UNMATCHED: "Requests that no rule of the app matched (404, 405; 308: a slash was missing)"}
#: More at once is not a click on this page.
MAX_IDS = 1000


@dataclass(frozen=True, slots=True)
class Header:
    """A column's head: a link that sorts by it. ``direction`` is None if it does not now."""

    label: str
    title: str
    url: str
    direction: str | None
    number: bool


@dataclass(frozen=True, slots=True)
class Asked:
    """What the query string asks of the list, apart from range and versions."""

    search: str
    blueprint: str
    sort: str
    descending: bool
    page: int


class OverviewPage(Page):
    """Every endpoint that was ever seen."""

    def __init__(self) -> None:
        super().__init__("Overview", OVERVIEW)

    @expose("/overview")
    def index(self) -> str:
        """Show the page."""
        asked = _asked()
        with self.panel.store.read() as connection:
            scope = self.scope(connection)
            size = self.panel.config.values.page_size
            try:
                result = self._read(connection, scope, asked, size)
            except ScopeError as error:
                flash(str(error), "error")
                asked = Asked(asked.search, asked.blueprint, "share", True, 1)
                result = self._read(connection, scope, asked, size)
            outliers = counts(connection, scope)
            exceptions = exception_counts(connection, scope)
            return self.page(
                "fmd_admin/overview.html",
                connection,
                scope,
                "Overview",
                compared=True,
                result=result,
                asked=asked,
                headers=_headers(scope, result),
                notes=NOTES,
                page_size=size,
                pages=_pager(result),
                links={
                    row.id: self.get_url(ENDPOINT_TABS[0].view, endpoint_id=row.id)
                    for row in result.rows
                },
                csv_url=_here("overview.data_csv", page=None),
                clear_url=_here("overview.index", q=None, blueprint=None, page=None),
                keep=_pairs(without={"q", "blueprint", "sort", "desc", "page"}),
                outliers=outliers,
                outliers_url=self.get_url("outliers.index"),
                outlier_links={
                    row.id: self.get_url("outliers.index", endpoint_id=row.id)
                    for row in result.rows
                    if row.id in outliers.stored
                },
                exceptions=exceptions,
                exceptions_url=self.get_url("exceptions.index"),
                exception_links={
                    row.id: self.get_url("exceptions.index", endpoint_id=row.id)
                    for row in result.rows
                    if row.id in exceptions.by_endpoint
                },
                rate=_rate(scope, result.summary.hits),
                health=health(connection, scope.now_ms),
            )

    @expose("/overview/data.json")
    def data_json(self) -> Response:
        """Return the rows of the page as JSON."""
        scope, result = self._download(self.panel.config.values.page_size)
        table = result.table()
        keys = [column.key for column in table.columns]
        # Times as ISO 8601, where Flask would write them as HTTP does.
        rows = [
            [value.isoformat() if isinstance(value, datetime) else value for value in row]
            for row in table.rows
        ]
        return jsonify(
            range={"label": scope.label, "timezone": str(scope.zone)},
            rows=[
                {"id": row.id, **dict(zip(keys, values, strict=True)), "spark": row.spark}
                for row, values in zip(result.rows, rows, strict=True)
            ],
            summary=result.summary,
            change=result.change,
            total=result.total,
            page=result.page,
            pages=result.pages,
        )

    @expose("/overview/data.csv")
    def data_csv(self) -> Response:
        """Return all rows that match, of every page."""
        scope, result = self._download(None)
        return csv.from_table(result.table(), range_suffix(scope))

    @expose("/overview/level", methods=("POST",))
    def level(self) -> BaseResponse | tuple[Response, int]:
        """Set the level of the endpoints ``ids``; answers with JSON if that is asked for."""
        if not is_admin():
            abort(403)
        ids = request.form.getlist("ids", type=ids_of(Endpoint))[:MAX_IDS]
        level = request.form.get("level", type=int)
        if level not in dict(LEVELS):
            return self._answer("Choose a level from 0 to 3.", level, 0, 400)
        if not ids:
            return self._answer("Select at least one endpoint first.", level, 0, 400)
        changed = self.panel.store.transact(lambda connection: set_levels(connection, ids, level))
        if not changed:
            return self._answer("This endpoint does not exist any more.", level, 0, 404)
        number = "1 endpoint" if changed == 1 else f"{changed} endpoints"
        return self._answer(f"{number} set to level {level}.", level, changed, 200)

    def _answer(
        self, message: str, level: int | None, changed: int, status: int
    ) -> BaseResponse | tuple[Response, int]:
        if request.accept_mimetypes.best == "application/json":
            return jsonify(message=message, level=level, changed=changed), status
        flash(message, "ok" if status == 200 else "error")
        # The form names a query string, never an address: nobody can send us elsewhere.
        query = urlencode(parse_qsl(request.form.get("back", "")[:2000]))
        endpoint_id = request.form.get("endpoint_id", type=ids_of(Endpoint))
        if endpoint_id is not None:
            target = url_for(ENDPOINT_TABS[0].view, endpoint_id=endpoint_id)
        else:
            target = url_for("overview.index")
        return redirect(f"{target}?{query}" if query else target, 303)

    def _read(
        self, connection: Connection, scope: Scope, asked: Asked, page_size: int | None
    ) -> Overview:
        return overview(
            connection,
            scope,
            search=asked.search,
            blueprint=asked.blueprint or None,
            sort=asked.sort,
            descending=asked.descending,
            page=asked.page,
            page_size=page_size,
        )

    def _download(self, page_size: int | None) -> tuple[Scope, Overview]:
        with self.panel.store.read() as connection:
            scope = self.scope(connection, strict=True)
            try:
                return scope, self._read(connection, scope, _asked(), page_size)
            except ScopeError as error:
                abort(400, str(error))


def _asked() -> Asked:
    args = request.args
    return Asked(
        search=args.get("q", "").strip()[:200],
        blueprint=args.get("blueprint", ""),
        sort=args.get("sort", "share"),
        descending=args.get("desc", "1") != "0",
        page=max(args.get("page", 1, type=int), 1),
    )


def _pairs(without: set[str]) -> list[tuple[str, str]]:
    return [pair for pair in request.args.items(multi=True) if pair[0] not in without]


def _here(view: str, **changes: str | None) -> str:
    """Return the address of ``view`` with this query string, changed; None takes a word out."""
    pairs = _pairs(without=set(changes))
    pairs += [(key, value) for key, value in changes.items() if value is not None]
    address = url_for(view)
    return f"{address}?{urlencode(pairs)}" if pairs else address


def _headers(scope: Scope, result: Overview) -> dict[str, Header]:
    """Return the heads of the columns that can be sorted by, by their key."""
    names = {"1h": "1 h", "24h": "24 h", "7d": "7 days", "30d": "30 days"}
    spoken = names.get(scope.range_name, "Range")
    labels = {
        "name": ("Endpoint", "Name of the endpoint"),
        "hits_today": ("Today", "Requests since midnight"),
        "hits_week": ("7 days", "Requests in the last 7 days"),
        "hits": (spoken, f"Requests, {scope.label}"),
        "error_share": ("Errors", "Share of answers with a status of 400 and above"),
        "p50_ms": ("p50", "Median: half of the requests are faster"),
        "p95_ms": ("p95", "95 % of the requests are faster"),
        "p99_ms": ("p99", "99 % of the requests are faster"),
        "change": ("Change", "How the median differs from that of the time before"),
        "share": ("Share", "Share of the time that all endpoints took together"),
        "last_requested": ("Last", "Time since the last request"),
        "level": ("Level", "Monitoring level"),
    }
    heads = {}
    for key, (label, title) in labels.items():
        chosen = result.sort == key
        # A first click gives what one looks for: names from A, figures from the highest.
        descending = not result.descending if chosen else key != "name"
        heads[key] = Header(
            label=label,
            title=title,
            url=_here("overview.index", sort=key, desc=str(int(descending)), page=None),
            direction=("descending" if result.descending else "ascending") if chosen else None,
            number=key not in {"name", "level"},
        )
    return heads


def _pager(result: Overview) -> dict[str, Any]:
    def link(page: int) -> str | None:
        if not 1 <= page <= result.pages or page == result.page:
            return None
        return _here("overview.index", page=str(page))

    return {
        "first": link(1),
        "previous": link(result.page - 1),
        "next": link(result.page + 1),
        "last": link(result.pages),
    }


def _rate(scope: Scope, hits: int) -> str:
    """Return requests a second, minute or hour over the part of the range that has passed."""
    if not hits:
        return "none in this range"
    seconds = max(min(scope.end_ms, scope.now_ms) - scope.start_ms, 1) / 1000
    units = ((1, "a second"), (60, "a minute"), (3600, "an hour"))
    size, unit = next((found for found in units if hits * found[0] >= seconds), units[-1])
    rate = hits / seconds * size
    return f"{rate:,.0f} {unit}" if rate >= 9.95 else f"{rate:.1f} {unit}"
