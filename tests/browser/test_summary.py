"""The first page of an endpoint: tiles that compare, charts that zoom and lead to requests."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Locator, expect

from .conftest import OpenVisitor
from .site import NEWER, OLDER, Site
from .test_every_page import drawn
from .visitor import Visitor

pytestmark = pytest.mark.browser


def canvas(visitor: Visitor, kind: str) -> Locator:
    return visitor.find(f"figure[data-chart={kind}] canvas")


def bar(visitor: Visitor, kind: str) -> tuple[float, float, int]:
    """Where the first bar or point with a value is on the page, and the number of its step."""
    found: list[float] = canvas(visitor, kind).evaluate(
        """(canvas) => {
          canvas.scrollIntoView({ block: "center" });
          const chart = Chart.getChart(canvas);
          const index = chart.data.datasets[0].data.findIndex((value) => value > 0);
          const { x, y } = chart.getDatasetMeta(0).data[index].getCenterPoint();
          const { left, top } = canvas.getBoundingClientRect();
          return [left + x, top + y, index];
        }"""
    )
    return found[0], found[1], int(found[2])


def test_from_the_overview_to_the_requests_of_an_hour(site: Site, anna: Visitor) -> None:
    anna.go("/overview")
    anna.link("shop.item").click()
    expect(anna.find(".tabs a[aria-current=page]")).to_have_text("Summary")
    drawn(anna)
    data = anna.page.evaluate(
        "fetch(document.querySelector('figure').dataset.url).then((answer) => answer.json())"
    )
    x, y, index = bar(anna, "requests")
    with anna.page.expect_navigation():
        anna.page.mouse.click(x, y)
    query = parse_qs(urlsplit(anna.page.url).query)
    assert query["endpoint"] == ["shop.item"]
    assert (query["from"], query["to"]) == ([data["labels"][index]], [data["ends"][index]])
    hits = data["points"][index]["hits"]
    expect(anna.find(".data-tools")).to_contain_text(f"{hits} requests")


def test_a_drag_zooms_and_a_button_leads_back(site: Site, anna: Visitor) -> None:
    anna.go(f"/endpoint/{site.endpoint_id('index')}")
    drawn(anna)
    chart = canvas(anna, "durations")
    count = "(canvas) => { const { x } = Chart.getChart(canvas).scales; return x.max - x.min; }"
    before: float = chart.evaluate(count)
    box = chart.bounding_box()
    assert box is not None
    reset = anna.find(".chart-card", "Durations").get_by_role("button", name="Whole range")
    expect(reset).to_be_hidden()
    middle = box["y"] + box["height"] / 2
    anna.page.mouse.move(box["x"] + box["width"] * 0.4, middle)
    anna.page.mouse.down()
    anna.page.mouse.move(box["x"] + box["width"] * 0.7, middle, steps=4)
    anna.page.mouse.up()
    expect(reset).to_be_visible()
    assert chart.evaluate(count) < before
    assert "/endpoint/" in anna.page.url, "a drag is no click"
    reset.click()
    assert chart.evaluate(count) == before
    expect(reset).to_be_hidden()


def test_deploys_are_marked(site: Site, anna: Visitor) -> None:
    for path in (
        f"/endpoint/{site.endpoint_id('index')}?range=30d",
        "/daily-utilization?range=30d",
    ):
        anna.go(path)
        drawn(anna)
        labels = anna.find("figure[data-chart] canvas").first.evaluate(
            """(canvas) => {
              const { annotations } = Chart.getChart(canvas).options.plugins.annotation;
              return Object.values(annotations).map(({ label }) => label.content);
            }"""
        )
        # The history has two versions; the first one is where everything begins.
        assert labels in ([NEWER], [OLDER]), path


def test_what_is_compared_stays_in_the_address(site: Site, visit: OpenVisitor) -> None:
    visitor = visit(site).log_in()
    visitor.go("/overview?range=24h")
    menu = visitor.find("details.compare", "vs the 24 hours before")
    menu.locator("summary").click()
    visitor.link("a week earlier").click()
    expect(visitor.find(".range-line")).to_contain_text("compared with a week earlier")
    visitor.link("shop.items").click()
    expect(visitor.find(".range-line")).to_contain_text("compared with a week earlier")
    visitor.find("details.compare", "vs a week earlier").locator("summary").click()
    visitor.link("Nothing").click()
    expect(visitor.find("summary", "Not compared")).to_be_visible()
    visitor.link("Overview").first.click()
    expect(visitor.find("table.overview thead")).not_to_contain_text("Change")
    # Somebody else who opens the address sees the same.
    address = visitor.page.url.removeprefix(visitor.panel)
    other = visit(site).log_in()
    other.go(address)
    expect(other.find("summary", "Not compared")).to_be_visible()
