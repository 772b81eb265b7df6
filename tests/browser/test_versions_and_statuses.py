"""The pages of versions and status codes: drawn, in step with their tables, and leading on."""

from __future__ import annotations

import csv
import io
from typing import Any, Literal

import pytest
from playwright.sync_api import expect

from .conftest import OpenVisitor
from .site import Site, hits_of
from .visitor import Visitor

pytestmark = pytest.mark.browser

#: Each page (below an endpoint's address, if it has none of its own) and how many charts it has.
PAGES = {"/multi-version-utilization": 1, "/version-performance": 1, "/status-codes": 2}
TABS = {"/versions": 1, "/status-codes": 2}
_MIDDLE = """
(canvas, [dataset, index]) => {
  const chart = Chart.getChart(canvas);
  const { x, y } = chart.getDatasetMeta(dataset).data[index].getCenterPoint();
  return [x, y];
}
"""


def pages(site: Site) -> dict[str, int]:
    below = f"/endpoint/{site.endpoint_id('shop.item')}"
    return PAGES | {below + tab: charts for tab, charts in TABS.items()}


def rows(visitor: Visitor, number: int) -> list[list[str]]:
    """A data table of the page with its head."""
    cells = """(rows) => rows.map((row) => [...row.cells].map((cell) => cell.textContent.trim()))"""
    found: list[list[str]] = (
        visitor.find(".data-table").nth(number).locator("tr").evaluate_all(cells)
    )
    return found


def click_bar(visitor: Visitor, chart: int, dataset: int, index: int) -> None:
    canvas = visitor.find("figure[data-chart] canvas").nth(chart)
    canvas.scroll_into_view_if_needed()
    x, y = canvas.evaluate(_MIDDLE, [dataset, index])
    canvas.click(position={"x": x, "y": y})


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_charts_are_drawn_and_fit(
    site: Site, visit: OpenVisitor, theme: Literal["light", "dark"], width: int
) -> None:
    visitor = visit(site, viewport={"width": width, "height": 800}, color_scheme=theme).log_in()
    for path, charts in pages(site).items():
        visitor.go(f"{path}?range=30d")
        for number in range(charts):
            assert visitor.chart_colors(number), path
            canvas = visitor.find("canvas").nth(number)
            assert len(canvas.get_attribute("aria-label") or "") > 20
            visitor.page.get_by_text("Data table").nth(number).click()
            expect(visitor.find(".data-table table").nth(number)).to_be_visible()
            assert len(rows(visitor, number)) > 1
        expect(visitor.find(".chart-note:visible")).to_have_count(0)
        found: int = visitor.find("html").evaluate("(html) => html.scrollWidth")
        assert found <= width, path


def test_empty_pages_have_no_chart(site: Site, anna: Visitor) -> None:
    for path in pages(site):
        anna.go(f"{path}?range=custom&from=2020-01-01T00:00&to=2020-01-02T00:00")
        expect(anna.find(".empty")).to_contain_text("No requests in this range")
        expect(anna.find("canvas")).to_have_count(0)


def test_files_hold_what_the_tables_show(site: Site, anna: Visitor) -> None:
    for path, charts in pages(site).items():
        anna.go(f"{path}?range=30d")
        for number in range(charts):
            link = anna.find(".chart-head a[download]").nth(number)
            _, text = anna.download(lambda link=link: link.click())  # type: ignore[misc]
            saved, shown = list(csv.reader(io.StringIO(text))), rows(anna, number)
            assert saved[0] == shown[0]
            assert len(saved) == len(shown) > 1
            # Names and counts are the same to the letter; durations and shares are rounded.
            exact = [n for n, label in enumerate(saved[0]) if label in {"Version", "Requests"}]
            for saved_row, shown_row in zip(saved[1:], shown[1:], strict=True):
                for column in exact:
                    assert saved_row[column] == shown_row[column].replace(",", "")


def test_the_newest_version_is_on_top(site: Site, anna: Visitor) -> None:
    for path in ("/multi-version-utilization", "/version-performance"):
        anna.go(f"{path}?range=30d")
        anna.chart_colors()
        labels: Any = anna.find("canvas").evaluate("(c) => Chart.getChart(c).data.labels")
        assert labels == ["1.1", "1.0"]


def test_a_bar_of_a_version_leads_to_its_requests(site: Site, anna: Visitor) -> None:
    anna.go("/multi-version-utilization?range=30d")
    anna.chart_colors()
    # The endpoint with the most requests, of the version on top.
    click_bar(anna, 0, 0, 0)
    expect(anna.find("h1")).to_have_text("Requests")
    expect(anna.find(".data-tools")).to_contain_text(f"{hits_of('1.1') * 4 // 10} requests")
    assert "endpoint=index" in anna.page.url


def test_a_box_of_a_version_leads_to_its_requests(site: Site, anna: Visitor) -> None:
    anna.go("/version-performance?range=30d")
    anna.chart_colors()
    box = anna.find("canvas").evaluate(
        "(c) => { const b = Chart.getChart(c).getDatasetMeta(0).data[1]; return [b.x, b.y]; }"
    )
    anna.find("canvas").click(position={"x": box[0], "y": box[1]})
    expect(anna.find("h1")).to_have_text("Requests")
    expect(anna.find(".data-tools")).to_contain_text(f"{hits_of('1.0')} requests")


def test_bars_of_statuses_lead_to_their_requests(site: Site, anna: Visitor) -> None:
    anna.go("/status-codes?range=30d")
    anna.chart_colors(0)
    anna.chart_colors(1)
    # 404 is the second series; the day before today, and the endpoint with the most errors.
    click_bar(anna, 0, 1, 28)
    expect(anna.find("h1")).to_have_text("Requests")
    expect(anna.find(".data-tools")).to_contain_text("6 requests")
    anna.page.go_back()
    anna.chart_colors(1)
    click_bar(anna, 1, 1, 0)
    expect(anna.find("h1")).to_have_text("Requests")
    expect(anna.find(".data-tools")).to_contain_text("54 requests")
    assert "endpoint=shop.item" in anna.page.url


def test_the_list_of_errors(site: Site, anna: Visitor) -> None:
    anna.go("/status-codes?range=30d")
    expect(anna.find("#errors")).to_contain_text("54 errors")
    anna.find(".pager").get_by_text("Next").click()
    expect(anna.find(".error-list tbody tr")).to_have_count(4)
    anna.find(".error-list tbody tr").first.locator("a").first.click()
    expect(anna.find("h1")).to_contain_text("Request")
    anna.page.go_back()
    anna.find(".error-list .badge").first.click()
    expect(anna.find(".data-tools")).to_contain_text("54 requests")


def test_a_search_for_endpoints(site: Site, anna: Visitor) -> None:
    anna.go("/multi-version-utilization?range=30d")
    anna.find("input[name=q]").fill("shop")
    anna.button("Show").last.click()
    anna.chart_colors()
    names: Any = anna.find("canvas").evaluate(
        "(c) => Chart.getChart(c).data.datasets.map((set) => set.label)"
    )
    assert names == ["shop.items", "shop.item", "other"]
    anna.link("Show all").click()
    anna.chart_colors()
    assert anna.page.url.endswith("range=30d")
