"""Light, dark and as the system; charts follow, and the choice stays."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from .conftest import OpenVisitor
from .site import Site
from .visitor import Visitor

pytestmark = pytest.mark.browser


def choose(visitor: Visitor, label: str) -> None:
    visitor.find("summary[aria-label=Theme]").click()
    visitor.button(label).click()


def theme(visitor: Visitor) -> str | None:
    return visitor.find("html").get_attribute("data-theme")


def background(visitor: Visitor) -> str:
    color: str = visitor.find("body").evaluate("(body) => getComputedStyle(body).backgroundColor")
    return color


def test_themes(site: Site, visit: OpenVisitor) -> None:
    visitor = visit(site, color_scheme="light").log_in()
    visitor.allow("status of 404")
    visitor.go("/daily-utilization")
    assert theme(visitor) == "system"
    light, light_chart = background(visitor), visitor.chart_colors()

    choose(visitor, "Dark")
    expect(visitor.find("html")).to_have_attribute("data-theme", "dark")
    dark, dark_chart = background(visitor), visitor.chart_colors()
    assert dark != light
    assert dark_chart != light_chart

    visitor.page.reload()
    assert theme(visitor) == "dark"
    assert background(visitor) == dark
    assert visitor.chart_colors() == dark_chart
    summary = visitor.find("summary[aria-label=Theme]")
    summary.click()
    expect(visitor.button("Dark")).to_have_attribute("aria-pressed", "true")
    visitor.button("Dark").press("Enter")
    expect(visitor.button("Dark")).to_be_hidden()
    expect(summary).to_be_focused()
    # On pages without the menu too.
    visitor.go("/nowhere")
    assert (theme(visitor), background(visitor)) == ("dark", dark)

    visitor.go("/daily-utilization")
    choose(visitor, "Light")
    expect(visitor.find("html")).to_have_attribute("data-theme", "light")
    assert (background(visitor), visitor.chart_colors()) == (light, light_chart)
    visitor.page.emulate_media(color_scheme="dark")
    assert background(visitor) == light, "light was chosen, whatever the system says"

    choose(visitor, "As the system")
    expect(visitor.find("html")).to_have_attribute("data-theme", "system")
    assert (background(visitor), visitor.chart_colors()) == (dark, dark_chart)
    visitor.page.emulate_media(color_scheme="light")
    visitor.page.wait_for_timeout(50)
    assert (background(visitor), visitor.chart_colors()) == (light, light_chart)
