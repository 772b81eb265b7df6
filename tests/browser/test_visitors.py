"""Pages of users and IPs: drawn, searched, paged, and leading to their requests."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Iterable

import pytest
from playwright.sync_api import expect

from fmd_admin.records import Batch, Row
from fmd_admin.store.writer import BatchWriter

from .conftest import OpenVisitor
from .site import NEWER, OLDER, Site, past
from .test_charts import table
from .visitor import Visitor

pytestmark = pytest.mark.browser


def add_users(site: Site, users: int = 60) -> None:
    """More users than fit on a page, one of them with a name that wants to be a tag."""
    chance = random.Random(3)
    rows = [
        (
            version,
            Row(
                time_ms=past(1 if version == NEWER else 6, 10) + number,
                endpoint="index",
                duration_ms=20 * chance.lognormvariate(0, 0.8),
                status=200,
                method="GET",
                group="<b>zoe</b>" if number == 0 else f"customer{number:02}@example.com",
                ip=f"198.51.100.{number}",
            ),
        )
        for number in range(users)
        for version in (OLDER, NEWER)
    ]
    add(site, rows)


def add(site: Site, rows: Iterable[tuple[str, Row]]) -> None:
    """Store rows besides the site's history, by writers of another name."""
    by_version: dict[str, list[Row]] = {}
    for version, row in rows:
        by_version.setdefault(version, []).append(row)
    for version, found in by_version.items():
        BatchWriter(site.store, lambda: 1).write(Batch(f"users-{version}", 1, version, found))


def paths(site: Site) -> list[str]:
    id = site.endpoint_id("index")
    return [
        "/users-versions",
        "/ips-versions",
        "/user-performance",
        f"/endpoint/{id}/users-versions",
        f"/endpoint/{id}/ips-versions",
        f"/endpoint/{id}/users",
    ]


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_drawn_at_every_width_and_in_both_themes(
    site: Site, visit: OpenVisitor, width: int, scheme: str
) -> None:
    add_users(site)
    visitor = visit(site, viewport={"width": width, "height": 800}, color_scheme=scheme).log_in()
    for path in paths(site):
        visitor.go(f"{path}?range=30d")
        assert visitor.chart_colors(), path
        expect(visitor.find("canvas")).to_have_attribute("role", "img")
        expect(visitor.find(".chart-note")).to_be_hidden()
        assert visitor.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        visitor.page.get_by_text("Data table").click()
        assert visitor.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path


def test_many_versions_are_scrolled_inside_the_chart(site: Site, visit: OpenVisitor) -> None:
    rows = [
        (f"3.{number}", Row(past(1, 10) + number, "index", 5.0, 200, "GET", "anna", "192.0.2.9"))
        for number in range(30)
    ]
    add(site, rows)
    visitor = visit(site, viewport={"width": 360, "height": 800}).log_in()
    visitor.go("/users-versions?range=30d")
    assert visitor.chart_colors()
    assert visitor.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    scrolled = "(box) => box.scrollWidth > box.clientWidth"
    assert visitor.find(".chart-scroll").evaluate(scrolled)


def test_search_pages_and_csv(site: Site, anna: Visitor) -> None:
    add_users(site)
    anna.go("/users-versions?range=30d")
    anna.chart_colors()
    expect(anna.find(".pager-info")).to_have_text("1–25 of 62 users")
    anna.link("Next").click()
    expect(anna.find(".pager-info")).to_have_text("26–50 of 62 users")
    anna.chart_colors()
    anna.find("#search").fill("ZOE")
    anna.find("#search").press("Enter")
    expect(anna.find(".visitor-tools")).to_contain_text("1 user found")
    anna.settle()
    assert "range=30d" in anna.page.url
    anna.chart_colors()
    _, text = anna.download(lambda: anna.link("CSV").click())
    assert [row[:2] for row in csv.reader(io.StringIO(text))][1:] == [
        ["<b>zoe</b>", OLDER],
        ["<b>zoe</b>", NEWER],
    ]
    anna.page.get_by_text("Data table").click()
    assert [row[0] for row in table(anna)[1:]] == ["<b>zoe</b>"] * 2
    anna.link("Show all").click()
    expect(anna.find(".pager-info")).to_have_text("1–25 of 62 users")


def test_a_bubble_and_a_box_lead_to_their_requests(site: Site, anna: Visitor) -> None:
    for path, meta in (("/users-versions", "bubbles"), ("/user-performance", "boxes")):
        anna.go(f"{path}?range=30d")
        anna.chart_colors()
        x, y, hits = anna.find("canvas").evaluate(
            """async (canvas, meta) => {
              const figure = canvas.closest("figure");
              const data = await (await fetch(figure.dataset.url)).json();
              const { x, y } = Chart.getChart(canvas).getDatasetMeta(0).data[0].getCenterPoint();
              return [x, y, data[meta][0].hits];
            }""",
            meta,
        )
        anna.find("canvas").click(position={"x": x, "y": y})
        expect(anna.find("h1")).to_have_text("Requests")
        expect(anna.find(".data-tools")).to_contain_text(f"{hits} requests")
        expect(anna.find("#filter-group")).not_to_have_value("")


def test_empty_pages_say_what_to_do(site: Site, anna: Visitor) -> None:
    anna.go("/users-versions?range=custom&from=2020-01-01T00:00&to=2020-01-02T00:00")
    expect(anna.find(".empty")).to_contain_text("No requests in this range")
