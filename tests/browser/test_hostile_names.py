"""Names that are markup or formulas: shown as they are, run nowhere."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

import pytest
from flask import Flask, request
from playwright.sync_api import Locator, expect

from fmd_admin.records import Row

from .conftest import OpenSite, OpenVisitor
from .pages import every_page
from .site import Site, fill, past
from .visitor import Visitor

pytestmark = pytest.mark.browser

NAMES = (
    "<script>alert(1)</script>",
    '=HYPERLINK("http://x")',
    '"><img src=x onerror=alert(1)>',
    "'-alert(1)-'",
    "{{ 7919 * 7907 }}",
    "</script><svg onload=alert(1)>",
)
VERSION = "<b onmouseover=alert(1)>1.1</b>"


def yesterday() -> Iterator[tuple[str, Row]]:
    """Some requests of each, so that the charts have something to draw."""
    for size, name in enumerate(NAMES, 1):
        for number in range(20):
            time_ms, duration_ms = past(1, size) + number, size * (5.0 + number)
            yield VERSION, Row(time_ms, name, duration_ms, 200, "GET", name, None)


@pytest.fixture
def hostile(open_site: OpenSite) -> Site:
    """A site whose endpoints, groups and version have such names, through real requests."""
    app = Flask("hostile")
    for number, name in enumerate(NAMES):
        app.add_url_rule(f"/{number}", name, lambda: "hello")
    site = open_site(
        app,
        prepare=lambda bound: fill(bound.monitor.store, yesterday()),
        app_version=VERSION,
        group_by=lambda: NAMES[int(request.headers["X-Number"])],
    )
    for number in range(len(NAMES)):
        site.request(f"/{number}", **{"X-Number": str(number)})
    site.bound.monitor.recorder.flush()
    return site


def is_inert(visitor: Visitor) -> None:
    """Nothing of the names became an element. A dialog is a fault of the visitor anyway."""
    made: list[str] = visitor.page.evaluate(
        """() => [...document.querySelectorAll(
          "img[src=x], [onerror], [onload], [onmouseover], body script:not([src])",
        )].map((element) => element.outerHTML)"""
    )
    assert made == [], visitor.page.url
    assert str(7919 * 7907) not in visitor.find("main").inner_text(), visitor.page.url


def hover_over(visitor: Visitor, canvas: Locator) -> None:
    """Bring up the tooltips of some elements of a chart."""
    canvas.scroll_into_view_if_needed()
    points: list[list[float]] = canvas.evaluate(
        """(canvas) => {
          const { left, top } = canvas.getBoundingClientRect();
          const points = Chart.getChart(canvas).getSortedVisibleDatasetMetas()
            .flatMap(({ data }) => data.filter((element) => !element.skip))
            .map((element) => element.getCenterPoint())
            .filter(({ x, y }) => x > 0 && y > 0);
          return points.slice(-4).map(({ x, y }) => [left + x, top + y]);
        }"""
    )
    shown = 0.0
    for x, y in points:
        visitor.page.mouse.move(x, y)
        shown += canvas.evaluate("(canvas) => Chart.getChart(canvas).tooltip.opacity")
    assert shown > 0, f"no tooltip was shown on {visitor.page.url}"


def test_names_are_inert_on_every_page(hostile: Site, visit: OpenVisitor) -> None:
    visitor = visit(hostile).log_in()
    visitor.allow("status of 404")
    for path in every_page(hostile):
        visitor.go(path)
        for number, figure in enumerate(visitor.find("figure[data-chart]").all()):
            if figure.get_attribute("data-chart") == "errors":
                continue  # There are none.
            visitor.chart_colors(number)
            hover_over(visitor, figure.locator("canvas"))
        if path == "/overview":
            for menu in visitor.find("details.menu:visible").all():
                menu.locator("summary").click()
        is_inert(visitor)


def test_names_are_shown_as_they_are(hostile: Site, visit: OpenVisitor) -> None:
    visitor = visit(hostile).log_in()
    visitor.go("/overview?q=1)")
    names = visitor.find("table.overview tbody th").all_inner_texts()
    assert sorted(names) == sorted(name for name in NAMES if "1)" in name)
    row = visitor.find("table.overview tbody tr", NAMES[0])
    row.get_by_role("button", name="0", exact=True).click()
    expect(visitor.find("#level-status")).to_have_text(f"Level of {NAMES[0]} is now 0.")
    assert hostile.level(NAMES[0]) == 0

    visitor.find("table.overview tbody th a").nth(0).click()
    expect(visitor.find("h1 .here")).to_have_text(names[0])
    visitor.chart_colors()
    assert names[0] in visitor.page.title()

    visitor.go("/data/requests?range=1h")
    rows = visitor.find("table.data-list tbody tr")
    expect(rows).to_have_count(len(NAMES))
    for name in NAMES:
        # As endpoint and as group.
        cells = rows.filter(has_text=name).locator("td").all_inner_texts()
        assert cells.count(name) == 2
        assert VERSION in cells
    visitor.go("/api-performance")
    labels: list[str] = visitor.find("figure[data-chart] canvas").evaluate(
        """async (canvas) => {
          while (!window.Chart?.getChart(canvas)) await new Promise((done) => setTimeout(done, 20));
          return Chart.getChart(canvas).data.labels;
        }"""
    )
    assert sorted(labels) == sorted(NAMES)


def test_files_are_harmless(hostile: Site, visit: OpenVisitor) -> None:
    visitor = visit(hostile).log_in()
    for path in ("/overview", "/daily-utilization", "/api-performance", "/data/requests"):
        visitor.go(path)
        _, text = visitor.download(lambda: visitor.link("CSV").click())
        cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
        assert "'" + NAMES[1] in cells, path
        assert [cell for cell in cells if cell[:1] in set("=+-@\t\r")] == [], path
