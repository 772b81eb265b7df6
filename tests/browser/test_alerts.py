"""The page Alerts in a browser: a target, a rule, a test, and names that are markup."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from ..receivers import webhook
from .conftest import OpenVisitor
from .site import Site, wait_until
from .test_hostile_names import is_inert

pytestmark = pytest.mark.browser

NAME = "<img src=x onerror=alert(1)>"


def test_from_a_target_to_an_alert(site: Site, visit: OpenVisitor) -> None:
    visitor = visit(site).log_in()
    with webhook() as hook:
        visitor.go("/alerts")
        visitor.link("New target").click()
        visitor.find("#name").fill(NAME)
        visitor.find("#address").fill(hook.url)
        visitor.button("Save").click()
        expect(visitor.find(".flash-ok")).to_contain_text("is saved")
        is_inert(visitor)
        visitor.button("Send a test").click()
        wait_until(lambda: len(hook.accepted) == 1, 20.0)

        visitor.link("New rule").click()
        visitor.find("#name").fill(NAME)
        visitor.find("#kind").select_option("no_requests")
        visitor.button("Preview of 14 days").click()
        expect(visitor.find(".flash-ok")).to_contain_text("it would have fired")
        visitor.button("Save").click()
        expect(visitor.find(".flash-ok")).to_contain_text("is saved")
        # Nobody asked the shop for anything since yesterday.
        wait_until(lambda: len(hook.accepted) == 2, 20.0)
        visitor.go("/alerts")
        expect(visitor.find("[aria-labelledby=log-title] tbody tr")).to_have_count(2)
        is_inert(visitor)
        for path in ("/alerts/rules/1", "/alerts/targets/1", "/alerts/rules/1/delete"):
            visitor.go(path)
            is_inert(visitor)
    assert hook.accepted[1]["title"] == "No requests to all endpoints"
