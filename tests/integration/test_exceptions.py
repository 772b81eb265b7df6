"""Exceptions of several processes under gunicorn: one group each, counted exactly."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import insert, select

from fmd_admin.store import schema
from fmd_admin.store.alert_models import AlertDelivery, AlertRule, AlertTarget
from fmd_admin.store.models import Writer
from fmd_admin.store.store import Store

from ..exceptions import stored_groups
from ..receivers import webhook
from ..support import new_store, stored_rows
from .servers import IMPORTED, gunicorn, send_many

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
FOUR = ("-w", "4", *IMPORTED)
VIEWS = ("one", "two", "three", "four", "five")

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("warm_servers")]


def test_500_errors_of_four_processes_are_five_groups(tmp_path: Path) -> None:
    paths = [f"/{VIEWS[number % 5]}/{number}" for number in range(250)] + ["/"] * 50
    for version, moved in (("1.0", ""), ("2.0", "#\n" * 20)):
        text = APP.format(folder=str(tmp_path), version=version)
        (tmp_path / "failing.py").write_text(moved + text)
        with gunicorn("failing:app", tmp_path, *FOUR, "--threads", "2") as server:
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


def watch(store: Store) -> None:
    """Alert on new exceptions, through the webhook in the environment."""
    with store.write() as connection:
        target = {"name": "hook", "kind": "webhook", "secret": "env:HOOK", "hint": "env:HOOK"}
        connection.execute(insert(AlertTarget).values(**target, active=True))
        rule = {"name": "new", "kind": "new_exception", "scope": "app", "threshold": 0}
        more = {"window_h": 1, "cooldown_min": 0, "severity": "critical", "targets": "1"}
        connection.execute(insert(AlertRule).values(**rule, **more, active=True, since=0))


def states(store: Store) -> list[str]:
    with store.read() as connection:
        return list(connection.scalars(select(AlertDelivery.state)))


def tried(store: Store) -> list[tuple[str, int]]:
    with store.read() as connection:
        found = connection.execute(select(AlertDelivery.state, AlertDelivery.attempts))
        return [(row.state, row.attempts) for row in found]


def wait_for(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_each_new_group_is_told_once_by_four_processes(tmp_path: Path) -> None:
    text = APP.format(folder=str(tmp_path), version="1.0")
    (tmp_path / "failing.py").write_text(text)
    store = new_store(tmp_path)
    schema.migrate(store)
    with webhook(failures=2) as hook:
        watch(store)
        paths = [f"/{VIEWS[number % 5]}/{number}" for number in range(500)]
        with gunicorn("failing:app", tmp_path, *FOUR, HOOK=hook.url) as server:
            send_many(server.port, paths, connections=8)
            wait_for(lambda: len(hook.accepted) >= 5)
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


def leader(store: Store) -> int | None:
    """The process that runs the jobs, as it said itself."""
    with store.read() as connection:
        statuses = connection.scalars(select(Writer.status)).all()
    found = [json.loads(status) for status in statuses if status]
    pids = [status["pid"] for status in found if status.get("jobs_since")]
    return pids[-1] if pids else None


def test_an_alert_outlives_the_leader_that_decided_on_it(tmp_path: Path) -> None:
    (tmp_path / "failing.py").write_text(APP.format(folder=str(tmp_path), version="1.0"))
    store = new_store(tmp_path)
    schema.migrate(store)
    with webhook(failures=1) as hook:
        watch(store)
        with gunicorn(
            *("failing:app", tmp_path, "-w", "2", *IMPORTED), HOOK=hook.url, FMD_LEASE_TTL_S="2"
        ) as server:
            send_many(server.port, ["/one/1", "/"] * 20, connections=4)
            wait_for(lambda: len(hook.calls) == 1)
            wait_for(lambda: leader(store) is not None)
            pid = leader(store)
            assert pid is not None
            # Its first try has failed, and it has noted that; the next one is ten seconds away.
            wait_for(lambda: tried(store) == [("waiting", 1)])
            os.kill(pid, signal.SIGKILL)
            send_many(server.port, ["/one/2", "/"] * 20, connections=4)
            wait_for(lambda: len(hook.accepted) == 1)
            wait_for(lambda: "sent" in states(store))
            server.stop()
    assert states(store) == ["sent"]
    store.close()
    assert [call["repeat"] for call in hook.accepted] == [False]
    assert len(hook.calls) == 2
