"""20,000 requests through two processes: every one is stored, and every figure agrees."""

from __future__ import annotations

import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import func, select

from fmd_admin.read.overview import overview
from fmd_admin.read.scope import parse_scope
from fmd_admin.store import schema
from fmd_admin.store.models import Endpoint, Hour, HourStatus, Request, RollupDelta
from fmd_admin.store.rollups import merge_deltas
from fmd_admin.store.store import Store

from ..support import new_store
from .servers import gunicorn, send_many

REQUESTS = 20_000
PATHS = ["/", "/json", "/sometimes", "/missing", "/nowhere"]
ENDPOINTS = {
    "/": "index",
    "/json": "json",
    "/sometimes": "sometimes",
    "/missing": "missing",
    "/nowhere": "(unmatched)",
}
APP = """
import itertools
from flask import Flask, abort, jsonify
from fmd_admin import FMDAdmin

app = Flask("many", instance_path={folder!r})
counter = itertools.count()
app.add_url_rule("/", "index", lambda: "hello")
app.add_url_rule("/json", "json", lambda: jsonify({{str(i): i for i in range(20)}}))
app.add_url_rule("/missing", "missing", lambda: abort(404))

@app.route("/sometimes")
def sometimes():
    return ("busy", 503) if next(counter) % 10 == 0 else "ok"

FMDAdmin(app, group_by=lambda: "anna", settings={{"database": "sqlite:///{folder}/fmd.db",
    "rollup_interval_s": 0.5, "username": "anna", "password": "correct horse"}})
"""

pytestmark = pytest.mark.server


def raw_and_shown(store: Store) -> tuple[int, int]:
    """Count raw rows and ask the overview, in one read transaction."""
    with store.read() as connection:
        scope = parse_scope(
            connection,
            {"range": ["24h"]},
            zone=store.timezone,
            default_range="24h",
            now_ms=int(time.time() * 1000),
        )
        raw = connection.scalar(select(func.count()).select_from(Request)) or 0
        return raw, overview(connection, scope).summary.hits


def test_nothing_is_lost_and_everything_agrees(tmp_path: Path) -> None:
    (tmp_path / "many.py").write_text(APP.format(folder=str(tmp_path)))
    paths = [PATHS[i % len(PATHS)] for i in range(REQUESTS)]
    store = new_store(tmp_path)
    schema.migrate(store)
    with gunicorn("many:app", tmp_path, "-w", "2", "-k", "gthread", "--threads", "4") as server:
        answers: Counter[tuple[str, int]] = Counter()
        client = threading.Thread(
            target=lambda: answers.update(send_many(server.port, paths, connections=8))
        )
        client.start()
        moments = []
        while client.is_alive():
            moments.append(raw_and_shown(store))
            time.sleep(0.2)
        client.join()
        time.sleep(2)
        moments.append(raw_and_shown(store))
        assert server.stop() == 0
        log = server.log
    assert sum(answers.values()) == REQUESTS
    assert [m for m in moments if m[0] != m[1]] == []
    assert len({raw for raw, _ in moments}) > 3, "the pages were not asked while requests came in"
    assert moments[-1] == (REQUESTS, REQUESTS)
    # What the last process wrote at its end waits for the next one that holds the lease.
    with store.write() as connection:
        merge_deltas(connection, store.timezone)
    check_stored(store, answers)
    assert "Traceback" not in log
    assert "ERROR" not in log.upper().replace("ERRORS", "")
    store.close()


def check_stored(store: Store, answers: Counter[tuple[str, int]]) -> None:
    """Raw rows and rollups hold exactly what the client saw."""
    expected: Counter[tuple[str, int]] = Counter()
    for (path, status), hits in answers.items():
        expected[ENDPOINTS[path], status] += hits
    with store.read() as connection:
        raw = connection.execute(
            select(Endpoint.name, Request.status, func.count())
            .join(Endpoint, Endpoint.id == Request.endpoint_id)
            .group_by(Endpoint.name, Request.status)
        )
        assert Counter({(name, status): n for name, status, n in raw}) == expected
        rolled = connection.execute(
            select(Endpoint.name, HourStatus.status, func.sum(HourStatus.hits))
            .join(Endpoint, Endpoint.id == HourStatus.endpoint_id)
            .group_by(Endpoint.name, HourStatus.status)
        )
        assert connection.scalar(select(func.count()).select_from(RollupDelta)) == 0
        assert Counter({(name, status): n for name, status, n in rolled}) == expected
        hits, total_ms = connection.execute(
            select(func.sum(Hour.hits), func.sum(Hour.sum_ms))
        ).one()
        raw_ms = connection.scalar(select(func.sum(Request.duration_ms)))
    assert hits == REQUESTS
    assert total_ms == pytest.approx(raw_ms, rel=1e-9)
