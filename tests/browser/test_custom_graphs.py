"""Custom graphs in a real browser: the line, zooming, phones, both themes, without the CDN."""

from __future__ import annotations

import csv
import io
import math
import time
from typing import Any

import pytest
from playwright.sync_api import expect

from fmd_admin.records import Batch, Row
from fmd_admin.store import graphs as rows
from fmd_admin.store.job_models import CustomGraphValue
from fmd_admin.store.writer import BatchWriter

from ..support import Bound
from .cdn import CDN_URL
from .conftest import OpenSite, OpenVisitor
from .site import Site
from .visitor import Visitor

pytestmark = pytest.mark.browser

FEW, MANY, FAILED, LONG = "/custom-graph/1", "/custom-graph/2", "/custom-graph/3", "/custom-graph/4"
PAGES = ("/custom-graphs", FEW, f"{MANY}?range=24h", FAILED, LONG, f"{FEW}/delete")
ZOOM = """
(canvas) => {
  const { min, max } = Chart.getChart(canvas).scales.x;
  return [min, max];
}
"""

TICKS = """
(canvas) => Chart.getChart(canvas).scales.x.ticks.map(({ value, label }) => [value, label])
"""


def prepare(bound: Bound) -> None:
    """Graph 1 with 50 values, 2 with 6,000, 3 with a fault only, 4 with a hostile, long title."""
    now_ms = int(time.time() * 1000)
    with bound.monitor.store.write() as connection:
        for title in ("Users", "Queue", "Failed", "<b>" + "W" * 77):
            rows.register(connection, title, "every minute", now_ms, now_ms + 60_000)
        values: list[dict[str, Any]] = []
        for graph_id, count, step_ms in ((1, 50, 60_000), (2, 6_000, 10_000), (4, 1, 1_000)):
            values += [
                {
                    "graph_id": graph_id,
                    "time": now_ms - n * step_ms,
                    "value": round(100 + 50 * math.sin(n / 9), 2),
                }
                for n in range(1, count + 1)
            ]
        connection.execute(CustomGraphValue.__table__.insert(), values)
        rows.keep_error(connection, 3, now_ms, "ValueError: " + "long" * 200)


@pytest.fixture
def site(open_site: OpenSite) -> Site:
    return open_site(prepare=prepare)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_pages_keep_their_shape(site: Site, visit: OpenVisitor, width: int, theme: str) -> None:
    visitor = visit(site, viewport={"width": width, "height": 800}, color_scheme=theme).log_in()
    for path in PAGES:
        visitor.go(path)
        if "delete" not in path and path not in ("/custom-graphs", FAILED):
            assert visitor.chart_colors()
        wider = visitor.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wider <= 0, path


def test_new_versions_are_marked(site: Site, anna: Visitor) -> None:
    now_ms = int(time.time() * 1000)
    for number, version in enumerate(("older", "newer")):
        row = Row(now_ms - 1_200_000 + number * 600_000, "index", 5.0, 200, "GET", None, None)
        BatchWriter(site.store, lambda: 1).write(Batch(version, 1, version, [row]))
    anna.go(FEW)
    assert anna.chart_colors()
    drawn = anna.find("canvas").evaluate(
        """(canvas) => {
          const { options, scales } = Chart.getChart(canvas);
          return Object.values(options.plugins.annotation.annotations).map(
            ({ value, label }) => [value, label.content, scales.x.getPixelForValue(value) > 0]);
        }"""
    )
    assert [now_ms - 600_000, "newer", True] in drawn


def test_the_table_and_the_file_hold_the_values(site: Site, anna: Visitor) -> None:
    anna.go(FEW)
    anna.page.get_by_text("Data table").click()
    cells = anna.find(".data-table tbody td").all_inner_texts()
    name, text = anna.download(lambda: anna.link("CSV").click())
    saved = [row[1] for row in csv.reader(io.StringIO(text))][1:]
    assert name.startswith("Users-")
    assert len(saved) == 50
    assert [float(cell) for cell in cells] == [float(value) for value in saved]


def drag(visitor: Visitor, start: float, end: float) -> None:
    """Drag over the chart, from a share of its width to another."""
    box = visitor.find("canvas").bounding_box()
    assert box is not None
    y = box["y"] + box["height"] / 2
    visitor.page.mouse.move(box["x"] + start * box["width"], y)
    visitor.page.mouse.down()
    visitor.page.mouse.move(box["x"] + (start + end) / 2 * box["width"], y, steps=4)
    visitor.page.mouse.move(box["x"] + end * box["width"], y, steps=4)
    visitor.page.mouse.up()


def test_dragging_zooms_in_and_a_button_shows_all_again(site: Site, anna: Visitor) -> None:
    anna.go(f"{MANY}?range=24h")
    anna.chart_colors()
    canvas = anna.find("canvas")
    whole = canvas.evaluate(ZOOM)
    expect(anna.find(".chart-reset")).to_be_hidden()
    drag(anna, 0.4, 0.6)
    expect(anna.button("Show all")).to_be_visible()
    part = canvas.evaluate(ZOOM)
    assert whole[0] < part[0] < part[1] < whole[1]
    assert 0.15 < (part[1] - part[0]) / (whole[1] - whole[0]) < 0.25
    # Another theme shows the same part.
    anna.find("summary[aria-label=Theme]").click()
    anna.button("Dark").click()
    assert canvas.evaluate(ZOOM) == pytest.approx(part)
    expect(anna.button("Show all")).to_be_visible()
    anna.button("Show all").click()
    assert canvas.evaluate(ZOOM) == pytest.approx(whole)
    expect(anna.find(".chart-reset")).to_be_hidden()


@pytest.mark.parametrize("zone", ["Pacific/Auckland", "America/New_York"])
def test_times_are_those_of_the_panel_wherever_the_browser_is(
    site: Site, visit: OpenVisitor, zone: str
) -> None:
    visitor = visit(site, timezone_id=zone).log_in()
    visitor.go(f"{MANY}?range=24h")
    visitor.chart_colors()
    ticks = visitor.find("canvas").evaluate(TICKS)
    assert len(ticks) > 3
    for value, label in ticks:
        moment = time.gmtime(value / 1000)
        assert moment.tm_sec == 0
        midnight = (moment.tm_hour, moment.tm_min) == (0, 0)
        assert label == time.strftime("%-d %b" if midnight else "%H:%M", moment)


def test_without_the_cdn_the_table_opens(site: Site, visit: OpenVisitor) -> None:
    visitor = visit(site).log_in()
    visitor.allow("ERR_FAILED")
    visitor.context.route(f"{CDN_URL}**", lambda route: route.abort())
    visitor.go(FEW)
    expect(visitor.find(".chart-note")).to_be_visible()
    expect(visitor.find(".data-table table")).to_be_visible()


def test_a_new_graph_is_in_the_menu_and_an_admin_deletes_it(site: Site, anna: Visitor) -> None:
    anna.go("/overview")
    with site.store.write() as connection:
        rows.register(connection, "Brand new", "every minute", 0, None)
    anna.go("/overview")
    anna.find("#menu").get_by_role("link", name="Brand new").click()
    expect(anna.find("h1")).to_contain_text("Brand new")
    anna.link("Delete…").click()
    anna.button("Delete it").click()
    expect(anna.find(".flash")).to_contain_text("Custom graph Brand new is deleted.")
    expect(anna.find("#menu").get_by_role("link", name="Brand new")).to_have_count(0)
