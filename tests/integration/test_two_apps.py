"""Two host apps in one process, with a database each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import func, select

from fmd_admin.store.models import Outlier, Profile

from ..support import new_store, stored_rows
from .panel_session import PanelSession
from .servers import gunicorn, send_many
from .test_switching import get, wait_until

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("warm_servers")]

WARM = 40
APP = """
import os, threading, time
from flask import Flask, request
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from fmd_admin import FMDAdmin


def make(name):
    app = Flask(name, instance_path={folder!r})

    @app.get("/work")
    def work():
        time.sleep(0.4 if request.args.get("slow") else 0.005)
        return name

    app.add_url_rule("/only-" + name, "only_" + name, lambda: name)

    @app.get("/state")
    def state():
        monitor = app.extensions["fmd_admin"]
        return {{
            "levels": dict(monitor.watch.rules.levels),
            "counters": dict(monitor.counters()),
            "threads": [t.name for t in threading.enumerate() if "fmd" in t.name],
        }}

    FMDAdmin(app, settings={{"database": f"sqlite:///{folder}/{{name}}.db", "username": name,
        "password": "correct horse", "app_version": name, "outliers_per_minute": 1000}})
    return app


one, two = make("one"), make("two")
app = DispatcherMiddleware(Flask("none"), {{"/one": one, "/two": two}})
"""


def state(port: int, name: str) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = json.loads(get(port, f"/{name}/state")[1])
    return found


def set_level(panel: PanelSession, endpoint: str, level: int) -> None:
    rows = panel.get("/overview/data.json").json["rows"]
    [row] = [row for row in rows if row["name"] == endpoint]
    assert panel.post("/overview/level", {"ids": row["id"], "level": level}).status == 303


def test_they_stay_apart(tmp_path: Path) -> None:
    (tmp_path / "both.py").write_text(APP.format(folder=str(tmp_path)))
    names = ("one", "two")
    with gunicorn("both:app", tmp_path, "-w", "1", "-k", "gthread", "--threads", "4") as server:
        port = server.port
        wait_until(lambda: get(port, "/one/state")[0] == 200, "the server answers")
        for name in names:
            send_many(port, [f"/{name}/work"] * WARM + [f"/{name}/only-{name}"] * 5, 2)
        for name in names:
            wait_until(lambda n=name: "work" in state(port, n)["levels"], "endpoints are known")
        one = PanelSession(port, "/one/dashboard").log_in("one")
        two = PanelSession(port, "/two/dashboard").log_in("two")
        # Whoever may enter one panel may not enter the other.
        stranger = PanelSession(port, "/two/dashboard")
        form = {"username": "one", "password": "correct horse"}
        assert stranger.post("/login", form).status == 401
        stranger._cookies = dict(one._cookies)
        assert stranger.get("/overview").status == 302
        # Level 3 in the first, 0 in the second.
        set_level(one, "work", 3)
        set_level(two, "work", 0)
        wait_until(lambda: state(port, "one")["levels"]["work"] == 3, "level 3")
        wait_until(lambda: state(port, "two")["levels"]["work"] == 0, "level 0")
        for name in names:
            send_many(port, [f"/{name}/work?slow=1"] * 4, 2)
        # Each has its threads: a flusher both, a watcher only the one that profiles.
        threads = state(port, "one")["threads"]
        assert list(threads).count("fmd_admin-flusher") == 2
        assert list(threads).count("fmd_admin-watcher") == 1
        for name in names:
            counters = state(port, name)["counters"]
            assert (counters["dropped"], counters["faults"]) == (0, 0)
        assert server.stop() == 0
    assert "Traceback" not in server.log
    found = {name: stored(tmp_path, name) for name in names}
    rows, profiles, outliers = found["one"]
    assert rows == {"work": WARM + 4, "only_one": 5}
    assert profiles == 4
    assert outliers >= 4
    assert found["two"] == ({"work": WARM, "only_two": 5}, 0, 0)


def stored(folder: Path, name: str) -> tuple[dict[str, int], int, int]:
    """Rows by endpoint without those of our looks, profiles and outliers of a database."""
    store = new_store(folder, database=f"sqlite:///{folder}/{name}.db")
    try:
        rows: dict[str, int] = {}
        for row in stored_rows(store):
            assert row.version == name
            if row.endpoint not in {"state", "(unmatched)"}:
                rows[row.endpoint] = rows.get(row.endpoint, 0) + 1
        with store.read() as connection:
            profiles, outliers = (
                connection.scalar(select(func.count()).select_from(table)) or 0
                for table in (Profile, Outlier)
            )
        return rows, profiles, outliers
    finally:
        store.close()
