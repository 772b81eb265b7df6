"""Every page: wide and narrow, light and dark, with nothing and with too much on it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pprint import pformat
from typing import Any

import pytest
from flask import Flask

from fmd_admin.records import Row
from fmd_admin.resources import folder
from fmd_admin.store import graphs
from fmd_admin.store.job_models import CustomGraphValue

from ..alerts import store_alerts
from ..exceptions import store_exceptions
from ..profiles import outlier, profile, store_batch
from ..support import Bound
from . import cdn
from .conftest import OpenSite, OpenVisitor
from .pages import every_page
from .site import Site, fill, history, past
from .visitor import Visitor

pytestmark = pytest.mark.browser

WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 360, "height": 740}
#: Bytes of a page that a browser still shows at once.
LARGEST_PAGE = 2_000_000
#: What a page must not have, by axe-core's own measure.
GRAVE = ("serious", "critical")
#: The rules of axe-core about colours. All that differs in the dark is of light-dark() in our
#: style sheets, which can hold nothing but colours.
COLOR_RULES = ("color-contrast", "link-in-text-block")
_AXE = """
async (rules) => {
  const only = rules && { runOnly: { type: "rule", values: rules } };
  const { violations } = await axe.run(document, { resultTypes: ["violations"], ...only });
  return violations.map(({ id, impact, nodes }) =>
    [id, impact, nodes.slice(0, 5).map((node) => `${node.html} ${node.failureSummary}`)]);
}
"""

#: Colours change at once: axe-core looks at them right after.
STILL = {"color_scheme": "light", "reduced_motion": "reduce"}
#: Charts take on the size of their place after a frame.
_TWO_FRAMES = (
    "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
)


@pytest.fixture(scope="module")
def axe() -> str:
    (content,) = cdn.assets((cdn.AXE,)).values()
    return content.decode()


def drawn(visitor: Visitor) -> None:
    """Wait until the charts of the page, if it has some, are there."""
    visitor.wait_for(
        """[...document.querySelectorAll("figure[data-chart]")].every(
          (figure) => window.Chart?.getChart(figure.querySelector("canvas")))"""
    )


def grave_faults(visitor: Visitor, axe: str) -> list[Any]:
    """What is wrong with the page in the light, and with its colours in the dark."""
    visitor.page.evaluate(axe)
    found = visitor.page.evaluate(_AXE)
    visitor.page.emulate_media(color_scheme="dark")
    found += visitor.page.evaluate(_AXE, COLOR_RULES)
    visitor.page.emulate_media(color_scheme="light")
    return [fault for fault in found if fault[1] in GRAVE]


def overflow(visitor: Visitor) -> int:
    """How many pixels the page is wider than the screen."""
    found: int = visitor.find("html").evaluate("(html) => html.scrollWidth - innerWidth")
    return found


def fill_with_everything(bound: Bound) -> None:
    """Something for every page: requests, profiles, outliers, exceptions, alerts, a graph."""
    fill(bound.monitor.store, history())
    store_batch(
        bound.monitor.store,
        profiles=[profile(), profile(duration_ms=120.0), profile([], samples=0)],
        outliers=[outlier(json='{"a": [1]}'), outlier(stack=[], note="No threads.")],
        left_out={"shop.search": 3},
    )
    store_exceptions(bound.monitor.store)
    store_alerts(bound.monitor.store)
    now_ms = time.time_ns() // 1_000_000
    with bound.monitor.store.write() as connection:
        graphs.register(connection, "Users", "every minute", now_ms, now_ms + 60_000)
        values = [{"graph_id": 1, "time": now_ms - n * 60_000, "value": n % 7} for n in range(200)]
        connection.execute(CustomGraphValue.__table__.insert(), values)


@pytest.fixture
def full(open_site: OpenSite) -> Site:
    return open_site(prepare=fill_with_everything)


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_everybody_can_use_it(
    full: Site, visit: OpenVisitor, axe: str, size: dict[str, int]
) -> None:
    visitor = visit(full, viewport=size, **STILL).log_in()
    visitor.allow("status of 404")
    found = {}
    pages = every_page(full)
    assert {"/custom-graph/1", "/reporting", "/system"} < set(pages)
    assert any("/outliers/" in page for page in pages)
    assert any("/exceptions/" in page for page in pages)
    assert any("/alerts/rules/1" in page for page in pages)
    for path in pages:
        visitor.go(path)
        drawn(visitor)
        faults = grave_faults(visitor, axe)
        if faults or overflow(visitor) > 0:
            found[path] = (overflow(visitor), faults)
    assert found == {}, pformat(found)


def test_the_login_can_be_used_by_everybody(site: Site, visit: OpenVisitor, axe: str) -> None:
    visitor = visit(site, **STILL)
    visitor.go("/login")
    assert grave_faults(visitor, axe) == []


def test_only_colors_differ_in_the_dark(site: Site, visit: OpenVisitor, axe: str) -> None:
    """What makes it enough to look at the colours of the dark."""
    for sheet in folder("static").glob("css/*.css"):
        assert "prefers-color-scheme" not in sheet.read_text(), sheet.name
        themes = re.findall(r"\[data-theme[^{]*\{([^}]*)\}", sheet.read_text())
        assert all(re.fullmatch(r"\s*color-scheme:[^;]*;\s*", rule) for rule in themes), themes
    visitor = visit(site)
    visitor.go("/login")
    visitor.page.evaluate(axe)
    rules = visitor.page.evaluate("axe.getRules(['cat.color']).map((rule) => rule.ruleId)")
    # The enhanced one is not run by default either.
    assert set(rules) - {"color-contrast-enhanced"} == set(COLOR_RULES)


LONG = "a_name_of_200_characters_without_a_place_to_break" * 4 + "1234"
HOSTILE = '"><script>alert(1)</script>'


def crowd() -> Iterator[tuple[str, Row]]:
    """300 endpoints, 50 versions, 400 users; names that are long and names that are markup."""
    names = [f"blueprint_{n % 20}.endpoint_{n}" for n in range(298)] + [LONG, HOSTILE]
    for version in range(50):
        for n, name in enumerate(names[version::7]):
            time_ms = past(1 + version % 6, 10) + 1000 * n
            status = (200, 200, 404, 500)[(n + version) % 4]
            yield (
                HOSTILE if version == 3 else f"1.{version}",
                Row(time_ms, name, 2.0 + n * 3 + version, status, "GET", f"{name}-{n}", f"::{n:x}"),
            )


def one() -> Iterator[tuple[str, Row]]:
    yield "1.0", Row(past(1, 10), "index", 3.0, 200, "GET", None, None)


@pytest.mark.parametrize("rows", [one, crowd], ids=["one request", "a crowd"])
def test_every_page_keeps_its_shape(open_site: OpenSite, visit: OpenVisitor, rows: Any) -> None:
    def prepare(bound: Bound) -> None:
        fill(bound.monitor.store, rows())

    keeps_its_shape(open_site(Flask("crowd"), prepare=prepare), visit)


def test_every_page_without_anything_keeps_its_shape(
    open_site: OpenSite, visit: OpenVisitor
) -> None:
    site = open_site(Flask("empty"))
    keeps_its_shape(site, visit)


def keeps_its_shape(site: Site, visit: OpenVisitor) -> None:
    """Each page fits a phone, and the window of a computer that it is shown in afterwards."""
    found = {}
    visitor = visit(site, viewport=NARROW).log_in()
    visitor.allow("status of 404")
    for path in every_page(site):
        visitor.page.set_viewport_size(NARROW)
        answer = visitor.go(path)
        drawn(visitor)
        length = len(answer.body())
        for size in (NARROW, WIDE):
            visitor.page.set_viewport_size(size)
            visitor.page.evaluate(_TWO_FRAMES)
            if overflow(visitor) > 0 or length > LARGEST_PAGE:
                found[path, size["width"]] = (overflow(visitor), length)
            assert visitor.find("h1").first.is_visible(), path
    assert found == {}, pformat(found)
