"""20,000 requests through two processes: every one is stored, and every figure agrees."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import Connection, func, select

from fmd_admin.read.overview import overview
from fmd_admin.read.scope import Scope, parse_scope
from fmd_admin.read.visitor_versions import visitor_versions
from fmd_admin.read.visitors import Wanted
from fmd_admin.store import schema, visitors
from fmd_admin.store.models import Client, Endpoint, Group, Hour, HourStatus, Request, RollupDelta
from fmd_admin.store.rollups import merge_deltas
from fmd_admin.store.store import Store
from fmd_admin.store.visitor_models import Kind, VisitorDay, VisitorDelta

from ..support import database_url, new_store
from .servers import IMPORTED, gunicorn, send_many

#: On SQLite, and on servers fewer: ``REQUESTS=20000`` for all of them.
REQUESTS = 20_000
ON_SERVERS = int(os.environ.get("REQUESTS", "5000"))
#: For the last ones of a busy machine to be written while the server runs.
STORED_S = 60.0
PROCESSES = ("-w", "2", "-k", "gthread", "--threads", "4", *IMPORTED)
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

# One user has half of the requests, and 50 share the rest.
users = itertools.count()


def user():
    number = next(users)
    return "anna" if number % 2 else f"user{{number % 100}}"


# Stored often, so that there is something new for each look.
FMDAdmin(app, group_by=user, settings={{"database": {database!r},
    "flush_interval_s": 0.2, "rollup_interval_s": 0.5,
    "username": "anna", "password": "correct horse"}})
"""

pytestmark = [pytest.mark.server, pytest.mark.every_engine, pytest.mark.usefixtures("warm_servers")]


def last_day(connection: Connection, store: Store) -> Scope:
    return parse_scope(
        connection,
        {"range": ["24h"]},
        zone=store.timezone,
        default_range="24h",
        now_ms=int(time.time() * 1000),
    )


def raw_and_shown(store: Store) -> tuple[int, int, int]:
    """Count raw rows, ask the overview and the users' page, in one read transaction."""
    with store.read() as connection:
        scope = last_day(connection, store)
        raw = connection.scalar(select(func.count()).select_from(Request)) or 0
        users = visitor_versions(connection, scope, Kind.GROUP, Wanted(page_size=None))
        by_user = sum(bubble.hits for bubble in users.bubbles)
        return raw, overview(connection, scope).summary.hits, by_user


def test_nothing_is_lost_and_everything_agrees(tmp_path: Path, engine: str) -> None:
    requests = REQUESTS if engine == "sqlite" else ON_SERVERS
    (tmp_path / "many.py").write_text(
        APP.format(folder=str(tmp_path), database=database_url(tmp_path))
    )
    paths = [PATHS[i % len(PATHS)] for i in range(requests)]
    store = new_store(tmp_path)
    schema.migrate(store)
    with gunicorn("many:app", tmp_path, *PROCESSES) as server:
        answers: Counter[tuple[str, int]] = Counter()
        client = threading.Thread(
            target=lambda: answers.update(send_many(server.port, paths, connections=8))
        )
        client.start()
        moments = []
        while client.is_alive():
            moments.append(raw_and_shown(store))
            time.sleep(0.02)
        client.join()
        deadline = time.monotonic() + STORED_S
        moments.append(raw_and_shown(store))
        while moments[-1][0] < requests and time.monotonic() < deadline:
            time.sleep(0.02)
            moments.append(raw_and_shown(store))
        assert server.stop() == 0
        log = server.log
    assert sum(answers.values()) == requests
    assert [m for m in moments if len(set(m)) != 1] == []
    assert len({raw for raw, _, _ in moments}) > 3, (
        "the pages were not asked while requests came in"
    )
    assert moments[-1] == (requests, requests, requests)
    # What the last process wrote at its end waits for the next one that holds the lease.
    with store.write() as connection:
        merge_deltas(connection, store.timezone)
    check_stored(store, answers)
    check_visitors(store, requests)
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
    assert hits == sum(answers.values())
    assert total_ms == pytest.approx(raw_ms, rel=1e-9)


def check_visitors(store: Store, requests: int) -> None:
    """Users and addresses have the hits of their raw rows, waiting, merged and summed."""
    kinds = ((Kind.GROUP, Group, Request.group_id), (Kind.CLIENT, Client, Request.client_id))
    raw = {}
    with store.read() as connection:
        for kind, table, column in kinds:
            query = select(table.name, func.count()).where(table.id == column)
            raw[kind] = dict(connection.execute(query.group_by(table.name)).all())
    assert len(raw[Kind.GROUP]) == 51
    assert [sum(hits.values()) for hits in raw.values()] == [requests, requests]
    assert shown_visitors(store) == raw
    visitors.tend(store, bool, at=1)
    with store.read() as connection:
        assert connection.scalar(select(func.count()).select_from(VisitorDelta)) == 0
        per_kind = select(VisitorDay.kind, func.sum(VisitorDay.hits)).group_by(VisitorDay.kind)
        assert dict(connection.execute(per_kind).all()) == {
            Kind.GROUP: requests,
            Kind.CLIENT: requests,
        }
    assert shown_visitors(store) == raw
    with store.write() as connection:
        for cell in visitors.unsummed(connection, int(time.time() * 1000) + 3 * 86_400_000):
            visitors.sum_endpoints(connection, cell)
    assert shown_visitors(store) == raw


def shown_visitors(store: Store) -> dict[Kind, dict[str, int]]:
    """Hits by the name of each visitor, as the pages of all endpoints show them."""
    found: dict[Kind, dict[str, int]] = {}
    with store.read() as connection:
        scope = last_day(connection, store)
        for kind in Kind:
            result = visitor_versions(connection, scope, kind, Wanted(page_size=None))
            found[kind] = {result.names[b.visitor]: b.hits for b in result.bubbles}
    return found
