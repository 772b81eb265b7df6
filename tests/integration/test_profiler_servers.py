"""The profiler against the host's own clocks under gunicorn; see test_profiler_truth."""

from __future__ import annotations

import http.client
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from fmd_admin.read.profiler import Grouped

from .merged import Merged, name_of, shares
from .quiet import undisturbed
from .servers import Server, gunicorn, send_many
from .test_profiler_truth import BOUND, largest
from .truth import KINDS, Clocks, as_clocks

pytestmark = [pytest.mark.server, pytest.mark.alone]

ENDPOINTS = {"blueprint": "part.blueprint"}
THREADS = 8
#: Requests of a kind, and those of which each has a function of its own.
EACH = 600
TAGGED = 300
#: All of it is flushed about once a second.
FLUSHED_S = 30.0


@contextmanager
def served(folder: Path, *options: str) -> Iterator[Server]:
    """One process, so that one answer tells all clocks."""
    app = f"tests.integration.truth:make_app({str(folder)!r})"
    with gunicorn(app, folder, "-w", "1", *options) as server:
        yield server


def with_threads(folder: Path) -> AbstractContextManager[Server]:
    return served(folder, "-k", "gthread", "--threads", str(THREADS))


def truth(server: Server) -> dict[str, Clocks]:
    client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        client.request("GET", "/truth")
        return as_clocks(client.getresponse().read().decode())[0]
    finally:
        client.close()


def stored(folder: Path, endpoint: str, requests: int) -> Grouped:
    """Wait until so many requests are stored."""
    merged = Merged(folder)
    deadline = time.monotonic() + FLUSHED_S
    found = merged.grouped(endpoint, requests)
    while found is None or found.graph.requests < requests:
        assert time.monotonic() < deadline, f"{found and found.graph.requests} are stored"
        time.sleep(0.1)
        found = merged.grouped(endpoint, requests)
    return found


def compare(folder: Path, server: Server, path: str, requests: int) -> None:
    found = stored(folder, ENDPOINTS.get(path, path), requests)
    off = largest(shares(found.graph), truth(server)[path].shares)
    print(f"{path}: off by {off:.2f} points, {found.graph.samples} samples")
    assert off < BOUND


def test_sync_worker(tmp_path: Path) -> None:
    undisturbed(tmp_path, one_request_at_a_time)


def one_request_at_a_time(folder: Path) -> None:
    with served(folder) as server:
        sent = send_many(server.port, ["/plain"] * 200, connections=2)
        assert sent == Counter({("/plain", 200): 200})
        compare(folder, server, "plain", 200)


def test_views_of_every_kind_in_parallel_threads(tmp_path: Path) -> None:
    undisturbed(tmp_path, every_kind)


def every_kind(folder: Path) -> None:
    """All at once, in turn: some 1,500 samples of each kind."""
    paths = [f"/{kind}" for kind in KINDS] * EACH
    with with_threads(folder) as server:
        sent = send_many(server.port, paths, connections=THREADS)
        statuses = {kind: 500 if kind == "error" else 200 for kind in KINDS}
        assert sent == Counter({(f"/{kind}", statuses[kind]): EACH for kind in KINDS})
        for kind in KINDS:
            compare(folder, server, kind, EACH)


def test_no_request_has_time_of_another(tmp_path: Path) -> None:
    """Eight requests at a time, and each has a function that only it calls."""
    folder = undisturbed(tmp_path, own_functions)
    met = 0
    for row, graph in Merged(folder).each("tagged"):
        names = {name_of(node) for node in graph.nodes()}
        only = {name for name in names if name.startswith("only_")}
        assert only <= {f"only_{row.request.group}"}
        met += bool(only)
    # The shortest ones may not have been met at all.
    assert met > 0.75 * TAGGED


def own_functions(folder: Path) -> None:
    with with_threads(folder) as server:
        sent = send_many(server.port, [f"/tagged/{n}" for n in range(TAGGED)], connections=THREADS)
        assert set(sent.values()) == {1}
        assert {status for _, status in sent} == {200}
        compare(folder, server, "tagged", TAGGED)
