"""Outliers and execution trees, as a person uses them."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import expect

from ..profiles import FIND, RANK, VIEW, broad_tree, node, outlier, profile, store_batch
from .conftest import OpenSite, OpenVisitor
from .site import Site
from .visitor import Visitor

pytestmark = pytest.mark.browser

TREE = ".tree-table"
SELECTED = f"{TREE} tr[aria-selected]"
PAGES = ("profiler", "grouped-profiler", "outliers", "outliers/1")


@pytest.fixture
def site(open_site: OpenSite) -> Site:
    """A shop with three profiles and two outliers of shop.search (endpoint 1)."""
    return open_site(
        prepare=lambda bound: store_batch(
            bound.monitor.store,
            profiles=[profile(), profile(duration_ms=120.0), profile([], samples=0)],
            outliers=[outlier(json='{"a": [1]}'), outlier(stack=[], note="No threads.")],
            left_out={"shop.search": 3},
        )
    )


@pytest.fixture
def large(open_site: OpenSite) -> Site:
    """A shop with one profile of 5,000 lines."""
    made = profile(broad_tree(5_000), duration_ms=4200.0)
    return open_site(prepare=lambda bound: store_batch(bound.monitor.store, profiles=[made]))


def lines(visitor: Visitor) -> list[str]:
    """The code of the rows that can be seen."""
    return visitor.find(f"{TREE} tbody tr[aria-level] code").all_inner_texts()


def wait_for_tree(visitor: Visitor) -> None:
    expect(visitor.find(f"{TREE}[data-live]")).to_be_visible()
    expect(visitor.find(SELECTED)).to_have_count(1)


def test_tree_folds_libraries_and_opens_from_the_keyboard(anna: Visitor) -> None:
    anna.go("/endpoint/1/profiler?profile=1")
    wait_for_tree(anna)
    folded = [
        "GET shop.search",
        "items = find_items(q, page)",
        "rows = db.session.scalars(stmt).all()",
        "2 frames of sqlalchemy hidden",
        "1 frame of Python hidden",
        "return sorted(rows, key=score)",
    ]
    assert lines(anna) == folded
    keyboard = anna.page.keyboard
    anna.find(TREE).focus()
    for _ in range(3):
        keyboard.press("ArrowDown")
    expect(anna.find(SELECTED)).to_contain_text("2 frames of sqlalchemy hidden")
    keyboard.press("ArrowRight")
    assert lines(anna)[3:6] == [
        "2 frames of sqlalchemy",
        "return meth(self, distilled_parameters)",
        "cursor.execute(statement, parameters)",
    ]
    keyboard.press("ArrowLeft")
    assert lines(anna) == folded
    keyboard.press("ArrowLeft")
    expect(anna.find(SELECTED)).to_contain_text("rows = db.session")
    keyboard.press("ArrowLeft")
    assert lines(anna)[3] == "return sorted(rows, key=score)"
    keyboard.press("End")
    expect(anna.find(SELECTED)).to_contain_text("return sorted")
    expect(anna.find("[data-tree-line]")).to_contain_text("rank · shop/catalog.py:57 · total 10 ms")
    keyboard.press("Home")
    expect(anna.find(SELECTED)).to_contain_text("GET shop.search")
    assert anna.find(TREE).get_attribute("aria-activedescendant") == "tree-row-0"


def test_controls_of_the_tree(anna: Visitor) -> None:
    anna.go("/endpoint/1/profiler?profile=1")
    wait_for_tree(anna)
    row = anna.page.locator(f"{TREE} tbody tr", has_text="rows = db.session")
    expect(row).to_contain_text("70 ms")
    anna.button("Self").click()
    expect(row).to_contain_text("5.0 ms")
    expect(anna.find("[data-tree-metric-name]")).to_have_text("Self time")
    anna.button("Total").click()
    anna.page.get_by_label("Hide lines below").select_option("Hide below 5 %")
    anna.page.get_by_label("Library frames").select_option("Library frames: shown")
    assert "cursor.execute(statement, parameters)" in lines(anna)
    search = anna.page.get_by_label("Search in the tree")
    search.fill("CATALOG.PY")
    expect(anna.find("#tree-found")).to_have_text("1 of 2")
    search.press("Enter")
    expect(anna.find("#tree-found")).to_have_text("2 of 2")
    expect(anna.find(SELECTED)).to_contain_text("return sorted")
    search.fill("nowhere")
    expect(anna.find("#tree-found")).to_have_text("none")


def test_search_finds_what_is_folded(anna: Visitor) -> None:
    anna.go("/endpoint/1/grouped-profiler")
    wait_for_tree(anna)
    anna.page.get_by_label("Search in the tree").fill("cursor.execute")
    expect(anna.find(SELECTED)).to_contain_text("cursor.execute(statement, parameters)")
    expect(anna.find(f"{TREE} tr.found")).to_have_count(1)


def test_a_large_tree_keeps_the_document_small(large: Site, visit: OpenVisitor) -> None:
    visitor = visit(large).log_in()
    for page in ("profiler", "grouped-profiler"):
        visitor.go(f"/endpoint/1/{page}")
        wait_for_tree(visitor)
        visitor.page.get_by_label("Hide lines below").select_option("Hide none")
        visitor.page.get_by_label("Library frames").select_option("Library frames: shown")
        expect(visitor.find("[data-tree-status]")).to_have_text("5,000 lines")
        visitor.page.get_by_label("Search in the tree").fill("function_4999")
        expect(visitor.find(SELECTED)).to_contain_text("function_4999")
        expect(visitor.find(SELECTED)).to_be_in_viewport()
        assert visitor.find(f"{TREE} tr").count() < 120
        visitor.find(TREE).focus()
        visitor.page.keyboard.press("End")
        expect(visitor.find(SELECTED)).to_be_visible()


def test_graph_and_table_are_linked(anna: Visitor) -> None:
    anna.go("/endpoint/1/grouped-profiler")
    wait_for_tree(anna)
    colors = anna.find("[data-graph] canvas")
    expect(colors).to_be_visible()
    anna.wait_for("document.querySelector('[data-graph] canvas').height > 100")
    # The second row of the icicle is the view, which takes nearly all of the time.
    colors.click(position={"x": 200, "y": 36})
    expect(anna.find("[data-graph-path]")).to_contain_text("items = find_items(q, page)")
    expect(anna.find(SELECTED)).to_contain_text("items = find_items(q, page)")
    anna.button("Show all").click()
    expect(anna.find("[data-graph-path]")).to_have_text("Click a line to zoom in.")
    anna.button("Sunburst").click()
    expect(anna.button("Sunburst")).to_have_attribute("aria-pressed", "true")
    anna.page.locator(f"{TREE} tbody tr", has_text="return sorted").hover()
    anna.button("Icicle").click()
    anna.find("[data-sort=mean] button").click()
    expect(anna.find("th[data-sort=mean]")).to_have_attribute("aria-sort", "descending")
    assert lines(anna)[0] == "shop.search"


def test_a_line_that_is_hidden_is_not_zoomed_into(open_site: OpenSite, visit: OpenVisitor) -> None:
    """Of 95 ms in the view a line takes 91, and one, in the third row and on the right, 4."""
    made = [profile([node(VIEW, 95, node(FIND, 91), node(RANK, 4))])]
    site = open_site(prepare=lambda bound: store_batch(bound.monitor.store, profiles=made))
    visitor = visit(site).log_in()
    visitor.go("/endpoint/1/grouped-profiler")
    wait_for_tree(visitor)
    visitor.page.get_by_label("Hide lines below").select_option("Hide none")
    visitor.wait_for("!!window.Chart?.getChart(document.querySelector('[data-graph] canvas'))")
    path = visitor.find("[data-graph-path]")
    for kind in ("Icicle", "Sunburst"):
        visitor.button("Icicle").click()
        canvas = visitor.find("[data-graph] canvas")
        x = canvas.evaluate("(one) => Chart.getChart(one).scales.x.getPixelForValue(93_000)")
        canvas.click(position={"x": x, "y": 60})
        expect(path).to_contain_text("return sorted")
        visitor.button(kind).click()
        expect(path).to_contain_text("return sorted")
        visitor.page.get_by_label("Hide lines below").select_option("Hide below 5 %")
        expect(path).to_have_text("Click a line to zoom in.")
        expect(visitor.button("Show all")).to_be_hidden()
        visitor.page.get_by_label("Hide lines below").select_option("Hide none")


def test_without_the_cdn_the_table_still_works(site: Site, visit: OpenVisitor) -> None:
    visitor = visit(site)
    visitor.allow("cdn.jsdelivr.net|ERR_")
    visitor.context.route("https://cdn.jsdelivr.net/**", lambda route: route.abort())
    visitor.log_in().go("/endpoint/1/grouped-profiler")
    wait_for_tree(visitor)
    expect(visitor.find(".chart-note")).to_contain_text("The chart library did not load")
    assert "items = find_items(q, page)" in lines(visitor)


def test_without_javascript_there_is_a_table(site: Site, visit: OpenVisitor) -> None:
    signed_in = visit(site).log_in()
    visitor = visit(
        site, java_script_enabled=False, storage_state=signed_in.context.storage_state()
    )
    for page in ("profiler?profile=1", "grouped-profiler"):
        visitor.go(f"/endpoint/1/{page}")
        row = visitor.page.locator(
            f"{TREE} tbody tr", has_text="cursor.execute(statement, parameters)"
        )
        expect(row).to_be_visible()
        expect(visitor.page.get_by_label("Search in the tree")).to_be_hidden()


def test_downloads(anna: Visitor) -> None:
    anna.go("/endpoint/1/grouped-profiler")
    anna.page.locator("summary", has_text="Download").click()
    name, text = anna.download(anna.page.get_by_text("speedscope JSON").click)
    assert re.fullmatch(r"grouped-shop\.search-.*\.speedscope\.json", name)
    assert json.loads(text)["$schema"].endswith("file-format-schema.json")
    name, text = anna.download(anna.page.get_by_text("Collapsed stacks").click)
    assert name.endswith(".collapsed.txt")
    assert text.startswith("shop.search")


def test_from_the_list_to_an_outlier(anna: Visitor) -> None:
    anna.context.grant_permissions(["clipboard-read", "clipboard-write"])
    anna.go("/overview")
    anna.link("2 outliers of shop.search").click()
    expect(anna.find(".flash-warn")).to_contain_text("3 more requests were outliers")
    anna.find(".outlier-list tbody th a").last.click()
    expect(anna.find("#stack-title")).to_have_text("Where it hung")
    hidden = anna.page.locator(".frame.lib", has_text="return meth(self, distilled_parameters)")
    expect(hidden).to_be_hidden()
    anna.page.locator("summary", has_text="1 frame of sqlalchemy hidden").click()
    expect(hidden).to_be_visible()
    anna.button("Copy as cURL").click()
    expect(anna.button("Copied")).to_be_visible()
    copied = anna.page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("curl --globoff")
    assert "'Authorization: [hidden]'" in copied


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_on_a_phone_nothing_is_wider_than_the_screen(
    site: Site, visit: OpenVisitor, theme: str
) -> None:
    visitor = visit(site, viewport={"width": 360, "height": 780}, color_scheme=theme).log_in()
    for page in PAGES:
        visitor.go(f"/endpoint/1/{page}")
        if "profiler" in page:
            wait_for_tree(visitor)
        assert visitor.page.evaluate("document.documentElement.scrollWidth") == 360, page
        expect(visitor.find(".tabs > [aria-current]")).to_be_in_viewport()
