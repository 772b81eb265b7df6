"""Exceptions of several processes under gunicorn: one group each, counted exactly."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from sqlalchemy import insert

from fmd_admin.store import schema
from fmd_admin.store.alert_models import AlertRule, AlertTarget

from ..exceptions import stored_groups
from ..receivers import webhook
from ..support import new_store, stored_rows
from .servers import gunicorn, send_many

APP = """
from flask import Flask
from fmd_admin import FMDAdmin

app = Flask("failing", instance_path={folder!r})
app.logger.disabled = True


def one(number): raise LookupError("user %d not found" % number)
def two(number): raise ValueError(number)
def three(number): return 1 // (number - number)
def four(number): return {{}}[number]
def five(number):
    try:
        four(number)
    except KeyError as error:
        raise RuntimeError("five") from error


for view in (one, two, three, four, five):
    app.add_url_rule("/%s/<int:number>" % view.__name__, view.__name__, view)
app.add_url_rule("/", "index", lambda: "hello")
FMDAdmin(app, settings={{"database": "sqlite:///{folder}/fmd.db", "app_version": {version!r},
    "username": "anna", "password": "correct horse"}})
"""
VIEWS = ("one", "two", "three", "four", "five")

pytestmark = pytest.mark.server


def test_500_errors_of_four_processes_are_five_groups(tmp_path: Path) -> None:
    paths = [f"/{VIEWS[number % 5]}/{number}" for number in range(250)] + ["/"] * 50
    for version, moved in (("1.0", ""), ("2.0", "#\n" * 20)):
        text = APP.format(folder=str(tmp_path), version=version)
        (tmp_path / "failing.py").write_text(moved + text)
        with gunicorn("failing:app", tmp_path, "-w", "4", "--threads", "2") as server:
            answers = send_many(server.port, paths, connections=8)
            assert server.stop() == 0
        assert sum(count for (_, status), count in answers.items() if status == 500) == 250
        assert "Traceback" not in server.log
    store = new_store(tmp_path)
    try:
        groups = stored_groups(store)
        assert len(stored_rows(store)) == 600
    finally:
        store.close()
    assert {(one.type, one.function) for one in groups.values()} == {
        ("LookupError", "one"),
        ("ValueError", "two"),
        ("ZeroDivisionError", "three"),
        ("KeyError", "four"),
        ("RuntimeError", "five"),
    }
    for one in groups.values():
        assert one.module == "failing"
        assert one.counts == {(one.function, "1.0"): 50, (one.function, "2.0"): 50}
        assert one.rows
        lines = {row.version: row.detail.links[0].frames[-1].line for row in one.rows}
        assert lines["2.0"] == lines["1.0"] + 20


def test_each_new_group_is_told_once_by_four_processes(tmp_path: Path) -> None:
    text = APP.format(folder=str(tmp_path), version="1.0")
    (tmp_path / "failing.py").write_text(text)
    store = new_store(tmp_path)
    schema.migrate(store)
    with webhook(failures=2) as hook:
        with store.write() as connection:
            target = {"name": "hook", "kind": "webhook", "secret": "env:HOOK", "hint": "env:HOOK"}
            connection.execute(insert(AlertTarget).values(**target, active=True))
            rule = {"name": "new", "kind": "new_exception", "scope": "app", "threshold": 0}
            more = {"window_h": 1, "cooldown_min": 0, "severity": "critical", "targets": "1"}
            connection.execute(insert(AlertRule).values(**rule, **more, active=True, since=0))
        paths = [f"/{VIEWS[number % 5]}/{number}" for number in range(500)]
        with gunicorn("failing:app", tmp_path, "-w", "4", HOOK=hook.url) as server:
            send_many(server.port, paths, connections=8)
            deadline = time.monotonic() + 60
            while len(hook.accepted) < 5 and time.monotonic() < deadline:
                time.sleep(0.05)
            assert server.stop() == 0
    groups = stored_groups(store)
    store.close()
    assert sorted(call["title"] for call in hook.accepted) == sorted(
        f"New exception: {one.type} in failing.{one.function}" for one in groups.values()
    )
    assert len(groups) == 5
    assert {one.hits for one in groups.values()} == {100}
    # A message may hold anything.
    assert "not found" not in str(hook.calls)
