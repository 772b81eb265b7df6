"""``add_graph`` as Flask-MonitoringDashboard's documentation shows it."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

import fmd_admin
from fmd_admin import FMDAdmin
from fmd_admin.compat import dashboard
from fmd_admin.errors import BindError, GraphError
from fmd_admin.extension import Monitor

#: Word for word from its page "Detailed Functionality" ("Make it your own!"), version 5.
ON_THE_MINUTE = """
def on_the_minute():
    print(f"On the minute: {datetime.datetime.now()}")
    return int(random() * 100 // 10)


minute_schedule = {'second': 00}

dashboard.add_graph("On Half Minute", on_the_minute, "cron", **minute_schedule)
"""
MIDNIGHT = """
midnight_schedule = {'month':"*",
                     'day': "*",
                     'hour': 23,
                     'minute': 59,
                     'second': 00}
"""
EVERY_TEN_SECONDS = """
def every_ten_seconds():
    print(f"every_ten_seconds!!! {datetime.datetime.now()}")
    return int(random() * 100 // 10)


every_ten_seconds_schedule = {'seconds': 10}

dashboard.add_graph("Every 10 Seconds", every_ten_seconds, "interval", **every_ten_seconds_schedule)
"""
#: Its page gives this schedule without a call.
AT_MIDNIGHT = 'dashboard.add_graph("Midnight", on_the_minute, "cron", **midnight_schedule)'
NOW = datetime(2026, 11, 25, 12, 0, 1, tzinfo=timezone.utc)


pytestmark = pytest.mark.usefixtures("quiet")


def graphs(app: Flask) -> dict[str, str]:
    """Title and schedule in words of each graph that ``app`` would run."""
    monitor: Monitor = app.extensions["fmd_admin"]
    zone = monitor.store.timezone
    runs = monitor.jobs._graphs
    assert runs is not None
    return {graph.title: graph.schedule.words(zone) for graph in runs._graphs}


def run(*examples: str) -> None:
    names: dict[str, object] = {}
    exec("import datetime\nfrom random import random", names)
    names["dashboard"] = fmd_admin
    for example in examples:
        exec(example, names)


def test_the_documented_examples_run_unchanged(apps: list[Flask]) -> None:
    dashboard.bind(apps[0])
    run(ON_THE_MINUTE, MIDNIGHT, AT_MIDNIGHT, EVERY_TEN_SECONDS)
    assert graphs(apps[0]) == {
        "On Half Minute": "every minute at second 0",
        "Midnight": "every day at 23:59:00 (UTC)",
        "Every 10 Seconds": "every 10 seconds",
    }


def test_the_documented_examples_tick_when_they_say(apps: list[Flask]) -> None:
    dashboard.bind(apps[0])
    run(ON_THE_MINUTE, MIDNIGHT, AT_MIDNIGHT, EVERY_TEN_SECONDS)
    monitor: Monitor = apps[0].extensions["fmd_admin"]
    assert monitor.jobs._graphs is not None
    found = {}
    for graph in monitor.jobs._graphs._graphs:
        first = graph.schedule.trigger(timezone.utc).get_next_fire_time(None, NOW)
        assert first is not None
        found[graph.title] = f"{first:%d %H:%M:%S}"
    assert found == {
        "On Half Minute": "25 12:01:00",
        "Midnight": "25 23:59:00",
        "Every 10 Seconds": "25 12:00:10",
    }


def test_before_or_after_bind(apps: list[Flask]) -> None:
    dashboard.add_graph("Before", lambda: 3, "cron", second=0)
    dashboard.bind(apps[0])
    dashboard.add_graph("After", lambda: 3, minutes=5)
    assert list(graphs(apps[0])) == ["Before", "After"]
    dashboard.bind(apps[1])
    assert graphs(apps[1]) == graphs(apps[0])


def test_an_application_factory_may_run_twice(apps: list[Flask]) -> None:
    def create(app: Flask) -> None:
        dashboard.bind(app)
        dashboard.add_graph("Users", lambda: 3, "interval", minutes=5)

    for app in apps:
        create(app)
    assert graphs(apps[1]) == {"Users": "every 5 minutes"}


def test_refusals_reach_the_caller() -> None:
    with pytest.raises(GraphError, match="'Users': cron takes 'minute', not 'minutes'"):
        dashboard.add_graph("Users", lambda: 3, "cron", minutes=5)


def test_the_extension_s_own_way(apps: list[Flask], tmp_path: Path) -> None:
    fmd = FMDAdmin(settings={"database": f"sqlite:///{tmp_path}/fmd.db", "username": "anna",
                             "password": "correct horse"})  # fmt: skip

    @fmd.graph("Users", "interval", seconds=10)
    def users() -> int:
        return 3

    assert users() == 3
    for app in apps:
        fmd.init_app(app)
    fmd.add_graph("Orders", lambda: 4, hours=1)
    expected = {"Users": "every 10 seconds", "Orders": "every hour"}
    assert [graphs(app) for app in apps] == [expected, expected]
    with pytest.raises(BindError, match="several apps"):
        _ = fmd.admin


def test_the_readme_s_example_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")
    section = text[text.index("## Custom graphs") : text.index("## Versions")]
    example = re.findall(r"```python\n(.*?)```", section, re.DOTALL)[0]
    monkeypatch.setenv("FMD_DATABASE", f"sqlite:///{tmp_path}/fmd.db")
    monkeypatch.setenv("FMD_USERNAME", "anna")
    monkeypatch.setenv("FMD_PASSWORD", "correct horse")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "disk"}
    exec(example, names)
    try:
        assert graphs(names["app"]) == {
            "Free disk space (GB)": "every 10 seconds",
            "Routes at midnight": "every day at 23:59:00 (UTC)",
        }
        assert names["free_gb"]() > 0
        assert names["app"].test_client().get("/").text == "Hello"
    finally:
        names["app"].extensions["fmd_admin"].close()
