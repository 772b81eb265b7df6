"""The panel as an app of its own, and an app that only measures."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import flask_admin
import pytest
from flask import Flask
from flask_admin import BaseView, expose
from werkzeug.middleware.proxy_fix import ProxyFix

import fmd_admin
from fmd_admin.admin.site import PanelApp
from fmd_admin.errors import BindError, SchemaError, SettingsError
from fmd_admin.standalone import EXTENSION

from ..cheap_hashes import use_cheap_hashes
from ..support import Bound
from .admin.browser import Browser

Bind = Callable[..., Bound]
PUBLIC = {"login.index", "static", "admin.static"}


@pytest.fixture(autouse=True)
def _cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    use_cheap_hashes(monkeypatch)


@pytest.fixture
def new_panel(tmp_path: Path) -> Iterator[Callable[..., PanelApp]]:
    """Make panels on the database of :func:`bind`; closed at the end."""
    made: list[PanelApp] = []

    def make(**settings: Any) -> PanelApp:
        settings.setdefault("database", f"sqlite:///{tmp_path}/fmd.db")
        made.append(fmd_admin.create_panel(settings=settings))
        return made[-1]

    yield make
    for app in made:
        app.extensions[EXTENSION].close()


def measured(bind: Bind, **settings: Any) -> Bound:
    """An app that only measures, with one request in the store."""
    settings.setdefault("panel", False)
    bound = bind(**settings)
    bound.app.add_url_rule("/hello", "hello", lambda: "hello")
    bound.app.test_client().get("/hello").close()
    bound.monitor.recorder.flush()
    return bound


def at_root(app: Flask) -> Browser:
    return Browser(app, prefix="")


def test_an_app_that_only_measures_has_no_panel(bind: Bind) -> None:
    bound = measured(bind)
    for path in ("/dashboard", "/dashboard/", "/dashboard/login", "/dashboard/static/css/fmd.css"):
        assert bound.app.test_client().get(path).status_code == 404
    with pytest.raises(BindError, match="create_panel"):
        _ = bound.monitor.admin
    rows = bound.rows()
    assert rows[0].endpoint == "hello"


def test_an_app_that_only_measures_does_not_import_flask_admin(tmp_path: Path) -> None:
    code = """
import sys
from flask import Flask
from fmd_admin import FMDAdmin
app = Flask("host", instance_path=sys.argv[1])
FMDAdmin(app, settings={"panel": False, "username": "anna", "password": "correct horse"})
app.test_client().get("/").close()
print([n for n in ("flask_admin", "flask_login", "flask_wtf", "wtforms") if n in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout.strip() == "[]"


def test_the_panel_shows_and_changes_what_the_app_stores(
    bind: Bind, new_panel: Callable[..., PanelApp]
) -> None:
    bound = measured(bind)
    # The app's process has its threads, and holds the lease.
    bound.monitor._tick()
    assert bound.monitor.jobs.began_ms is not None
    before = set(threading.enumerate())
    anna = at_root(new_panel())
    assert anna.login().status_code == 303
    assert "hello" in anna.get("/overview").text
    [row] = (anna.get("/overview/data.json").json or {})["rows"]
    assert anna.post("/overview/level", {"ids": row["id"], "level": 0}).status_code == 303
    bound.monitor._tick()
    assert bound.monitor.config.levels["hello"] == 0
    # It has no thread and takes no lease.
    assert set(threading.enumerate()) <= before
    assert bound.monitor.jobs.began_ms is not None


def test_what_another_process_changes_is_seen_at_the_next_request(
    bind: Bind, new_panel: Callable[..., PanelApp]
) -> None:
    from fmd_admin.store.live import save_setting

    bound = measured(bind)
    anna = at_root(new_panel())
    anna.login()
    assert "Another name" not in anna.get("/overview").text
    with bound.monitor.store.write() as connection:
        save_setting(connection, "BRAND_NAME", "Another name", "test")
    assert "Another name" in anna.get("/overview").text


def rules(app: PanelApp) -> Iterator[tuple[Any, str]]:
    """Every rule of the panel with an address for it."""
    with app.test_request_context():
        adapter = app.url_map.bind("localhost")
        for rule in app.url_map.iter_rules():
            values: dict[str, Any] = {
                name: "css/fmd.css" if name == "filename" else 1 for name in rule.arguments
            }
            methods = rule.methods or set()
            method = "GET" if "GET" in methods else sorted(methods - {"OPTIONS"})[0]
            yield rule, adapter.build(rule.endpoint, values, method=method)


def test_nobody_gets_login_and_static_only(bind: Bind, new_panel: Callable[..., PanelApp]) -> None:
    measured(bind)
    panel = new_panel()
    nobody = at_root(panel)
    answered, walked = set(), set()
    for rule, path in rules(panel):
        walked.add(rule.endpoint)
        for method in ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"):
            with nobody.open(path, method=method) as answer:
                location = answer.location or ""
                if answer.status_code != 401 and not location.startswith("/login"):
                    answered.add(rule.endpoint)
    assert walked == set(panel.view_functions)
    assert answered == PUBLIC


def test_every_change_needs_the_token(bind: Bind, new_panel: Callable[..., PanelApp]) -> None:
    measured(bind)
    panel = new_panel()
    anna = at_root(panel)
    anna.login()
    checked = 0
    for rule, path in rules(panel):
        for method in {"POST", "PUT", "PATCH", "DELETE"} & (rule.methods or set()):
            for form in ({}, {"csrf_token": "x.y.z"}):
                answer = anna.open(path, method=method, data=form)
                assert answer.status_code == 400, (rule, method)
            checked += 1
    assert checked > 10
    assert anna.is_in()


@pytest.mark.parametrize("how", ["SCRIPT_NAME", "X-Forwarded-Prefix"])
def test_below_a_prefix(bind: Bind, new_panel: Callable[..., PanelApp], how: str) -> None:
    """gunicorn cuts SCRIPT_NAME off the path; a proxy may do so and say it."""
    measured(bind)
    panel = new_panel()
    panel.wsgi_app = ProxyFix(panel.wsgi_app, x_prefix=1)  # type: ignore[method-assign]
    client = panel.test_client()
    said = (
        {"environ_overrides": {"SCRIPT_NAME": "/tools/fmd"}}
        if how == "SCRIPT_NAME"
        else {"headers": {"X-Forwarded-Prefix": "/tools/fmd"}}
    )
    answer = client.get("/overview", **said)  # type: ignore[arg-type]
    assert answer.location.startswith("/tools/fmd/login?next=")
    page = client.get("/login", **said)  # type: ignore[arg-type]
    links = [part.split('"')[0] for part in page.text.split('href="')[1:]]
    own = [link for link in links if link.startswith("/")]
    assert own
    assert [link for link in own if not link.startswith("/tools/fmd/")] == []
    cookie = page.headers["Set-Cookie"]
    assert "Path=/tools/fmd" in cookie


def test_settings_come_from_file_environment_and_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new_panel: Callable[..., PanelApp]
) -> None:
    file = tmp_path / "fmd.cfg"
    file.write_text(
        f"[any]\nDATABASE = sqlite:///{tmp_path}/fmd.db\nBRAND_NAME = From the file\n"
        "USERNAME = anna\nPASSWORD = correct horse\nPAGE_SIZE = 20\n"
    )
    monkeypatch.setenv("FMD_PAGE_SIZE", "30")
    app = fmd_admin.create_panel(config_file=file, settings={"SESSION_HOURS": 2})
    part = app.extensions[EXTENSION]
    values = part.config.values
    assert (values.brand_name, values.page_size, values.session_hours) == ("From the file", 30, 2)
    assert at_root(app).login().status_code == 303
    part.close()


@pytest.mark.parametrize("settings", [{}, {"database": "sqlite:///fmd.db"}])
def test_a_file_that_would_be_another_one_is_refused(settings: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="whole path"):
        fmd_admin.create_panel(settings=settings)


def test_tables_of_another_version_are_refused_with_the_mend(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="flask fmd migrate"):
        fmd_admin.create_panel(
            settings={"database": f"sqlite:///{tmp_path}/fmd.db", "auto_migrate": False}
        )


def test_hours_and_days_are_those_of_the_app(
    bind: Bind, new_panel: Callable[..., PanelApp], caplog: pytest.LogCaptureFixture
) -> None:
    measured(bind, timezone="Asia/Kolkata")
    anna = at_root(new_panel())
    anna.login()
    assert "Asia/Kolkata" in anna.get("/system").text
    assert caplog.records == []
    other = new_panel(timezone="Europe/Amsterdam")
    assert str(other.extensions[EXTENSION].store.timezone) == "Asia/Kolkata"
    [record] = [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert "TIMEZONE=Europe/Amsterdam of this panel is not used" in record.getMessage()


def test_a_panel_that_began_before_the_app_takes_its_zone_over(
    bind: Bind, new_panel: Callable[..., PanelApp]
) -> None:
    anna = at_root(new_panel(username="anna", password="correct horse"))
    anna.login()
    assert "Asia/Kolkata" not in anna.get("/system").text
    measured(bind, timezone="Asia/Kolkata")
    assert "Asia/Kolkata" in anna.get("/system").text


def test_sessions_hold_in_each_panel_of_a_database(
    bind: Bind, new_panel: Callable[..., PanelApp]
) -> None:
    """Several processes serve it; the key is kept in the store."""
    measured(bind)
    one, two = at_root(new_panel()), at_root(new_panel())
    one.login()
    cookie = one.client.get_cookie("fmd_session", path="/")
    assert cookie is not None
    two.client.set_cookie("fmd_session", cookie.value)
    assert two.is_in()


def test_views_can_be_added(bind: Bind, new_panel: Callable[..., PanelApp]) -> None:
    class Mine(BaseView):  # type: ignore[misc]
        @expose("/")
        def index(self) -> str:
            return "mine"

    measured(bind)
    panel = new_panel()
    assert isinstance(panel.admin, flask_admin.Admin)
    panel.admin.add_view(Mine("Mine", endpoint="mine"))
    anna = at_root(panel)
    assert anna.get("/mine/").status_code == 302
    anna.login()
    assert anna.get("/mine/").text == "mine"


def test_a_database_that_does_not_answer_is_tried_again(
    tmp_path: Path, bind: Bind, caplog: pytest.LogCaptureFixture
) -> None:
    measured(bind)
    file = tmp_path / "fmd.db"
    away = tmp_path / "away.db"
    file.rename(away)
    file.mkdir()
    app = fmd_admin.create_panel(settings={"database": f"sqlite:///{file}"})
    nobody = at_root(app)
    for path in ("/login", "/overview"):
        answer = nobody.get(path)
        assert answer.status_code == 503
        assert answer.headers["Retry-After"] == "5"
        assert "The database does not answer" in answer.text
    assert nobody.get("/static/css/fmd.css", buffered=True).status_code == 200
    assert "unable to open database file" in caplog.text
    file.rmdir()
    away.rename(file)
    assert at_root(app).login().status_code == 303
    app.extensions[EXTENSION].close()
