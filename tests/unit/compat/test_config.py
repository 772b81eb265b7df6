"""``dashboard.config``: its attributes, its file, and what is not carried over."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from flask import Flask

from fmd_admin import settings
from fmd_admin.compat import dashboard
from fmd_admin.compat.config import DashboardConfig
from fmd_admin.errors import SettingsError
from fmd_admin.extension import of

from ...support import get, stored_rows


class Pytz:
    """What pytz's time zones have in common with each other."""

    zone = "Asia/Kolkata"


def write(folder: Path, text: str) -> str:
    (folder / "config.cfg").write_text(text)
    return str(folder / "config.cfg")


def said(file: str) -> tuple[settings.Settings, list[str]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        values = settings.load(file=file, environ={}).values
    return values, [str(one.message) for one in caught]


@pytest.mark.parametrize(
    ("name", "value", "setting", "expected"),
    [
        ("version", "3.2", "app_version", "3.2"),
        ("version", 3.2, "app_version", "3.2"),
        ("link", "monitor", "link", "monitor"),
        ("monitor_level", 3, "monitor_level", 3),
        ("outlier_detection_constant", 4, "outlier_detection_constant", 4.0),
        ("sampling_period", 0.02, "sampling_period_ms", 20.0),
        ("brand_name", "Shop", "brand_name", "Shop"),
        ("title_name", "Shop!", "title_name", "Shop!"),
        ("description", "Our shop", "description", "Our shop"),
        ("timezone", "Europe/Amsterdam", "timezone", "Europe/Amsterdam"),
        ("timezone", Pytz(), "timezone", "Asia/Kolkata"),
        ("timezone", ZoneInfo("Asia/Tokyo"), "timezone", "Asia/Tokyo"),
    ],
)
def test_its_attributes(
    quiet: DashboardConfig, apps: list[Flask], name: str, value: Any, setting: str, expected: Any
) -> None:
    setattr(quiet, name, value)
    dashboard.bind(apps[0])
    assert getattr(of(apps[0]).config.values, setting) == expected


def test_what_is_read_back(fresh: DashboardConfig, tmp_path: Path) -> None:
    assert (fresh.link, fresh.blueprint_name, fresh.sampling_period) == (
        "dashboard",
        "dashboard",
        0.005,
    )
    assert (fresh.app, fresh.alert_enabled, fresh.enable_logging) == (None, False, False)
    fresh.version, fresh.link = "before", "first"
    fresh.init_from(file=write(tmp_path, "[dashboard]\nCUSTOM_LINK=second\nSAMPLING_RATE=20\n"))
    assert (fresh.version, fresh.link, fresh.sampling_period) == ("before", "second", 0.02)
    fresh.link = "third"
    assert fresh.link == "third"


def test_the_order_of_file_and_attributes_counts(
    quiet: DashboardConfig, apps: list[Flask], tmp_path: Path
) -> None:
    quiet.monitor_level, quiet.link = 2, "first"
    quiet.init_from(file=write(tmp_path, "[dashboard]\nMONITOR_LEVEL=3\nAPP_VERSION=1\n"))
    quiet.version = "2"
    dashboard.bind(apps[0])
    values = of(apps[0]).config.values
    assert (values.monitor_level, values.link, values.app_version) == (3, "first", "2")
    assert quiet.app is apps[0]


def test_the_variable_of_the_file_may_look_like_a_setting(
    quiet: DashboardConfig, apps: list[Flask], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FMD_CONFIG_PATH", write(tmp_path, "[dashboard]\nAPP_VERSION=7\n"))
    quiet.init_from(envvar="FMD_CONFIG_PATH")
    dashboard.bind(apps[0])
    assert of(apps[0]).config.values.app_version == "7"


def test_inject_dependencies(quiet: DashboardConfig, apps: list[Flask]) -> None:
    quiet.inject_dependencies(get_ip=lambda: "192.0.2.9")
    dashboard.bind(apps[0])
    apps[0].add_url_rule("/", "index", lambda: "hello")
    get(apps[0], "/")
    of(apps[0]).recorder.flush()
    assert [row.ip for row in stored_rows(of(apps[0]).store)] == ["192.0.2.9"]


@pytest.mark.parametrize("name", ["SAMPLING_PERIOD", "SAMPLING_RATE"])
def test_both_names_of_the_sampling_period(tmp_path: Path, name: str) -> None:
    values, warned = said(write(tmp_path, f"[dashboard]\n{name}=20\n"))
    assert (values.sampling_period_ms, warned) == (20.0, [])


@pytest.mark.parametrize("order", [("SAMPLING_PERIOD=20", "SAMPLING_RATE=30"),
                                   ("SAMPLING_RATE=30", "SAMPLING_PERIOD=20")])  # fmt: skip
def test_the_one_that_the_old_code_reads_wins(tmp_path: Path, order: tuple[str, str]) -> None:
    values, _ = said(write(tmp_path, "[dashboard]\n" + "\n".join(order)))
    assert values.sampling_period_ms == 30.0


def test_a_period_that_is_too_short(tmp_path: Path) -> None:
    values, [warning] = said(write(tmp_path, "[dashboard]\nSAMPLING_RATE=0\n"))
    assert values.sampling_period_ms == 1.0
    assert "every 1 ms at most" in warning
    with pytest.raises(SettingsError, match="SAMPLING_PERIOD_MS"):
        said(write(tmp_path, "[dashboard]\nSAMPLING_RATE=often\n"))


@pytest.mark.parametrize(
    ("line", "instead"),
    [
        ("BLUEPRINT_NAME=monitor", "no blueprint"),
        ("ENABLE_LOGGING=True", "logger 'fmd_admin'"),
        ("SHOW_LOGIN_BANNER=False", "no banner"),
        ("SHOW_LOGIN_FOOTER=False", "no link"),
        ("SECURITY_TOKEN=x", "JSON and CSV"),
        ("GUEST_USERNAME=guest", "viewer"),
        ("TABLE_PREFIX=old", "import-fmd"),
        ("COLORS={'main':'[0,97,255]',\n  'static':'[1,2,3]'}", "theme"),
    ],
)
def test_what_is_not_carried_over_says_what_to_do(tmp_path: Path, line: str, instead: str) -> None:
    _, [warning] = said(write(tmp_path, f"[dashboard]\n{line}\n"))
    assert warning.startswith(line.partition("=")[0])
    assert instead in warning.partition("Instead: ")[2]


def test_its_defaults_lose_nothing_and_say_nothing(tmp_path: Path) -> None:
    text = (
        "[dashboard]\nBLUEPRINT_NAME=dashboard\nENABLE_LOGGING=False\nSHOW_LOGIN_BANNER=True\n"
        "SHOW_LOGIN_FOOTER=True\n[database]\nTABLE_PREFIX=''\n[visualization]\nCOLORS={}\n"
    )
    assert said(write(tmp_path, text))[1] == []


def test_a_warning_is_shown_once(quiet: DashboardConfig, apps: list[Flask], tmp_path: Path) -> None:
    text = "[dashboard]\nENABLE_LOGGING=True\n[alerting]\nENABLED=True\nTYPE=email\nSMTP_HOST=x\n"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        quiet.init_from(file=write(tmp_path, text))
        dashboard.bind(apps[0])
        dashboard.bind(apps[1])
    shown = [str(one.message) for one in caught]
    assert len(shown) == len(set(shown)) == 2
    assert "by email, which needs SMTP_PORT, SMTP_USER, SMTP_TO too" in shown[1]


def test_alerting_by_attributes(quiet: DashboardConfig, apps: list[Flask]) -> None:
    quiet.alert_enabled, quiet.alert_type = True, ["email"]
    quiet.smtp_host, quiet.smtp_port, quiet.smtp_user = "127.0.0.1", 25, "a@example.org"
    quiet.smtp_password = None
    quiet.smtp_to = ["b@example.org", "c@example.org"]
    assert (quiet.alert_type, quiet.smtp_to) == (["email"], ["b@example.org", "c@example.org"])
    dashboard.bind(apps[0])
    values = of(apps[0]).config.values
    assert (values.smtp_port, values.smtp_to) == ("25", "b@example.org,c@example.org")
    assert values.alert_enabled
    with pytest.raises(SettingsError, match=r"CHAT_PLATFORM .* one of SLACK, TEAMS, ROCKET_CHAT"):
        quiet.chat_platform = "IRC"


def test_what_cannot_be_carried_over_of_the_blueprint(quiet: DashboardConfig) -> None:
    with pytest.warns(UserWarning, match="no blueprint"):
        quiet.blueprint_name = "monitor"


@pytest.mark.parametrize("prefix", ["fmd_", "FMD_"])
def test_a_prefix_that_makes_the_old_tables_ours(
    fresh: DashboardConfig, tmp_path: Path, prefix: str
) -> None:
    with pytest.raises(SettingsError, match="import-fmd"):
        said(write(tmp_path, f"[database]\nTABLE_PREFIX={prefix}\n"))
    with pytest.raises(SettingsError, match="import-fmd"):
        fresh.table_prefix = prefix


def test_git_is_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    values, warned = said(write(tmp_path, "[dashboard]\nGIT=project\n"))
    assert (values.git, warned) == (str(tmp_path / "project"), [])
    values, [warning] = said(write(tmp_path, "[dashboard]\nGIT=/<path>/.git\nAPP_VERSION=1\n"))
    assert (values.git, values.app_version) == ("", "1")
    assert "APP_VERSION counts" in warning
    with pytest.raises(SettingsError, match="GIT"):
        said(write(tmp_path, "[mine]\nGIT=/nowhere\n"))


def test_without_the_dashboard(quiet: DashboardConfig, apps: list[Flask]) -> None:
    dashboard.bind(apps[0], include_dashboard=False)
    assert of(apps[0]).panel is None
    assert apps[0].test_client().get("/dashboard/login").status_code == 404


def test_without_the_schedule(quiet: DashboardConfig, apps: list[Flask]) -> None:
    dashboard.add_graph("Before", lambda: 1, minutes=5)
    dashboard.add_database_pruning_schedule(8, False, hour=3)
    with pytest.warns(UserWarning, match="schedule=False"):
        dashboard.bind(apps[0], schedule=False)
    dashboard.add_graph("After", lambda: 1, minutes=5)
    dashboard.add_database_pruning_schedule(9, False, hour=3)
    jobs = of(apps[0]).jobs
    assert jobs.pruning.schedules == []
    assert jobs._graphs is not None
    assert list(jobs._graphs._graphs) == []
