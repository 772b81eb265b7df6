"""Nothing of a request is left once it is stored, and what is cached is bounded."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask, Response, abort, render_template_string, request
from sqlalchemy import func, select

from benchmarks.memory import left
from fmd_admin.collect import frames
from fmd_admin.store.models import CodeLine, Outlier, Profile

from ..support import Bound

THREADS = 8
REQUESTS = 300
ASLEEP_S = 30.0
SEEN_S = 60.0
TEMPLATE = "{% for n in range(200) %}{{ n }}{{ nothing }}{% endfor %}"


def make_app() -> Flask:
    app = Flask("memory")
    app.add_url_rule("/", "index", lambda: "hello")
    app.add_url_rule("/missing", "missing", lambda: abort(404))
    app.add_url_rule("/stream", "stream", lambda: Response(iter(["a", "b"])))
    # Compiled anew in each request.
    app.add_url_rule("/page", "page", lambda: render_template_string(TEMPLATE))

    @app.route("/sometimes")
    def sometimes() -> str:
        if request.args.get("slow"):
            time.sleep(0.1)
        return "done"

    @app.route("/fails")
    def fails() -> str:
        raise ValueError("as it should")

    return app


def send(app: Flask, paths: list[str]) -> None:
    """Call the app as a server does; every tenth body is closed unread."""
    client = app.test_client()
    for number, path in enumerate(paths):
        try:
            response = client.get(path)
        except ValueError:
            continue
        if number % 10:
            response.get_data()
        response.close()


def send_in_threads(app: Flask, paths: list[str]) -> None:
    threads = [threading.Thread(target=send, args=(app, paths)) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def wait_until_asleep(bound: Bound) -> None:
    deadline = time.monotonic() + ASLEEP_S
    while not bound.monitor.watch.watcher.asleep:
        assert time.monotonic() < deadline, "the watcher did not go to sleep"
        time.sleep(0.02)


def count(bound: Bound, table: Any) -> int:
    with bound.monitor.store.read() as connection:
        return connection.scalar(select(func.count()).select_from(table)) or 0


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_nothing_of_a_request_is_left(bind: Callable[..., Bound], level: int) -> None:
    app = make_app()
    app.testing = True  # Errors come out of the app, as they do of a WSGI server's.
    bound = bind(app, monitor_level=level, outliers_per_minute=1000, sampling_period_ms=1.0)
    before = left()
    send(app, ["/sometimes"] * 20)
    bound.monitor.recorder.flush()

    paths = ["/", "/missing", "/stream", "/page", "/fails", "/sometimes"] * (REQUESTS // 6)
    send_in_threads(app, [*paths, "/sometimes?slow=1"])

    bound.monitor.recorder.flush()
    wait_until_asleep(bound)
    assert left() == before
    assert bound.monitor.recorder.depth == 0
    assert bound.monitor.watch.watcher.active == {}
    assert bound.monitor.counters()["faults"] == 0
    sent = 20 + THREADS * (len(paths) + 1)
    assert len(bound.rows()) == (sent if level else 0)
    # All this was there in between, or the test would say nothing.
    assert (count(bound, Outlier) >= THREADS) == (level >= 2)
    assert (count(bound, Profile) > 0) == (level == 3)


def test_caches_are_bounded(bind: Callable[..., Bound], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each request brings new code with a file name of its own."""
    bound_entries = 40
    monkeypatch.setattr(frames, "_MAX_CACHED", bound_entries)
    app = Flask("caches")
    number = iter(range(10_000))
    source = (
        "def work():\n    end = clock() + 0.004\n    while clock() < end:\n        pass\nwork()"
    )

    @app.route("/")
    def index() -> str:
        code = compile(source, f"/srv/generated/module_{next(number)}.py", "exec")
        exec(code, {"clock": time.perf_counter})
        return "done"

    bound = bind(app, monitor_level=3, sampling_period_ms=1.0)
    deadline = time.monotonic() + SEEN_S
    while count(bound, CodeLine) <= 2 * bound_entries:
        assert time.monotonic() < deadline, "too few lines were seen to fill the caches"
        send(app, ["/"] * 20)
        bound.monitor.recorder.flush()
    caches = bound.monitor.watch.frames
    sizes = [
        len(cache)
        for cache in (caches._own, caches._short, caches._long, caches._frames, caches._lines)
    ]
    assert max(sizes) <= bound_entries + 1, sizes
