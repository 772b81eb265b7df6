"""What is kept of an outlier: the cap, what came with the request, where it was stuck."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from threading import Thread
from typing import Any

import pytest
from flask import Flask, request
from werkzeug.test import EnvironBuilder

from fmd_admin.collect.frames import Frames
from fmd_admin.collect.machine import Load
from fmd_admin.collect.outliers import (
    MAX_STACK,
    MAX_URL,
    Cap,
    Facts,
    Stuck,
    collect_facts,
    to_outlier,
)
from fmd_admin.collect.redaction import words_of
from fmd_admin.collect.secret_texts import HIDDEN
from fmd_admin.records import Row
from fmd_admin.settings import Settings

WORDS = words_of(Settings().redact)
SECRET = "hunter2-SECRET"
Look = Callable[..., Facts]


@pytest.fixture
def app() -> Flask:
    app = Flask("host")
    app.add_url_rule("/", "index", lambda: "")
    app.add_url_rule("/reset/<token>", "reset", lambda token: "")
    app.add_url_rule("/pin/<int:key>/<name>", "pin", lambda key, name: "")
    app.add_url_rule("/user/<name>", "user", lambda name: "")
    return app


@pytest.fixture
def look(app: Flask) -> Look:
    """Facts of a request whose body the host has read."""

    def facts(
        path: str = "/",
        *,
        ip: str = "full",
        with_json: bool = True,
        environ: dict[Any, Any] | None = None,
        read: bool = True,
        **options: Any,
    ) -> Facts:
        builder = EnvironBuilder(path=path, **options)
        made = {**builder.get_environ(), **(environ or {})}
        builder.close()
        with app.request_context(made):
            if read and request.is_json:
                request.get_json()
            elif read:
                request.form.get("x")
            real = request._get_current_object()  # type: ignore[attr-defined]
            return collect_facts(made, real, words=WORDS, ip=ip, with_json=with_json)

    return facts


def everything(facts: Facts) -> str:
    return repr((facts.url, facts.values, facts.json, facts.headers, facts.environ))


def test_facts_weigh_what_they_take(look: Look) -> None:
    text = "x" * 900
    little = look().weight
    for sent in (
        {"headers": {f"X-{number}": text for number in range(50)}},
        {"data": {str(number): text for number in range(50)}, "method": "POST"},
        {"environ": {f"a{number}": text for number in range(50)}},
        {"json": {str(number): text for number in range(11)}, "method": "POST"},
    ):
        facts = look(**sent)
        assert facts.weight - little >= len(everything(facts)) // 300 - 20


def test_the_cap_counts_per_endpoint_and_minute() -> None:
    now_s = 59.0
    cap = Cap(lambda: now_s)
    cap.per_minute = 3
    assert [cap.take("a") for _ in range(5)] == [True] * 3 + [False] * 2
    assert cap.take("b")
    assert (cap.is_open("a"), cap.is_open("b")) == (False, True)
    now_s = 60.0
    assert cap.is_open("a")
    assert cap.take("a")
    cap.after_fork()
    assert [cap.take("a") for _ in range(4)] == [True] * 3 + [False]


def test_the_cap_is_exact_with_threads() -> None:
    cap = Cap(lambda: 0.0)
    cap.per_minute = 1_000
    taken: list[bool] = []
    threads = [
        Thread(target=lambda: taken.extend([cap.take("a") for _ in range(500)])) for _ in range(8)
    ]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert (sum(taken), len(taken)) == (1_000, 4_000)


def test_what_came_with_a_request(look: Look) -> None:
    facts = look(
        "/user/anna",
        method="POST",
        query_string="a=1&a=2&b=%C5%BE",
        data={"c": "3"},
        headers={"X-Note": "hello", "User-Agent": "test"},
    )
    assert facts.url == "http://localhost/user/anna?a=1&a=2&b=%C5%BE"
    assert facts.values == {"a": ["1", "2"], "b": ["ž"], "c": ["3"]}
    headers = dict(facts.headers)
    assert (headers["X-Note"], headers["User-Agent"], headers["Host"]) == (
        "hello",
        "test",
        "localhost",
    )
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert facts.environ["REQUEST_METHOD"] == "POST"
    assert facts.environ["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert "HTTP_X_NOTE" not in facts.environ
    assert "wsgi.input" not in facts.environ
    assert facts.json is None


def test_a_body_that_the_host_did_not_read_stays_unread(app: Flask) -> None:
    builder = EnvironBuilder(method="POST", data={"c": "3"})
    environ = builder.get_environ()
    builder.close()
    with app.request_context(environ):
        facts = collect_facts(environ, request, words=(), ip="full", with_json=True)
        assert facts.values == {}
        assert request.form["c"] == "3"


def test_json_only_if_it_is_switched_on(look: Look) -> None:
    body = {"user": "anna", "password": SECRET, "again": SECRET, "nested": [{"key": [SECRET]}]}
    facts = look("/", method="POST", json=body)
    assert facts.json is not None
    assert json.loads(facts.json) == {
        "user": "anna",
        "password": HIDDEN,
        "again": HIDDEN,
        "nested": [{"key": [HIDDEN]}],
    }
    assert look("/", method="POST", json=body, with_json=False).json is None


def test_the_json_body_is_cut(look: Look) -> None:
    facts = look("/", method="POST", json={"a": ["x" * 100] * 1_000})
    assert facts.json is not None
    assert len(facts.json) == 10_000


def test_a_long_url_is_cut(look: Look) -> None:
    facts = look("/user/" + "x" * 3_000, query_string="a=" + "y" * 3_000)
    assert len(facts.url) == MAX_URL
    assert len(facts.environ["PATH_INFO"]) == 1_000


@pytest.mark.parametrize(
    "options",
    [
        {"headers": {"Authorization": f"Bearer {SECRET}", "X-Copy": SECRET}},
        {"headers": {"Cookie": f"a=1; sid={SECRET}", "X-Copy": f"<{SECRET}>"}},
        {"headers": {"X-Auth-Token": SECRET}},
        {"query_string": f"token={SECRET}&x={SECRET}"},
        {"query_string": f"token={SECRET}&{SECRET}"},
        {"query_string": f"api_key=a&api_key={SECRET}"},
        {"data": {"password": SECRET, "confirm": SECRET}, "method": "POST"},
        {"data": {"payload": f'{{"password": "{SECRET}"}}'}, "method": "POST"},
        {"data": {f"{SECRET}": "1", "password": SECRET}, "method": "POST"},
        {"headers": {"Referer": f"http://localhost/?a=1&token={SECRET}"}},
        {"headers": {"Referer": f"http://localhost/?next=%2F%3Ftoken%3D{SECRET}"}},
        {"headers": {"Referer": f"http://localhost/reset/{SECRET}"}},
        {"headers": {"X-Original-Uri": f"/?token={SECRET}"}},
        {"headers": {"X-Body": f'{{"secret": "{SECRET}"}}'}},
        {"environ": {"DB_PASSWORD": SECRET, "DB_URL": f"postgres://u:{SECRET}@h/x"}},
        {"environ": {"DB_URL": f"postgres://u:{SECRET}@h/x", "COPY": SECRET}},
        {"environ": {"app.settings": f"user=a;password={SECRET}"}},
        {"environ": {"HTTP_HOST": f"u:{SECRET}@h", "SECRET": SECRET}},
        {"path": f"/reset/{SECRET}", "environ": {"RAW_URI": f"/reset/{SECRET}?x"}},
        {"path": f"/reset/{SECRET}", "environ": {"RAW_URI": "/reset/%68unter2%2dSECRET"}},
        {"path": f"/reset/{SECRET}", "headers": {"X-Original-Url": "/reset/%68unter2-SECRET"}},
        {"path": f"/a;jsessionid={SECRET}"},
    ],
)
def test_no_secret_is_left(look: Look, options: dict[str, Any]) -> None:
    facts = look(**options)
    assert SECRET not in everything(facts)
    assert "hunter2" not in everything(facts)
    assert "%68unter2" not in everything(facts)
    assert HIDDEN in everything(facts)


def test_their_keys_are(look: Look) -> None:
    facts = look(
        "/",
        method="POST",
        query_string=f"token={SECRET}",
        data={"password": SECRET},
        headers={"Authorization": SECRET, "Cookie": f"sid={SECRET}"},
        environ={"DB_PASSWORD": SECRET},
    )
    assert facts.url.endswith("/?token=[hidden]")
    assert facts.values == {"token": [HIDDEN], "password": [HIDDEN]}
    assert dict(facts.headers)["Authorization"] == HIDDEN
    assert dict(facts.headers)["Cookie"] == f"sid={HIDDEN}"
    assert facts.environ["DB_PASSWORD"] == HIDDEN
    assert facts.environ["QUERY_STRING"] == f"token={HIDDEN}"


def test_arguments_of_the_route(look: Look) -> None:
    assert look("/reset/ab").url == f"http://localhost/reset/{HIDDEN}"
    facts = look("/pin/0007/anna", environ={"RAW_URI": "/pin/0007/anna"})
    assert facts.url == f"http://localhost/pin/{HIDDEN}/anna"
    assert (facts.environ["PATH_INFO"], facts.environ["RAW_URI"]) == (HIDDEN, HIDDEN)
    secret = "žluť heslo"
    facts = look(f"/reset/{secret}")
    assert facts.url == f"http://localhost/reset/{HIDDEN}"
    assert secret.encode().decode("latin-1") not in everything(facts)


def test_addresses_as_the_setting_says(look: Look) -> None:
    headers = {
        "X-Forwarded-For": "192.0.2.77, 198.51.100.9",
        "X-Real-Ip": "192.0.2.77",
        "Forwarded": "for=192.0.2.77;proto=https",
        "Cf-Connecting-Ipv6": "2001:db8:1:2::3",
        "X-Envoy-External-Address": "192.0.2.77",
        "X-Copy": "from 192.0.2.77",
        "X-Forwarded-Host": "shop.example",
    }
    environ = {"REMOTE_ADDR": "192.0.2.77", "app.client": "192.0.2.77"}
    full = look("/", headers=headers, environ=environ)
    assert dict(full.headers)["X-Real-Ip"] == "192.0.2.77"
    cut = look("/", headers=headers, environ=environ, ip="anonymized")
    assert dict(cut.headers)["X-Forwarded-For"] == "192.0.2.0, 198.51.100.0"
    assert dict(cut.headers)["X-Forwarded-Host"] == "shop.example"
    assert dict(cut.headers)["Cf-Connecting-Ipv6"] == "2001:db8:1::"
    assert cut.environ["REMOTE_ADDR"] == "192.0.2.0"
    off = look("/", headers=headers, environ=environ, ip="off")
    assert off.environ["REMOTE_ADDR"] == ""
    for facts in (cut, off):
        for address in ("192.0.2.77", "198.51.100.9", "2001:db8:1:2::3"):
            assert address not in everything(facts)
    assert "192.0.2.0" not in everything(off)


class Odd(str):
    def __str__(self) -> str:
        raise RuntimeError("on purpose")


class OddNumber(int):
    def __str__(self) -> str:
        raise RuntimeError("on purpose")


@pytest.mark.parametrize(
    "environ",
    [
        {"x": Odd("text")},
        {"x": OddNumber(3)},
        {"x": 10**6_000},
        {b"x": "bytes"},
        {3: "number"},
        {"x": object(), "y": [1], "z": None},
        {"HTTP_X": "\x00\x01\xff"},
        {"HTTP_X": "\udcff\ud800"},
        {"HTTP_COOKIE": ";;=;a;=b;\xff=\udcff"},
        {"QUERY_STRING": "&&=&%&%zz&\xff=\xfe&a=%ff"},
        {"QUERY_STRING": "\u20ac=1"},
        {"HTTP_REFERER": "https://[/"},
        {"HTTP_AUTHORIZATION": "Basic ====="},
        {"HTTP_X": "x" * 1_000_000},
        {"SCRIPT_NAME": "\xff"},
        {"SERVER_PORT": None, "SERVER_NAME": None},
    ],
)
def test_odd_environments_are_read_all_the_same(app: Flask, environ: dict[Any, Any]) -> None:
    made = {**EnvironBuilder(query_string=f"a=1&token={SECRET}").get_environ(), **environ}
    facts = collect_facts(made, None, words=WORDS, ip="anonymized", with_json=True)
    assert facts.environ["REQUEST_METHOD"] == "GET"
    assert SECRET not in everything(facts)
    # It can be stored, and shown.
    json.dumps([facts.url, facts.values, facts.headers, facts.environ], ensure_ascii=False).encode()


def test_a_request_without_anything() -> None:
    facts = collect_facts({}, None, words=WORDS, ip="off", with_json=True)
    assert (facts.values, facts.json, facts.headers, facts.environ) == ({}, None, [], {})


def test_the_innermost_lines_of_a_stack_are_kept() -> None:
    frame = sys._getframe()
    stack = [(frame.f_code, offset, None) for offset in range(0, 2 * (MAX_STACK + 50), 2)]
    stuck = Stuck(5, stack, Load())
    assert len(stuck.lines) == MAX_STACK
    assert stuck.lines[-1][:2] == stack[-1][:2]


def test_the_record_of_an_outlier() -> None:
    row = Row(1_000, "index", 900.0, 200, "GET", "anna", "192.0.2.7")
    frame = sys._getframe()
    stuck = Stuck(
        7_000_000,
        [(frame.f_code, frame.f_lasti, None)],
        Load([10.0], 20.0, 30.0, 40.0, 50.0),
        "note",
    )
    facts = Facts(url="/u", headers=[("A", "b")])
    made = to_outlier(row, 400_000_000, 2_000_000, facts, stuck, "not used", Frames())
    assert [f.function for f in made.stack] == [test_the_record_of_an_outlier.__name__]
    assert (made.limit_ms, made.stack_at_ms, made.note) == (400.0, 5.0, "note")
    assert (made.cpu_percent, made.memory_percent, made.url) == ([10.0], 40.0, "/u")
    plain = to_outlier(row, 400_000_000, 0, facts, None, "why not", Frames())
    assert (plain.stack, plain.stack_at_ms, plain.note) == ([], None, "why not")
    assert (plain.time_ms, plain.duration_ms, plain.group) == (1_000, 900.0, "anna")
