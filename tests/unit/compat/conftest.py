"""A fresh ``dashboard.config`` for each test, and apps that are closed at its end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

import fmd_admin
from fmd_admin.compat import dashboard
from fmd_admin.compat.config import DashboardConfig

from ...cheap_hashes import use_cheap_hashes
from ...prepared import EmptyDatabase


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> DashboardConfig:
    use_cheap_hashes(monkeypatch)
    made = DashboardConfig()
    monkeypatch.setattr(dashboard, "config", made)
    monkeypatch.setattr(fmd_admin, "config", made)
    return made


@pytest.fixture
def quiet(fresh: DashboardConfig, tmp_path: Path, empty_database: EmptyDatabase) -> DashboardConfig:
    """A config that prints no password, with its database in the test's folder."""
    empty_database.copy_to(tmp_path)
    fresh.database = f"sqlite:///{tmp_path}/fmd.db"
    fresh.username, fresh.password = "anna", "correct horse"
    return fresh


@pytest.fixture
def apps(tmp_path: Path) -> Iterator[list[Flask]]:
    made = [Flask("one", instance_path=str(tmp_path)), Flask("two", instance_path=str(tmp_path))]
    yield made
    for app in made:
        if "fmd_admin" in app.extensions:
            app.extensions["fmd_admin"].close()
