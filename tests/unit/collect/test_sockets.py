"""WebSockets: answers that a library gives itself, so that none is ever started."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask, Response

from ...exceptions import stored_groups
from ...support import Bound

Bind = Callable[..., Bound]

UPGRADE = {
    "REQUEST_METHOD": "GET",
    "SERVER_NAME": "localhost",
    "SERVER_PORT": "80",
    "REMOTE_ADDR": "192.0.2.7",
    "wsgi.url_scheme": "http",
    "HTTP_CONNECTION": "keep-alive, Upgrade",
    "HTTP_UPGRADE": "WebSocket",
}


class Done(Response):
    """As flask-sock ends a session: under gunicorn it raises, elsewhere it returns no body."""

    def __init__(self, error: Exception | None) -> None:
        super().__init__()
        self._error = error

    def __call__(self, *_: Any) -> Any:
        if self._error is not None:
            raise self._error
        return []


def visit(bound: Bound, **more: str) -> None:
    def start(*_: Any) -> Any:
        raise AssertionError("the library has answered itself")

    body: Any = bound.app({**UPGRADE, "PATH_INFO": "/socket", **more}, start)
    assert list(body) == []


def add_socket(bound: Bound, error: Exception | None) -> None:
    bound.app.add_url_rule("/socket", "socket", lambda: Done(error), websocket=True)


@pytest.mark.parametrize("level", [1, 3])
def test_a_session_is_no_error(bind: Bind, level: int) -> None:
    bound = bind(Flask("host"), monitor_level=level)
    add_socket(bound, None)
    visit(bound)
    [row] = bound.rows()
    assert (row.endpoint, row.status, row.ip) == ("socket", 101, "192.0.2.7")


@pytest.mark.parametrize("error", [StopIteration(), ConnectionError()])
def test_a_session_that_tells_the_server_by_raising(bind: Bind, error: Exception) -> None:
    bound = bind(Flask("host"))
    add_socket(bound, error)
    with pytest.raises(type(error)):
        visit(bound)
    [row] = bound.rows()
    assert (row.endpoint, row.status) == ("socket", 101)
    assert stored_groups(bound.monitor.store) == {}


def test_what_fails_before_its_answer_is_an_error_all_the_same(bind: Bind) -> None:
    bound = bind(Flask("host"))
    add_socket(bound, LookupError("on purpose"))
    with pytest.raises(LookupError):
        visit(bound)
    [row] = bound.rows()
    assert (row.endpoint, row.status) == ("socket", 500)
    [found] = stored_groups(bound.monitor.store).values()
    assert found.type == "LookupError"


def test_no_answer_without_an_upgrade_is_an_error(bind: Bind) -> None:
    bound = bind(Flask("host"))
    bound.app.add_url_rule("/socket", "socket", lambda: Done(None))
    visit(bound, HTTP_UPGRADE="h2c")
    assert bound.rows()[0].status == 500
