"""Outliers in real servers: where they hang, when they are none, and how many are kept."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from fmd_admin.collect.obstacles import GREENLETS
from fmd_admin.read.measured import Asked
from fmd_admin.read.outliers import OutlierRow, outlier, outliers
from fmd_admin.read.scope import Scope
from fmd_admin.store.models import OutlierSkipped, Profile
from fmd_admin.store.outlier_detail import Detail
from fmd_admin.store.store import Store

from ..support import Stored, new_store, stored_rows
from ..unit.read.test_profiler import scope
from .panel_session import PanelSession
from .servers import Server, gunicorn, send_many
from .stuck import SHAPES

pytestmark = pytest.mark.server

LIMIT_MS = 300.0
STUCK_S = 0.5
#: Means count from ten requests on.
WARM = 12
DEADLINE_S = 60.0
APP = """
from pathlib import Path
from tests.integration.stuck import make_app
app = make_app(Path({folder!r}), **{settings!r})
"""


@contextmanager
def serving(folder: Path, *options: str, **settings: Any) -> Iterator[Server]:
    """The app in one process of gunicorn."""
    settings = {"outlier_min_ms": LIMIT_MS, "monitor_level": 2, **settings}
    (folder / "served.py").write_text(APP.format(folder=str(folder), settings=settings))
    with gunicorn("served:app", folder, "-w", "1", *options) as server:
        yield server


def until(is_so: Callable[[], Any]) -> Any:
    """Wait for a condition; return what it gave."""
    deadline = time.monotonic() + DEADLINE_S
    while not (found := is_so()):
        assert time.monotonic() < deadline, f"not so within {DEADLINE_S} s"
        time.sleep(0.05)
    return found


def limits(server: Server) -> dict[str, int]:
    found: dict[str, int] = PanelSession(server.port, "").get("/limits").json
    return found


def warm(server: Server, paths: list[str], endpoints: set[str]) -> None:
    """Send short requests until the process knows what is usual."""
    send_many(server.port, paths * WARM, 2)
    until(lambda: endpoints <= limits(server).keys())


class Found:
    """What is in the database."""

    def __init__(self, folder: Path) -> None:
        store = new_store(folder)
        try:
            self.requests = stored_rows(store)
            self.outliers, self.details = self._outliers(store)
            with store.read() as connection:
                skipped = select(func.coalesce(func.sum(OutlierSkipped.hits), 0))
                self.left_out = int(connection.execute(skipped).scalar_one())
                counted = select(func.count()).select_from(Profile)
                self.profiles = connection.execute(counted).scalar_one()
        finally:
            store.close()

    def _outliers(self, store: Store) -> tuple[list[OutlierRow], list[Detail]]:
        every: Scope = scope(store, None, int(time.time() * 1000))
        with store.read() as connection:
            rows = outliers(connection, every, Asked(page_size=2_000)).rows
            found = [outlier(connection, row.request.endpoint_id, row.request.id) for row in rows]
        return rows, [one.detail for one in found if one is not None]

    def over(self, limit_ms: float) -> list[Stored]:
        return [row for row in self.requests if row.duration_ms > limit_ms]


def found_when(folder: Path, requests: Callable[[Stored], bool], number: int) -> Found:
    """Wait until so many of the requests are stored."""

    def look() -> Found | None:
        found = Found(folder)
        return found if sum(map(requests, found.requests)) >= number else None

    made: Found = until(look)
    return made


def own_functions(detail: Detail) -> list[str]:
    """The host's own functions on a stack, innermost first."""
    return [frame.function for frame in reversed(detail.stack) if frame.own]


@pytest.mark.parametrize("level", [2, 3])
@pytest.mark.parametrize("worker", [["-k", "sync"], ["-k", "gthread", "--threads", "4"]])
def test_helper_is_at_the_top_of_the_stack(tmp_path: Path, worker: list[str], level: int) -> None:
    paths = list(SHAPES)
    with serving(tmp_path, *worker, monitor_level=level) as server:
        warm(server, paths, set(SHAPES.values()))
        send_many(server.port, [f"{path}?s={STUCK_S}" for path in paths], 4)
        found = found_when(tmp_path, lambda row: row.duration_ms >= STUCK_S * 1000, len(paths))
        # On a busy machine a short one may be over the limit too.
        hung = [
            (row, detail)
            for row, detail in zip(found.outliers, found.details, strict=True)
            if row.request.duration_ms >= STUCK_S * 1000
        ]
        stuck = {row.request.endpoint: row for row, _ in hung}
        by_endpoint = {row.request.endpoint: detail for row, detail in hung}
        assert set(SHAPES.values()) <= stuck.keys()
        for endpoint in SHAPES.values():
            detail = by_endpoint[endpoint]
            own = own_functions(detail)
            assert own[0] == "helper", (endpoint, own, detail.note)
            assert len(own) > 1 or endpoint == "hooked"
            assert detail.stack[-1].source == "time.sleep(duration_s)"
            assert stuck[endpoint].stuck == detail.stack[-1]
            assert detail.stack_at_ms is not None
            assert LIMIT_MS < detail.stack_at_ms < stuck[endpoint].request.duration_ms
            assert detail.process_memory_mib is not None
        # It begins with the host's code: nothing of gunicorn, Flask or us is above it.
        assert by_endpoint["decorated"].stack[0].function.endswith("wrapper")
        assert by_endpoint["hooked"].stack[0].function.endswith("hook")
        assert by_endpoint["stream"].stack[0].function.endswith("chunks")
        assert stuck["error"].request.status == 500
        assert stuck["handled"].request.status == 422
        shows_them_on_the_pages(server, stuck)
        if level == 3:
            level_3_has_all_that_lower_ones_have(server, found, stuck)
        assert "fmd_admin:" not in server.log


def shows_them_on_the_pages(server: Server, stuck: dict[str, OutlierRow]) -> None:
    anna = PanelSession(server.port).log_in()
    every = anna.get("/outliers?page_size=100").text
    assert every.count("time.sleep(duration_s)") >= 2 * len(SHAPES)
    for endpoint in SHAPES.values():
        request = stuck[endpoint].request
        page = anna.get(f"/endpoint/{request.endpoint_id}/outliers/{request.id}").text
        frames = re.findall(r'<div class="frame (own|lib)">\s*<code>(.*?)</code>', page)
        assert frames[0] == ("own", "time.sleep(duration_s)"), endpoint
        assert "helper · tests/integration/stuck.py:" in unescape(page)


def level_3_has_all_that_lower_ones_have(
    server: Server, found: Found, stuck: dict[str, OutlierRow]
) -> None:
    anna = PanelSession(server.port).log_in()
    assert found.profiles >= len(SHAPES) * (WARM + 1)
    hits = Counter(row.endpoint for row in found.requests)
    until(
        lambda: all(
            row["hits"] >= hits[row["name"]]
            for row in anna.get("/overview/data.json?page_size=100").json["rows"]
            if row["name"] in SHAPES.values()
        )
    )
    assert all(hits[endpoint] == WARM + 1 for endpoint in SHAPES.values())
    performance = anna.get("/api-performance/data.csv").text
    for endpoint in SHAPES.values():
        endpoint_id = stuck[endpoint].request.endpoint_id
        # Level 1, level 2, level 3.
        assert endpoint in performance
        hourly = anna.get(f"/endpoint/{endpoint_id}/hourly-utilization/data.csv").text
        assert str(WARM + 1) in re.findall(r"\d+", hourly)
        listed = anna.get(f"/endpoint/{endpoint_id}/outliers").text
        assert f'/outliers/{stuck[endpoint].request.id}"' in listed
        page = anna.get(f"/endpoint/{endpoint_id}/profiler?sort=duration_ms").text
        assert "time.sleep(duration_s)" in page, endpoint


def test_a_request_below_its_limit_leaves_nothing(tmp_path: Path) -> None:
    # The mean learns from the long ones too; the floor shall count to the end.
    settings = {"outlier_detection_constant": 1.0}
    with serving(tmp_path, "-k", "gthread", "--threads", "4", **settings) as server:
        warm(server, ["/plain"], {"plain"})
        send_many(server.port, [f"/plain?s={0.05 + 0.05 * i}" for i in range(10)], 2)
        found = found_when(tmp_path, lambda row: row.endpoint == "plain", WARM + 10)
    plain = [row for row in found.requests if row.endpoint == "plain"]
    below = [row for row in plain if 50 <= row.duration_ms <= LIMIT_MS]
    over = [row.duration_ms for row in plain if row.duration_ms > LIMIT_MS]
    assert len(below) >= 1
    assert len(over) >= 4
    mine = [row for row in found.outliers if row.request.endpoint == "plain"]
    assert sorted(row.request.duration_ms for row in mine) == sorted(over)
    assert {row.limit_ms for row in mine} == {LIMIT_MS}
    assert found.left_out == 0


def test_a_storm_is_capped_and_what_is_left_out_counted(tmp_path: Path) -> None:
    storm, cap = 1_000, 20
    # The mean must not come near the outliers: it learns from them too.
    settings = {
        "outlier_detection_constant": 1.0,
        "outlier_min_ms": 5.0,
        "outliers_per_minute": cap,
    }
    with serving(tmp_path, "-k", "gthread", "--threads", "8", **settings) as server:
        send_many(server.port, ["/plain"] * storm, 4)
        until(lambda: "plain" in limits(server))
        first_minute = int(time.monotonic() / 60)
        send_many(server.port, ["/plain?s=0.02"] * storm, 8)
        minutes = int(time.monotonic() / 60) - first_minute + 1
        found = found_when(tmp_path, lambda row: row.endpoint == "plain", 2 * storm)
        until(lambda: len(Found(tmp_path).outliers) + Found(tmp_path).left_out >= storm)
        found = Found(tmp_path)
        # Short ones may have been over 5 ms too, on a busy machine; each is stored or counted.
        over = len([row for row in found.over(5.0) if row.endpoint == "plain"])
        mine = [row for row in found.outliers if row.request.endpoint == "plain"]
        assert over >= storm
        assert cap <= len(mine) <= cap * (minutes + 1)
        anna = PanelSession(server.port).log_in()
        page = anna.get(f"/endpoint/{mine[0].request.endpoint_id}/outliers").text
        shown = re.search(r"([\d,]+) more requests were outliers", page)
        assert shown is not None
        assert int(shown[1].replace(",", "")) == found.left_out
        assert storm <= len(mine) + found.left_out <= over


def test_under_gevent_outliers_have_no_stack_and_say_so(tmp_path: Path) -> None:
    with serving(tmp_path, "-k", "gevent", monitor_level=3) as server:
        warm(server, ["/plain"], {"plain"})
        send_many(server.port, [f"/plain?s={STUCK_S}"], 1)
        found = found_when(tmp_path, lambda row: row.duration_ms >= STUCK_S * 1000, 1)
        [detail] = found.details
        assert (detail.stack, detail.note) == ([], GREENLETS)
        assert detail.url.endswith(f"/plain?s={STUCK_S}")
        assert found.profiles == 0
        [row] = found.outliers
        anna = PanelSession(server.port).log_in()
        page = anna.get(f"/endpoint/{row.request.endpoint_id}/outliers/{row.request.id}").text
        assert GREENLETS in unescape(page)
        assert "Traceback" not in server.log
