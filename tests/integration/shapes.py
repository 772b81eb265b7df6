"""A host app with every shape of response that Flask knows, and what each must be stored as."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flask import (
    Blueprint,
    Flask,
    Response,
    abort,
    redirect,
    request,
    send_file,
    stream_with_context,
)
from flask.views import MethodView, View

STREAM_S = 0.3
SLEEP_S = 0.05


class Handled(Exception):
    """An error that the app turns into an answer."""


class Teapot(View):
    def dispatch_request(self) -> tuple[str, int]:
        return "teapot", 418


class Item(MethodView):
    def get(self) -> str:
        return "item"

    def put(self) -> tuple[str, int]:
        return "", 204


def slow_chunks() -> Iterator[str]:
    for number in range(6):
        time.sleep(STREAM_S / 6)
        yield f"chunk {number}\n"


def make_app(folder: Path) -> Flask:
    """Build the app; nothing of fmd_admin is in it."""
    app = Flask("shapes", instance_path=str(folder))
    (folder / "file.txt").write_bytes(b"x" * 100_000)
    add_plain(app)
    add_errors(app, folder)
    add_blueprints(app)
    return app


def add_plain(app: Flask) -> None:
    app.add_url_rule("/plain", "plain", lambda: "plain")
    app.add_url_rule("/json", "json", lambda: {"a": 1})
    app.add_url_rule("/tuple-status", "tuple_status", lambda: ("made", 201))
    app.add_url_rule("/tuple-headers", "tuple_headers", lambda: ("ok", {"X-A": "b"}))
    app.add_url_rule("/tuple-both", "tuple_both", lambda: ("ok", 203, [("X-A", "b")]))
    app.add_url_rule("/text-status", "text_status", lambda: ("ok", "202 ACCEPTED"))
    app.add_url_rule("/own-status", "own_status", lambda: ("ok", "299 Own Words"))
    app.add_url_rule("/redirect", "to_plain", lambda: redirect("/plain"))
    app.add_url_rule("/slash/", "slash", lambda: "slash")
    app.add_url_rule("/teapot", view_func=Teapot.as_view("teapot"))
    app.add_url_rule("/item", view_func=Item.as_view("item"))
    app.add_url_rule("/stream", "stream", lambda: Response(slow_chunks()))

    @app.route("/stream-context")
    def stream_context() -> Response:
        def chunks() -> Iterator[str]:
            yield request.path
            yield from slow_chunks()

        return Response(stream_with_context(chunks()))

    @app.route("/sleep", methods=["GET", "POST"])
    def sleep() -> str:
        time.sleep(SLEEP_S)
        return "slept"

    @app.route("/async")
    async def asynchronous() -> str:
        await asyncio.sleep(SLEEP_S)
        return "async"


def add_errors(app: Flask, folder: Path) -> None:
    app.add_url_rule("/abort", "aborts", lambda: abort(409))
    app.add_url_rule("/missing", "missing", lambda: abort(404))
    app.add_url_rule("/file", "file", lambda: send_file(folder / "file.txt"))

    @app.route("/handled")
    def handled() -> str:
        raise Handled

    @app.route("/unhandled")
    def unhandled() -> str:
        raise RuntimeError("on purpose")

    @app.route("/breaks-late")
    def breaks_late() -> Response:
        def chunks() -> Iterator[str]:
            yield "first"
            raise RuntimeError("on purpose")

        return Response(chunks())

    @app.errorhandler(Handled)
    def handle(_error: Handled) -> tuple[str, int]:
        return "handled", 422

    @app.before_request
    def gate() -> tuple[str, int] | None:
        return ("stop", 403) if "gate" in request.args else None

    @app.after_request
    def change(response: Response) -> Response:
        if "after" in request.args:
            response.status_code = 503
        return response


def add_blueprints(app: Flask) -> None:
    inner = Blueprint("inner", __name__)
    inner.add_url_rule("/nested", "nested", lambda: "nested")
    outer = Blueprint("outer", __name__, url_prefix="/outer")
    outer.register_blueprint(inner, url_prefix="/inner")
    outer.add_url_rule("/view", "view", lambda: "view")
    app.register_blueprint(outer)


def add_late(app: Flask) -> None:
    """A route that is added after fmd_admin was bound."""
    app.add_url_rule("/late", "late", lambda: "late")


@dataclass
class Shape:
    """One request, and the endpoint and least duration that must be stored for it."""

    path: str
    endpoint: str
    status: int
    method: str = "GET"
    least_ms: float = 0.0
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"


UNMATCHED = "(unmatched)"
STREAM_MS = STREAM_S * 1000
SLEEP_MS = SLEEP_S * 1000

SHAPES = [
    Shape("/plain", "plain", 200),
    Shape("/json", "json", 200),
    Shape("/tuple-status", "tuple_status", 201),
    Shape("/tuple-headers", "tuple_headers", 200),
    Shape("/tuple-both", "tuple_both", 203),
    Shape("/text-status", "text_status", 202),
    Shape("/own-status", "own_status", 299),
    Shape("/abort", "aborts", 409),
    Shape("/missing", "missing", 404),
    Shape("/handled", "handled", 422),
    Shape("/unhandled", "unhandled", 500),
    Shape("/plain?gate", "plain", 403),
    Shape("/plain?after", "plain", 503),
    Shape("/plain", "plain", 200, "HEAD"),
    Shape("/plain", "plain", 200, "OPTIONS"),
    Shape("/nowhere", UNMATCHED, 404),
    Shape("/plain", UNMATCHED, 405, "DELETE"),
    Shape("/redirect", "to_plain", 302),
    Shape("/slash", UNMATCHED, 308),
    Shape("/slash/", "slash", 200),
    Shape("/sleep", "sleep", 200, least_ms=SLEEP_MS),
    Shape("/sleep", "sleep", 200, "POST", least_ms=SLEEP_MS),
    Shape("/stream", "stream", 200, least_ms=STREAM_MS),
    Shape("/stream-context", "stream_context", 200, least_ms=STREAM_MS),
    Shape("/async", "asynchronous", 200, least_ms=SLEEP_MS),
    Shape("/teapot", "teapot", 418),
    Shape("/item", "item", 200),
    Shape("/item", "item", 204, "PUT"),
    Shape("/outer/view", "outer.view", 200),
    Shape("/outer/inner/nested", "outer.inner.nested", 200),
    Shape("/late", "late", 200),
    Shape("/file", "file", 200),
    Shape("/file", "file", 206, headers={"Range": "bytes=10-19"}),
    Shape("/static/none.css", "static", 404),
]


def shape_ids(shape: Any) -> str:
    return str(shape.name)
