"""The charts are drawn, agree with their tables and files, and the tables do without them."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from datetime import datetime, timezone

import pytest
from playwright.sync_api import Route, expect

from .cdn import CDN_URL
from .conftest import OpenVisitor
from .site import HABITS, HOURS, Site, past
from .visitor import Visitor

pytestmark = pytest.mark.browser

PAGES = ("/hourly-utilization", "/daily-utilization", "/api-performance")


def chart_paths(site: Site) -> list[str]:
    """Every page with a chart."""
    return [*PAGES, f"/endpoint/{site.endpoint_id('index')}/hourly-utilization"]


def table(visitor: Visitor) -> list[list[str]]:
    """The page's data table with its head."""
    cells = """(rows) => rows.map((row) => [...row.cells].map((cell) => cell.textContent.trim()))"""
    found: list[list[str]] = visitor.find("table tr").evaluate_all(cells)
    return found


def test_charts_are_drawn(site: Site, anna: Visitor) -> None:
    for path in chart_paths(site):
        anna.go(path)
        colors = anna.chart_colors()
        # Three busy hours, four endpoints.
        assert len(colors) >= 3, (path, colors)
        expect(anna.find(".chart-note")).to_be_hidden()
        expect(anna.find("canvas")).to_have_attribute("role", "img")
        assert len(anna.find("canvas").get_attribute("aria-label") or "") > 20
        expect(anna.find(".data-table table")).to_be_hidden()
        anna.page.get_by_text("Data table").click()
        expect(anna.find(".data-table table")).to_be_visible()


def test_files_hold_what_the_tables_show(site: Site, anna: Visitor) -> None:
    for path in chart_paths(site):
        anna.go(f"{path}?range=30d&version=1.1")
        name, text = anna.download(lambda: anna.link("CSV").click())
        assert name.endswith(".csv")
        shown = table(anna)
        saved = list(csv.reader(io.StringIO(text)))
        assert saved[0] == shown[0]
        compare: Callable[[str, str], bool] = same_ms if "performance" in path else same_count
        assert len(saved) == len(shown) > 2
        for saved_row, shown_row in zip(saved[1:], shown[1:], strict=True):
            assert shown_row[0].endswith(saved_row[0])
            pairs = list(zip(saved_row[1:], shown_row[1:], strict=True))
            assert [pair for pair in pairs if not compare(*pair)] == [], (path, saved_row[0])


def same_count(saved: str, shown: str) -> bool:
    return shown.replace(",", "") == (saved or "–")


def same_ms(saved: str, shown: str) -> bool:
    """Whether a rounded duration is the exact one; the column of hits is a plain number."""
    number = float(shown.removesuffix(" ms").replace(",", ""))
    return number == pytest.approx(float(saved), rel=0.06, abs=0.006)


def test_overview_file(site: Site, anna: Visitor) -> None:
    anna.go("/overview?range=30d&q=shop")
    name, text = anna.download(lambda: anna.link("CSV").click())
    assert name.startswith("overview-")
    saved = list(csv.DictReader(io.StringIO(text)))
    shown = anna.find("table.overview tbody tr")
    assert [row["Endpoint"] for row in saved] == shown.locator("th").all_inner_texts()
    assert {row["Endpoint"] for row in saved} == {"shop.items", "shop.item"}
    hits = shown.locator("td[data-label='30 days']").all_inner_texts()
    assert [row["Hits"] for row in saved] == [text.replace(",", "") for text in hits]


def test_without_the_cdn_the_tables_open(site: Site, visit: OpenVisitor) -> None:
    visitor = visit(site).log_in()
    visitor.allow("ERR_FAILED")
    visitor.context.route(f"{CDN_URL}**", lambda route: route.abort())
    for path in chart_paths(site):
        visitor.go(path)
        expect(visitor.find(".chart-note")).to_have_text(
            "The chart library did not load. The table below shows the same figures."
        )
        expect(visitor.find(".data-table table")).to_be_visible()
        assert len(table(visitor)) > 2
    # Each chart has a table of its own.
    visitor.go("/status-codes?range=30d")
    for number in range(2):
        expect(visitor.find(".data-table table").nth(number)).to_be_visible()


def test_with_a_cdn_that_hangs_the_tables_open(site: Site, visit: OpenVisitor) -> None:
    visitor = visit(site).log_in()
    visitor.allow("ERR_FAILED")
    held: list[Route] = []
    visitor.context.route(f"{CDN_URL}**", lambda route: held.append(route))
    visitor.page.clock.install()
    visitor.page.goto(f"{visitor.panel}/daily-utilization", wait_until="commit")
    # The scripts of ours stand before those of the CDN, so that they run meanwhile.
    expect(visitor.find("summary", "Data table")).to_be_visible()
    expect(visitor.find(".data-table table")).to_be_hidden()
    visitor.wait_for("window.fmdDrawings?.stacked !== undefined")
    visitor.page.clock.run_for(5_000)
    expect(visitor.find(".chart-note")).to_be_visible()
    expect(visitor.find(".data-table table")).to_be_visible()
    for route in held:
        route.abort()


def test_a_file_that_was_tampered_with_is_not_run(site: Site, visit: OpenVisitor) -> None:
    visitor = visit(site).log_in()
    visitor.allow("integrity")
    visitor.context.route(
        f"{CDN_URL}**",
        lambda route: route.fulfill(
            status=200,
            headers={"Access-Control-Allow-Origin": "*"},
            content_type="application/javascript",
            body="document.title = 'owned'",
        ),
    )
    visitor.go("/daily-utilization")
    expect(visitor.find(".data-table table")).to_be_visible()
    assert "Daily" in visitor.page.title()


def test_a_cell_leads_to_its_requests(site: Site, anna: Visitor) -> None:
    anna.go("/hourly-utilization")
    anna.chart_colors()
    anna.page.get_by_text("Data table").click()
    rows = table(anna)
    day, hits = rows[-2][0], sum(int(cell.replace("–", "0")) for cell in rows[-2][1:])
    assert hits > 0
    anna.link(day).click()
    expect(anna.find("h1")).to_have_text("Requests")
    expect(anna.find(".data-tools")).to_contain_text(f"{hits} requests")

    # The same by a click into the chart: a filled cell leads to the requests of its hour.
    anna.page.go_back()
    anna.chart_colors()
    x, y = anna.find("canvas").evaluate(
        """(canvas) => {
          const chart = Chart.getChart(canvas);
          const index = chart.data.datasets[0].data.findIndex((cell) => cell.hits === 30);
          const { x, y } = chart.getDatasetMeta(0).data[index].getCenterPoint();
          return [x, y];
        }"""
    )
    anna.find("canvas").click(position={"x": x, "y": y})
    expect(anna.find("h1")).to_have_text("Requests")
    expect(anna.find(".data-tools")).to_contain_text("30 requests")


def test_a_bar_of_a_day_that_is_cut_leads_to_what_it_counts(site: Site, anna: Visitor) -> None:
    """Of the first day the range holds the last of three busy hours."""
    day = f"{datetime.fromtimestamp(past(3, 0) / 1000, timezone.utc):%Y-%m-%d}"
    anna.go(f"/daily-utilization?range=custom&from={day}T13:00")
    anna.chart_colors()
    x, y, hits = anna.find("canvas").evaluate(
        """(canvas) => {
          const chart = Chart.getChart(canvas);
          const { x, y } = chart.getDatasetMeta(0).data[0].getCenterPoint();
          return [x, y, chart.data.datasets[0].data[0]];
        }"""
    )
    assert hits == HABITS["index"][0] * HOURS[15]
    anna.find("canvas").click(position={"x": x, "y": y})
    expect(anna.find("h1")).to_have_text("Requests")
    expect(anna.find(".data-tools")).to_contain_text(f"{hits} requests")
