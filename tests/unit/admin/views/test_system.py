"""The System page: what admins and viewers see, and who may delete."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select

from fmd_admin import FMDAdmin
from fmd_admin.records import Batch, Row
from fmd_admin.store import prune_runs
from fmd_admin.store.accounts import VIEWER, create_user
from fmd_admin.store.models import Request
from fmd_admin.store.prune_runs import Run
from fmd_admin.store.writer import BatchWriter

from ....support import Bound, get
from ..browser import PASSWORD, Browser

DAY_MS = 86_400_000


def fill(bound: Bound, old: int, new: int = 0) -> None:
    now_ms = time.time_ns() // 1_000_000
    times = [now_ms - 40 * DAY_MS] * old + [now_ms] * new
    rows = [Row(at, "index", 5.0, 200, "GET", None, None) for at in times]
    BatchWriter(bound.monitor.store, lambda: 1).write(Batch("old", 1, "1", rows))


def requests(bound: Bound) -> int:
    with bound.monitor.store.read() as connection:
        return connection.scalar(select(func.count()).select_from(Request)) or 0


def runs(bound: Bound) -> list[Run]:
    with bound.monitor.store.read() as connection:
        return prune_runs.recent(connection, 10)


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


def row(data: dict[str, Any], kind: str) -> dict[str, Any]:
    (found,) = [one for one in data["retention"] if one["kind"] == kind]
    return dict(found)


def test_what_would_go_and_what_is_there(bound: Bound, anna: Browser) -> None:
    fill(bound, 1234, 5)
    data = anna.get("/system/data.json").json
    found = row(data, "requests")
    assert (found["rows"], found["exact"], found["kept"]) == (1234, True, "30 days")
    assert {"name": "fmd_request", "rows": 1239, "exact": True, "at_least": False} in data["tables"]
    page = anna.get("/system")
    assert page.status_code == 200
    assert "1,234" in page.text
    assert "Delete now…" in page.text
    assert data["database"]["url"] in page.text


def test_this_process_says_what_it_counts_now(bound: Bound, anna: Browser) -> None:
    for _ in range(3):
        get(bound.app, "/hello/anna")
    assert bound.rows()
    assert eventually(lambda: bool(anna.get("/system/data.json").json["processes"]))
    (process,) = [p for p in anna.get("/system/data.json").json["processes"] if p["answers"]]
    assert process["alive"]
    assert process["stored"] == 3
    assert process["waiting"] == 0
    assert eventually(
        lambda: any(p["leads"] for p in anna.get("/system/data.json").json["processes"])
    )
    page = anna.get("/system").text
    assert "(this one)" in page
    assert f"{process['host']}:{process['pid']}" in page


def test_deleting_asks_first_and_shows_how_far_it_is(bound: Bound, anna: Browser) -> None:
    fill(bound, 50, 2)
    asked = anna.get("/system/prune")
    assert "Raw requests before" in asked.text
    assert "Delete 50 rows" in asked.text
    assert requests(bound) == 52
    answer = anna.post("/system/prune", {"confirmed": "yes"})
    assert (answer.status_code, answer.location) == (303, "/dashboard/system")
    assert runs(bound)[-1].reason == "anna"
    # The process that holds the lease is this one: its flusher was started by the panel.
    assert eventually(lambda: requests(bound) == 2)
    assert eventually(lambda: all(run.finished_at for run in runs(bound)))
    page = anna.get("/system").text
    assert "(anna): 50 rows deleted." in page
    assert anna.get("/system/data.json").json["running"] is None


def test_two_that_ask_at_once(bound: Bound, anna: Browser) -> None:
    # No process runs the jobs: the lease is somebody else's.
    with bound.monitor.store.write() as connection:
        prune_runs.ask(connection, "bob", {"requests": 5}, 5)
    bound.monitor.jobs.tick = lambda *, threads=True: None  # type: ignore[method-assign]
    anna.post("/system/prune", {"confirmed": "yes"})
    page = anna.get("/system").text
    assert "is being deleted already" in page
    assert "asked for by: bob" in page
    assert [run.reason for run in runs(bound)] == ["bob"]
    assert anna.get("/system/data.json").json["running"]["reason"] == "bob"


def test_viewers_see_it_but_no_addresses_and_change_nothing(bound: Bound, vera: Browser) -> None:
    fill(bound, 5)
    try:
        raise ValueError("of this request: hunter2")
    except ValueError:
        bound.monitor.faults.report("group_by")
    assert eventually(lambda: bool(vera.get("/system/data.json").json["processes"]))
    page = vera.get("/system")
    data = vera.get("/system/data.json")
    assert page.status_code == data.status_code == 200
    for text in (page.text, data.text):
        assert "hunter2" not in text
        assert "fmd.db" not in text
    assert "/system/prune" not in page.text
    assert data.json["database"]["url"] is None
    assert vera.get("/system/prune").status_code == 403
    assert vera.post("/system/prune", {"confirmed": "yes"}).status_code == 403
    assert runs(bound) == []
    assert requests(bound) == 5


def test_admins_see_what_failed(bound: Bound, anna: Browser) -> None:
    try:
        raise ValueError("<b>no user</b>")
    except ValueError:
        bound.monitor.faults.report("group_by")
    assert eventually(lambda: bool(anna.get("/system/data.json").json["processes"]))
    page = anna.get("/system").text
    assert "ValueError: &lt;b&gt;no user&lt;/b&gt;" in page


def test_nobody_sees_nothing_and_no_form_without_its_token(
    bound: Bound, nobody: Browser, anna: Browser
) -> None:
    assert nobody.get("/system").status_code == 302
    assert nobody.get("/system/data.json").status_code == 401
    assert anna.open("/system/prune", method="POST").status_code == 400
    assert runs(bound) == []


def test_the_password_of_the_database_is_nowhere(
    bound: Bound, anna: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = bound.monitor.store.engine
    monkeypatch.setattr(engine, "url", engine.url.set(password="hunter2", username="fmd"))
    for path in ("/system", "/system/data.json"):
        assert "hunter2" not in anna.get(path).text


def test_a_schedule_is_shown(bind: Callable[..., Bound]) -> None:
    app = Flask("scheduled")
    extension = FMDAdmin()
    extension.add_database_pruning_schedule(52, False, day_of_week="sun", hour=3)
    bound = bind(app, extension=extension)
    create_user(bound.monitor.store, "vera", PASSWORD, VIEWER)
    browser = Browser(app)
    browser.login("vera")
    data = browser.get("/system/data.json").json
    assert row(data, "requests")["kept"] == "52 weeks (on schedule)"
    assert row(data, "rollups")["kept"] == "730 days"


def test_settings_count_at_once(bound: Bound, anna: Browser) -> None:
    fill(bound, 5)
    answer = anna.post("/settings", {**form(anna), "KEEP_REQUESTS_DAYS": "0"})
    assert answer.status_code == 303, answer.text
    found = row(anna.get("/system/data.json").json, "requests")
    assert (found["kept"], found["before_ms"], found["rows"]) == ("for ever", None, 0)
    answer = anna.post("/settings", {**form(anna), "KEEP_REQUESTS_DAYS": "-1"})
    assert answer.status_code == 400
    assert "a whole number from 0 to 36500 days" in answer.text


def form(browser: Browser) -> dict[str, str]:
    """The settings form as it is shown."""
    import re
    from html import unescape

    text = browser.get("/settings").text
    found = dict(re.findall(r'name="was_(\w+)" value="([^"]*)"', text))
    return {name: unescape(value) for name, value in found.items() if value != "false"}
