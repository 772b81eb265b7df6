"""add_database_pruning_schedule as Flask-MonitoringDashboard's documentation has it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

import fmd_admin as dashboard
from fmd_admin.compat.dashboard import DashboardConfig
from fmd_admin.errors import ScheduleError
from fmd_admin.extension import of


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Flask]:
    config = DashboardConfig()
    monkeypatch.setattr("fmd_admin.compat.dashboard.config", config)
    config.database = f"sqlite:///{tmp_path}/fmd.db"
    config.username, config.password = "anna", "correct horse"
    config.timezone = "Europe/Amsterdam"
    made = Flask("host", instance_path=str(tmp_path))
    yield made
    of(made).close()


def add() -> None:
    dashboard.add_database_pruning_schedule(
        weeks_to_keep=52, delete_custom_graph_data=False, day_of_week="sun", hour=4
    )


def test_after_binding(app: Flask) -> None:
    dashboard.bind(app)
    add()
    (one,) = of(app).jobs.pruning.schedules
    assert (one.weeks, one.with_graph_values) == (52, False)
    assert str(one.trigger) == "cron[day_of_week='sun', hour='4']"
    assert str(one.trigger.timezone) == "Europe/Amsterdam"


def test_before_binding(app: Flask) -> None:
    add()
    dashboard.bind(app)
    assert len(of(app).jobs.pruning.schedules) == 1


def test_what_is_wrong_is_said_before_binding_too(app: Flask) -> None:
    with pytest.raises(ScheduleError, match="cron takes 'hour', not 'hours'"):
        dashboard.add_database_pruning_schedule(52, False, hours=3)
    dashboard.bind(app)
    with pytest.raises(ScheduleError, match="weeks_to_keep"):
        dashboard.add_database_pruning_schedule(0, False, hour=3)
    assert of(app).jobs.pruning.schedules == []
