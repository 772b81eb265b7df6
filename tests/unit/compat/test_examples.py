"""Flask-MonitoringDashboard's documented examples run with only their import changed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

import fmd_admin
from fmd_admin.compat.config import DashboardConfig
from fmd_admin.errors import SettingsError
from fmd_admin.extension import of
from fmd_admin.store.accounts import Account, authenticate
from fmd_admin.store.exception_models import ExceptionRow

from ...support import get, stored_rows
from . import documented

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OLD_IMPORT = "import flask_monitoringdashboard as dashboard"
Run = Callable[..., Flask]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a commit, where the documentation has ``/<path to your project>``."""
    git = tmp_path / ".git"
    (git / "refs" / "heads").mkdir(parents=True)
    (git / "HEAD").write_text("ref: refs/heads/main\n")
    (git / "refs" / "heads" / "main").write_text(COMMIT + "\n")
    config = at_home(documented.CONFIG_CFG, tmp_path)
    (tmp_path / "config.cfg").write_text(config)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def at_home(text: str, folder: Path) -> str:
    return text.replace("/<path to your project>", str(folder)).replace(
        "/<path to file>", str(folder)
    )


@pytest.fixture
def run(project: Path) -> Iterator[Run]:
    """Run an example with the import changed; return its app, which is closed at the end."""
    made: list[Flask] = []

    def go(example: str, *more: str) -> Flask:
        assert OLD_IMPORT in example
        names: dict[str, Any] = {"__name__": "documented"}
        code = at_home(example, project).replace(OLD_IMPORT, "import fmd_admin as dashboard")
        exec(code, names)
        made.append(names["app"])
        for other in more:
            exec(other, names)
        return made[-1]

    yield go
    for app in made:
        of(app).close()


def only_row(app: Flask) -> Any:
    assert get(app, "/") == "Hello World!"
    monitor = of(app)
    monitor.recorder.flush()
    [row] = stored_rows(monitor.store)
    return row


def test_installation(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    app = run(documented.INSTALLATION)
    assert only_row(app).endpoint == "index"
    assert app.test_client().get("/dashboard/login").status_code == 200
    assert "user:     admin" in capsys.readouterr().err


def test_the_readme(run: Run, quiet: DashboardConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Flask, "run", lambda self: None)
    app = run(documented.README)
    assert get(app, "/test") == "ok"
    of(app).recorder.flush()
    assert [row.endpoint for row in stored_rows(of(app).store)] == ["test"]


def test_configuration(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLASK_DEBUG", "1")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        app = run(documented.CONFIGURATION)
    assert [
        str(one.message).split(" ")[0] for one in caught if "fmd_admin" in str(one.message)
    ] == [
        "ENABLE_LOGGING",
        "TABLE_PREFIX",
        "COLORS",
    ]
    monitor = of(app)
    values = monitor.config.values
    assert (values.monitor_level, values.outlier_detection_constant) == (3, 2.5)
    assert values.sampling_period_ms == 20.0
    assert (values.link, values.timezone) == ("dashboard", "Europe/Amsterdam")
    assert values.database.endswith("/dashboard.db")
    assert only_row(app).version == COMMIT
    login = app.test_client().get("/dashboard/login").text
    assert "<title>Log in – Flask-MonitoringDashboard</title>" in login
    assert '<div class="brand">Flask Monitoring Dashboard</div>' in login
    assert "Automatically monitor the evolving performance" in login
    assert isinstance(authenticate(monitor.store, "admin", "admin", None, 0), Account)


def test_configuration_from_the_environment(
    run: Run, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLASK_DEBUG", "1")
    monkeypatch.setenv("FLASK_MONITORING_DASHBOARD_CONFIG", str(project / "config.cfg"))
    line = "dashboard.config.init_from(file='/<path to file>/config.cfg')"
    assert line in documented.CONFIGURATION
    with pytest.warns(UserWarning, match="is not used by fmd_admin"):
        app = run(documented.CONFIGURATION.replace(line, documented.ENVIRONMENT))
    assert of(app).config.values.monitor_level == 3


def test_its_default_login_is_refused_outside_debug(run: Run) -> None:
    with (
        pytest.warns(UserWarning, match="is not used by fmd_admin"),
        pytest.raises(
            SettingsError, match=r"PASSWORD cannot be used: .* Set another one.*FLASK_DEBUG=1"
        ),
    ):
        run(documented.CONFIGURATION)


def test_the_shipped_config_file(run: Run, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLASK_DEBUG", "1")
    (project / "config.cfg").write_text(documented.SHIPPED_CONFIG_CFG)
    # Untouched it names a folder that cannot be, and a database there.
    text = at_home(documented.SHIPPED_CONFIG_CFG, project).replace(
        f"{project}/.git", "/<path>/.git"
    )
    (project / "config.cfg").write_text(text)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        app = run(documented.CONFIGURATION)
    said = [str(one.message) for one in caught]
    assert any("APP_VERSION counts" in text for text in said)
    assert any("GUEST_USERNAME" in text and "viewer" in text for text in said)
    assert only_row(app).version == "1.0"


def test_group_by(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLASK_DEBUG", "1")
    with pytest.warns(UserWarning, match="is not used by fmd_admin"):
        app = run(documented.GROUP_BY)
    assert only_row(app).group == "1234"


def test_group_by_a_number(run: Run, quiet: DashboardConfig) -> None:
    lines = f"{documented.GROUP_BY_NUMBER}\ndashboard.bind(app)"
    app = run(documented.INSTALLATION.replace("dashboard.bind(app)", lines))
    assert only_row(app).group == "1234"


@pytest.mark.parametrize("example", [documented.CAPTURE, documented.CAPTURE_IN_README])
def test_capture(run: Run, quiet: DashboardConfig, example: str) -> None:
    app = run(documented.INSTALLATION)
    lines = example.replace("flask_monitoringdashboard", "fmd_admin").strip()
    # What the documentation leaves to the reader.
    lines = lines.replace("    # Your code\n", "    risky_operation()\n")
    names = {"risky_operation": lambda: int("no number"), "dashboard": fmd_admin}
    exec(f"def risky():\n{indent(lines, '    ')}\n    return 'ok'", names)
    app.add_url_rule("/risky", view_func=names["risky"])
    app.test_client().get("/risky").close()
    monitor = of(app)
    monitor.recorder.flush()
    with monitor.store.read() as connection:
        assert connection.execute(select(ExceptionRow.message, ExceptionRow.handled)).all() == [
            ("invalid literal for int() with base 10: 'no number'", True)
        ]


@pytest.mark.parametrize(("line", "group"), documented.GROUP_BY_TABLE.items())
def test_the_table_of_group_by(
    run: Run,
    quiet: DashboardConfig,
    line: str,
    group: str,
) -> None:
    app = run(
        documented.INSTALLATION.replace("dashboard.bind(app)", f"{line}\ndashboard.bind(app)")
    )
    assert only_row(app).group == group


def test_pruning(run: Run, quiet: DashboardConfig) -> None:
    app = run(documented.INSTALLATION, documented.PRUNING)
    [one] = of(app).jobs.pruning.schedules
    assert (one.weeks, one.with_graph_values) == (8, True)
    assert str(one.trigger).startswith("cron[month='*/2', day='1', hour='3'")


def test_the_address(run: Run, quiet: DashboardConfig, capsys: pytest.CaptureFixture[str]) -> None:
    app = run(documented.INSTALLATION)
    with app.test_request_context(environ_base={"REMOTE_ADDR": "192.0.2.7"}):
        exec(documented.IP, {})
    assert capsys.readouterr().out == "192.0.2.7\n"
    with app.test_client().get("/", environ_base={"REMOTE_ADDR": "192.0.2.7"}):
        pass
    of(app).recorder.flush()
    assert [row.ip for row in stored_rows(of(app).store)] == ["192.0.2.7"]


def test_the_name_that_users_have_is_there() -> None:
    for name in (
        *("add_database_pruning_schedule", "add_graph", "bind", "blueprint", "config"),
        *("capture", "capture_exception"),
    ):
        assert hasattr(fmd_admin, name)
