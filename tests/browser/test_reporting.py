"""The page Reporting in a real browser: choosing intervals, sentences, chart, table and files."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from fmd_admin.records import Row

from .conftest import OpenSite, OpenVisitor
from .site import NEWER, OLDER, Site, fill, past
from .test_hostile_names import NAMES, hover_over, is_inert
from .visitor import Visitor

pytestmark = pytest.mark.browser

PHONE = {"width": 360, "height": 740}
REQUESTS = 300
#: Endpoint → median in ms and error share, before and after the newest release.
CHANGES = {
    "checkout": ((120.0, 0.01), (168.0, 0.01)),
    "search": ((80.0, 0.0), (52.0, 0.0)),
    "shop.items": ((24.0, 0.0), (24.0, 0.0)),
    "shop.basket": ((40.0, 0.01), (40.0, 0.09)),
    "report": ((900.0, 0.2), (900.0, 0.02)),
    "old": ((5.0, 0.0), None),
    "new": (None, (7.0, 0.0)),
    "a_very_long_name_" * 12: ((3.0, 0.0), (3.0, 0.0)),
}


def before_and_after(
    changes: dict[str, tuple[tuple[float, float] | None, tuple[float, float] | None]],
) -> Iterator[tuple[str, Row]]:
    """Requests of twenty days under two releases: the newer one came three days ago."""
    chance = random.Random(4)
    for name, sides in changes.items():
        for side, version, days in zip(sides, (OLDER, NEWER), ((9, 20), (1, 3)), strict=True):
            if side is None:
                continue
            for number in range(REQUESTS):
                yield (
                    version,
                    Row(
                        time_ms=past(chance.randint(*days), chance.randrange(24)) + number,
                        endpoint=name,
                        duration_ms=side[0] * chance.lognormvariate(0, 0.4),
                        status=500 if chance.random() < side[1] else 200,
                        method="GET",
                        group=None,
                        ip=None,
                    ),
                )


@pytest.fixture
def changed(open_site: OpenSite) -> Site:
    return open_site(prepare=lambda bound: fill(bound.monitor.store, before_and_after(CHANGES)))


@pytest.fixture
def anna(changed: Site, visit: OpenVisitor) -> Visitor:
    return visit(changed).log_in()


def width(visitor: Visitor) -> int:
    found: int = visitor.find("html").evaluate("(html) => html.scrollWidth")
    return found


def group(visitor: Visitor, kind: str) -> list[str]:
    """The sentences of a group."""
    card = visitor.find(f"section[aria-labelledby={kind}], details:has(#{kind})")
    return card.locator(".finding").all_text_contents()


def test_what_changed_is_said(anna: Visitor) -> None:
    anna.go("/reporting")
    (slower,) = group(anna, "slower")
    assert slower.startswith("checkout is ")
    assert "slower at the median than in the 28 days before: 1" in slower
    assert slower.endswith("300 and 300 requests, p < 0.001.")
    (faster,) = group(anna, "faster")
    assert faster.startswith("search is 3")
    (worse,) = group(anna, "more_errors")
    assert worse.startswith("shop.basket has more errors than in the 28 days before: ")
    (better,) = group(anna, "fewer_errors")
    assert better.startswith("report has fewer errors")
    assert [text.split()[0] for text in group(anna, "new") + group(anna, "gone")] == ["new", "old"]
    expect(anna.find("#unchanged li").first).to_be_hidden()
    anna.find(".tiles a", "Unchanged").click()
    assert anna.page.url.endswith("#unchanged")
    expect(anna.find("#unchanged li").first).to_be_visible()


def test_a_name_leads_to_its_pages_and_the_counts_to_the_requests(anna: Visitor) -> None:
    anna.go("/reporting")
    entry = anna.find("section[aria-labelledby=slower] li")
    entry.get_by_role("link", name="Requests after").click()
    expect(anna.find("h1")).to_have_text("Requests")
    expect(anna.find(".data-tools")).to_contain_text("300 requests")
    anna.page.go_back()
    entry.get_by_role("link", name="checkout").click()
    expect(anna.find("h1 .here")).to_have_text("checkout")
    anna.chart_colors()


def test_intervals_are_chosen_and_stay_in_the_address(
    changed: Site, anna: Visitor, visit: OpenVisitor
) -> None:
    anna.go("/reporting?range=24h")
    anna.link("Two versions").click()
    anna.settle()
    assert "compare=version" in anna.page.url
    assert "Version 1.0" in anna.find(".sides").inner_text()
    anna.go("/reporting?compare=version")
    assert "slower at the median than in version 1.0" in group(anna, "slower")[0]
    anna.find("select[name=before]").select_option(NEWER)
    anna.find("select[name=after]").select_option(OLDER)
    anna.button("Compare").click()
    anna.settle()
    assert "than in version 1.1" in group(anna, "slower")[0]
    assert group(anna, "slower")[0].startswith("search takes") or group(anna, "slower")[
        0
    ].startswith("search is")
    shown = anna.find("main").inner_text()
    colleague = visit(changed).log_in()
    colleague.page.goto(anna.page.url)
    assert colleague.find("main").inner_text() == shown

    anna.link("Custom").click()
    anna.settle()
    for word, days_ago in (
        ("before_from", 21),
        ("before_to", 8),
        ("after_from", 4),
        ("after_to", 0),
    ):
        field = anna.find(f"input[type=datetime-local][name={word}]")
        field.fill(
            anna.page.evaluate("(ms) => new Date(ms).toISOString().slice(0, 16)", past(days_ago, 0))
        )
    anna.button("Compare").click()
    anna.settle()
    assert "than in the first interval" in group(anna, "slower")[0]


def test_overlapping_intervals_are_refused_with_the_mend(anna: Visitor) -> None:
    anna.go(
        "/reporting?compare=custom&before_from=2026-11-01T00:00&before_to=2026-11-03T00:00"
        "&after_from=2026-11-02T00:00&after_to=2026-11-04T00:00"
    )
    expect(anna.find(".flash-error")).to_contain_text("overlap")
    field = anna.find("input[type=datetime-local][name=before_to]")
    expect(field).to_have_value("2026-11-03T00:00")
    field.fill("2026-11-02T00:00")
    anna.button("Compare").click()
    anna.settle()
    expect(anna.find(".flash-error")).to_have_count(0)


def test_chart_table_and_file_agree(anna: Visitor) -> None:
    anna.go("/reporting")
    colors = anna.chart_colors()
    assert len(colors) >= 3  # Red, green, blue.
    hover_over(anna, anna.find("figure[data-chart] canvas"))
    labels: list[str] = anna.find("figure[data-chart] canvas").evaluate(
        "(canvas) => Chart.getChart(canvas).data.labels"
    )
    anna.page.get_by_text("Data table").click()
    names = anna.find(".data-table tbody th").all_inner_texts()
    assert labels == [name for name in names if name not in {"old", "new"}]
    _, text = anna.download(lambda: anna.link("CSV").click())
    saved = list(csv.reader(io.StringIO(text)))
    assert [row[0] for row in saved[1:]] == names
    assert saved[0] == anna.find(".data-table thead th").all_inner_texts()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("query", ["", "?compare=version", "?compare=custom", "?compare=today"])
def test_on_a_phone_nothing_scrolls_sideways(
    changed: Site, visit: OpenVisitor, theme: str, query: str
) -> None:
    phone = visit(changed, viewport=PHONE, has_touch=True, color_scheme=theme).log_in()
    phone.go(f"/reporting{query}")
    if phone.find("figure[data-chart]").count():
        phone.chart_colors()
        phone.page.get_by_text("Data table").click()
    for details in phone.find("details.fold").all():
        details.locator("summary").click()
    assert width(phone) <= PHONE["width"]


def test_a_median_that_was_0_is_drawn_where_the_axis_begins(
    open_site: OpenSite, visit: OpenVisitor
) -> None:
    rows = before_and_after({"quick": ((0.0, 0.0), (50.0, 0.0))})
    site = open_site(prepare=lambda bound: fill(bound.monitor.store, rows))
    anna = visit(site).log_in()
    anna.go("/reporting")
    anna.chart_colors()
    before, lines = anna.find("canvas").evaluate(
        """(canvas) => {
          const chart = Chart.getChart(canvas);
          const item = { dataIndex: 0 };
          return [chart.data.datasets[1].data[0],
                  chart.options.plugins.tooltip.callbacks.label(item)];
        }"""
    )
    assert before == 0.001
    assert [line.split(":")[0] for line in lines] == ["28 days before", "Last 7 days"]
    assert "0.00 ms" in lines[0]


def test_hostile_names_are_inert(open_site: OpenSite, visit: OpenVisitor) -> None:
    changes = dict(zip(NAMES, list(CHANGES.values())[: len(NAMES)], strict=True))
    site = open_site(prepare=lambda bound: fill(bound.monitor.store, before_and_after(changes)))
    visitor = visit(site).log_in()
    visitor.go("/reporting")
    visitor.chart_colors()
    hover_over(visitor, visitor.find("figure[data-chart] canvas"))
    is_inert(visitor)
    found = visitor.find(".finding > a").all_text_contents()
    assert set(found) == set(NAMES)
    _, text = visitor.download(lambda: visitor.link("CSV").click())
    cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
    assert [cell for cell in cells if cell[:1] in set("=+@\t\r")] == []


def test_without_requests_the_page_says_what_to_do(open_site: OpenSite, visit: OpenVisitor) -> None:
    visitor = visit(open_site()).log_in()
    visitor.go("/reporting")
    expect(visitor.find(".empty strong")).to_have_text("No requests in either interval")
    assert visitor.find("canvas").count() == 0
