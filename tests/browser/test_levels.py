"""Monitoring levels from the panel; each change is in force in the running process within 2 s."""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import Locator, expect

from .conftest import OpenVisitor
from .site import Site
from .visitor import Visitor

pytestmark = pytest.mark.browser

IN_FORCE_S = 2.0


def in_force_s(site: Site, endpoint: str, *, stores: bool) -> float:
    """Seconds from now to the first request that is stored, or not, as it should be."""
    start = time.monotonic()
    while True:
        sent = time.monotonic()
        if site.is_stored(endpoint) == stores:
            return sent - start
        assert sent - start < 5 * IN_FORCE_S, f"{endpoint} is not at its new level"


def control(visitor: Visitor, endpoint: str) -> Locator:
    return visitor.find(f"form.levels[data-name='{endpoint}']")


def chosen(form: Locator, level: int) -> None:
    """Wait until the control shows ``level`` and the server has said that it is stored."""
    expect(form.locator("[aria-pressed=true]")).to_have_text(str(level))
    expect(form).not_to_have_attribute("aria-busy", "true")
    expect(form).not_to_have_class("levels failed")


def test_by_click(site: Site, anna: Visitor) -> None:
    anna.go("/overview")
    form = control(anna, "index")
    chosen(form, 1)
    assert site.is_stored("index")
    for level in (0, 1):
        form.get_by_role("button", name=str(level), exact=True).click()
        chosen(form, level)
        assert in_force_s(site, "index", stores=level > 0) < IN_FORCE_S
        assert site.level("index") == level
        status = f"Level of index is now {level}."
        expect(anna.find("#level-status")).to_have_text(status)
    assert anna.page.url == f"{anna.panel}/overview", "the page went elsewhere"
    assert site.is_stored("report"), "another endpoint changed as well"


def test_by_keyboard(site: Site, anna: Visitor) -> None:
    anna.go("/overview")
    form = control(anna, "shop.item")
    keyboard = anna.page.keyboard
    # One stop of the Tab key for the four buttons: the pressed one.
    form.locator("[aria-pressed=true]").focus()
    keyboard.press("Shift+Tab")
    expect(form.locator(":focus")).to_have_count(0)
    keyboard.press("Tab")
    expect(form.locator(":focus")).to_have_text("1")

    keyboard.press("ArrowLeft")
    expect(form.locator(":focus")).to_have_text("0")
    chosen(form, 1)  # Moving is not choosing.
    keyboard.press("Enter")
    chosen(form, 0)
    assert in_force_s(site, "shop.item", stores=False) < IN_FORCE_S

    keyboard.press("ArrowRight")
    keyboard.press("Space")
    chosen(form, 1)
    assert in_force_s(site, "shop.item", stores=True) < IN_FORCE_S
    keyboard.press("3")
    chosen(form, 3)
    expect(form.locator(":focus")).to_have_text("3")
    assert site.level("shop.item") == 3


def test_by_form_without_javascript(site: Site, visit: OpenVisitor) -> None:
    visitor = visit(site, java_script_enabled=False).log_in()
    visitor.go("/overview?range=24h&q=rep")
    form = control(visitor, "report")
    form.get_by_role("button", name="0", exact=True).click()
    expect(visitor.find(".flash-ok")).to_have_text("1 endpoint set to level 0.")
    assert in_force_s(site, "report", stores=False) < IN_FORCE_S
    expect(form.locator("[aria-pressed=true]")).to_have_text("0")
    assert visitor.page.url == f"{visitor.panel}/overview?range=24h&q=rep"

    # On the endpoint's own page too, which it then shows again.
    visitor.link("report").click()
    expect(visitor.find("h1 .here")).to_have_text("report")
    url = visitor.page.url
    control(visitor, "report").get_by_role("button", name="1", exact=True).click()
    expect(visitor.find(".flash-ok")).to_have_text("1 endpoint set to level 1.")
    assert visitor.page.url == url
    assert in_force_s(site, "report", stores=True) < IN_FORCE_S


def test_of_several_at_once(site: Site, anna: Visitor) -> None:
    anna.go("/overview")
    anna.find("#bulk summary").click()
    anna.find("#bulk button[value='0']").click()
    expect(anna.find("[role=alert]")).to_have_text("Select at least one endpoint first.")
    anna.settle()
    for name in ("index", "shop.items"):
        anna.page.get_by_label(f"Select {name}", exact=True).check()
    expect(anna.find(".bulk-count")).to_have_text("2")
    anna.find("#bulk summary").click()
    anna.find("#bulk button[value='0']").click()
    expect(anna.find(".flash-ok")).to_have_text("2 endpoints set to level 0.")
    for name in ("index", "shop.items"):
        assert in_force_s(site, name, stores=False) < IN_FORCE_S
        chosen(control(anna, name), 0)
    chosen(control(anna, "report"), 1)

    anna.settle()
    anna.page.get_by_label("Select all endpoints on this page").check()
    anna.find("#bulk summary").click()
    anna.find("#bulk button[value='1']").click()
    expect(anna.find(".flash-ok")).to_have_text("4 endpoints set to level 1.")
    assert in_force_s(site, "index", stores=True) < IN_FORCE_S


def test_pages_of_an_endpoint_say_it_too(site: Site, anna: Visitor) -> None:
    """The live region is there before anything is said in it."""
    anna.go(f"/endpoint/{site.endpoint_id('index')}")
    status = anna.page.get_by_role("status").and_(anna.find("#level-status"))
    expect(status).to_have_text("")
    control(anna, "index").get_by_role("button", name="2", exact=True).click()
    expect(status).to_have_text("Level of index is now 2.")
    assert site.level("index") == 2


def test_a_change_that_fails_is_said_and_taken_back(site: Site, anna: Visitor) -> None:
    anna.allow("ERR_FAILED")
    anna.go("/overview")
    anna.page.route("**/overview/level", lambda route: route.abort())
    form = control(anna, "index")
    form.get_by_role("button", name="0", exact=True).click()
    expect(anna.find("#level-status")).to_contain_text("Level of index was not changed")
    expect(form.locator("[aria-pressed=true]")).to_have_text("1")
    expect(form).to_have_class("levels failed")
    assert site.level("index") == 1
