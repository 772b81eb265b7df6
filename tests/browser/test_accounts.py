"""Settings and users, as an admin and as a viewer see them."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from .conftest import OpenVisitor
from .site import Site
from .visitor import PASSWORD, Visitor

pytestmark = pytest.mark.browser


def test_settings(site: Site, anna: Visitor) -> None:
    anna.allow("status of 400")
    anna.go("/settings")
    row = anna.find("#setting-BRAND_NAME")
    expect(row.locator(".badge")).to_have_text("default")
    anna.page.get_by_label("BRAND_NAME", exact=True).fill("Corner shop")
    anna.button("Save").click()
    expect(anna.find(".flash-ok")).to_have_text("Saved: BRAND_NAME.")
    expect(row.locator(".badge")).to_have_text("here")
    expect(anna.find(".brand")).to_have_text("Corner shop")
    anna.go("/overview")
    expect(anna.find(".brand")).to_have_text("Corner shop")

    anna.go("/settings")
    anna.page.get_by_label("PAGE_SIZE", exact=True).fill("5")
    anna.page.keyboard.press("Enter")
    error = anna.find("#setting-PAGE_SIZE [role=alert]")
    expect(error).to_contain_text("PAGE_SIZE")
    expect(error).to_contain_text("a whole number from 10 to 500")
    expect(anna.page.get_by_label("PAGE_SIZE", exact=True)).to_have_value("5")
    expect(anna.find("main [role=alert]")).to_have_count(1)
    assert site.bound.monitor.config.values.page_size == 50

    anna.go("/settings")
    anna.button("Reset BRAND_NAME").click()
    expect(anna.find(".flash-ok")).to_have_text("BRAND_NAME is fmd_admin again (default).")
    expect(row.locator(".badge")).to_have_text("default")
    expect(anna.find(".brand")).to_have_text("fmd_admin")


def test_a_viewer_sees_everything_and_changes_nothing(
    site: Site, anna: Visitor, visit: OpenVisitor
) -> None:
    anna.go("/users")
    anna.link("New user").click()
    anna.page.get_by_label("User name").fill("vera")
    anna.page.get_by_label("Password").fill(PASSWORD)
    assert anna.page.get_by_label("Role").input_value() == "viewer"
    anna.button("Create user").click()
    expect(anna.find(".flash-ok")).to_have_text("User vera is created.")
    expect(anna.link("vera")).to_be_visible()

    vera = visit(site)
    vera.allow("status of 403")
    vera.go("/login")
    vera.page.get_by_label("User name").fill("vera")
    vera.page.get_by_label("Password").fill(PASSWORD)
    vera.button("Log in").click()
    expect(vera.find("h1")).to_have_text("Overview")
    expect(vera.link("index")).to_be_visible()
    expect(vera.link("Settings")).to_have_count(0)
    expect(vera.link("Users")).to_have_count(0)
    item = site.endpoint_id("index")
    for path in (
        "/overview",
        f"/endpoint/{item}/hourly-utilization",
        "/data/requests",
        "/data/requests/details?id=1",
        "/data/endpoints",
    ):
        assert vera.go(path).status == 200
        expect(vera.find("form.levels, #bulk, input[name=ids], .btn-danger")).to_have_count(0)
        posts = vera.find("form[method=post]").evaluate_all("(forms) => forms.map((f) => f.action)")
        assert posts == [f"{vera.panel}/logout"], path
    assert vera.go("/settings").status == 403
    expect(vera.find("h1")).to_have_text("You may not do this")

    # An account that is switched off is out at once.
    anna.link("vera").click()
    anna.page.get_by_label("Active").uncheck()
    anna.button("Save").click()
    expect(anna.find(".flash-ok")).to_contain_text("Sessions of this account have ended.")
    vera.page.reload()
    expect(vera.find("h1")).to_have_text("Log in")


def test_own_password(site: Site, anna: Visitor, visit: OpenVisitor) -> None:
    other = visit(site).log_in()
    other.go("/overview")
    anna.go("/account")
    anna.page.get_by_label("Current password").fill(PASSWORD)
    anna.page.get_by_label("New password", exact=True).fill("battery staple")
    anna.page.get_by_label("New password again").fill("battery staple")
    anna.button("Change password").click()
    expect(anna.find(".flash-ok")).to_contain_text("Your password is changed.")
    anna.go("/overview")
    expect(anna.find("h1")).to_have_text("Overview")
    other.page.reload()
    expect(other.find("h1")).to_have_text("Log in")
