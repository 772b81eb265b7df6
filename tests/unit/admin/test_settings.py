"""The page Settings: every run-time setting with its source, saving, resetting, refusing."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from fmd_admin.admin.forms import as_text, runtime_specs
from fmd_admin.settings import TABLE
from fmd_admin.store.live import saved_settings

from ...support import Bound
from .browser import Browser


def form_of(bound: Bound, **changes: str) -> dict[str, str]:
    """The form as the page shows it, with changes."""
    values = bound.monitor.config.values
    shown = {spec.name: as_text(getattr(values, spec.name.lower())) for spec in runtime_specs()}
    return {**shown, **changes}


def saved(bound: Bound) -> dict[str, str]:
    with bound.monitor.store.read() as connection:
        return saved_settings(connection)


def field(page: str, name: str) -> str:
    """The part of the page about one setting."""
    found = re.search(rf'<div class="setting" id="setting-{name}">.*?</div>', page, re.S)
    assert found is not None, name
    return found[0]


def test_page_shows_every_setting(bind: Callable[..., Bound], bound: Bound, anna: Browser) -> None:
    page = anna.get("/settings").text
    for name, spec in TABLE.items():
        assert name in page
        assert str(spec.help).replace("'", "&#39;") in page
        if spec.runtime:
            part = field(page, name)
            assert "default" in part
            assert spec.allowed in part
            assert "Reset" not in part
            if spec.choices:
                assert re.findall(r'<option[^>]* value="([^"]*)"', part) == list(spec.choices)
            elif spec.type in (int, float):
                assert 'type="number"' in part


def test_sources_and_secrets(bind: Callable[..., Bound], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FMD_PAGE_SIZE", "60")
    monkeypatch.setenv("FMD_APP_VERSION", "7.7")
    app = Flask("host")
    app.config["FMD_DEFAULT_RANGE"] = "24h"
    bound = bind(app, brand_name="Shop <monitor>")
    browser = Browser(app)
    browser.login()
    page = browser.get("/settings").text
    assert "environment" in field(page, "PAGE_SIZE")
    assert 'value="60"' in field(page, "PAGE_SIZE")
    assert "app.config" in field(page, "DEFAULT_RANGE")
    assert "code" in field(page, "BRAND_NAME")
    assert "Shop &lt;monitor&gt;" in page
    assert "Shop <monitor>" not in page
    assert "7.7" in page
    assert "correct horse" not in page
    assert bound.monitor.config.values.database not in page
    assert page.count("(hidden)") == 2


def test_change_is_saved_and_reset(bound: Bound, anna: Browser) -> None:
    answer = anna.post("/settings", form_of(bound, PAGE_SIZE="77", IP="anonymized"))
    assert answer.status_code == 303
    page = anna.get("/settings").text
    assert "Saved: IP, PAGE_SIZE." in page
    assert saved(bound) == {"PAGE_SIZE": "77", "IP": "anonymized"}
    assert bound.monitor.config.values.page_size == 77
    part = field(page, "PAGE_SIZE")
    assert ">here<" in part
    assert "Reset PAGE_SIZE" in part
    assert "default" in field(page, "MONITOR_LEVEL")
    assert anna.post("/settings/reset", {"name": "PAGE_SIZE"}).status_code == 303
    page = anna.get("/settings").text
    assert "PAGE_SIZE is 50 again (default)" in page
    assert saved(bound) == {"IP": "anonymized"}


def test_unchanged_form_saves_nothing(bound: Bound, anna: Browser) -> None:
    assert anna.post("/settings", form_of(bound)).status_code == 303
    assert "Nothing was changed" in anna.get("/settings").text
    assert saved(bound) == {}


def test_saved_by_whom(bound: Bound, anna: Browser) -> None:
    anna.post("/settings", form_of(bound, BRAND_NAME="Shop"))
    with bound.monitor.store.read() as connection:
        rows = connection.exec_driver_sql("SELECT name, value, changed_by FROM fmd_setting")
        assert ("BRAND_NAME", "Shop", "anna") in [tuple(row) for row in rows]
    assert ">Shop</a>" in anna.get("/overview").text


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("PAGE_SIZE", "5", "a whole number from 10 to 500"),
        ("PAGE_SIZE", "", "a whole number from 10 to 500"),
        ("PAGE_SIZE", "many", "a whole number from 10 to 500"),
        ("MONITOR_LEVEL", "4", "a whole number from 0 to 3"),
        ("IP", "half", "one of full, anonymized, off"),
        ("BRAND_NAME", "  ", "1 to 40 printable characters"),
        ("BRAND_NAME", "x" * 41, "1 to 40 printable characters"),
        ("REDACT", "pin\0", "words of at most 1,000 characters in all"),
        ("EXCLUDE", "a\0b", "regular expressions with blanks between them"),
        ("SESSION_HOURS", "1e9", "a whole number from 1 to 720 hours"),
    ],
)
def test_refusal_names_setting_and_allowed_values(
    bound: Bound, anna: Browser, name: str, value: str, message: str
) -> None:
    answer = anna.post("/settings", form_of(bound, **{name: value, "DEFAULT_RANGE": "30d"}))
    assert answer.status_code == 400
    part = field(answer.text, name)
    assert 'aria-invalid="true"' in part
    assert re.search(rf'class="error"[^>]*>Setting {name} .*{message}', part)
    # Nothing of a form with an error is saved.
    assert saved(bound) == {}


@pytest.mark.parametrize("name", ["DATABASE", "NOPE", "", "_secret_key"])
def test_what_cannot_be_reset(bound: Bound, anna: Browser, name: str) -> None:
    assert anna.post("/settings/reset", {"name": name}).status_code == 303
    assert "cannot be reset" in anna.get("/settings").text
    assert anna.is_in()


def test_start_settings_cannot_be_changed(bound: Bound, anna: Browser) -> None:
    anna.post("/settings", form_of(bound, DATABASE="sqlite:////tmp/x.db", LINK="x"))
    assert saved(bound) == {}


def test_hostile_value_is_inert_everywhere(bound: Bound, anna: Browser) -> None:
    hostile = "'\"><img src=x onerror=alert(1)>"
    assert anna.post("/settings", form_of(bound, BRAND_NAME=hostile)).status_code == 303
    for path in ("/settings", "/overview", "/login", "/nope"):
        assert "<img src=x" not in anna.get(path).text


def test_setting_that_is_not_allowed_any_more_is_said(bound: Bound, anna: Browser) -> None:
    with bound.monitor.store.write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO fmd_setting (name, value, changed_at, changed_by) "
            "VALUES ('PAGE_SIZE', '9999', 0, '')"
        )
    bound.monitor.config.forget()
    page: Any = anna.get("/settings")
    assert page.status_code == 200
    assert "Setting PAGE_SIZE from the panel is &#39;9999&#39;" in page.text
    assert anna.post("/settings/reset", {"name": "PAGE_SIZE"}).status_code == 303
    assert saved(bound) == {}
    assert bound.monitor.config.values.page_size == 50
