from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import flask_admin
import pytest
from flask import Flask
from sqlalchemy import text

import fmd_admin
from fmd_admin import FMDAdmin
from fmd_admin.errors import BindError, SchemaError, SettingsError, StoreError
from fmd_admin.extension import of

from ..support import Bound, get, new_store, stored_rows

Bind = Callable[..., Bound]


def new_app(folder: Path, name: str = "host") -> Flask:
    app = Flask(name, instance_path=str(folder))
    app.add_url_rule("/", "index", lambda: "hello")
    return app


def settings(folder: Path, **more: object) -> dict[str, object]:
    return {
        "database": f"sqlite:///{folder}/fmd.db",
        "username": "anna",
        "password": "correct horse",
        **more,
    }


def test_importing_and_making_it_does_nothing(tmp_path: Path) -> None:
    before = threading.active_count()
    FMDAdmin()
    assert threading.active_count() == before
    assert list(tmp_path.iterdir()) == []


def test_init_app_of_two_apps_stays_apart(tmp_path: Path) -> None:
    fmd = FMDAdmin()
    monitors = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        app = new_app(folder, name)
        fmd.settings = settings(folder, app_version=name)
        monitors.append(fmd.init_app(app))
        get(app, "/")
    for monitor, version in zip(monitors, ("one", "two"), strict=True):
        monitor.recorder.flush()
        assert [row.version for row in stored_rows(monitor.store)] == [version]
    with pytest.raises(BindError, match="several apps"):
        _ = fmd.admin
    for monitor in monitors:
        monitor.close()


def test_admin_is_a_real_flask_admin(tmp_path: Path) -> None:
    fmd = FMDAdmin()
    with pytest.raises(BindError, match="init_app"):
        _ = fmd.admin
    app = new_app(tmp_path)
    fmd.settings = settings(tmp_path)
    monitor = fmd.init_app(app)
    assert isinstance(fmd.admin, flask_admin.Admin)
    assert of(app).admin is fmd.admin
    monitor.close()


def test_binding_twice_is_refused(tmp_path: Path, bind: Bind) -> None:
    app = bind(new_app(tmp_path)).app
    with pytest.raises(BindError, match="already"):
        FMDAdmin(app)


def test_the_default_store_lies_in_the_instance_folder(tmp_path: Path) -> None:
    app = new_app(tmp_path / "instance")
    FMDAdmin(app, settings={"username": "anna", "password": "correct horse"})
    assert (tmp_path / "instance" / "fmd_admin.db").is_file()
    of(app).close()


def test_a_bad_setting_stops_the_start(tmp_path: Path) -> None:
    app = new_app(tmp_path)
    app.config["FMD_MONITOR_LEVEL"] = 7
    with pytest.raises(
        SettingsError, match=r"MONITOR_LEVEL from app.config FMD_MONITOR_LEVEL is 7"
    ):
        FMDAdmin(app)


def test_the_host_is_left_alone(tmp_path: Path, bind: Bind) -> None:
    app = new_app(tmp_path)
    before = (
        app.secret_key,
        set(app.extensions),
        [str(rule) for rule in app.url_map.iter_rules()],
        dict(app.config),
        list(app.blueprints),
        dict(app.error_handler_spec),
        dict(app.before_request_funcs),
        list(app.jinja_loader.searchpath),  # type: ignore[union-attr]
    )
    bind(app)
    after = (
        app.secret_key,
        set(app.extensions) - {"fmd_admin"},
        [str(rule) for rule in app.url_map.iter_rules()],
        dict(app.config),
        list(app.blueprints),
        dict(app.error_handler_spec),
        dict(app.before_request_funcs),
        list(app.jinja_loader.searchpath),  # type: ignore[union-attr]
    )
    assert after == before


def test_tables_that_are_missing_stop_the_start_without_auto_migrate(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="migrate"):
        FMDAdmin(new_app(tmp_path), settings=settings(tmp_path, auto_migrate=False))


def test_a_database_that_is_away_at_the_start_is_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # A folder in its place: SQLite says "unable to open database file".
    (tmp_path / "fmd.db").mkdir()
    app = new_app(tmp_path)
    FMDAdmin(app, settings=settings(tmp_path, flush_interval_s=0.05))
    monitor = of(app)
    assert get(app, "/") == "hello"
    assert "opening the store" in caplog.text
    (tmp_path / "fmd.db").rmdir()
    monitor.recorder.flush()
    assert [row.endpoint for row in stored_rows(monitor.store)] == ["index"]
    monitor.close()


def test_the_first_admin_is_announced_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        app = new_app(tmp_path)
        FMDAdmin(app, settings={"database": f"sqlite:///{tmp_path}/fmd.db"})
        of(app).close()
    printed = capsys.readouterr().err
    assert printed.count("password:") == 1
    assert "/dashboard/login" in printed


def test_the_module_level_face(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fmd_admin.compat.dashboard import DashboardConfig

    file = tmp_path / "config.cfg"
    file.write_text(
        f"[database]\nDATABASE=sqlite:///{tmp_path}/fmd.db\n[dashboard]\nAPP_VERSION=3\n"
    )
    monkeypatch.setenv("MY_CONFIG", str(file))
    monkeypatch.setattr("fmd_admin.compat.dashboard.config", DashboardConfig())
    import fmd_admin.compat.dashboard as dashboard

    dashboard.config.init_from(envvar="MY_CONFIG")
    dashboard.config.group_by = lambda: "anna"
    dashboard.config.username = "anna"
    dashboard.config.password = "correct horse"
    app = new_app(tmp_path)
    dashboard.bind(app)
    get(app, "/")
    monitor = of(app)
    monitor.recorder.flush()
    [row] = stored_rows(monitor.store)
    assert (row.version, row.group) == ("3", "anna")
    monitor.close()


def test_the_module_level_face_refuses_what_it_does_not_know() -> None:
    from fmd_admin.compat.dashboard import DashboardConfig

    config = DashboardConfig()
    with pytest.raises(SettingsError, match="MONITOR_LEVEL"):
        config.monitor_levle = 1
    with pytest.raises(SettingsError, match="allowed"):
        config.monitor_level = 9
    with pytest.raises(SettingsError, match="NOT_SET"):
        config.init_from(envvar="NOT_SET")
    with pytest.raises(AttributeError):
        _ = config.nothing
    config.version = "2.0"
    assert config.app_version == "2.0"
    assert config.link == "dashboard"


def test_what_is_public() -> None:
    assert set(fmd_admin.__all__) == {
        "FMDAdmin",
        "__version__",
        "add_database_pruning_schedule",
        "add_graph",
        "bind",
        "blueprint",
        "capture",
        "capture_exception",
        "config",
        "create_panel",
        "exclude",
        "header_auth",
    }


def test_a_saved_setting_that_is_not_allowed_any_more_does_not_stop_the_start(
    tmp_path: Path, bind: Bind, caplog: pytest.LogCaptureFixture
) -> None:
    store = bind(new_app(tmp_path)).monitor.store
    with store.write() as connection:
        connection.execute(
            text(
                "INSERT INTO fmd_setting VALUES ('PAGE_SIZE', '9999', 0, ''), ('IP', 'off', 0, '')"
            )
        )
    again = bind(new_app(tmp_path))
    assert again.monitor.config.values.page_size == 50
    assert again.monitor.config.values.ip == "off"
    assert "PAGE_SIZE" in caplog.text


def test_a_store_in_memory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="names no file"):
        FMDAdmin(new_app(tmp_path), settings={"database": "sqlite://"})


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be made"):
        FMDAdmin(new_app(tmp_path / "file" / "instance"))


def test_a_version_with_an_undecodable_byte(tmp_path: Path, bind: Bind) -> None:
    bound = bind(new_app(tmp_path), app_version="v\udcff1")
    get(bound.app, "/")
    assert [row.version for row in bound.rows()] == ["v?1"]


def test_tables_that_are_newer_do_not_stop_the_host(
    tmp_path: Path, bind: Bind, caplog: pytest.LogCaptureFixture
) -> None:
    """An upgrade was rolled back: nothing is written until the versions agree, nothing is lost."""
    bind(new_app(tmp_path)).monitor.close()
    store = new_store(tmp_path)
    with store.write() as connection:
        now = connection.scalar(text("SELECT version_num FROM fmd_alembic_version"))
        connection.execute(text("UPDATE fmd_alembic_version SET version_num = '9999'"))
    app = new_app(tmp_path)
    bound = bind(app, flush_interval_s=0.05)
    try:
        assert get(app, "/") == "hello"
        with pytest.raises(SchemaError, match="newer"):
            bound.monitor.recorder.flush()
        with app.test_client() as client:
            for path in ("/", "/login", "/overview/data.json"):
                with client.get(f"/dashboard{path}") as page:
                    assert page.status_code == 503
                    assert "revision 9999" in page.text
                    assert "pip install --upgrade fmd_admin" in page.text
            with client.get("/dashboard/static/css/fmd.css") as styles:
                assert styles.status_code == 200
        assert stored_rows(store) == []
        assert caplog.text.count("Traceback") <= 2  # Once at the start, once in the flusher.
        assert "Upgrade it with: pip install --upgrade fmd_admin" in caplog.text
        with store.write() as connection:
            connection.execute(
                text("UPDATE fmd_alembic_version SET version_num = :now"), {"now": now}
            )
        assert [row.endpoint for row in bound.rows()] == ["index"]
        assert bound.monitor.recorder.dropped == 0
        with app.test_client() as client, client.get("/dashboard/login") as page:
            assert page.status_code == 200
    finally:
        store.close()
