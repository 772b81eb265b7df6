"""A gevent worker: every row is right, and what cannot be seen there is said."""

from __future__ import annotations

import time
from html import unescape
from pathlib import Path

import pytest
from sqlalchemy import func, select

from fmd_admin.collect.obstacles import GREENLETS
from fmd_admin.store.models import Outlier, Profile
from fmd_admin.store.outlier_detail import decode

from ..support import new_store, stored_rows
from .panel_session import PanelSession
from .servers import ROOT, gunicorn, send_many
from .test_switching import get, wait_until

pytestmark = pytest.mark.server

AT_ONCE = 50
WAIT_S = 1.0
QUICK = 60
APP = """
import threading, time
from flask import Flask, request
from fmd_admin import FMDAdmin

app = Flask("green", instance_path={folder!r})


@app.get("/wait")
def wait():
    time.sleep(float(request.args.get("s", 0)))
    return request.args.get("user", "")


FMDAdmin(app, group_by=lambda: request.args.get("user"), settings={{
    "database": "sqlite:///{folder}/fmd.db", "username": "anna", "password": "correct horse",
    "monitor_level": 3, "outliers_per_minute": 1000}})
app.add_url_rule("/learnt", "learnt", lambda: str(
    "wait" in app.extensions["fmd_admin"].watch.limits_ns))
"""


def test_fifty_requests_that_wait_at_once(tmp_path: Path) -> None:
    (tmp_path / "green.py").write_text(APP.format(folder=str(tmp_path)))
    with gunicorn("green:app", tmp_path, "-w", "1", "-k", "gevent") as server:
        wait_until(lambda: get(server.port, "/learnt")[0] == 200, "the server answers")
        send_many(server.port, ["/wait"] * QUICK, 4)
        wait_until(lambda: get(server.port, "/learnt")[1] == "True", "the limit is known")
        began = time.monotonic()
        paths = [f"/wait?s={WAIT_S}&user=u{number}" for number in range(AT_ONCE)]
        answers = send_many(server.port, paths, AT_ONCE)
        took_s = time.monotonic() - began
        assert sorted(answers) == sorted((path, 200) for path in paths)
        # They did wait at once, and our flusher among them.
        assert took_s < AT_ONCE * WAIT_S / 2
        anna = PanelSession(server.port).log_in()
        page = unescape(anna.get("/system").text)
        assert GREENLETS in page
        assert "levels 2 and 3 see no code here" in page
        [process] = anna.get("/system/data.json").json["processes"]
        assert process["unavailable"] == GREENLETS
        assert "fmd_admin-watcher" not in process["threads"]
        assert server.stop() == 0
    assert "Traceback" not in server.log
    store = new_store(tmp_path)
    try:
        rows = [row for row in stored_rows(store) if row.endpoint == "wait"]
        with store.read() as connection:
            details = [decode(one) for one in connection.scalars(select(Outlier.detail))]
            profiles = connection.scalar(select(func.count()).select_from(Profile))
    finally:
        store.close()
    # Each row has its own user and its own time, though all ran on one thread.
    assert len(rows) == QUICK + AT_ONCE
    slow = [row for row in rows if row.group is not None]
    assert sorted(str(row.group) for row in slow) == sorted(f"u{n}" for n in range(AT_ONCE))
    assert all(WAIT_S * 1000 <= row.duration_ms <= took_s * 1000 for row in slow)
    # Outliers come without a stack and say why; each knows its own address.
    waited = [one for one in details if "user=u" in one.url]
    assert len({one.url for one in waited}) == len(waited) == AT_ONCE
    assert {(len(one.stack), one.note) for one in waited} == {(0, GREENLETS)}
    assert profiles == 0


def test_the_docs_say_what_is_not_available() -> None:
    page = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    [row] = [line for line in page.splitlines() if line.startswith("| gunicorn `gevent`")]
    assert "outliers have no stack, and there are no profiles" in row
