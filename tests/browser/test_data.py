"""The lists under Data: filter, sort, page, details, deletion."""

from __future__ import annotations

import csv
import io

import pytest
from playwright.sync_api import Locator, expect
from sqlalchemy import func, select

from fmd_admin.store.models import Request

from .conftest import OpenSite, OpenVisitor
from .site import NEWER, ROUTES, Site, fill, history, wait_until
from .visitor import Visitor

pytestmark = pytest.mark.browser


@pytest.fixture
def site(open_site: OpenSite) -> Site:
    """The shop with pages of ten rows."""
    return open_site(
        prepare=lambda bound: fill(bound.monitor.store, history()),
        page_size=10,
        default_range="30d",
    )


def rows(visitor: Visitor) -> Locator:
    return visitor.find("table.data-list tbody tr")


def column(visitor: Visitor, label: str) -> list[str]:
    """The texts of a column on this page."""
    heads = [
        head.strip(" ▼▲")
        for head in visitor.find("table.data-list th[scope=col]").all_inner_texts()
    ]
    number = heads.index(label) + 1
    return visitor.find(f"table.data-list tbody tr > :nth-child({number})").all_inner_texts()


def stored(site: Site) -> int:
    with site.store.read() as connection:
        return connection.scalar(select(func.count()).select_from(Request)) or 0


def see_total(visitor: Visitor, number: int) -> None:
    noun = "request" if number == 1 else "requests"
    expect(visitor.find(".data-tools")).to_contain_text(f"{number:,} {noun}")


def test_filters(site: Site, anna: Visitor) -> None:
    every = [row for _, row in history()]
    anna.go("/data/requests")
    see_total(anna, len(every))
    # A choice is sent at once.
    anna.page.get_by_label("Endpoint").select_option("shop.item")
    items = [row for row in every if row.endpoint == "shop.item"]
    see_total(anna, len(items))
    anna.page.get_by_label("Status").fill("4xx")
    anna.page.get_by_label("Group").fill("eve")
    anna.button("Filter").click()
    wanted = [row for row in items if row.status == 404 and row.group == "eve"]
    see_total(anna, len(wanted))
    anna.settle()
    assert set(column(anna, "Endpoint")) == {"shop.item"}
    assert set(column(anna, "Status")) == {"404"}
    assert set(column(anna, "Group")) == {"eve"}

    _, text = anna.download(lambda: anna.link("CSV").click())
    saved = list(csv.DictReader(io.StringIO(text)))
    assert len(saved) == len(wanted)
    assert {(row["Endpoint"], row["Status"], row["Group"]) for row in saved} == {
        ("shop.item", "404", "eve")
    }
    durations = sorted(float(row["Duration (ms)"]) for row in saved)
    assert durations == pytest.approx(sorted(row.duration_ms for row in wanted), abs=1e-6)

    anna.link("Clear").click()
    see_total(anna, len(every))
    anna.page.get_by_label("Search").fill("repo")
    anna.page.keyboard.press("Enter")
    see_total(anna, sum(row.endpoint == "report" for row in every))
    anna.page.get_by_label("At least ms").fill("1000000")
    anna.button("Filter").click()
    expect(anna.find(".empty strong")).to_have_text("No request matches")
    anna.page.get_by_label("Status").fill("fast")
    anna.button("Filter").click()
    expect(anna.find("[role=alert]")).to_contain_text("Status is 'fast'. Allowed:")
    expect(anna.page.get_by_label("Status")).to_have_value("fast")


def test_sort_and_pages(site: Site, anna: Visitor) -> None:
    durations = sorted((row.duration_ms for _, row in history()), reverse=True)
    anna.go("/data/requests?endpoint=index")
    total = sum(row.endpoint == "index" for _, row in history())
    times = column(anna, "Time")
    assert times == sorted(times, reverse=True), "newest first"
    anna.link("Next").click()
    expect(anna.find(".pager-info")).to_contain_text(f"Page 2 of {-(-total // 10)}")
    anna.settle()
    assert column(anna, "Time")[0] <= times[-1]
    anna.link("Last").click()
    expect(rows(anna)).to_have_count(total % 10 or 10)

    anna.go("/data/requests")
    anna.link("Duration (ms)").click()
    head = anna.find("th[aria-sort]")
    expect(head).to_have_attribute("aria-sort", "descending")
    expect(head).to_contain_text("Duration")
    anna.settle()
    shown = [float(text.replace(",", "")) for text in column(anna, "Duration (ms)")]
    assert shown == pytest.approx(durations[:10], abs=0.006)
    head.get_by_role("link").click()
    expect(head).to_have_attribute("aria-sort", "ascending")
    anna.settle()
    shown = [float(text.replace(",", "")) for text in column(anna, "Duration (ms)")]
    assert shown == pytest.approx(durations[:-11:-1], abs=0.006)


def test_details_and_back(site: Site, anna: Visitor) -> None:
    anna.go("/data/requests?endpoint=report&page=2")
    url = anna.page.url
    first = rows(anna).nth(0)
    time = first.locator("th").inner_text()
    first.get_by_role("link").click()
    facts = anna.find("dl.facts")
    expect(facts).to_contain_text(time)
    expect(facts).to_contain_text("report")
    expect(facts).to_contain_text("192.0.2.7")
    anna.link("Back to the list").click()
    expect(anna.page).to_have_url(url)


def test_deletion_asks_first(site: Site, anna: Visitor) -> None:
    before = stored(site)
    anna.go("/data/requests?endpoint=report")
    url = anna.page.url
    for box in rows(anna).locator("input[name=ids]").all()[:2]:
        box.check()
    expect(anna.find(".bulk-count")).to_have_text("2")
    anna.find("#bulk button").click()
    expect(anna.find("h1")).to_have_text("Delete 2 requests?")
    expect(anna.find(".confirm-list li")).to_have_count(2)
    anna.link("Cancel").click()
    expect(anna.page).to_have_url(url)
    assert stored(site) == before

    anna.settle()
    anna.page.get_by_label("Select all on this page").check()
    anna.find("#bulk button").click()
    anna.button("Delete 10 requests").click()
    expect(anna.find(".flash-ok")).to_have_text("10 requests deleted.")
    expect(anna.page).to_have_url(url)
    assert stored(site) == before - 10
    anna.find("#bulk button").click()
    expect(anna.find("[role=alert]")).to_have_text("Select at least one request first.")


def test_an_endpoint_goes_with_all_of_its_requests(site: Site, anna: Visitor) -> None:
    anna.go("/data/endpoints")
    anna.link("report").click()
    anna.link("Delete…").click()
    expect(anna.find("h1")).to_have_text("Delete 1 endpoint?")
    expect(anna.find("main")).to_contain_text("All their requests and totals go with them")
    anna.button("Delete 1 endpoint").click()
    expect(anna.find(".flash-ok")).to_have_text("1 endpoint deleted.")
    assert "report" not in column(anna, "Endpoint")
    assert stored(site) == sum(row.endpoint != "report" for _, row in history())
    anna.go("/overview")
    expect(anna.link("index")).to_be_visible()
    expect(anna.link("report")).to_have_count(0)
    # Requested again, it starts anew.
    site.request(ROUTES["report"])
    wait_until(lambda: site.rows("report", 0) == 1)
    anna.page.reload()
    expect(anna.link("report")).to_be_visible()


def test_deletion_without_javascript(site: Site, visit: OpenVisitor) -> None:
    visitor = visit(site, java_script_enabled=False).log_in()
    before = stored(site)
    visitor.go(f"/data/requests?version={NEWER}")
    rows(visitor).locator("input[name=ids]").nth(3).check()
    visitor.find("#bulk button").click()
    visitor.button("Delete 1 request").click()
    expect(visitor.find(".flash-ok")).to_have_text("1 request deleted.")
    assert stored(site) == before - 1
