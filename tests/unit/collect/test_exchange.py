"""When a request ends: at once where all of its answer is there, else when its body is closed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask, Response, jsonify, stream_with_context
from werkzeug.wsgi import ClosingIterator

from benchmarks.calls import environ
from fmd_admin.collect.exchange import is_whole

from ...support import Bound

Bind = Callable[..., Bound]
BODY = b"all of it"


def body_of(response: Response, method: str = "GET") -> Any:
    return response({**environ("/"), "REQUEST_METHOD": method}, lambda *_: lambda _: None)


def chunks() -> Iterator[bytes]:
    yield BODY


class OwnClose(Response):
    """A host's response that does something at its end."""

    def close(self) -> None:
        super().close()


class OwnReading(Response):
    """A host's response that computes while it is sent."""

    def iter_encoded(self) -> Iterator[bytes]:
        yield from super().iter_encoded()


class Hostile(Response):
    """A host's response that cannot be asked."""

    @property
    def response(self) -> Any:
        raise RuntimeError("not this one")

    @response.setter
    def response(self, value: Any) -> None:
        pass


def hooked() -> Response:
    response = Response("text")
    response.call_on_close(lambda: None)
    return response


def test_a_response_that_is_all_there_is_known_in_this_version_of_werkzeug() -> None:
    app = Flask("host")
    with app.app_context():
        found = [Response("text"), Response([b"a", b"b"]), jsonify(a=1), Response()]
    assert all(is_whole(body_of(response)) for response in found)


@pytest.mark.parametrize(
    "make",
    [lambda: Response(chunks()), lambda: OwnClose("text"), lambda: OwnReading("text"), hooked],
    ids=["stream", "own close", "own reading", "close hook"],
)
def test_what_may_compute_until_it_is_closed_is_waited_for(make: Callable[[], Response]) -> None:
    body = body_of(make())
    assert type(body) is ClosingIterator
    assert not is_whole(body)


def test_what_is_none_of_werkzeugs_is_waited_for() -> None:
    response = Response("text")
    for body in (
        ClosingIterator([b"text"]),
        ClosingIterator(chunks(), response.close),
        ClosingIterator([b"text"], [print, print]),
        body_of(response, "HEAD"),
    ):
        assert not is_whole(body)


def test_a_response_that_cannot_be_asked_is_waited_for() -> None:
    response = Hostile()
    assert not is_whole(ClosingIterator(body_of(Response("text"))._next.args[0], response.close))


@pytest.mark.parametrize("level", [1, 2, 3])
def test_the_record_is_there_before_the_answer_leaves(bind: Bind, level: int) -> None:
    """And a server gets the body as it was made, where all of it is there."""
    app = Flask("host")
    app.add_url_rule("/", "whole", lambda: "text")
    app.add_url_rule("/stream", "stream", lambda: Response(stream_with_context(chunks())))
    bound = bind(app, monitor_level=level)
    recorder = bound.monitor.recorder
    counted = []
    with recorder._flush_lock:  # Nothing is stored meanwhile.
        for path in ("/", "/stream"):
            body: Any = app.wsgi_app(environ(path), lambda *_: lambda _: None)
            counted.append(recorder.depth)
            assert (type(body) is ClosingIterator) is (path == "/")
            assert list(body)
            body.close()
            counted.append(recorder.depth)
    assert counted == [1, 1, 1, 2]
    assert [row.endpoint for row in bound.rows()] == ["whole", "stream"]
