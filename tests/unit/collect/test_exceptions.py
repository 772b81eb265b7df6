"""Exceptions of a bound app, from the request into the store."""

from __future__ import annotations

import gc
import logging
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flask import (
    Flask,
    Response,
    copy_current_request_context,
    render_template_string,
    stream_with_context,
)
from werkzeug.test import EnvironBuilder

import fmd_admin
from benchmarks.calls import environ
from fmd_admin import FMDAdmin
from fmd_admin.collect.exceptions import PER_MINUTE
from fmd_admin.collect.held import INNER, OUTER
from fmd_admin.collect.raised import _MAX_WAITING
from fmd_admin.store.store import Store

from ...exceptions import StoredGroup, load_module, sources, stored_groups
from ...support import Bound, get

Bind = Callable[..., Bound]


def groups(bound: Bound) -> dict[str, StoredGroup]:
    bound.monitor.recorder.flush()
    return stored_groups(bound.monitor.store)


def only(bound: Bound) -> StoredGroup:
    [found] = groups(bound).values()
    return found


class ShopError(Exception):
    """An error of the host's own."""


def look_up(key: str) -> int:
    return {"a": 1}[key]


def checkout() -> str:
    try:
        look_up("b")
    except KeyError as error:
        raise ShopError("no basket") from error
    return "never"


def test_an_unhandled_exception_is_stored_with_its_causes_and_request(bind: Bind) -> None:
    bound = bind(app_version="1.0")
    bound.app.add_url_rule("/checkout", "checkout", checkout, methods=["POST"])
    with bound.app.test_client().post("/checkout?item=7", data={"color": "red"}) as response:
        assert response.status_code == 500
    found = only(bound)
    assert (found.type, found.module, found.function) == (
        f"{__name__}.ShopError",
        __name__,
        "checkout",
    )
    assert found.behind == "KeyError"
    assert found.counts == {("checkout", "1.0"): 1}
    [row] = found.rows
    assert (row.endpoint, row.method, row.status, row.handled) == ("checkout", "POST", 500, False)
    assert row.message == "no basket"
    assert row.duration_ms == pytest.approx(bound.rows()[0].duration_ms)
    detail = row.detail
    assert detail.url == "http://localhost/checkout?item=7"
    # The host has not read the form.
    assert detail.values == {"item": ["7"]}
    assert [(link.type, link.message, link.link) for link in detail.links] == [
        (f"{__name__}.ShopError", "no basket", ""),
        ("KeyError", "'b'", "cause"),
    ]
    inner = detail.links[1].frames[-1]
    assert (inner.function, inner.own) == ("look_up", True)
    text = sources(bound.monitor.store)[inner.source_id]
    assert text.splitlines()[inner.line - inner.first_line] == '    return {"a": 1}[key]'
    assert text.splitlines()[0] == "def look_up(key: str) -> int:"
    library = [frame for frame in detail.links[0].frames if not frame.own]
    assert library
    assert library[0].function.endswith("wsgi_app")


def stop_minutes(bound: Bound) -> None:
    """What is kept in a minute is kept of all that follows."""
    exceptions = bound.monitor.exceptions
    for cap in (exceptions._cap, exceptions._deep._cap):
        cap._clock = lambda: 0.0


def test_an_error_with_an_id_in_its_message_is_one_group(bind: Bind) -> None:
    bound = bind()
    stop_minutes(bound)

    def user(number: int) -> str:
        raise LookupError(f"user {number} not found")

    bound.app.add_url_rule("/user/<int:number>", "user", user)
    for number in range(12):
        get(bound.app, f"/user/{number}")
    found = only(bound)
    assert found.hits == 12
    assert len(found.rows) == PER_MINUTE


def test_types_functions_and_causes_make_groups(bind: Bind) -> None:
    bound = bind()

    def first(kind: str) -> str:
        if kind == "value":
            raise ValueError(kind)
        try:
            look_up(kind)
        except KeyError:
            raise TypeError(kind)  # noqa: B904 - the context is what is tested
        return kind

    def second() -> str:
        raise ValueError("elsewhere")

    bound.app.add_url_rule("/first/<kind>", "first", first)
    bound.app.add_url_rule("/second", "second", second)
    for path in ("/first/value", "/first/other", "/second", "/second"):
        get(bound.app, path)
    here = "test_types_functions_and_causes_make_groups.<locals>."
    if sys.version_info < (3, 11):
        here = ""
    found = {name: (one.behind, one.hits) for name, one in groups(bound).items()}
    assert found == {
        f"ValueError {here}first": ("", 1),
        f"TypeError {here}first": ("KeyError", 1),
        f"ValueError {here}second": ("", 2),
    }


MOVED = """
def find(number):
    raise LookupError(f"{number} is not there")


def view():
    return find(3)
"""


def test_a_function_that_moved_in_a_new_version_stays_one_group(tmp_path: Path, bind: Bind) -> None:
    for version, text in (("1.0", MOVED), ("2.0", "\n" * 20 + MOVED)):
        module = load_module(tmp_path / version, "shop_find", text)
        bound = bind(Flask("host", instance_path=str(tmp_path)), app_version=version)
        bound.app.add_url_rule("/", "find", module.view)
        get(bound.app, "/")
        bound.monitor.recorder.flush()
    found = only(bound)
    assert (found.module, found.function) == ("shop_find", "find")
    assert found.counts == {("find", "1.0"): 1, ("find", "2.0"): 1}
    lines = [row.detail.links[0].frames[-1] for row in found.rows]
    assert lines[1].line == lines[0].line + 20
    # Its text is stored once; the file lies elsewhere.
    texts = [text for text in sources(bound.monitor.store).values() if "is not there" in text]
    assert len(set(texts)) == 1


def test_capture_records_what_the_host_handles(bind: Bind) -> None:
    extension = FMDAdmin()
    bound = bind(extension=extension)

    def handled(how: str) -> str:
        try:
            look_up(how)
        except KeyError as error:
            (fmd_admin.capture if how == "package" else extension.capture)(error)
        return "fine"

    bound.app.add_url_rule("/handled/<how>", "handled", handled)
    assert get(bound.app, "/handled/package") == "fine"
    assert get(bound.app, "/handled/extension") == "fine"
    found = only(bound)
    assert found.counts == {("handled", "unknown"): 2}
    assert [(row.handled, row.status, row.message) for row in found.rows] == [
        (True, 200, "'package'"),
        (True, 200, "'extension'"),
    ]


def test_an_exception_counts_once_however_often_it_is_told_of(bind: Bind) -> None:
    bound = bind()
    seen: list[BaseException] = []

    def again() -> str:
        try:
            look_up("x")
        except KeyError as error:
            fmd_admin.capture(error)
            fmd_admin.capture(error)
            raise
        return "never"

    def answer(error: Any) -> tuple[str, int]:
        seen.append(error)
        fmd_admin.capture(error)
        return "sorry", 500

    bound.app.add_url_rule("/again", "again", again)
    bound.app.add_url_rule("/plain", "plain", lambda: str(look_up("y")))
    bound.app.register_error_handler(500, answer)
    assert get(bound.app, "/again") == get(bound.app, "/plain") == "sorry"
    assert len(seen) == 2
    assert sum(one.hits for one in groups(bound).values()) == 2


def test_two_different_exceptions_of_a_request_count_twice(bind: Bind) -> None:
    bound = bind()

    def loop() -> str:
        for number in range(3):
            try:
                look_up(str(number))
            except KeyError as error:
                fmd_admin.capture(error)
        return "fine"

    bound.app.add_url_rule("/", "loop", loop)
    get(bound.app, "/")
    assert only(bound).hits == 3


def test_one_that_was_never_raised_came_from_where_it_is_captured(bind: Bind) -> None:
    bound = bind()

    def odd() -> str:
        fmd_admin.capture(ShopError("odd"))
        return "fine"

    bound.app.add_url_rule("/", "odd", odd)
    get(bound.app, "/")
    found = only(bound)
    assert found.function.endswith("odd")
    assert found.rows[0].detail.links[0].frames[-1].function.endswith("odd")


def test_capture_works_outside_of_requests(bind: Bind) -> None:
    bound = bind()
    with bound.app.app_context():
        try:
            look_up("z")
        except KeyError as error:
            fmd_admin.capture(error)
    found = only(bound)
    assert found.counts == {(None, "unknown"): 1}
    [row] = found.rows
    assert (row.endpoint, row.message, row.detail.url) == (None, "'z'", "")


def test_capture_without_an_app_says_what_to_do(
    bind: Bind, caplog: pytest.LogCaptureFixture
) -> None:
    extension = FMDAdmin()
    with caplog.at_level(logging.ERROR):
        extension.capture(ValueError("x"))
        extension.capture("a text")  # type: ignore[arg-type]
    assert "with app.app_context()" in caplog.text
    assert "is no exception" in caplog.text


def test_level_0_records_none(bind: Bind) -> None:
    bound = bind(monitor_level=0)
    bound.app.add_url_rule("/", "index", checkout)
    get(bound.app, "/")
    assert groups(bound) == {}
    assert bound.monitor.exceptions.raised == {}


def test_teardown_functions_that_raise_are_seen(bind: Bind) -> None:
    bound = bind()
    bound.app.add_url_rule("/", "index", lambda: "hello")

    @bound.app.teardown_request
    def teardown(_error: BaseException | None) -> None:
        look_up("teardown")

    with pytest.raises(KeyError):
        get(bound.app, "/")
    assert only(bound).counts == {("index", "unknown"): 1}


def test_where_exceptions_are_passed_on_they_count_once(bind: Bind) -> None:
    bound = bind()
    bound.app.testing = True
    bound.app.add_url_rule("/", "index", checkout)
    with pytest.raises(ShopError):
        get(bound.app, "/")
    assert only(bound).hits == 1


def answers(app: Flask) -> list[tuple[Any, ...]]:
    found = []
    for path in ("/checkout", "/environ", "/abort", "/missing", "/streamed"):
        with app.test_client().get(path) as response:
            found.append((path, response.status, response.headers.to_wsgi_list(), response.data))
    return found


def failing(app: Flask) -> Flask:
    app.add_url_rule("/checkout", "checkout", checkout)
    app.add_url_rule("/streamed", "streamed", lambda: Response(iter(["a", "b"])))
    app.add_url_rule("/abort", "abort", lambda: (_ for _ in ()).throw(ValueError("x")))
    app.add_url_rule("/environ", "environ", lambda: look_up("e"))

    @app.errorhandler(500)
    def show(error: Any) -> tuple[str, int]:
        from flask import request

        original = error.original_exception
        # All that a handler could show, our marks included.
        names = sorted(key for key in request.environ if not key.startswith("werkzeug"))
        return f"{original!r} {original.__dict__} {names} {vars(request).keys()}", 500

    return app


def test_the_answer_is_the_same_byte_for_byte(bind: Bind) -> None:
    bound = bind(failing(Flask("host")))
    assert answers(bound.app) == answers(failing(Flask("host")))


def test_secrets_do_not_reach_the_store(bind: Bind, tmp_path: Path) -> None:
    bound = bind()

    def login() -> str:
        from flask import request

        form = request.form["password"]
        token = "qqliteralqq"
        key = "-".join(("qqkey", "qq")).replace("-", "")
        raise PermissionError(
            f"{form} is wrong, api_key={key}, {request.headers['X-Api-Key']} {token[:0]}"
        )

    bound.app.add_url_rule("/login", "login", login, methods=["POST"])
    with bound.app.test_client().post(
        "/login?token=qqqueryqq",
        data={"password": "qqformqq"},
        headers={"X-Api-Key": "qqheaderqq", "Authorization": "Bearer qqbearerqq"},
    ) as response:
        assert response.status_code == 500
    found = only(bound)
    assert "is wrong" in found.rows[0].message
    everything = str(found) + str(sources(bound.monitor.store))
    assert "qqliteralqq" not in everything
    secrets = [f"qq{word}qq" for word in ("key", "form", "query", "header", "bearer")]
    assert [secret for secret in secrets if secret in everything] == []
    bound.monitor.close()
    for file in tmp_path.iterdir():
        if file.is_file():
            assert b"qqformqq" not in file.read_bytes()


class Big:
    """Something that a view has in a local variable."""


def test_local_variables_are_not_held_until_it_is_stored(bind: Bind) -> None:
    bound = bind(flush_interval_s=1.0)
    # A log that keeps its records would keep the frames too.
    bound.app.logger.disabled = True
    alive: list[weakref.ref[Big]] = []

    def index() -> str:
        big = Big()
        alive.append(weakref.ref(big))
        raise ValueError("x")

    bound.app.add_url_rule("/", "index", index)
    # Nothing is written meanwhile.
    with bound.monitor.recorder._flush_lock:
        get(bound.app, "/")
        # Flask itself leaves them in a cycle.
        gc.collect()
        assert alive[0]() is None
    assert only(bound).hits == 1


def test_a_storm_is_counted_exactly_and_stored_in_part(bind: Bind) -> None:
    bound = bind()
    bound.app.logger.disabled = True
    bound.app.add_url_rule("/one", "one", checkout)
    bound.app.add_url_rule("/two", "two", lambda: look_up("2"))

    def many() -> None:
        for _ in range(100):
            get(bound.app, "/one")
            get(bound.app, "/two")

    threads = [threading.Thread(target=many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = groups(bound)
    assert sorted(one.hits for one in found.values()) == [400, 400]
    assert all(PER_MINUTE <= len(one.rows) <= 2 * PER_MINUTE for one in found.values())
    assert len(bound.rows()) == 800
    assert bound.monitor.exceptions.raised == {}
    assert bound.monitor.faults.total() == 0


def test_counts_survive_a_store_that_is_away(bind: Bind, monkeypatch: pytest.MonkeyPatch) -> None:
    bound = bind()
    bound.app.logger.disabled = True
    bound.app.add_url_rule("/", "index", checkout)
    write = Store.write

    def away(*_args: Any, **_options: Any) -> Any:
        raise OSError("away")

    monkeypatch.setattr(Store, "write", away)
    for _ in range(30):
        get(bound.app, "/")
        with pytest.raises(OSError, match="away"):
            bound.monitor.recorder.flush()
    monkeypatch.setattr(Store, "write", write)
    assert only(bound).hits == 30


def deep(levels: int) -> int:
    if levels == 0:
        raise ValueError("at the bottom")
    return deep(levels - 1)


def test_deep_stacks_are_cut_in_their_middle(bind: Bind) -> None:
    bound = bind()
    bound.app.logger.disabled = True
    bound.app.add_url_rule("/<int:levels>", "deep", lambda levels: str(deep(levels)))
    limit = sys.getrecursionlimit()
    get(bound.app, "/300")
    sys.setrecursionlimit(10_000)
    try:
        get(bound.app, "/5000")
    finally:
        sys.setrecursionlimit(limit)
    found = only(bound)
    assert found.hits == 2
    links = [row.detail.links[0] for row in found.rows]
    assert [len(link.frames) for link in links] == [OUTER + INNER] * 2
    assert links[0].cut > 300 - OUTER - INNER
    assert links[1].cut > 5_000 - OUTER - INNER
    assert {link.frames[-1].line for link in links} == {deep.__code__.co_firstlineno + 2}


def fall(levels: int, where: str) -> int:
    if levels == 0:
        return to_the_left() if where == "left" else to_the_right()
    return fall(levels - 1, where)


def to_the_left() -> int:
    raise ValueError("left")


def to_the_right() -> int:
    raise ValueError("right")


def test_very_deep_ones_are_grouped_by_their_inner_end(bind: Bind) -> None:
    bound = bind()
    stop_minutes(bound)
    bound.app.logger.disabled = True
    for where in ("left", "right"):
        bound.app.add_url_rule(f"/{where}", where, partial(fall, 2_000, where))
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10_000)
    try:
        for _ in range(2 * PER_MINUTE):
            for where in ("left", "right"):
                get(bound.app, f"/{where}")
    finally:
        sys.setrecursionlimit(limit)
    found = groups(bound)
    assert {one.function: one.hits for one in found.values()} == {
        "to_the_left": 2 * PER_MINUTE,
        "to_the_right": 2 * PER_MINUTE,
    }
    for one in found.values():
        assert len(one.rows) == PER_MINUTE
        for row in one.rows:
            assert row.detail.links[0].frames[-1].function == one.function


def begun(bound: Bound, path: str) -> Any:
    """The body of an answer that is still to be sent."""
    return bound.app.wsgi_app(environ(path), lambda *_: lambda _: None)


class Local:
    """A variable of the host's."""


def test_very_deep_ones_are_looked_at_when_their_answer_has_been_sent(bind: Bind) -> None:
    bound = bind()
    bound.app.logger.disabled = True
    alive: list[weakref.ref[Local]] = []

    def view() -> str:
        variable = Local()
        alive.append(weakref.ref(variable))
        return str(deep(2_000))

    bound.app.add_url_rule("/", "deep", view)
    raised = bound.monitor.exceptions.raised
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10_000)
    try:
        bodies = [begun(bound, "/") for _ in range(_MAX_WAITING)]
        assert groups(bound) == {}
        assert len(raised) == _MAX_WAITING
        # One more is not made to wait: each keeps variables of the host's alive.
        bodies.append(begun(bound, "/"))
        assert only(bound).hits == 1
    finally:
        sys.setrecursionlimit(limit)
    for body in bodies:
        assert b"".join(body)
        body.close()
    del bodies, body
    gc.collect()
    assert not raised
    assert {one() for one in alive} == {None}
    found = only(bound)
    assert (found.function, found.hits) == ("deep", _MAX_WAITING + 1)
    assert found.rows[0].detail.links[0].frames[-1].line == deep.__code__.co_firstlineno + 2


def test_very_deep_ones_that_reach_the_server_are_counted(bind: Bind) -> None:
    bound = bind()
    bound.app.config["PROPAGATE_EXCEPTIONS"] = True
    bound.app.add_url_rule("/", "deep", lambda: str(deep(2_000)))
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10_000)
    try:
        with pytest.raises(ValueError, match="at the bottom"):
            begun(bound, "/")
    finally:
        sys.setrecursionlimit(limit)
    assert (only(bound).function, only(bound).hits) == ("deep", 1)
    assert [row.endpoint for row in bound.rows()] == ["deep"]


class AngryBody:
    """A host's body that raises when it is asked what it is."""

    __next__ = partial(int)

    def __getattr__(self, name: str) -> object:
        raise RuntimeError(name)


def test_a_body_that_cannot_be_asked_is_still_closed(bind: Bind) -> None:
    bound = bind()
    exchange: Any = SimpleNamespace(endpoint="index", body=AngryBody(), environ={})
    bound.monitor.exceptions.raised.while_sent(exchange, ValueError("while it is sent"))
    assert bound.monitor.faults.by_place() == {"noting an exception": 1}
    assert groups(bound) == {}


class Broken(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def test_exceptions_that_cannot_be_shown(bind: Bind) -> None:
    bound = bind()
    bound.app.logger.disabled = True

    def view(kind: str) -> str:
        if kind == "broken":
            raise Broken
        if kind == "long":
            raise ValueError("x" * 5_000_000)
        error = ValueError("\0 nul, \ud800 half")
        error.__cause__ = error
        raise error

    bound.app.add_url_rule("/<kind>", "view", view)
    for kind in ("broken", "long", "odd"):
        get(bound.app, f"/{kind}")
    messages = [row.message for one in groups(bound).values() for row in one.rows]
    assert len(messages) == 3
    assert any("raises an exception" in text for text in messages)
    assert "x" * 1000 in messages
    assert any("nul" in text and "\0" not in text for text in messages)


class Later:
    """A thread that goes on with a request's context after the request has ended."""

    def __init__(self, bound: Bound) -> None:
        self._ended = threading.Event()
        self._thread = threading.Thread()
        bound.app.add_url_rule("/", "index", self._view)
        bound.app.add_url_rule("/fails", "fails", lambda: str(look_up("next")))
        get(bound.app, "/")
        self._ended.set()
        self._thread.join()
        gc.collect()

    def _view(self) -> str:
        @copy_current_request_context
        def work() -> None:
            self._ended.wait(30)
            try:
                look_up("later")
            except KeyError as error:
                fmd_admin.capture(error)

        self._thread = threading.Thread(target=work)
        self._thread.start()
        return "hello"


def a_minute_later(bound: Bound) -> Any:
    """Let a tick come when what was raised was raised more than a minute ago."""
    [seen] = bound.monitor.exceptions.raised.values()
    seen.at_ns -= 61 * 10**9
    bound.monitor.exceptions.tick()
    seen.at_ns += 61 * 10**9


def test_captured_after_its_request_had_ended(bind: Bind) -> None:
    bound = bind()
    Later(bound)
    raised = bound.monitor.exceptions.raised
    bound.monitor.exceptions.tick()
    assert len(raised) == 1
    a_minute_later(bound)
    assert raised == {}
    [row] = only(bound).rows
    assert (row.endpoint, row.message, row.handled) == (None, "'later'", True)
    assert only(bound).counts == {("index", "unknown"): 1}


def test_what_runs_for_long_keeps_its_exceptions(bind: Bind) -> None:
    bound = bind()

    def view() -> str:
        try:
            look_up("long")
        except KeyError as error:
            fmd_admin.capture(error)
        a_minute_later(bound)
        return "hello"

    bound.app.add_url_rule("/", "index", view)
    assert get(bound.app, "/") == "hello"
    assert [row.endpoint for row in only(bound).rows] == ["index"]


def test_another_request_whose_environment_lies_at_the_same_place(bind: Bind) -> None:
    bound = bind()
    Later(bound)
    raised = bound.monitor.exceptions.raised
    [seen] = raised.values()
    environ = EnvironBuilder("/fails").get_environ()
    raised.clear()
    raised[id(environ)] = seen
    body: Any = bound.app(environ, lambda *_: lambda _: None)
    body.close()
    assert raised == {}
    rows = sorted((row.message, row.endpoint) for row in only(bound).rows)
    assert rows == [("'later'", None), ("'next'", "fails")]


def test_captured_while_the_body_is_streamed(bind: Bind) -> None:
    bound = bind()

    def chunks() -> Iterator[str]:
        yield "a"
        try:
            look_up("stream")
        except KeyError as error:
            fmd_admin.capture(error)
        yield "b"

    bound.app.add_url_rule("/", "index", lambda: Response(stream_with_context(chunks())))
    assert get(bound.app, "/") == "ab"
    assert only(bound).rows[0].status == 200
    assert bound.monitor.exceptions.raised == {}


def serve(app: Flask, path: str, fail_to_send: bool = False) -> int:
    """Send a body as servers do; return how many parts got out."""
    environ = EnvironBuilder(path).get_environ()
    body = app.wsgi_app(environ, lambda *_: lambda _: None)
    sent = 0
    try:
        for _ in body:
            if fail_to_send:
                raise BrokenPipeError
            sent += 1
    finally:
        close = getattr(body, "close", None)
        if close is not None:
            close()
    return sent


@pytest.mark.parametrize("level", [1, 2])
def test_what_a_body_raises_while_it_is_sent(bind: Bind, level: int) -> None:
    bound = bind(monitor_level=level)

    def chunks() -> Iterator[str]:
        yield "a"
        look_up("stream")

    def captured() -> Iterator[str]:
        yield "a"
        try:
            look_up("both")
        except KeyError as error:
            fmd_admin.capture(error)
            raise

    bound.app.add_url_rule("/", "index", lambda: Response(chunks()))
    bound.app.add_url_rule("/in", "inside", lambda: Response(stream_with_context(chunks())))
    bound.app.add_url_rule("/both", "both", lambda: Response(stream_with_context(captured())))
    for path in ("/", "/in", "/both"):
        with pytest.raises(KeyError):
            serve(bound.app, path)
    found = only(bound)
    assert found.counts == {(name, "unknown"): 1 for name in ("index", "inside", "both")}
    assert [(row.status, row.handled) for row in found.rows] == [
        (200, False),
        (200, False),
        (200, True),
    ]
    assert len(bound.rows()) == 3
    assert bound.monitor.exceptions.raised == {}


def test_what_others_raise_while_a_body_is_closed(bind: Bind) -> None:
    bound = bind()
    bound.app.add_url_rule("/", "index", lambda: Response(iter(["a", "b"])))
    with pytest.raises(BrokenPipeError):
        serve(bound.app, "/", fail_to_send=True)
    try:
        look_up("outside")
    except KeyError:
        # A request within the handling of another exception.
        assert serve(bound.app, "/") == 2
    assert groups(bound) == {}
    assert len(bound.rows()) == 2


def test_async_views_and_templates(bind: Bind) -> None:
    bound = bind()
    bound.app.logger.disabled = True

    async def asynchronous() -> str:
        return str(look_up("async"))

    bound.app.add_url_rule("/async", "asynchronous", asynchronous)
    bound.app.add_url_rule(
        "/template", "template", lambda: render_template_string("a\n{{ 1 // 0 }}")
    )
    get(bound.app, "/async")
    get(bound.app, "/template")
    found = groups(bound)
    assert found["KeyError look_up"].counts == {("asynchronous", "unknown"): 1}
    [template] = [one for one in found.values() if one.type == "ZeroDivisionError"]
    frames = template.rows[0].detail.links[0].frames
    assert [frame.line for frame in frames if frame.file == "<template>"] == [2]


@pytest.mark.parametrize("level", [2, 3])
def test_higher_levels_have_exceptions_too(bind: Bind, level: int) -> None:
    bound = bind(monitor_level=level)
    bound.app.logger.disabled = True
    bound.app.add_url_rule("/", "index", checkout)
    for _ in range(3):
        get(bound.app, "/")
    found = only(bound)
    assert (found.hits, len(found.rows)) == (3, 3)
    assert len(bound.rows()) == 3


def test_a_fault_of_ours_changes_nothing(bind: Bind, monkeypatch: pytest.MonkeyPatch) -> None:
    bound = bind()
    bound.app.logger.disabled = True
    bound.app.add_url_rule("/", "index", checkout)
    before = get(bound.app, "/")

    def broken(*_: Any) -> bool:
        raise RuntimeError("ours")

    monkeypatch.setattr(bound.monitor.exceptions, "_count", broken)
    assert get(bound.app, "/") == before
    assert bound.monitor.faults.by_place() == {"noting an exception": 1}


def test_one_that_cannot_be_made_a_record_takes_no_other_with_it(
    bind: Bind, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound = bind()

    def view() -> str:
        for key in "abc":
            try:
                look_up(key * 2)
            except KeyError as error:
                fmd_admin.capture(error)
        return "hello"

    made = bound.monitor.exceptions.occurrence

    def occurrence(held: Any, row: Any) -> Any:
        if held.links[0].message == "'aa'":
            raise RuntimeError("ours")
        return made(held, row)

    monkeypatch.setattr(bound.monitor.exceptions, "occurrence", occurrence)
    bound.app.add_url_rule("/", "index", view)
    get(bound.app, "/")
    assert [row.message for row in only(bound).rows] == ["'bb'", "'cc'"]
    assert bound.monitor.faults.by_place() == {"noting an exception": 1}


def test_environments_that_are_copied_do_not_pile_up(bind: Bind) -> None:
    bound = bind()
    raised = bound.monitor.exceptions.raised
    kept = [{"number": number} for number in range(1500)]
    for one in kept:
        raised.of(one, None, 0)
    assert len(raised) == 1_000
