"""The System page: read at any width and in both themes, and deletion with what it shows."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import expect
from sqlalchemy import func, select

from fmd_admin.records import Row
from fmd_admin.store import prune_runs
from fmd_admin.store.accounts import VIEWER, create_user
from fmd_admin.store.models import Request

from .conftest import OpenSite, OpenVisitor
from .site import NEWER, Site, fill, history, past, wait_until
from .visitor import PASSWORD, Visitor

pytestmark = pytest.mark.browser

OLD = 5_000
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 740}


def old_rows() -> list[tuple[str, Row]]:
    """More than one transaction deletes, of 40 days ago."""
    return [
        (NEWER, Row(past(40, 9) + n, "index", 5.0, 200, "GET", "old", "192.0.2.1"))
        for n in range(OLD)
    ]


@pytest.fixture
def site(open_site: OpenSite) -> Site:
    """The shop, and rows that are too old."""
    return open_site(prepare=lambda bound: fill(bound.monitor.store, [*history(), *old_rows()]))


def requests(site: Site) -> int:
    with site.store.read() as connection:
        return connection.scalar(select(func.count()).select_from(Request)) or 0


def number(visitor: Visitor, label: str) -> str:
    """The figure under a label at the top of the page."""
    return visitor.find(".stat", label).locator(".stat-value").inner_text()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [WIDE, PHONE], ids=["1280", "360"])
def test_it_fits_and_says_what_is_there(
    site: Site, visit: OpenVisitor, viewport: Any, theme: str
) -> None:
    # A long name must not push the page wide.
    site.bound.monitor.faults._counts.clear()
    try:
        raise ValueError("a_text_without_any_place_to_break_" * 5)
    except ValueError:
        site.bound.monitor.faults.report("a place")
    visitor = visit(site, viewport=viewport, color_scheme=theme).log_in()

    def is_told() -> bool:
        found = visitor.context.request.get(f"{site.panel}/system/data.json").json()
        return any(process.get("fault_rows") for process in found["processes"])

    wait_until(is_told)
    visitor.go("/system")
    assert number(visitor, "Processes") in {"1", "2", "3"}
    row = visitor.find("#retention tbody tr", "Raw requests")
    expect(row).to_contain_text("30 days")
    expect(row.locator("td").last).to_have_text(f"{OLD:,}")
    expect(visitor.find("tr", "fmd_request").locator("td")).to_have_text(
        re.compile(r"^(about )?\d?\d,?\d{3}$")
    )
    expect(visitor.find(".fault-text")).to_contain_text("ValueError: a_text")
    assert visitor.find("html").evaluate("(html) => html.scrollWidth") == viewport["width"]
    assert visitor.page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") is (
        theme == "dark"
    )


def test_delete_now(site: Site, visit: OpenVisitor) -> None:
    anna = visit(site).log_in()
    before = requests(site)
    anna.go("/system")
    anna.link("Delete now…").click()
    expect(anna.find("h1")).to_have_text("Delete old data now?")
    expect(anna.find(".confirm-list")).to_contain_text(f"{OLD:,}")
    anna.link("Cancel").click()
    expect(anna.find("h1")).to_have_text("System")
    assert requests(site) == before
    anna.link("Delete now…").click()
    anna.button(f"Delete {OLD:,} rows").click()
    expect(anna.find(".flash-ok")).to_contain_text("will be deleted now")
    # The page looks by itself until it is done, and then shows what went.
    expect(anna.find("#prune-state")).to_contain_text(re.compile(r"\((anna|hourly)\): [\d,]+ row"))
    expect(anna.find("#prune-state")).not_to_have_attribute("data-running", "")
    wait_until(lambda: requests(site) == before - OLD)
    anna.page.get_by_text("Recent runs").click()
    expect(anna.find(".card-fold")).to_contain_text("Raw requests: 5,000")


def test_progress_of_a_run_that_nobody_works_on_yet(site: Site, visit: OpenVisitor) -> None:
    anna = visit(site).log_in()
    site.bound.monitor.jobs.pruning.step = lambda *_: None  # type: ignore[method-assign]
    with site.store.write() as connection:
        run_id = prune_runs.ask(connection, "bob", {"requests": 5}, past(0, 0))
    anna.go("/system")
    expect(anna.find("#prune-progress")).to_have_text("0 rows deleted so far")
    with site.store.write() as connection:
        prune_runs.count(connection, run_id, {"requests": 1_500})
    expect(anna.find("#prune-progress")).to_have_text("1,500 rows deleted so far")
    with site.store.write() as connection:
        run = prune_runs.next_open(connection)
        assert run is not None
        prune_runs.finish(connection, run, past(0, 0) + 5)
    expect(anna.find("#prune-state")).to_contain_text("(bob): 1,500 rows deleted.")


def test_a_viewer_only_looks(site: Site, visit: OpenVisitor) -> None:
    create_user(site.store, "vera", PASSWORD, VIEWER)
    vera = visit(site).log_in("vera")
    vera.go("/overview")
    vera.link("System").click()
    expect(vera.find("#retention")).to_contain_text("Raw requests")
    expect(vera.link("Delete now…")).to_have_count(0)
    expect(vera.find("main")).not_to_contain_text("fmd.db")
    vera.allow("status of 403")
    assert vera.go("/system/prune").status == 403


def test_without_javascript(site: Site, visit: OpenVisitor) -> None:
    visitor = visit(site, java_script_enabled=False).log_in()
    with site.store.write() as connection:
        prune_runs.ask(connection, "bob", {}, past(0, 0))
    site.bound.monitor.jobs.pruning.step = lambda *_: None  # type: ignore[method-assign]
    visitor.go("/system")
    expect(visitor.link("Look again")).to_be_visible()
