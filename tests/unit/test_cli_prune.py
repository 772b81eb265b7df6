"""manage.py prune and flask fmd prune: what would go, what went, and from when on."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import pytest
from click.testing import CliRunner, Result
from flask import Flask
from sqlalchemy import func, insert, select

from fmd_admin import FMDAdmin, cli
from fmd_admin.records import Batch, Row
from fmd_admin.store import prune_runs
from fmd_admin.store.models import Group, Hour, Request
from fmd_admin.store.rollups import merge_deltas
from fmd_admin.store.store import Store
from fmd_admin.store.writer import BatchWriter

from ..support import Bound

DAY_MS = 86_400_000


@pytest.fixture
def filled(store: Store) -> Store:
    """One request a day for 60 days, today included."""
    now_ms = time.time_ns() // 1_000_000
    rows = [Row(now_ms - d * DAY_MS, "index", 5.0, 200, "GET", None, None) for d in range(60)]
    BatchWriter(store, lambda: 1).write(Batch("w", 1, "1", rows))
    with store.write() as connection:
        merge_deltas(connection, store.timezone)
        connection.execute(insert(Group).values(name="nobody"))
    return store


def manage(store: Store, *arguments: str) -> Result:
    url = store.engine.url.render_as_string()
    return CliRunner().invoke(cli.manage, ["--database", url, *arguments])


def requests(store: Store) -> int:
    with store.read() as connection:
        return connection.scalar(select(func.count()).select_from(Request)) or 0


def days_ago(days: int) -> str:
    return (datetime.now(timezone.utc) - timedelta(days=days)).strftime("%Y-%m-%d")


def test_a_dry_run_changes_nothing(filled: Store) -> None:
    result = manage(filled, "prune", "--dry-run")
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[0] == "Would be deleted:"
    assert f"  Raw requests before {days_ago(30)}: 29" in lines
    assert f"  Profiles before {days_ago(14)}: 0" in lines
    assert lines[-1] == "  Groups and clients without data: those that are left without any"
    assert requests(filled) == 60
    with filled.read() as connection:
        assert prune_runs.recent(connection, 5) == []


def test_it_deletes_what_it_said(filled: Store) -> None:
    result = manage(filled, "prune")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == "Deleted:"
    assert f"  Raw requests before {days_ago(30)}: 29" in lines
    assert "  Groups and clients without data: 1" in lines
    assert requests(filled) == 31
    with filled.read() as connection:
        (run,) = prune_runs.recent(connection, 5)
        assert connection.scalar(select(func.sum(Hour.hits))) == 60
    assert (run.reason, run.deleted) == ("command line", {"requests": 29, "names": 1})
    assert "  Groups and clients without data: 0" in manage(filled, "prune").output


def test_one_kind_and_one_day(filled: Store) -> None:
    result = manage(filled, "prune", "--kind", "requests", "--before", days_ago(3))
    assert result.stdout == f"Deleted:\n  Raw requests before {days_ago(3)}: 56\n"
    assert requests(filled) == 4
    result = manage(filled, "prune", "--kind", "profiles", "--dry-run")
    assert result.output == (
        "Would be deleted:\n"
        f"  Profiles before {days_ago(14)}: 0\n"
        f"  Lines of code in no profile before {days_ago(16)}: 0\n"
    )


def test_a_day_needs_a_kind(filled: Store) -> None:
    result = manage(filled, "prune", "--before", days_ago(3))
    assert result.exit_code == 2
    assert "--before needs --kind" in result.stderr
    result = manage(filled, "prune", "--kind", "everything")
    assert result.exit_code == 2
    assert "'requests', 'profiles', 'outliers', 'exceptions', 'rollups'" in result.stderr
    result = manage(filled, "prune", "--kind", "requests", "--before", "yesterday")
    assert result.exit_code == 2
    assert "%Y-%m-%d" in result.stderr
    assert requests(filled) == 60


def test_for_ever_is_for_ever(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FMD_KEEP_REQUESTS_DAYS", "0")
    result = manage(filled, "prune", "--kind", "requests")
    assert result.output == "Deleted:\n  Raw requests: kept for ever\n"
    assert requests(filled) == 60


def test_what_an_admin_saved_counts(filled: Store) -> None:
    from fmd_admin.store.live import save_setting

    with filled.write() as connection:
        save_setting(connection, "KEEP_REQUESTS_DAYS", "50", "anna")
    lines = manage(filled, "prune", "--dry-run").output.splitlines()
    assert f"  Raw requests before {days_ago(50)}: 9" in lines


def test_flask_fmd_knows_the_schedules_of_its_app(bind: Callable[..., Bound]) -> None:
    app = Flask("scheduled")
    extension = FMDAdmin()
    extension.add_database_pruning_schedule(52, day_of_week="sun", hour=3)
    bound = bind(app, extension=extension)
    from flask.cli import ScriptInfo

    script = ScriptInfo(create_app=lambda: bound.app)
    result = CliRunner().invoke(cli.fmd, ["prune", "--dry-run"], obj=script)
    assert result.exit_code == 0, result.output
    assert f"  Raw requests before {days_ago(7 * 52)}: 0" in result.output.splitlines()
