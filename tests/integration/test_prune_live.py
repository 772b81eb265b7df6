"""Deletion while requests come in: what is old goes, and nothing else is lost or changed."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import func, select

from fmd_admin.records import Batch, Row
from fmd_admin.store import prune_runs, schema
from fmd_admin.store.models import Client, Day, Group, Hour, HourStatus, Request, RollupDelta
from fmd_admin.store.rollups import merge_deltas
from fmd_admin.store.store import Store
from fmd_admin.store.writer import BatchWriter

from ..support import new_store
from .panel_session import PanelSession
from .servers import IMPORTED, gunicorn, send_many

#: Old requests, and new ones that are sent at once, again and again.
OLD, REQUESTS = 60_000, 400
DAY_MS = 86_400_000
DEADLINE_S = 90.0
PROCESSES = ("-w", "2", "-k", "gthread", "--threads", "2", *IMPORTED)
APP = """
from flask import Flask
from fmd_admin import FMDAdmin

app = Flask("many", instance_path={folder!r})
app.add_url_rule("/", "index", lambda: "hello")
app.add_url_rule("/item", "item", lambda: "item")
FMDAdmin(app, group_by=lambda: "anna", settings={{"database": "sqlite:///{folder}/fmd.db",
    "rollup_interval_s": 0.5, "username": "anna", "password": "correct horse"}})
"""

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("warm_servers")]


def fill(store: Store) -> None:
    """Requests of 40 to 50 days ago, by users and addresses of that time only."""
    now_ms = time.time_ns() // 1_000_000
    writer = BatchWriter(store, lambda: 1)
    for number, start in enumerate(range(0, OLD, 5_000)):
        rows = [
            Row(
                now_ms - 50 * DAY_MS + index * 10 * DAY_MS // OLD,
                ("index", "item")[index % 2],
                5.0,
                200,
                "GET",
                f"user{index % 500}",
                f"10.0.{index % 70}.{index % 250}",
            )
            for index in range(start, start + 5_000)
        ]
        writer.write(Batch("old", number + 1, "0.9", rows))
    with store.write() as connection:
        merge_deltas(connection, store.timezone)


def sums(store: Store) -> list[int]:
    with store.read() as connection:
        return [int(connection.scalar(select(func.sum(t.hits))) or 0) for t in TABLES]


TABLES = (Hour, HourStatus, Day)


def old_rows(store: Store) -> int:
    limit = time.time_ns() // 1_000_000 - 35 * DAY_MS
    with store.read() as connection:
        return connection.scalar(select(func.count()).where(Request.time < limit)) or 0


def test_nothing_else_is_lost(tmp_path: Path) -> None:
    (tmp_path / "many.py").write_text(APP.format(folder=str(tmp_path)))
    store = new_store(tmp_path)
    schema.migrate(store)
    fill(store)
    assert sums(store) == [OLD] * 3
    paths = [("/", "/item")[i % 2] for i in range(REQUESTS)]
    answers: Counter[tuple[str, int]] = Counter()
    with gunicorn("many:app", tmp_path, *PROCESSES) as server:
        session = PanelSession(server.port).log_in()
        done = threading.Event()

        def keep_sending() -> None:
            while not done.is_set():
                answers.update(send_many(server.port, paths, 4))

        client = threading.Thread(target=keep_sending)
        client.start()
        session.post("/system/prune", {"confirmed": "yes"})
        left, shown = [], []
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            left.append(old_rows(store))
            running = session.get("/system/data.json").json["running"]
            if running is None:
                break
            shown.append(running["rows"])
            time.sleep(0.05)
        done.set()
        client.join()
        page = session.get("/system").text
        assert server.stop() == 0
        log = server.log
    assert left[-1] == 0, "not done in time"
    assert len({rows for rows in left if 0 < rows < OLD}) > 1, "it was never seen half way"
    assert shown == sorted(shown)
    assert re.search(r"\(anna\): [\d,]+ rows deleted", page)
    sent = sum(answers.values())
    with store.write() as connection:
        merge_deltas(connection, store.timezone)
    assert sums(store) == [OLD + sent] * 3
    with store.read() as connection:
        assert connection.scalar(select(func.count()).select_from(Request)) == sent
        assert connection.scalar(select(func.count()).select_from(RollupDelta)) == 0
        # The days of visitors are kept for as long as the other sums, and so are their names.
        assert connection.scalar(select(func.count()).select_from(Group)) == 501
        assert "127.0.0.1" in set(connection.scalars(select(Client.name)))
        found = [run for run in prune_runs.recent(connection, 10) if run.reason == "anna"]
        dangling = select(func.count()).where(Request.group_id.not_in(select(Group.id)))
        assert connection.scalar(dangling) == 0
    assert found[0].deleted["requests"] == OLD
    assert "Traceback" not in log
    store.close()
