"""The filters of the lists under Data: fields of a plain GET form, each a condition in SQL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, literal_column, or_, select

from ...errors import ScopeError
from ...read.search import holds
from ...store.aggregate import FIRST_ERROR
from ...store.job_models import CustomGraph, CustomGraphValue
from ...store.models import Client, Endpoint, Group, Request, db
from ...store.types import METHOD_CODES, METHODS
from .data_rows import Wanted

LONGEST = 255
LEVELS = ("0", "1", "2", "3")


@dataclass(frozen=True, slots=True)
class Filter:
    """One field of the form.

    ``condition`` turns the field's text into SQL and raises ValueError for what it does not
    understand; ``allowed`` then says what it does. ``options`` makes it a choice. ``by_index``
    gives what follows from it and is answered by an index, None if nothing is.
    """

    key: str
    label: str
    condition: Callable[[str], ColumnElement[bool]]
    allowed: str = ""
    placeholder: str = ""
    kind: str = "text"
    options: Callable[[Connection], Sequence[str]] | None = None
    by_index: Callable[[str], ColumnElement[bool] | None] = lambda _text: None


@dataclass(frozen=True, slots=True)
class Field:
    """A filter with what was asked for, as the template shows it."""

    key: str
    label: str
    value: str
    kind: str
    placeholder: str
    options: Sequence[str] | None


def conditions(filters: Sequence[Filter], asked: Any) -> Wanted:
    """Return the conditions of all filters that ``asked`` (``request.args``) fills in.

    Raises ScopeError, whose message names the field and what is allowed.
    """
    found = []
    indexed = []
    for item in filters:
        text = asked_text(asked, item.key)
        if not text:
            continue
        try:
            found.append(item.condition(text))
        except ValueError:
            raise ScopeError(f"{item.label} is {text[:40]!r}. Allowed: {item.allowed}.") from None
        answered = item.by_index(text)
        if answered is not None:
            indexed.append(answered)
    return Wanted(indexed, found)


def asked_text(asked: Any, key: str) -> str:
    """Return what is asked for under ``key``; PostgreSQL refuses NUL in text."""
    return str(asked.get(key, "")).strip()[:LONGEST].replace("\0", "")


def fields(filters: Sequence[Filter], connection: Connection, asked: Any) -> list[Field]:
    """Return the form's fields with their values and choices."""
    shown = []
    for item in filters:
        value = asked_text(asked, item.key)
        options = None
        if item.options is not None:
            options = list(item.options(connection))
            if value and value not in options:
                options.insert(0, value)
        shown.append(Field(item.key, item.label, value, item.kind, item.placeholder, options))
    return shown


def contains(column: Any, text: str) -> ColumnElement[bool]:
    """Return the condition that ``column`` holds ``text``, in any case."""
    return holds(column, text, db.engine.dialect.name)


Condition = Callable[[str], ColumnElement[bool]]


def _named(column: Any, table: Any) -> Condition:
    """Return the condition that the row of ``table`` behind ``column`` has this name."""
    return lambda text: column.in_(select(table.id).where(table.name == text))


def _status(column: Any) -> Condition:
    """Understand ``404``, ``4xx`` and lists of them, such as ``404, 5xx``."""

    def condition(text: str) -> ColumnElement[bool]:
        found = or_(*(column.between(low, high) for low, high in _statuses(text)))
        # Says nothing new, but it is the condition of the index of errors, word for word.
        return and_(_is_error(column), found) if _are_errors(text) else found

    return condition


def _statuses(text: str) -> list[tuple[int, int]]:
    """Return the lowest and highest status of each part of a list such as ``404, 5xx``."""
    found = []
    for part in text.lower().replace(",", " ").split():
        if len(part) == 3 and part.endswith("xx") and part[0] in "12345":
            low = int(part[0]) * 100
            found.append((low, low + 99))
        else:
            status = int(part)
            if not 100 <= status <= 999:
                raise ValueError(part)
            found.append((status, status))
    if not found:
        raise ValueError(text)
    return found


def _are_errors(text: str) -> bool:
    return all(low >= FIRST_ERROR for low, _ in _statuses(text))


def _is_error(column: Any) -> ColumnElement[bool]:
    condition: ColumnElement[bool] = column >= literal_column(str(FIRST_ERROR))
    return condition


def _by_index_of_errors(model: Any) -> Callable[[str], ColumnElement[bool] | None]:
    """Return what finds the errors among the rows of ``model`` if it has an index of them."""

    def by_index(text: str) -> ColumnElement[bool] | None:
        has_index = model is Request and db.engine.dialect.name in {"sqlite", "postgresql"}
        return _is_error(model.status) if has_index and _are_errors(text) else None

    return by_index


def _method(column: Any) -> Condition:
    def condition(text: str) -> ColumnElement[bool]:
        if text not in METHOD_CODES:
            raise ValueError(text)
        found: ColumnElement[bool] = column == text
        return found

    return condition


def _slower(column: Any) -> Condition:
    def condition(text: str) -> ColumnElement[bool]:
        duration_ms = float(text)
        if not 0 <= duration_ms < 1e12:
            raise ValueError(text)
        found: ColumnElement[bool] = column >= duration_ms
        return found

    return condition


def _endpoint_names(connection: Connection) -> Sequence[str]:
    return connection.scalars(select(Endpoint.name).order_by(Endpoint.name)).all()


def _methods(_connection: Connection) -> Sequence[str]:
    return METHODS[1:] + METHODS[:1]


def _levels(_connection: Connection) -> Sequence[str]:
    return LEVELS


def _level(text: str) -> ColumnElement[bool]:
    if text not in LEVELS:
        raise ValueError(text)
    condition: ColumnElement[bool] = Endpoint.level == int(text)
    return condition


def request_filters(model: Any) -> tuple[Filter, ...]:
    """Return the filters of a table of requests: Request, Profile or Outlier."""
    return (
        Filter(
            "endpoint", "Endpoint", _named(model.endpoint_id, Endpoint), options=_endpoint_names
        ),
        Filter("group", "Group", _named(model.group_id, Group), placeholder="exact"),
        Filter("ip", "Client", _named(model.client_id, Client), placeholder="exact"),
        Filter(
            "status",
            "Status",
            _status(model.status),
            allowed="a status such as 404, a class such as 5xx, or several of them",
            placeholder="404, 5xx",
            by_index=_by_index_of_errors(model),
        ),
        Filter(
            "method",
            "Method",
            _method(model.method),
            allowed=", ".join(METHODS),
            options=_methods,
        ),
        Filter(
            "min_ms",
            "At least ms",
            _slower(model.duration_ms),
            allowed="a duration in ms, such as 250",
            placeholder="250",
            kind="number",
        ),
    )


ENDPOINT_FILTERS = (
    Filter("level", "Level", _level, allowed="a level from 0 to 3", options=_levels),
)


def _graph_title(text: str) -> ColumnElement[bool]:
    named = select(CustomGraph.id).where(CustomGraph.title == text)
    return CustomGraphValue.graph_id.in_(named)


def _graph_titles(connection: Connection) -> Sequence[str]:
    return connection.scalars(select(CustomGraph.title).order_by(CustomGraph.title)).all()


GRAPH_FILTERS = (Filter("graph", "Graph", _graph_title, options=_graph_titles),)


def search_requests(model: Any, text: str) -> ColumnElement[bool]:
    """Return the condition that the endpoint's, group's or client's name holds ``text``."""
    return or_(
        *(
            column.in_(select(table.id).where(contains(table.name, text)))
            for column, table in (
                (model.endpoint_id, Endpoint),
                (model.group_id, Group),
                (model.client_id, Client),
            )
        )
    )
