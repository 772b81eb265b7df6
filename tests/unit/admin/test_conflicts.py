"""Forms whose transaction a cluster gives up for another one."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import func, select

from fmd_admin.store.alert_models import Alert, AlertRule, AlertTarget
from fmd_admin.store.job_models import Prune
from fmd_admin.store.models import User

from ...alerts import RULE_FORM as RULE
from ...cuts import conflicts
from ...support import Bound
from .browser import Browser

TARGET = {"name": "hook", "kind": "webhook", "address": "https://hooks.example/x", "active": "y"}


@pytest.fixture
def with_rule(bound: Bound, anna: Browser) -> Bound:
    assert anna.post("/alerts/targets/new", TARGET).status_code == 303
    assert anna.post("/alerts/rules/new", RULE).status_code == 303
    return bound


@pytest.mark.parametrize(
    ("path", "form", "words", "model", "count"),
    [
        (
            "/users/new",
            {"username": "ben", "role": "viewer", "password": "another horse"},
            "INTO fmd_user",
            User,
            3,
        ),
        ("/users/2", {"role": "admin", "active": "y"}, "UPDATE fmd_user", User, 2),
        ("/logout", {}, "UPDATE fmd_user", User, 2),
        ("/alerts/targets/new", {**TARGET, "name": "b"}, "INTO fmd_alert_target", AlertTarget, 2),
        ("/alerts/rules/new", {**RULE, "name": "b"}, "INTO fmd_alert_rule", AlertRule, 2),
        ("/alerts/targets/1/test", {}, "INTO fmd_alert", Alert, 1),
        ("/alerts/rules/1/delete", {}, "DELETE FROM fmd_alert_rule", AlertRule, 0),
        ("/alerts/targets/1/delete", {}, "DELETE FROM fmd_alert_target", AlertTarget, 0),
        ("/system/prune", {"confirmed": "yes"}, "INTO fmd_prune", Prune, 1),
    ],
)
def test_a_form_counts_once(
    with_rule: Bound,
    anna: Browser,
    path: str,
    form: dict[str, str],
    words: str,
    model: Any,
    count: int,
) -> None:
    store = with_rule.monitor.store
    with conflicts(store, words, times=2) as done:
        answer = anna.post(path, form)
    assert len(done) == 2, answer.text
    assert answer.status_code == 303
    with store.read() as connection:
        assert connection.scalar(select(func.count()).select_from(model)) == count
