"""The section [alerting] of Flask-MonitoringDashboard 5.1 in our words."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import apprise
import pytest

from fmd_admin import settings
from fmd_admin.errors import SettingsError
from fmd_admin.fmd_alerting import addresses, hints

EMAIL = (
    "TYPE=email\nSMTP_HOST=mail.example.org\nSMTP_PORT=587\nSMTP_USER=app@example.org\n"
    "SMTP_PASSWORD=p@ss/w:rd%\nSMTP_TO=anna@example.org, bob@example.org\n"
)
SLACK = (
    "TYPE=chat\nCHAT_PLATFORM=SLACK\n"
    "CHAT_WEBHOOK_URL=https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
)
ROCKET = "TYPE=chat\nCHAT_PLATFORM=ROCKET_CHAT\nCHAT_WEBHOOK_URL=https://chat.example.org/hooks/abc12/Xyz9"
TEAMS = (
    "TYPE=chat\nCHAT_PLATFORM=TEAMS\nCHAT_WEBHOOK_URL=https://prod-1.logic.azure.com:443/workflows/"
    "643e69f83c8944/triggers/manual/paths/invoke?api-version=2016-06-01&sp=x&sv=1.0&sig=KODuebWb"
)
ISSUE = "TYPE=issue\nGITHUB_TOKEN=ghp_tok\nREPOSITORY_OWNER=anna\nREPOSITORY_NAME=shop\n"


def load(tmp_path: Path, text: str, enabled: str = "True") -> tuple[settings.Settings, list[str]]:
    file = tmp_path / "config.cfg"
    file.write_text(f"[dashboard]\nMONITOR_LEVEL=2\n[alerting]\nENABLED={enabled}\n{text}")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        values = settings.load(file=file, environ={}).values
    return values, [str(one.message) for one in caught]


def service(address: str) -> Any:
    """What the kept library makes of an address."""
    return apprise.Apprise.instantiate(address)


def test_mail(tmp_path: Path) -> None:
    values, said = load(tmp_path, EMAIL)
    assert said == []
    made = service(addresses(values)["email"])
    assert (made.smtp_host, made.port, made.secure_mode) == ("mail.example.org", 587, "starttls")
    assert (made.user, made.password) == ("app@example.org", "p@ss/w:rd%")
    assert made.from_addr[1] == "app@example.org"
    assert [to for _, to in made.targets] == ["anna@example.org", "bob@example.org"]
    assert hints(values) == {"email": "anna@example.org, bob@example.org by mail.example.org"}


def test_mail_without_a_login(tmp_path: Path) -> None:
    values, _ = load(tmp_path, EMAIL.replace("p@ss/w:rd%", "").replace("app@", ""))
    made = service(addresses(values)["email"])
    assert (made.user, made.password) == (None, None)
    assert made.from_addr[1] == "example.org@mail.example.org"


@pytest.mark.parametrize(
    ("text", "name", "kind", "shown"),
    [
        (SLACK, "chat", "NotifySlack", "SLACK at hooks.slack.com"),
        (ROCKET, "chat", "NotifyRocketChat", "ROCKET_CHAT at chat.example.org"),
        (TEAMS, "chat", "NotifyWorkflows", "TEAMS at prod-1.logic.azure.com"),
        (ISSUE, "issue", "NotifyGitHub", "anna/shop"),
    ],
)
def test_chats_and_issues(tmp_path: Path, text: str, name: str, kind: str, shown: str) -> None:
    values, said = load(tmp_path, text)
    assert said == []
    made = service(addresses(values)[name])
    assert type(made).__name__ == kind
    assert hints(values) == {name: shown}
    if name == "issue":
        assert (made.token, made.owner, made.repo) == ("ghp_tok", "anna", "shop")
        assert made.labels == ["automated-issue", "exception"]


def test_several_at_once_and_none_where_it_is_off(tmp_path: Path) -> None:
    text = EMAIL.replace("TYPE=email", "TYPE=email, issue,chat") + ISSUE.split("\n", 1)[1]
    values, [said] = load(tmp_path, text)
    assert set(addresses(values)) == {"email", "issue"}
    assert said.startswith("No alerts are sent by chat, which needs CHAT_PLATFORM, CHAT_WEBHOOK")
    values, said_nothing = load(tmp_path, text, enabled="False")
    assert (addresses(values), said_nothing) == ({}, [])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "without ALERT_TYPE: set it to email, chat or issue"),
        ("TYPE=email\nSMTP_HOST=x", "needs SMTP_PORT, SMTP_USER, SMTP_TO too. Set what is missing"),
        (SLACK.replace("slack.com", "mm.org"), "CHAT_WEBHOOK_URL is none of SLACK, such as https"),
        (ROCKET.replace("/hooks/", "/"), "such as https://HOST/hooks/ID/TOKEN"),
    ],
)
def test_what_is_missing_is_said_and_stops_nothing(tmp_path: Path, text: str, says: str) -> None:
    values, [said] = load(tmp_path, text)
    assert says in said
    assert addresses(values) == {}
    assert values.monitor_level == 2


def test_a_missing_extra_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fmd_admin.fmd_alerting.find_spec", lambda _name: None)
    _, [said] = load(tmp_path, ISSUE)
    assert said.endswith("pip install 'fmd_admin[alerts]'")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("TYPE=mail", "ALERT_TYPE from .* 'mail'; allowed: email, chat and issue, commas between"),
        ("SMTP_PORT=<port>", "SMTP_PORT .* allowed: 1 to 65535"),
        ("SMTP_PORT=65536", "allowed: 1 to 65535"),
        ("CHAT_PLATFORM=slack", "allowed: one of SLACK, TEAMS, ROCKET_CHAT"),
        ("SMTP_SERVER=x", r"Unknown setting SMTP_SERVER from .*config.cfg \[alerting\]"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        load(tmp_path, text)


def test_the_short_keys_are_of_their_section_only(tmp_path: Path) -> None:
    (tmp_path / "config.cfg").write_text("[dashboard]\nENABLED=True\n")
    with pytest.raises(SettingsError, match="Unknown setting ENABLED"):
        settings.load(file=tmp_path / "config.cfg", environ={})
