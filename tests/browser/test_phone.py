"""Every page on a screen of 360 pixels."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from .conftest import OpenVisitor
from .pages import every_page
from .site import Site
from .visitor import Visitor

pytestmark = pytest.mark.browser

PHONE = {"width": 360, "height": 740}


@pytest.fixture
def phone(site: Site, visit: OpenVisitor) -> Visitor:
    """The admin's phone."""
    return visit(site, viewport=PHONE, has_touch=True).log_in()


def width(visitor: Visitor) -> int:
    found: int = visitor.find("html").evaluate("(html) => html.scrollWidth")
    return found


def test_no_page_scrolls_sideways(site: Site, phone: Visitor) -> None:
    # An endpoint's name has no place to break, unless the page makes one.
    site.bound.app.add_url_rule("/long", "a_very_long_name_" * 12, lambda: "long")
    site.request("/long")
    site.bound.monitor.recorder.flush()
    phone.allow("status of 404")
    wide = {}
    for path in every_page(site):
        phone.go(path)
        if phone.find("figure[data-chart]").count():
            phone.chart_colors()
            for summary in phone.page.get_by_text("Data table").all():
                summary.click()
        if width(phone) > PHONE["width"]:
            wide[path] = width(phone)
    phone.context.clear_cookies(name="fmd_session")
    phone.go("/login")
    assert width(phone) <= PHONE["width"]
    assert wide == {}


def test_open_menus_stay_on_the_screen(site: Site, phone: Visitor) -> None:
    phone.go("/overview")
    menus = phone.find("details.menu:visible").all()
    assert len(menus) >= 4  # Range, versions, theme, account, levels.
    for menu in menus:
        menu.locator("summary").click()
        body = menu.locator(".menu-body")
        expect(body).to_be_visible()
        box = body.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= PHONE["width"], body.inner_text()
        assert width(phone) <= PHONE["width"]


def test_menu_opens_and_closes(site: Site, phone: Visitor) -> None:
    phone.go("/overview?range=30d")
    menu = phone.find("#menu")
    expect(menu).to_be_hidden()
    phone.button("Menu").tap()
    expect(menu).to_be_visible()
    expect(phone.link("Settings")).to_be_visible()
    assert width(phone) <= PHONE["width"]
    phone.page.touchscreen.tap(350, 700)
    expect(menu).to_be_hidden()
    phone.button("Menu").tap()
    phone.page.keyboard.press("Escape")
    expect(menu).to_be_hidden()

    phone.button("Menu").tap()
    phone.link("Daily API Utilization").tap()
    expect(phone.find("h1")).to_have_text("Daily API Utilization")
    expect(menu).to_be_hidden()
    assert phone.page.url.endswith("range=30d")


def test_a_level_can_be_tapped(site: Site, phone: Visitor) -> None:
    phone.go("/overview")
    button = phone.find("form.levels[data-name=index] button[value='0']")
    button.scroll_into_view_if_needed()
    box = button.bounding_box()
    assert box is not None
    assert box["width"] >= 24  # WCAG 2.2: targets of at least 24 by 24 pixels.
    assert box["height"] >= 24
    button.tap()
    expect(button).to_have_attribute("aria-pressed", "true")
    expect(phone.find("#level-status")).to_have_text("Level of index is now 0.")
    assert site.level("index") == 0
