"""The app in one server, which only measures, and its panel in another."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..support import new_store, stored_rows
from .panel_session import PanelSession
from .servers import Server, command_server, free_port, gunicorn, send_many
from .test_switching import get, wait_until

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("warm_servers")]

WORKERS = 2
IN_FORCE_S = 2.0
APP = """
import json, os
from flask import Flask
from fmd_admin import FMDAdmin

app = Flask("shop", instance_path={folder!r})
FMDAdmin(app, settings={{"database": "sqlite:///{folder}/fmd.db", "panel": False,
    "username": "anna", "password": "correct horse"}})
monitor = app.extensions["fmd_admin"]


@app.get("/")
def index():
    return json.dumps([os.getpid(), monitor.config.levels.get("index")])
"""


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "shop.py").write_text(APP.format(folder=str(tmp_path)))
    with gunicorn("shop:app", tmp_path, "-w", str(WORKERS)) as server:
        wait_until(lambda: get(server.port, "/")[0] == 200, "the app answers")
        yield server
    assert "Traceback" not in server.log


def panel_row(anna: PanelSession) -> dict[str, Any] | None:
    rows = anna.get("/overview/data.json").json["rows"]
    return next((row for row in rows if row["name"] == "index"), None)


@pytest.mark.parametrize("prefix", ["", "/tools/fmd"])
def test_levels_changed_in_the_panel_reach_the_app(
    tmp_path: Path, app: Server, prefix: str
) -> None:
    env = {"FMD_DATABASE": f"sqlite:///{tmp_path}/fmd.db"}
    if prefix:
        env["SCRIPT_NAME"] = prefix
    options = ["-w", str(WORKERS), "--preload"]
    with gunicorn("fmd_admin:create_panel()", tmp_path, *options, **env) as panel:
        anna = PanelSession(panel.port, prefix)
        assert anna.get("/overview").status == 302
        anna.log_in()
        send_many(app.port, ["/"] * 40, connections=2)
        wait_until(lambda: panel_row(anna) is not None, "the panel shows the endpoint")
        row = panel_row(anna)
        assert row is not None
        for level in (0, 1):
            assert anna.post("/overview/level", {"ids": row["id"], "level": level}).status == 303
            changed = time.monotonic()
            seen: dict[int, float] = {}
            while len(seen) < WORKERS:
                assert time.monotonic() - changed < IN_FORCE_S, (level, seen)
                pid, now = json.loads(get(app.port, "/")[1])
                if now == level:
                    seen.setdefault(pid, time.monotonic())
        # The app's processes run the jobs, and the app has nothing of the panel.
        for path in ("/dashboard", "/dashboard/login", "/dashboard/static/css/fmd.css"):
            assert get(app.port, path)[0] == 404
        processes = anna.get("/system/data.json").json["processes"]
        # Both have answered above; of 20 requests that follow, one may get all.
        assert {one["pid"] for one in processes if one["alive"]} == set(seen)
        assert "This panel runs on its own" in anna.get("/system").text
        # What was measured can be looked at while the app is down.
        assert app.stop() == 0
        last = panel_row(anna)
        assert last is not None
        assert last["id"] == row["id"]
        assert panel.stop() == 0
    store = new_store(tmp_path)
    try:
        assert len([r for r in stored_rows(store) if r.endpoint == "index"]) >= 40
    finally:
        store.close()
    assert "Traceback" not in panel.log


def test_the_command_serves_the_panel_with_the_settings_of_the_app(
    tmp_path: Path, app: Server
) -> None:
    port = free_port()
    command = [sys.executable, "-m", "flask", "--app", "shop", "fmd", "panel", "--port", str(port)]
    with command_server(command, tmp_path, port) as panel:
        anna = PanelSession(port, "").log_in()
        wait_until(lambda: panel_row(anna) is not None, "the panel shows the endpoint")
        panel.stop()
    assert "Traceback" not in panel.log
