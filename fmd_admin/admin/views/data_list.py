"""Base of the pages under Data: Flask-Admin's model views with a look and limits of our own."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import urlencode

from flask import Response, abort, flash, redirect, request, url_for
from flask_admin import expose
from flask_admin.contrib.sqla import ModelView
from sqlalchemy import ColumnElement, Connection, Select, false, select
from werkzeug.wrappers import Response as BaseResponse

from ...errors import ScopeError
from ...read.scope import Scope
from ...store.emptying import Emptying
from ...store.models import db
from ...store.types import to_millis
from .. import csv, format
from ..links import here, ids_of, numbered, onward
from .data_filters import Filter, asked_text, conditions, contains, fields
from .data_rows import COUNTED, Column, Elsewhere, Found, Order, Wanted, export, find_page
from .pages import Page, is_admin

DELETE_AT_ONCE = 500
#: How long one request deletes what hangs on rows; servers end those that take half a minute.
EMPTYING_S = 8.0
#: Kinds of columns that hold numbers.
NUMBERS = frozenset({"ms", "count"})
#: Methods of the view that answer, and where. All others of Flask-Admin's model view stay out.
ROUTES = {
    "index_view": "",
    "details_view": "/details",
    "delete_rows": "/delete",
    "data_csv": "/data.csv",
}
_KEPT_BY_FILTERS = frozenset({"range", "from", "to", "version", "sort", "desc"})


@dataclass(frozen=True, slots=True)
class Asked:
    """What the query string asks of a list, apart from the filters."""

    search: str
    sort: str
    descending: bool
    page: int


class DataView(Page, ModelView):
    """A list of stored rows: filters as a plain form, details, export, and deletion for admins.

    Rows are read through the session and deleted through ``store.write``; nothing is edited.
    """

    can_create = False
    can_edit = False
    can_view_details = True
    list_template = "fmd_admin/data_list.html"
    details_template = "fmd_admin/data_details.html"

    #: One sentence above the list.
    explanation = ""
    columns: Sequence[Column] = ()
    filters: Sequence[Filter] = ()
    #: The columns by which the newest row is the highest; the last one is the key.
    own_order: Sequence[Any] = ()
    #: What :meth:`row_url` needs besides the key.
    named_by: Sequence[Any] = ()
    #: The column that follows ``own_order``, if one does.
    own_order_key: str | None = None
    first_sort = ("", False)
    noun = ("row", "rows")
    #: What a confirmation says about the consequences.
    delete_note = ""
    #: From :mod:`fmd_admin.store.live`.
    delete: Callable[..., int]
    #: The column of rows that hang on these, where there may be millions: they go first.
    emptied_by = ""

    def __init__(self, model: Any, name: str, endpoint: str) -> None:
        self.column_list = [column.key for column in self.columns]
        self.column_labels = {column.key: column.label for column in self.columns}
        # Not Page's: the address is the view's own, and the model comes first.
        url = f"/data/{name.lower().replace(' ', '-')}"
        ModelView.__init__(self, model, db, name, "Data", endpoint=endpoint, url=url)
        self._default_view = "index_view"
        self._urls = [
            (ROUTES[method], method, verbs)
            for _, method, verbs in _exposed(type(self))
            if method in ROUTES
        ]

    # What Flask-Admin asks of a model view

    def scaffold_form(self) -> Any:
        # Nothing is edited here, and our column types are not among those it knows.
        return self.form_base_class

    def get_sortable_columns(self) -> dict[str, Any]:
        return {column.key: column.sql for column in self.columns}

    # What the lists differ in

    def statement(self, *more: Any) -> Select[Any]:
        """Return the select of ``more``, and of the columns behind it."""
        return select(*more, *(column.sql for column in self.columns))

    def elsewhere(self, column: Any) -> Elsewhere | None:  # noqa: ARG002
        """Return the other table that ``column`` is in, or None."""
        return None

    def search_condition(self, text: str) -> ColumnElement[bool]:
        """Return the condition of a search."""
        return contains(self.model.name, text)

    def look(self, connection: Connection, *, strict: bool) -> Any:  # noqa: ARG002
        """Return the range and versions of the page, None where the list has none."""
        return None

    def look_conditions(self, looked: Any) -> Wanted:  # noqa: ARG002
        """Return the conditions of what :meth:`look` gave."""
        return Wanted()

    def look_further(self, looked: Any, since: Any) -> dict[str, str] | None:  # noqa: ARG002
        """Return the words of the range before ``since``, None where there is none."""
        return None

    def look_values(self, connection: Connection, looked: Any) -> dict[str, Any]:  # noqa: ARG002
        """Return what the template needs for what :meth:`look` gave."""
        return {"bar": None}

    def row_url(self, *ids: int) -> str:
        """Return the address of the page that shows a row, by its key and its ``named_by``."""
        return url_for(f"{self.endpoint}.details_view", id=ids[0], back=here())

    def row_name(self, row: Any) -> str:
        """Return what a confirmation calls a row."""
        return str(row)

    # The pages

    @expose("/")
    def index_view(self) -> str:
        """Show a page of the list."""
        asked = self._asked()
        with self.panel.store.read() as connection:
            looked = self.look(connection, strict=False)
            values = self.look_values(connection, looked)
            form = fields(self.filters, connection, request.args)
        try:
            wanted = self._wanted(looked, asked)
        except ScopeError as error:
            flash(str(error), "error")
            wanted = Wanted([false()])
        found = self._find(wanted, asked)
        further = None if found.since is None else self.look_further(looked, found.since)
        page: str = self.render(
            self.list_template,
            page_title=self.name,
            explanation=self.explanation,
            noun=self.noun,
            asked=asked,
            found=found,
            counted=COUNTED,
            size=self.panel.config.values.page_size,
            fields=form,
            heads=self._heads(asked),
            rows=self._rows(found.rows),
            links=self._links(found),
            since=self._time(found.since) if isinstance(found.since, datetime) else None,
            further=None if further is None else self._here("index_view", page=None, **further),
            keep=[p for p in request.args.items(multi=True) if p[0] in _KEPT_BY_FILTERS],
            filtered=bool(asked.search or any(field.value for field in form)),
            capped=found.more and asked.sort != self.own_order_key,
            back=here(),
            is_admin=is_admin(),
            fmt=format,
            **values,
        )
        return page

    @expose("/details")
    def details_view(self) -> str:
        """Show one row."""
        row_id = request.args.get("id", type=ids_of(self.model))
        row = None if row_id is None else db.session.get(self.model, row_id)
        if row is None:
            abort(404, f"This {self.noun[0]} does not exist (any more).")
        page: str = self.render(
            self.details_template,
            page_title=f"{self.noun[0].capitalize()} {row_id}",
            facts=[
                (column.label, self._text(column.kind)(column.get(row))) for column in self.columns
            ],
            id=row_id,
            back=onward(request.args.get("back"), self.get_url(".index_view")),
            back_path=request.args.get("back", ""),
            is_admin=is_admin(),
        )
        return page

    @expose("/data.csv")
    def data_csv(self) -> Response:
        """Return every row that matches, of all pages, newest first."""
        with self.panel.store.read() as connection:
            looked = self.look(connection, strict=True)
        try:
            wanted = self._wanted(looked, self._asked())
        except ScopeError as error:
            abort(400, str(error))
        statement = self.statement().where(*wanted.all(self.own_order))
        rows = export(self.panel.store, statement, self.own_order)
        return csv.stream(self.name.lower(), [column.label for column in self.columns], rows)

    @expose("/delete", methods=("GET", "POST"))
    def delete_rows(self) -> BaseResponse | str:
        """Ask whether the rows ``ids`` shall go, and delete them once that is confirmed."""
        if not is_admin():
            abort(403)
        ids = list(dict.fromkeys(request.values.getlist("ids", type=ids_of(self.model))))
        back_path = request.values.get("back", "")
        back = onward(back_path, self.get_url(".index_view"))
        if not ids:
            flash(f"Select at least one {self.noun[0]} first.", "error")
            return redirect(back, 303)
        if len(ids) > DELETE_AT_ONCE:
            abort(400, f"At most {DELETE_AT_ONCE} rows are deleted at once. Select fewer.")
        if request.method == "POST" and request.form.get("confirmed") == "yes":
            work = Emptying(self.panel.store, self.emptied_by, ids) if self.emptied_by else None
            if work is not None and not work.work(EMPTYING_S):
                so_far = max(request.form.get("so_far", 0, type=int), 0) + work.deleted
                return self._confirm(ids, back, back_path, so_far)
            gone = self.panel.store.transact(partial(self._delete, ids, work))
            flash(f"{self._number(gone)} deleted.", "ok")
            return redirect(back, 303)
        return self._confirm(ids, back, back_path)

    # How it is done

    def _delete(self, ids: list[int], work: Emptying | None, connection: Connection) -> int:
        left = {} if work is None else {"above": work.above}
        return type(self).delete(connection, ids, **left)

    def _asked(self) -> Asked:
        sort, descending = request.args.get("sort", ""), request.args.get("desc", "0") != "0"
        if sort not in self.get_sortable_columns():
            sort, descending = self.first_sort
        return Asked(
            search=asked_text(request.args, "search"),
            sort=sort,
            descending=descending,
            page=request.args.get("page", 1, type=int),
        )

    def _wanted(self, looked: Any, asked: Asked) -> Wanted:
        inside, filtered = self.look_conditions(looked), conditions(self.filters, request.args)
        read = [*inside.read, *filtered.read]
        if asked.search:
            read.append(self.search_condition(asked.search))
        return Wanted([*inside.indexed, *filtered.indexed], read, inside.start)

    def _find(self, wanted: Wanted, asked: Asked) -> Found:
        own = asked.sort == self.own_order_key
        column = None if own else self.get_sortable_columns()[asked.sort]
        return find_page(
            self.statement(self.own_order[-1], *self.named_by),
            wanted,
            self.own_order,
            Order(column, asked.descending, None if own else self.elsewhere(column)),
            asked.page,
            self.panel.config.values.page_size,
        )

    def _rows(self, rows: Sequence[Any]) -> list[tuple[Any, str, str, list[tuple[bool, str]]]]:
        """Return of each row its id, its address, its first cell, and the others.

        A cell is whether it holds a number, and its text.
        """
        names = 1 + len(self.named_by)
        url = numbered(self.row_url, names)
        # Once for each column: a page has 400 cells and more.
        kinds = [(column.kind in NUMBERS, self._text(column.kind)) for column in self.columns]
        found = []
        for row in rows:
            cells = [
                (number, text(value) or format.NONE)
                for (number, text), value in zip(kinds, row[names:], strict=True)
            ]
            found.append((row[0], url(*row[:names]), cells[0][1], cells[1:]))
        return found

    def _text(self, kind: str) -> Callable[[Any], str]:
        """Return what makes text of the values of a column of ``kind``."""
        if kind == "time":
            zone = self.panel.store.timezone
            return lambda value: format.NONE if value is None else format.moment(value, zone)
        if kind == "ms":
            return "{:,.2f}".format
        return _plain

    def _time(self, moment: datetime) -> str:
        return format.moment(moment, self.panel.store.timezone)

    def _number(self, count: int) -> str:
        return f"{count:,} {self.noun[count != 1]}"

    def _confirm(self, ids: list[int], back: str, back_path: str, so_far: int | None = None) -> str:
        """Ask for the deletion of ``ids``, or with ``so_far`` say how much of it is done."""
        rows = db.session.scalars(select(self.model).where(self.model.id.in_(ids[:10]))).all()
        page: str = self.render(
            "fmd_admin/confirm.html",
            page_title=f"Delete {self._number(len(ids))}?"
            if so_far is None
            else f"Deleting {self._number(len(ids))}",
            note=self.delete_note,
            so_far=so_far,
            ids=ids,
            names=[self.row_name(row) for row in rows],
            hidden=len(ids) - len(rows),
            action=self.get_url(".delete_rows"),
            back=back,
            back_path=back_path,
            button=f"Delete {self._number(len(ids))}" if so_far is None else "Go on",
        )
        return page

    def _here(self, view: str, **changes: str | None) -> str:
        """Return the address of ``view`` with this query string, changed; None takes out."""
        pairs = [
            (key, value)
            for key, value in request.args.items(multi=True)
            if key not in changes and value
        ]
        pairs += [(key, value) for key, value in changes.items() if value is not None]
        address = url_for(f"{self.endpoint}.{view}")
        return f"{address}?{urlencode(pairs)}" if pairs else address

    def _heads(self, asked: Asked) -> list[dict[str, Any]]:
        heads = []
        for column in self.columns:
            chosen = asked.sort == column.key
            # A first click gives what one looks for: names from A, times and figures from above.
            descending = not asked.descending if chosen else column.kind != "text"
            direction = "descending" if asked.descending else "ascending"
            heads.append(
                {
                    "label": column.label,
                    "number": column.kind in NUMBERS,
                    "direction": direction if chosen else None,
                    "url": self._here(
                        "index_view", sort=column.key, desc=str(int(descending)), page=None
                    ),
                }
            )
        return heads

    def _links(self, found: Found) -> Mapping[str, str | None]:
        def page(number: int) -> str | None:
            if not 1 <= number <= found.pages or number == found.page:
                return None
            return self._here("index_view", page=str(number))

        return {
            "first": page(1),
            "previous": page(found.page - 1),
            "next": page(found.page + 1),
            "last": page(found.pages),
            "csv": self._here("data_csv", page=None, sort=None, desc=None),
            "clear": self.get_url(".index_view"),
        }


def _plain(value: Any) -> str:
    return format.NONE if value is None else str(value)


def further_back(scope: Scope, since: datetime) -> dict[str, str] | None:
    """Return the words of the range from the scope's beginning up to the minute of ``since``."""
    # To the end of that minute: what is in it may be shown twice, but is not left out.
    before = dataclasses.replace(scope, range_name="custom", end_ms=_minute_after(since))
    if before.end_ms <= scope.exact_start_ms or before.end_ms >= scope.exact_end_ms:
        return None
    words = dict(before.to_query())
    return {word: words[word] for word in ("range", "from", "to")}


def _minute_after(moment: datetime) -> int:
    return -(-to_millis(moment) // 60_000) * 60_000


def _exposed(view_class: Any) -> Sequence[tuple[str, str, Sequence[str]]]:
    """Return (address, method name, HTTP methods) of what Flask-Admin found exposed."""
    found: Sequence[tuple[str, str, Sequence[str]]] = view_class._urls
    return found
