"""The way in and out, as a person takes it."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from .conftest import OpenVisitor
from .site import Site
from .visitor import PASSWORD, Visitor

pytestmark = pytest.mark.browser


def fill_in(visitor: Visitor, username: str, password: str) -> None:
    visitor.page.get_by_label("User name").fill(username)
    visitor.page.get_by_label("Password").fill(password)
    visitor.button("Log in").click()


def test_login_leads_to_the_page_that_was_asked_for(site: Site, visit: OpenVisitor) -> None:
    visitor = visit(site)
    visitor.go("/daily-utilization?range=30d")
    expect(visitor.page).to_have_url(re.compile("/dashboard/login"))
    fill_in(visitor, "anna", PASSWORD)
    expect(visitor.page).to_have_url(f"{visitor.panel}/daily-utilization?range=30d")
    expect(visitor.find("h1")).to_have_text("Daily API Utilization")

    visitor.find("summary[aria-label='Account anna']").click()
    visitor.button("Log out").click()
    expect(visitor.find("[role=status]")).to_have_text(
        "You are logged out, in your other browsers as well."
    )
    visitor.go("/overview")
    expect(visitor.page).to_have_url(re.compile("/dashboard/login"))


def test_wrong_password_is_said_and_keeps_the_name(site: Site, visit: OpenVisitor) -> None:
    visitor = visit(site)
    visitor.allow(r"status of 401")
    visitor.go("/login")
    fill_in(visitor, "anna", "correct house")
    expect(visitor.find("[role=alert]")).to_have_text("User name or password is wrong.")
    expect(visitor.page.get_by_label("User name")).to_have_value("anna")
    expect(visitor.page.get_by_label("Password")).to_be_focused()
    fill_in(visitor, "anna", PASSWORD)
    expect(visitor.find("h1")).to_have_text("Overview")


def test_a_session_that_ended_leads_to_the_login(site: Site, visit: OpenVisitor) -> None:
    visitor = visit(site).log_in()
    visitor.allow(r"status of 401")
    visitor.go("/overview")
    visitor.context.clear_cookies(name="fmd_session")
    visitor.find("form.levels[data-name=index]").get_by_role("button", name="0").click()
    expect(visitor.page).to_have_url(re.compile("/dashboard/login"))
    assert site.level("index") == 1
