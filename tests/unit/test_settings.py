from __future__ import annotations

from pathlib import Path

import pytest

from fmd_admin import settings
from fmd_admin.errors import SettingsError


def test_defaults_are_allowed_by_their_own_rules() -> None:
    for name, row in settings.TABLE.items():
        if name not in {"PASSWORD", "USERNAME"}:
            assert row.parse(row.default, "default") == row.default


def test_sources_from_weakest_to_strongest(tmp_path: Path) -> None:
    file = tmp_path / "fmd.cfg"
    file.write_text("[dashboard]\nPAGE_SIZE = 11\nMONITOR_LEVEL = 2\nLINK = file\nIP = off\n")
    environ = {"FMD_MONITOR_LEVEL": "3", "FMD_LINK": "env", "FMD_IP": "full", "HOME": "/"}
    app_config = {"FMD_LINK": "config", "FMD_IP": "anonymized", "SECRET_KEY": "x"}
    loaded = settings.load(file=file, environ=environ, app_config=app_config, code={"ip": "off"})
    values = loaded.values
    assert (values.page_size, values.monitor_level, values.link, values.ip) == (
        11,
        3,
        "config",
        "off",
    )
    assert loaded.sources["PAGE_SIZE"] == "file"
    assert loaded.sources["MONITOR_LEVEL"] == "environment"
    assert loaded.sources["LINK"] == "app.config"
    assert loaded.sources["IP"] == "code"
    assert loaded.sources["TIMEZONE"] == "default"


def test_what_an_admin_saved_wins_for_run_time_settings_only() -> None:
    loaded = settings.load(environ={}, code={"PAGE_SIZE": 20, "LINK": "here"})
    saved = loaded.with_saved({"PAGE_SIZE": "30", "LINK": "elsewhere"})
    assert saved.values.page_size == 30
    assert saved.sources["PAGE_SIZE"] == "here"
    assert saved.values.link == "here"
    assert loaded.values.page_size == 20


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MONITOR_LEVEL", 4),
        ("MONITOR_LEVEL", "high"),
        ("MONITOR_LEVEL", True),
        ("MONITOR_LEVEL", 1.5),
        ("FLUSH_INTERVAL_S", "nan"),
        ("AUTO_MIGRATE", "perhaps"),
        ("IP", "some"),
        ("TIMEZONE", "Europe/Atlantis"),
        ("TIMEZONE", "../../etc/passwd"),
        ("LINK", "a//b"),
        ("LINK", "../x"),
        ("GIT", "/does/not/exist"),
        ("ASSETS_URL", "cdn.example"),
        ("DATABASE", None),
    ],
)
def test_a_bad_value_names_key_source_value_and_allowed(name: str, value: object) -> None:
    with pytest.raises(SettingsError) as caught:
        settings.load(environ={}, code={name: value})
    message = str(caught.value)
    assert name in message
    assert "from code" in message
    assert "allowed: " in message
    if not settings.TABLE[name].secret:
        assert repr(value) in message


def test_a_secret_is_not_shown() -> None:
    with pytest.raises(SettingsError) as caught:
        settings.load(environ={"FMD_DATABASE": "hunter2"})
    assert "hunter2" not in str(caught.value)
    assert "FMD_DATABASE" in str(caught.value)


@pytest.mark.parametrize(
    "sources",
    [
        {"environ": {"FMD_MONITOR_LEVLE": "1"}},
        {"environ": {}, "app_config": {"FMD_MONITOR_LEVLE": 1}},
        {"environ": {}, "code": {"monitor_levle": 1}},
    ],
)
def test_an_unknown_key_is_refused(sources: dict[str, dict[str, object]]) -> None:
    with pytest.raises(SettingsError, match=r"(?i)unknown setting monitor_levle .*MONITOR_LEVEL"):
        settings.load(**sources)  # type: ignore[arg-type]


def test_a_missing_and_a_broken_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="does not exist"):
        settings.load(file=tmp_path / "none.cfg", environ={})
    (tmp_path / "bad.cfg").write_text("MONITOR_LEVEL = 1\n")
    with pytest.raises(SettingsError, match="cannot be read"):
        settings.load(file=tmp_path / "bad.cfg", environ={})


def test_an_unknown_key_of_a_file_names_the_file(tmp_path: Path) -> None:
    file = tmp_path / "config.cfg"
    file.write_text("[dashboard]\nMONITOR_LEVLE=3\n")
    with pytest.raises(SettingsError, match=r"config\.cfg \[dashboard\]"):
        settings.load(file=file, environ={})
