"""Whatever comes in, and whatever the host's request is: its answers are those without us."""

from __future__ import annotations

import http.client
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Request, Response, request
from sqlalchemy import func, select
from werkzeug.routing import BaseConverter

from fmd_admin.store import live
from fmd_admin.store.models import Outlier

from ..support import Bound, serve
from .panel_session import PanelSession

Bind = Callable[..., Bound]


class Angry:
    """A value that does nothing it is asked for."""

    def __str__(self) -> str:
        raise RuntimeError("not as text")

    __repr__ = __str__
    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("not to be compared")

    def __bool__(self) -> bool:
        raise RuntimeError("neither true nor false")


class AngryConverter(BaseConverter):
    def to_python(self, value: str) -> Angry:
        return Angry()


class RaisingRequest(Request):
    """Asking it for what was sent raises, once the host is done with it."""

    done = False

    def __getattribute__(self, name: str) -> Any:
        if name in {"form", "json", "_cached_json", "view_args", "headers"} and type(self).done:
            raise RuntimeError("no longer")
        return super().__getattribute__(name)


def make_app(folder: Path) -> Flask:
    app = Flask("odd", instance_path=str(folder))
    app.url_map.converters["angry"] = AngryConverter
    app.config["MAX_FORM_MEMORY_SIZE"] = None
    logging.getLogger("odd").disabled = True

    @app.route("/echo", methods=["GET", "POST", "PUT", "ODD"])
    def echo() -> Response:
        fields = request.form if request.method == "POST" else request.args
        text = "\n".join(f"{key}={value}" for key, value in fields.items(multi=True))
        if request.is_json:
            text = str(type(request.get_json(silent=True)))
        return Response(text, headers={"X-Length": str(len(request.headers))})

    @app.route("/token/<angry:token>/<angry:x>")
    def angry(token: Angry, x: Angry) -> str:
        assert request.view_args is not None
        request.view_args["key"] = Angry()
        return "angry"

    @app.route("/environ")
    def environ() -> str:
        odd: dict[Any, Any] = {"x": Angry(), "y": b"\xff", "z": 10**5_000, "\udcff": "\ud800"}
        request.environ.update(odd)
        request.environ.pop("SERVER_NAME", None)
        request.environ["QUERY_STRING"] = None
        return "environ"

    @app.route("/fails")
    def fails() -> str:
        raise RuntimeError("the host's own")

    return app


def ask(port: int, method: str, path: str, body: bytes, headers: dict[str, str]) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, body, {"Host": "odd.test", **headers})
        response = connection.getresponse()
        kept = [pair for pair in response.getheaders() if pair[0] != "Date"]
        return response.status, kept, response.read()
    finally:
        connection.close()


FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}
ODD: dict[str, tuple[str, str, bytes, dict[str, str]]] = {
    "plain": ("GET", "/echo?a=1&token=abcdef", b"", {}),
    "bytes in the query": ("GET", "/echo?a=%ff%fe&%00=%c5&token=%ff", b"", {}),
    "bytes in a header": ("GET", "/echo", b"", {"X-Odd": "\xff\xfe\x80", "Cookie": "\xff=\xfe"}),
    "huge header": ("GET", "/echo", b"", {"X-Huge": "a=b;" * 10_000}),
    "many headers": ("GET", "/echo", b"", {f"X-{i}": f"token={i}" for i in range(90)}),
    "bad referer": (
        "GET",
        "/echo",
        b"",
        {"Referer": "http://[::1:x/\udcff".encode("utf-8", "replace").decode()},
    ),
    "bad authorization": ("GET", "/echo", b"", {"Authorization": "Basic \xff=="}),
    "bad host": ("GET", "/echo", b"", {"Host": "[hidden]@["}),
    "huge field": ("POST", "/echo", b"a=" + b"x" * 1_000_000, FORM),
    "many secrets": (
        "POST",
        "/echo",
        b"&".join(b"token%d=secret%d" % (i, i) for i in range(3_000)),
        FORM,
    ),
    "bytes in the form": ("POST", "/echo", b"\xff=\xfe&password=\x80\x81\x82\x83", FORM),
    "deep JSON": ("POST", "/echo", b'{"a":' * 900 + b"1" + b"}" * 900, JSON),
    "too deep JSON": ("POST", "/echo", b"[" * 100_000, JSON),
    "long JSON": ("POST", "/echo", b'{"token": [' + b'"abcdefgh",' * 50_000 + b"1]}", JSON),
    "half characters in JSON": (
        "POST",
        "/echo",
        b'{"password": "\\ud800abcd", "\\udfff": 1}',
        JSON,
    ),
    "large number in JSON": ("POST", "/echo", b'{"token": ' + b"9" * 4_000 + b"}", JSON),
    "not JSON": ("POST", "/echo", b"{", JSON),
    "unread body": ("PUT", "/echo", b"a=1&password=abcdef", FORM),
    "odd method": ("ODD", "/echo", b"", {}),
    "angry arguments": ("GET", "/token/abcdef/x", b"", {}),
    "odd environment": ("GET", "/environ", b"", {}),
    "the host's error": ("GET", "/fails", b"", {}),
    "no such page": ("GET", "/nowhere?token=abcdef", b"", {}),
    "wrong method": ("DELETE", "/echo", b"", {}),
    "quoted path": ("GET", "/%ff%00%2e%2e//echo", b"", {}),
}


@pytest.fixture
def ports(tmp_path: Path, bind: Bind) -> Iterator[tuple[int, int, Bound]]:
    """The app without us, and with us, where each request is an outlier."""
    bound = bind(
        make_app(tmp_path),
        monitor_level=3,
        outlier_json_body=True,
        outliers_per_minute=1000,
        ip="off",
    )
    names = ("echo", "angry", "environ", "fails", "(unmatched)")
    bound.monitor.watch.means.limits_ns.update(dict.fromkeys(names, 0))
    with ExitStack() as servers:
        plain = servers.enter_context(serve(make_app(tmp_path)))
        yield plain, servers.enter_context(serve(bound.app)), bound


def outliers(bound: Bound, number: int) -> int:
    """Wait for so many: the client has its answer before the server closes it."""
    deadline = time.monotonic() + 10
    while True:
        bound.rows()
        with bound.monitor.store.read() as connection:
            found = connection.execute(select(func.count()).select_from(Outlier)).scalar_one()
        if found >= number or time.monotonic() > deadline:
            return found
        time.sleep(0.01)


def test_answers_are_the_same_and_outliers_are_stored(ports: tuple[int, int, Bound]) -> None:
    plain, watched, bound = ports
    # The limits are ours: the real means of these requests are not what this is about.
    # They would be learnt from each batch, and read again once the endpoints are stored.
    bound.monitor.watch.learn = lambda rows: None  # type: ignore[method-assign]
    bound.monitor.watch.seed = lambda means: None  # type: ignore[method-assign]
    for number, (name, asked) in enumerate(ODD.items(), 1):
        assert ask(watched, *asked) == ask(plain, *asked), name
        found, faults = outliers(bound, number), bound.monitor.faults.by_place()
        assert (found, faults) == (number, {}), (name, bound.monitor.counters())
    assert len(bound.rows()) == len(ODD)
    # All of it can be looked at, too.
    anna = PanelSession(watched).log_in()
    with bound.monitor.store.read() as connection:
        ids = connection.execute(select(Outlier.endpoint_id, Outlier.id)).all()
    for endpoint_id, outlier_id in ids:
        page = anna.get(f"/endpoint/{endpoint_id}/outliers/{outlier_id}")
        assert page.status == 200
        assert "What came with the request" in page.text or "cURL" in page.text
    for path in ("/outliers", "/outliers/data.csv", "/data/outliers", "/overview"):
        assert anna.get(path).status == 200
    assert "abcdef" not in "".join(anna.get(f"/endpoint/{e}/outliers/{o}").text for e, o in ids)


def test_a_request_class_that_raises(
    tmp_path: Path, bind: Bind, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_app(tmp_path)
    app.request_class = RaisingRequest

    @app.after_request
    def done(response: Response) -> Response:
        monkeypatch.setattr(RaisingRequest, "done", True)
        return response

    bound = bind(app, monitor_level=2, outlier_json_body=True)
    bound.monitor.watch.means.limits_ns["echo"] = 0
    with serve(app) as port:
        status, _, body = ask(port, "GET", "/echo?a=1&token=abcdef", b"", {})
    assert (status, body) == (200, b"a=1\ntoken=abcdef")
    assert outliers(bound, 1) == 1
    assert bound.monitor.faults.by_place() == {"reading what came with an outlier": 1}


def test_settings_changed_at_run_time_count(tmp_path: Path, bind: Bind) -> None:
    bound = bind(make_app(tmp_path), monitor_level=2)
    bound.monitor.watch.seed({"echo": (100, 10.0)})
    limits = bound.monitor.watch.means.limits_ns
    assert limits["echo"] == 25_000_000
    for name, text, limit_ns in (
        ("OUTLIER_DETECTION_CONSTANT", "4", 40_000_000),
        ("OUTLIER_MIN_MS", "75", 75_000_000),
        ("OUTLIER_DETECTION_CONSTANT", "20.5", 205_000_000),
    ):
        with bound.monitor.store.write() as connection:
            live.save_setting(connection, name, text, "anna")
        bound.monitor._tick()
        assert limits["echo"] == limit_ns
