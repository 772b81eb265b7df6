"""A host app whose requests hang where they are told to, and that knows secrets."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Flask, Response, request
from flask.views import MethodView

from fmd_admin import FMDAdmin
from fmd_admin.extension import of

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

#: Every shape that can hang in ``helper``: its endpoint by its path.
SHAPES = {
    "/plain": "plain",
    "/shop/page": "shop.page",
    "/class": "page_class",
    "/decorated": "decorated",
    "/hooked": "hooked",
    "/error": "error",
    "/handled": "handled",
    "/stream": "stream",
    "/async": "asynchronous",
}
#: What a server or a middleware may put into the environment, secrets and others.
ENVIRON = {
    "DB_PASSWORD": "zq7env1",
    "DATABASE_URL": "postgresql://shop:zq7env2@db.example/shop",
    "AWS_SECRET_ACCESS_KEY": "zq7env3",
    "app.copy": "the password is zq7env1",
    "app.settings": "user=shop;password=zq7env4;host=db",
    "app.identity": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ6cTdlbnY1In0.enE3ZW52NnNpZ25hdHVyZQ",
    "app.visible": "visible",
}


def seconds() -> float:
    return float(request.args.get("s", 0))


def helper(duration_s: float, password: str = "") -> None:
    time.sleep(duration_s)


def passed_on(view: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(view)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return view(*args, **kwargs)

    return wrapper


class Page(MethodView):
    def get(self) -> str:
        helper(seconds())
        return "class"


def make_app(folder: Path, **settings: Any) -> Flask:
    """Build the app with fmd_admin bound to it."""
    app = Flask("stuck", instance_path=str(folder))
    app.secret_key = "host"
    add_shapes(app)
    add_errors(app)
    add_secrets(app)
    app.add_url_rule("/limits", "limits", lambda: dict(of(app).watch.means.limits_ns))
    app.wsgi_app = WithEnviron(app.wsgi_app)  # type: ignore[method-assign]
    values = {
        "database": f"sqlite:///{folder}/fmd.db",
        "username": "anna",
        "password": "correct horse",
        **settings,
    }
    FMDAdmin(app, settings=values)
    return app


def add_shapes(app: Flask) -> None:
    shop = Blueprint("shop", __name__, url_prefix="/shop")

    @shop.route("/page")
    def page() -> str:
        helper(seconds())
        return "page"

    @app.route("/plain")
    def plain() -> str:
        helper(seconds())
        return "plain"

    @app.route("/decorated")
    @passed_on
    def decorated() -> str:
        helper(seconds())
        return "decorated"

    @app.route("/async")
    async def asynchronous() -> str:
        helper(seconds())
        return "async"

    @app.route("/stream")
    def stream() -> Response:
        duration_s = seconds()

        def chunks() -> Iterator[str]:
            yield "first"
            helper(duration_s)
            yield "last"

        return Response(chunks())

    @app.before_request
    def hook() -> None:
        if request.path == "/hooked":
            helper(seconds())

    app.register_blueprint(shop)
    app.add_url_rule("/class", view_func=Page.as_view("page_class"))
    app.add_url_rule("/hooked", "hooked", lambda: "hooked")


def add_errors(app: Flask) -> None:
    @app.route("/error")
    def error() -> str:
        helper(seconds())
        raise RuntimeError("on purpose")

    @app.route("/handled")
    def handled() -> str:
        helper(seconds())
        raise LookupError("on purpose")

    @app.errorhandler(LookupError)
    def handle(_error: LookupError) -> tuple[str, int]:
        return "handled", 422


def add_secrets(app: Flask) -> None:
    @app.route("/secrets/<token>", methods=["GET", "POST"])
    def secrets(token: str) -> str:
        if request.is_json:
            request.get_json()
        else:
            request.form.get("x")
        helper(seconds(), password="zq7code")
        return "secrets"


class WithEnviron:
    """Puts into the environment what CGI, mod_wsgi and middlewares put there."""

    def __init__(self, app: WSGIApplication) -> None:
        self.app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ.update(ENVIRON)
        return self.app(environ, start_response)
