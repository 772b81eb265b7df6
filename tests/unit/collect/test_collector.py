"""What a request leaves behind, seen through the whole binding without a server."""

from __future__ import annotations

import gc
import logging
import time
import weakref
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, g, request, send_file, session
from sqlalchemy import func, select
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.wsgi import FileWrapper

from fmd_admin.store import live
from fmd_admin.store.models import Endpoint, Request, RollupDelta

from ...support import Bound, get

Bind = Callable[..., Bound]


@pytest.fixture
def app(tmp_path: Path) -> Flask:
    app = Flask("host", instance_path=str(tmp_path))
    app.secret_key = "host"
    app.add_url_rule("/", "index", lambda: "hello")

    @app.route("/login")
    def login() -> str:
        session["user"] = "anna"
        g.user = "anna"
        return "in"

    return app


def test_level_0_keeps_only_the_time(app: Flask, bind: Bind) -> None:
    bound = bind(app, monitor_level=0)
    get(app, "/")
    assert bound.rows() == []
    with bound.monitor.store.read() as connection:
        assert connection.scalar(select(func.count()).select_from(Request)) == 0
        name, level = connection.execute(select(Endpoint.name, Endpoint.level)).one()
        hits, last = connection.execute(select(RollupDelta.hits, RollupDelta.last_requested)).one()
    assert (name, level, hits) == ("index", 0, 0)
    assert abs(last.timestamp() - time.time()) < 60


@pytest.mark.parametrize("level", [1, 2, 3])
def test_higher_levels_keep_what_level_1_has(app: Flask, bind: Bind, level: int) -> None:
    bound = bind(app, monitor_level=level)
    get(app, "/")
    [row] = bound.rows()
    assert (row.endpoint, row.status) == ("index", 200)


def test_a_level_changes_in_the_running_process(app: Flask, bind: Bind) -> None:
    bound = bind(app)
    get(app, "/")
    assert len(bound.rows()) == 1
    with bound.monitor.store.write() as connection:
        ids = connection.scalars(select(Endpoint.id)).all()
        assert live.set_levels(connection, ids, 0) == 1
    bound.monitor._tick()
    get(app, "/")
    get(app, "/login")
    assert [row.endpoint for row in bound.rows()] == ["index", "login"]
    with bound.monitor.store.write() as connection:
        live.set_levels(connection, ids, 1)
    bound.monitor._tick()
    get(app, "/")
    assert [row.endpoint for row in bound.rows()] == ["index", "login", "index"]


def test_a_login_made_in_the_request_counts(app: Flask, bind: Bind) -> None:
    bound = bind(app, group_by=lambda: (session.get("user"), g.get("user")))
    get(app, "/login")
    assert bound.rows()[0].group == "(anna,anna)"


def test_a_group_by_that_raises(app: Flask, bind: Bind, caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> str:
        raise LookupError("no user")

    bound = bind(app, group_by=broken)
    for _ in range(3):
        assert get(app, "/") == "hello"
    assert [row.group for row in bound.rows()] == [None] * 3
    assert bound.monitor.faults.by_place() == {"group_by": 3}
    [message] = [r for r in caplog.records if r.name == "fmd_admin"]
    assert "no user" in caplog.text
    assert message.levelno == logging.ERROR


def test_get_ip_replaces_the_address(app: Flask, bind: Bind) -> None:
    bound = bind(app, get_ip=lambda: request.headers.get("X-Client"))
    get(app, "/", headers={"X-Client": "192.0.2.5"})
    get(app, "/")
    assert [row.ip for row in bound.rows()] == ["192.0.2.5", None]


def test_get_ip_may_give_an_address_object(app: Flask, bind: Bind) -> None:
    bound = bind(app, get_ip=lambda: ip_address("192.0.2.5"))
    get(app, "/")
    assert [row.ip for row in bound.rows()] == ["192.0.2.5"]


def test_a_get_ip_that_raises_is_counted(app: Flask, bind: Bind) -> None:
    bound = bind(app, get_ip=lambda: request.headers["X-Client"])
    assert get(app, "/") == "hello"
    assert bound.rows()[0].ip is None
    assert bound.monitor.faults.by_place() == {"get_ip": 1}


def test_without_an_answer_get_ip_cannot_be_asked(app: Flask, bind: Bind) -> None:
    """And the address of a proxy is none that the host wants."""

    app.add_url_rule("/broken", "broken", lambda: str(1 // 0))
    app.config["PROPAGATE_EXCEPTIONS"] = True
    bound = bind(app, get_ip=lambda: "192.0.2.5")
    with pytest.raises(ZeroDivisionError):
        get(app, "/broken")
    assert [(row.endpoint, row.ip) for row in bound.rows()] == [("broken", None)]


@pytest.mark.parametrize(
    ("how", "expected"), [("full", "192.0.2.77"), ("anonymized", "192.0.2.0"), ("off", None)]
)
def test_addresses_as_the_host_sees_them(
    app: Flask, bind: Bind, how: str, expected: str | None
) -> None:
    app.wsgi_app = ProxyFix(app.wsgi_app)  # type: ignore[method-assign]
    bound = bind(app, ip=how)
    get(app, "/", headers={"X-Forwarded-For": "192.0.2.77"})
    assert bound.rows()[0].ip == expected


def test_binding_after_the_first_request(app: Flask, bind: Bind) -> None:
    get(app, "/")
    bound = bind(app)
    get(app, "/")
    assert [row.endpoint for row in bound.rows()] == ["index"]


def test_an_error_that_reaches_the_server(app: Flask, bind: Bind) -> None:
    @app.route("/broken")
    def broken() -> str:
        raise RuntimeError("on purpose")

    app.config["PROPAGATE_EXCEPTIONS"] = True
    bound = bind(app)
    with pytest.raises(RuntimeError, match="on purpose"):
        get(app, "/broken")
    [row] = bound.rows()
    assert (row.endpoint, row.status) == ("broken", 500)


def test_a_context_that_outlives_the_body(app: Flask, bind: Bind) -> None:
    bound = bind(app)
    with app.test_client() as client:
        client.get("/", buffered=True)
        assert request.path == "/"
    assert [row.endpoint for row in bound.rows()] == ["index"]


def test_contexts_pushed_by_hand_leave_nothing(app: Flask, bind: Bind) -> None:
    bound = bind(app)
    with app.test_request_context("/"):
        pass
    with app.app_context():
        pass
    assert bound.rows() == []
    assert bound.monitor.faults.total() == 0


def test_a_view_that_asks_its_own_app(app: Flask, bind: Bind) -> None:
    @app.route("/outer")
    def outer() -> str:
        return get(app, "/")

    bound = bind(app)
    get(app, "/outer")
    assert sorted(row.endpoint for row in bound.rows()) == ["index", "outer"]


def test_a_teardown_of_the_host_that_raises(app: Flask, bind: Bind) -> None:
    @app.teardown_request
    def broken(_error: BaseException | None) -> None:
        raise RuntimeError("in teardown")

    app.config["PROPAGATE_EXCEPTIONS"] = True
    bound = bind(app)
    with pytest.raises(RuntimeError, match="in teardown"):
        get(app, "/")
    [row] = bound.rows()
    # The status was announced but not sent: the server answers with 500.
    assert (row.endpoint, row.status) == ("index", 500)


class OwnClose:
    """As gunicorn's: sendfile is used for exactly this type."""

    def __init__(self, filelike: Any, size: int = 8192) -> None:
        self.filelike = filelike
        self.close = filelike.close

    def __iter__(self) -> Any:
        return iter(lambda: self.filelike.read(8192), b"")


@pytest.mark.parametrize("wrapper", [OwnClose, FileWrapper])
def test_the_servers_file_wrapper_stays_what_it_is(
    app: Flask, bind: Bind, tmp_path: Path, wrapper: type
) -> None:
    (tmp_path / "x.bin").write_bytes(b"x" * 10)
    app.add_url_rule("/file", "file", lambda: send_file(tmp_path / "x.bin"))
    bound = bind(app)
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/file",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "wsgi.url_scheme": "http",
        "wsgi.file_wrapper": wrapper,
    }
    body: Any = app(environ, lambda status, headers: None)
    assert type(body) is wrapper
    assert b"".join(body) == b"x" * 10
    file = body.filelike if wrapper is OwnClose else body.file
    body.close()
    assert file.closed
    assert [row.endpoint for row in bound.rows()] == ["file"]
    body.close()
    # No cycle is left for the garbage collector.
    gone = weakref.ref(body)
    gc.disable()
    try:
        del body
        assert gone() is None
    finally:
        gc.enable()


def test_a_library_that_makes_a_request_object_of_its_own(app: Flask, bind: Bind) -> None:
    from werkzeug.wrappers import Request as PlainRequest

    @app.after_request
    def look(response: Any) -> Any:
        PlainRequest(request.environ)
        return response

    bound = bind(app)
    get(app, "/")
    assert [row.endpoint for row in bound.rows()] == ["index"]


def test_a_middleware_that_starts_the_answer_late(app: Flask, bind: Bind) -> None:
    inside = app.wsgi_app

    def late(environ: Any, start_response: Any) -> Any:
        calls: list[Any] = []
        body = list(inside(environ, lambda *call: calls.append(call)))
        start_response(*calls[0])
        return body

    app.wsgi_app = late  # type: ignore[method-assign, assignment]
    bound = bind(app, group_by=lambda: "anna")
    get(app, "/")
    [row] = bound.rows()
    assert (row.endpoint, row.status) == ("index", 200)
    assert bound.monitor.faults.total() == 0
