"""The page Alerts: forms that refuse nonsense, secrets that never come back."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from fmd_admin.store.alert_models import AlertDelivery, AlertRule, AlertTarget
from fmd_admin.store.configured_alerts import keep
from fmd_admin.store.sealing import unseal

from ....alerts import RULE_FORM as RULE
from ....receivers import webhook
from ....support import Bound, get
from ..browser import Browser

TARGET = {
    "name": "hook",
    "kind": "webhook",
    "address": "https://hooks.example/qqpathqq",
    "key": "qqkeyqq",
    "active": "y",
}


@pytest.fixture
def with_target(bound: Bound, anna: Browser) -> Bound:
    assert anna.post("/alerts/targets/new", TARGET).status_code == 303
    return bound


def test_a_target_is_write_only_and_sealed(
    with_target: Bound, anna: Browser, tmp_path: Path
) -> None:
    for path in ("/alerts", "/alerts/targets/1"):
        text = anna.get(path).text
        assert "hooks.example" in text
        assert "qqpathqq" not in text
        assert "qqkeyqq" not in text
    monitor = with_target.monitor
    with monitor.store.read() as connection:
        stored = connection.scalar(select(AlertTarget.secret)) or ""
    assert unseal(stored, monitor._secret()) == "https://hooks.example/qqpathqq qqkeyqq"
    monitor.close()
    for file in tmp_path.iterdir():
        if file.is_file():
            assert b"qqpathqq" not in file.read_bytes()
            assert b"qqkeyqq" not in file.read_bytes()


def test_an_address_stays_unless_another_is_entered(with_target: Bound, anna: Browser) -> None:
    store = with_target.monitor.store

    def secret() -> str:
        with store.read() as connection:
            return connection.scalar(select(AlertTarget.secret)) or ""

    before = secret()
    changed = {**TARGET, "name": "other", "address": "", "key": ""}
    assert anna.post("/alerts/targets/1", changed).status_code == 303
    assert secret() == before
    changed["address"] = "env:HOOK_URL"
    assert anna.post("/alerts/targets/1", changed).status_code == 303
    assert secret() == "env:HOOK_URL"
    assert "env:HOOK_URL" in anna.get("/alerts").text


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("name", "", "Enter a name."),
        ("name", "   ", "Enter a name."),
        ("name", "x" * 101, "at most 100 characters"),
        ("name", "a\0b", "printable characters only"),
        ("name", "a\nb", "printable characters only"),
        ("threshold", "", "The limit of Error share is 0.01 to 100 %."),
        ("kind", "hat", "Not a valid choice"),
        ("scope", "hat", "Not a valid choice"),
        ("threshold", "0", "The limit of Error share is 0.01 to 100 %."),
        ("threshold", "101", "The limit of Error share is 0.01 to 100 %."),
        ("threshold", "nan", "The limit of Error share is 0.01 to 100 %."),
        ("threshold", "x", "Not a valid float value"),
        ("window_h", "0", "Allowed: 1 to 168 hours."),
        ("window_h", "1.5", "Not a valid integer value"),
        ("cooldown_min", "-1", "Allowed: 0 to 43200 minutes."),
        ("severity", "odd", "Not a valid choice"),
        ("targets", [], "Choose at least one target."),
        ("targets", "77", "Choose at least one target."),
        ("targets", "x", "Invalid choice(s)"),
    ],
)
def test_nonsense_is_refused_where_it_stands(
    with_target: Bound, anna: Browser, field: str, value: Any, says: str
) -> None:
    answer = anna.post("/alerts/rules/new", {**RULE, field: value})
    assert answer.status_code == 400
    assert says in answer.text
    assert f'id="{field}-error"' in answer.text
    with with_target.monitor.store.read() as connection:
        assert connection.scalars(select(AlertRule.id)).all() == []


def test_one_endpoint_must_be_one_that_exists(with_target: Bound, anna: Browser) -> None:
    get(with_target.app, "/hello/x")
    with_target.monitor.recorder.flush()
    answer = anna.post("/alerts/rules/new", {**RULE, "scope": "one", "endpoint": "99"})
    assert "Choose one of the endpoints." in answer.text
    made = anna.post("/alerts/rules/new", {**RULE, "scope": "one", "endpoint": "1"})
    assert made.status_code == 303
    assert "hello" in anna.get("/alerts").text
    drops = {**RULE, "name": "d", "kind": "drops", "scope": "each"}
    assert "is about the whole app" in anna.post("/alerts/rules/new", drops).text


def test_a_rule_is_made_changed_and_deleted(with_target: Bound, anna: Browser) -> None:
    assert anna.post("/alerts/rules/new", RULE).status_code == 303
    assert "already" in anna.post("/alerts/rules/new", RULE).text
    assert 'value="5.0"' in anna.get("/alerts/rules/1").text
    assert anna.post("/alerts/rules/1", {**RULE, "threshold": "7.5"}).status_code == 303
    assert "7.5 %" in anna.get("/alerts").text
    assert "Delete rule" in anna.get("/alerts/rules/1/delete").text
    assert anna.post("/alerts/rules/1/delete").status_code == 303
    assert "No rules yet" in anna.get("/alerts").text
    assert anna.get("/alerts/rules/1").status_code == 404


@pytest.mark.parametrize("threshold", ["", "x"])
def test_what_has_no_limit_needs_none(with_target: Bound, anna: Browser, threshold: str) -> None:
    made = {**RULE, "name": " new ones ", "kind": "new_exception", "threshold": threshold}
    assert anna.post("/alerts/rules/new", made).status_code == 303
    with with_target.monitor.store.read() as connection:
        assert connection.execute(select(AlertRule.name, AlertRule.threshold)).all() == [
            ("new ones", 0.0)
        ]


def test_what_the_configuration_says_is_changed_there(bound: Bound, anna: Browser) -> None:
    store = bound.monitor.store
    for hints in ({"email": "anna@example.org by mail.example.org"}, {}):
        store.transact(partial(keep, hints=hints, kind="apprise", since_ms=1, rule_kind="returned"))
        shown = anna.get("/alerts").text
        assert "E-mail (configuration)" in shown
        assert "anna@example.org by mail.example.org" in shown
        assert "New exceptions (configuration)" in shown
        for path in ("rules", "targets"):
            assert f'/alerts/{path}/1"' not in shown
            refused = anna.get(f"/alerts/{path}/1")
            assert refused.status_code == 403
            assert "comes from the app&#39;s configuration" in refused.text
            assert anna.post(f"/alerts/{path}/1", {**RULE, **TARGET}).status_code == 403
            gone = anna.post(f"/alerts/{path}/1/delete").status_code
            # It may go once it is no longer configured.
            assert gone == (403 if hints else 303)
    taken = anna.post("/alerts/targets/new", {**TARGET, "name": "Mine (configuration)"})
    assert "Names ending in (configuration) are for" in taken.text


def test_the_preview_says_how_often_and_saves_nothing(with_target: Bound, anna: Browser) -> None:
    answer = anna.post("/alerts/rules/new", {**RULE, "preview": "yes"})
    assert "would have fired 0 times" in answer.text
    answer = anna.post("/alerts/rules/new", {**RULE, "kind": "drops", "preview": "yes"})
    assert "Nobody can tell" in answer.text
    assert "No rules yet" in anna.get("/alerts").text


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"address": ""}, "Enter an address."),
        ({"address": "ftp://x"}, "begins with https:// or http://"),
        ({"address": "https://a b"}, "has no blanks"),
        ({"address": "env:a-b"}, "Write it as env:NAME"),
        ({"address": "env:HOOK", "key": "k"}, "the variable holds the key as well"),
        ({"kind": "apprise", "address": "mail"}, "begins with a word and ://"),
        ({"name": ""}, "Enter a name."),
        ({"name": " "}, "Enter a name."),
        ({"name": "a\0"}, "printable characters only"),
    ],
)
def test_a_target_that_cannot_be_is_refused(
    bound: Bound, anna: Browser, changes: dict[str, str], says: str
) -> None:
    answer = anna.post("/alerts/targets/new", {**TARGET, **changes})
    assert answer.status_code == 400
    assert says in answer.text
    # Not "qq": it may be in a token.
    assert "qqpathqq" not in answer.text
    assert "qqkeyqq" not in answer.text


def test_without_cryptography_it_says_what_to_install(
    bound: Bound, anna: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "cryptography.fernet", None)
    answer = anna.post("/alerts/targets/new", TARGET)
    assert "fmd_admin[alerts]" in answer.text
    env = {**TARGET, "address": "env:HOOK", "key": ""}
    assert anna.post("/alerts/targets/new", env).status_code == 303


def test_a_test_goes_the_way_of_all_alerts(bound: Bound, anna: Browser) -> None:
    alerts = bound.monitor.jobs.alerts
    assert alerts is not None
    with webhook() as hook:
        anna.post("/alerts/targets/new", {**TARGET, "address": hook.url})
        assert anna.post("/alerts/targets/1/test").status_code == 303
        with bound.monitor.store.read() as connection:
            assert connection.scalars(select(AlertDelivery.state)).all() == ["waiting"]
        alerts._fence = lambda _connection: None
        alerts.deliver(5)
    assert [call["title"] for call in hook.accepted] == ["Test of fmd_admin"]
    text = anna.get("/alerts").text
    assert "Test of fmd_admin" in text
    assert ">sent<" in text


def test_a_target_is_deleted(with_target: Bound, anna: Browser) -> None:
    assert "Delete target" in anna.get("/alerts/targets/1/delete").text
    assert anna.post("/alerts/targets/1/delete").status_code == 303
    assert "No targets yet" in anna.get("/alerts").text
    for path in ("/alerts/targets/1", "/alerts/rules/9/delete"):
        assert anna.get(path).status_code == 404


def test_viewers_see_nothing_of_it(with_target: Bound, vera: Browser) -> None:
    for path in ("/alerts", "/alerts/rules/new", "/alerts/targets/1"):
        assert vera.get(path).status_code == 403
    assert vera.post("/alerts/targets/1/test").status_code == 403
