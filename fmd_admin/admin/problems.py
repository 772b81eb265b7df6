"""Error pages: what went wrong in plain words, and what to do next."""

from __future__ import annotations

import sqlite3
import sys
from dataclasses import dataclass

from flask import Flask, Response, current_app, make_response, url_for
from flask_wtf.csrf import CSRFError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnectionLeft
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.wrappers import Response as BaseResponse

from ..errors import SchemaError
from .access import EntryRefused, plain_answer, wants_page
from .context import current_panel


@dataclass(frozen=True, slots=True)
class Problem:
    """What an error page says. ``mend`` is the reader's next step."""

    title: str
    mend: str
    #: Where its button leads, and what it says.
    start: str = "admin.index"
    start_name: str = "Overview"


PROBLEMS = {
    400: Problem("This request is not understood", "Go back, check what you entered, try again."),
    403: Problem(
        "You may not do this",
        "Your role is viewer: you can look at everything, and change your own password. "
        "Ask an admin for the change, or for the role.",
    ),
    404: Problem("There is no such page", "Check the address, or start from the overview."),
    405: Problem("This page does not take this kind of request", "Start from the overview."),
    413: Problem("This is too much at once", "Send less."),
    414: Problem("This address is too long", "Start from the overview."),
    500: Problem(
        "The panel failed",
        "Your app is not affected. The log of the app's process says why, under the name "
        "fmd_admin.",
    ),
    503: Problem(
        "The database does not answer",
        "The panel tries again with each page. The log of its process says why, under the name "
        "fmd_admin.",
    ),
}
REFUSED = Problem(
    "You may not enter here",
    "Ask an admin of the application, or log in with an account of this panel.",
    "login.index",
    "Log in",
)
CSRF = Problem(
    "This form has expired",
    "Nothing was changed. Go back, reload the page and send the form again. If that does not "
    "help: allow cookies for this site; and behind a proxy, let it pass the Host header and the "
    "scheme on (ProxyFix).",
)


#: When a page that found no database may be asked for again.
RETRY_AFTER_S = 5

SCHEMA = Problem(
    "The tables are of another version",
    "Your app is not affected. What is measured meanwhile waits on the disk of its machine, and is "
    "stored once the versions agree.",
)


def init_problems(app: Flask) -> None:
    """Show every error in the panel's look."""
    app.register_error_handler(CSRFError, _csrf)
    app.register_error_handler(SchemaError, _schema)
    app.register_error_handler(NoConnectionLeft, _busy)
    app.register_error_handler(HTTPException, _http)


def _csrf(error: CSRFError) -> BaseResponse:
    return _answer(400, CSRF, str(error.description))


def _schema(error: SchemaError) -> BaseResponse:
    return _answer(503, SCHEMA, str(error))


def _busy(_error: NoConnectionLeft) -> BaseResponse:
    """All connections are in use, and that for half a minute: the database hangs."""
    current_app.log_exception(sys.exc_info())
    return _answer(503, PROBLEMS[503], None)


def _http(error: HTTPException) -> BaseResponse:
    if error.response is not None:
        return make_response(error.response)
    code = error.code or 500
    if is_away(getattr(error, "original_exception", None)):
        # Flask has logged it.
        code = 503
    problem = PROBLEMS.get(code)
    if isinstance(error, EntryRefused):
        problem = REFUSED
    if problem is None:
        problem = Problem(error.name, "Start from the overview.")
    default = getattr(type(error), "description", None)
    # A text that a view gave says more than werkzeug's own.
    told = error.description if error.description != default and code < 500 else None
    response = _answer(code, problem, told)
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        response.headers["Allow"] = ", ".join(sorted(error.valid_methods))
    return response


def is_away(error: BaseException | None) -> bool:
    """Whether the database could not be reached, was lost, or did not give its lock in time."""
    if not isinstance(error, DBAPIError):
        return False
    # Without a statement there was no connection to send one by.
    return error.statement is None or error.connection_invalidated or _is_locked(error.orig)


def _is_locked(error: BaseException | None) -> bool:
    return isinstance(error, sqlite3.OperationalError) and "locked" in str(error)


def _answer(code: int, problem: Problem, told: str | None) -> BaseResponse:
    response = _shown(code, problem, told)
    if problem is PROBLEMS[503]:
        response.headers["Retry-After"] = str(RETRY_AFTER_S)
    return response


def _shown(code: int, problem: Problem, told: str | None) -> BaseResponse:
    if not wants_page():
        parts = (f"{problem.title}.", told, problem.mend)
        return plain_answer(code, " ".join(part for part in parts if part))
    # Without the usual context: it would look the user up, and the store may be what failed.
    template = current_app.jinja_env.get_template("fmd_admin/error.html")
    page = template.render(
        brand_name=current_panel().config.values.brand_name,
        page_title=problem.title,
        code=code,
        told=told,
        mend=problem.mend,
        start=url_for(problem.start),
        start_name=problem.start_name,
    )
    return Response(page, code)
