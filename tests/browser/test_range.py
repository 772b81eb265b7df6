"""Time range and versions: chosen on one page, kept in the URL on all others."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import expect

from .site import NEWER, OLDER, Site, history, hits_of, past, wait_until
from .visitor import Visitor

pytestmark = pytest.mark.browser


def query(visitor: Visitor) -> dict[str, list[str]]:
    return parse_qs(urlsplit(visitor.page.url).query)


def see_hits(visitor: Visitor, hits: int) -> None:
    """Wait for the figure "Requests" at the top of the overview."""
    expect(visitor.find(".stat", "Requests").locator(".stat-value")).to_have_text(f"{hits:,}")


def choose_version(visitor: Visitor, name: str) -> None:
    visitor.find("details.versions summary").click()
    visitor.page.get_by_label(name, exact=True).check()
    visitor.find("details.versions").get_by_role("button", name="Show").click()


def test_range_and_version_go_along(site: Site, anna: Visitor) -> None:
    anna.go("/overview")
    see_hits(anna, hits_of(days=6))
    anna.link("30 days").click()
    see_hits(anna, hits_of())
    choose_version(anna, OLDER)
    see_hits(anna, hits_of(OLDER))
    kept = {"range": ["30d"], "version": [OLDER]}
    assert query(anna) == kept

    for name in (
        "Hourly API Utilization",
        "Daily API Utilization",
        "API Performance",
        "Overview",
    ):
        anna.link(name).click()
        expect(anna.find("h1")).to_have_text(name)
        assert query(anna) == kept, name
        expect(anna.find(".range [aria-current=true]")).to_have_text("30 days")
        expect(anna.find("details.versions summary")).to_have_text(OLDER)
    anna.link("shop.item").click()
    expect(anna.find("h1")).to_contain_text("shop.item")
    assert query(anna) == kept
    anna.link("Requests").click()
    expect(anna.find(".data-tools")).to_contain_text(f"{hits_of(OLDER)} requests")
    assert query(anna) == kept

    # Back to all versions; the range stays.
    anna.find("details.versions summary").click()
    anna.page.get_by_label(OLDER, exact=True).uncheck()
    anna.find("details.versions").get_by_role("button", name="Show").click()
    expect(anna.find(".data-tools")).to_contain_text(f"{hits_of()} requests")
    assert query(anna) == {"range": ["30d"]}


def test_custom_range(site: Site, anna: Visitor) -> None:
    anna.go("/overview?version=" + NEWER)
    anna.find(".range summary").click()
    day = anna.page.evaluate("(ms) => new Date(ms).toISOString().slice(0, 10)", past(2, 0))
    anna.page.get_by_label("From", exact=True).fill(f"{day}T09:00")
    anna.page.get_by_label("To", exact=True).fill(f"{day}T12:00")
    anna.find(".range").get_by_role("button", name="Show").click()
    # One of the three hours of that day: 9:00 to 10:00.
    see_hits(anna, sum(past(2, 9) <= row.time_ms < past(2, 12) for _, row in history()))
    found = query(anna)
    assert found["range"] == ["custom"]
    assert found["version"] == [NEWER]
    anna.link("Daily API Utilization").click()
    expect(anna.find("h1")).to_have_text("Daily API Utilization")
    assert query(anna) == found


def test_what_comes_in_meanwhile_is_shown(site: Site, anna: Visitor) -> None:
    for _ in range(5):
        assert site.request("/") == 200
    site.request("/nowhere")
    # A record is made when the server closes the answer, a moment after the client has it.
    wait_until(lambda: site.rows("(unmatched)", past(0, 0)) == 1)
    anna.go("/overview?range=1h")
    row = anna.find("table.overview tbody tr").filter(has=anna.link("index"))
    expect(row.locator("td[data-label=Today]")).to_have_text("5")
    expect(anna.link("(unmatched)")).to_be_visible()


def test_search_sort_and_pages_of_the_overview(site: Site, anna: Visitor) -> None:
    names = anna.find("table.overview tbody th")
    anna.go("/overview?range=30d")
    anna.link("Endpoint").click()
    expect(names).to_have_text(["index", "report", "shop.item", "shop.items"])
    anna.find("table.overview thead").get_by_role("link", name="Endpoint").click()
    expect(names).to_have_text(["shop.items", "shop.item", "report", "index"])
    anna.settle()
    anna.page.get_by_label("Blueprint").select_option("shop")
    expect(names).to_have_count(2)
    anna.page.get_by_label("Search endpoints").fill("items")
    anna.page.keyboard.press("Enter")
    expect(names).to_have_text(["shop.items"])
    assert query(anna)["range"] == ["30d"]
