from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix

from fmd_admin.collect.innermost import wrap_innermost


class Spy:
    """A wrapper that remembers the client address it saw."""

    def __init__(self, below: Any) -> None:
        self.below = below
        self.seen: list[str] = []

    def __call__(self, environ: Any, start_response: Any) -> Any:
        self.seen.append(environ["REMOTE_ADDR"])
        return self.below(environ, start_response)


@pytest.fixture
def app() -> Flask:
    app = Flask("host")
    app.add_url_rule("/", "index", lambda: "hello")
    return app


def ask(app: Flask) -> str:
    response = app.test_client().get("/", headers={"X-Forwarded-For": "192.0.2.9"})
    assert response.text == "hello"
    return response.text


def wrap(app: Flask) -> tuple[bool, Spy]:
    spies: list[Spy] = []

    def make(below: Any) -> Spy:
        spies.append(Spy(below))
        return spies[0]

    return wrap_innermost(app, make), spies[0]


def test_a_bare_app(app: Flask) -> None:
    innermost, spy = wrap(app)
    ask(app)
    assert innermost
    assert spy.seen == ["127.0.0.1"]


def test_a_proxy_fix_that_comes_later(app: Flask) -> None:
    _, spy = wrap(app)
    app.wsgi_app = ProxyFix(app.wsgi_app)  # type: ignore[method-assign]
    ask(app)
    assert spy.seen == ["192.0.2.9"]


def test_middlewares_that_were_there_before(app: Flask) -> None:
    app.wsgi_app = ProxyFix(app.wsgi_app)  # type: ignore[method-assign]
    app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/other": Flask("other")})  # type: ignore[method-assign]
    innermost, spy = wrap(app)
    ask(app)
    assert innermost
    assert spy.seen == ["192.0.2.9"]


def test_a_middleware_with_a_name_of_its_own(app: Flask) -> None:
    class Odd:
        def __init__(self, inside: Any) -> None:
            self.inside = inside

        def __call__(self, environ: Any, start_response: Any) -> Any:
            environ["REMOTE_ADDR"] = "odd"
            return self.inside(environ, start_response)

    app.wsgi_app = Odd(app.wsgi_app)  # type: ignore[method-assign]
    innermost, spy = wrap(app)
    ask(app)
    assert innermost
    assert spy.seen == ["odd"]


def test_a_closure_is_wrapped_from_outside(app: Flask) -> None:
    inside = app.wsgi_app

    def closure(environ: Any, start_response: Any) -> Any:
        return inside(environ, start_response)

    app.wsgi_app = closure  # type: ignore[method-assign, assignment]
    innermost, spy = wrap(app)
    ask(app)
    assert not innermost
    assert spy.seen == ["127.0.0.1"]


@pytest.mark.parametrize("log_first", [True, False])
def test_a_middleware_that_keeps_other_methods_of_the_app(app: Flask, log_first: bool) -> None:
    class Logs:
        def __init__(self, inside: Any) -> None:
            if log_first:
                self.log = app.log_exception
            self.inside = inside
            self.log = app.log_exception

        def __call__(self, environ: Any, start_response: Any) -> Any:
            environ["REMOTE_ADDR"] = "odd"
            return self.inside(environ, start_response)

    logs = Logs(app.wsgi_app)
    app.wsgi_app = logs  # type: ignore[method-assign]
    innermost, spy = wrap(app)
    ask(app)
    assert innermost
    assert logs.log == app.log_exception
    assert spy.seen == ["odd"]


class Overridden(Flask):
    """A host's class with WSGI callables of its own."""

    def wsgi_app(self, environ: Any, start_response: Any) -> Any:
        return super().wsgi_app(environ, start_response)

    def other(self, environ: Any, start_response: Any) -> Any:
        return super().wsgi_app(environ, start_response)


@pytest.mark.parametrize(
    ("place", "seen"),
    [
        (lambda app: app.wsgi_app, "127.0.0.1"),
        (lambda app: app.other, "127.0.0.1"),
        (lambda app: ProxyFix(app.wsgi_app), "192.0.2.9"),
        (lambda app: ProxyFix(super(Overridden, app).wsgi_app), "192.0.2.9"),
    ],
    ids=["bare", "another method", "middleware", "middleware on the base's"],
)
def test_an_app_with_a_callable_of_its_own(place: Callable[[Any], Any], seen: str) -> None:
    app = Overridden("host")
    app.add_url_rule("/", "index", lambda: "hello")
    app.wsgi_app = place(app)  # type: ignore[method-assign]
    innermost, spy = wrap(app)
    ask(app)
    assert innermost
    assert spy.seen == [seen]
