"""Every shape of response over real HTTP: what is stored is what went over the wire."""

from __future__ import annotations

import http.client
import logging
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ..support import Bound, Stored, serve
from .shapes import SHAPES, STREAM_MS, Shape, add_late, make_app, shape_ids


@dataclass
class Answer:
    """What a client saw."""

    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes


def ask(port: int, shape: Shape) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        # The same Host for both servers: redirects name it.
        headers = {"Host": "shop.test", **shape.headers}
        connection.request(shape.method, shape.path, headers=headers)
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    headers = [(k, v) for k, v in response.getheaders() if k != "Date"]
    return Answer(response.status, response.reason, headers, body)


def rows_of_one_request(bound: Bound) -> list[Stored]:
    """Wait for the row: the client has its answer a moment before the server closes the body."""
    deadline = time.monotonic() + 5
    while not (rows := bound.rows()) and time.monotonic() < deadline:
        time.sleep(0.005)
    return rows


@pytest.fixture
def monitored(tmp_path: Path, bind: Callable[..., Bound]) -> Iterator[tuple[Bound, int]]:
    bound = bind(make_app(tmp_path))
    add_late(bound.app)
    logging.getLogger("shapes").disabled = True
    with serve(bound.app) as port:
        yield bound, port


@pytest.mark.parametrize("shape", SHAPES, ids=shape_ids)
def test_stored_is_what_went_over_the_wire(monitored: tuple[Bound, int], shape: Shape) -> None:
    bound, port = monitored
    start = time.perf_counter()
    answer = ask(port, shape)
    assert answer.status == shape.status
    [row] = rows_of_one_request(bound)
    took_ms = (time.perf_counter() - start) * 1000
    assert (row.endpoint, row.status, row.method) == (shape.endpoint, answer.status, shape.method)
    assert shape.least_ms <= row.duration_ms <= took_ms
    assert row.ip == "127.0.0.1"
    assert abs(row.time_ms - time.time() * 1000) < 60_000
    assert bound.monitor.faults.total() == 0


def test_the_answer_is_the_same_with_and_without(
    monitored: tuple[Bound, int], tmp_path: Path
) -> None:
    _, port = monitored
    bare = make_app(tmp_path)
    add_late(bare)
    with serve(bare) as bare_port:
        for shape in SHAPES:
            with_us, without = ask(port, shape), ask(bare_port, shape)
            assert (with_us.status, with_us.reason) == (without.status, without.reason), shape.name
            assert with_us.headers == without.headers, shape.name
            assert with_us.body == without.body, shape.name


def test_a_stream_that_the_client_closes_early(monitored: tuple[Bound, int]) -> None:
    bound, port = monitored
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"GET /stream HTTP/1.0\r\n\r\n")
        client.recv(100)
    [row] = rows_of_one_request(bound)
    assert (row.endpoint, row.status) == ("stream", 200)
    # The server notices at a later chunk at the earliest, and need not send all of them.
    assert 0 < row.duration_ms < STREAM_MS * 3


def test_an_error_in_the_middle_of_a_stream(monitored: tuple[Bound, int]) -> None:
    bound, port = monitored
    with pytest.raises(http.client.HTTPException):
        ask(port, Shape("/breaks-late", "breaks_late", 200))
    [row] = rows_of_one_request(bound)
    assert (row.endpoint, row.status) == ("breaks_late", 200)
