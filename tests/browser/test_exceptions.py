"""The pages of exceptions in a browser; what was raised is markup."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask import Flask
from playwright.sync_api import expect

from ..exceptions import load_module
from .conftest import OpenSite, OpenVisitor
from .site import Site
from .test_hostile_names import is_inert

pytestmark = pytest.mark.browser

MARKUP = "<img src=x onerror=alert(1)>"
MODULE = f"""
Broken = type("<script>alert(2)</script>", (Exception,), {{}})

def view():
    "</code><svg onload=alert(3)>"  # {MARKUP} {{{{ 7919 * 7907 }}}}
    raise Broken("{MARKUP} {{{{ 7919 * 7907 }}}} </script><b onmouseover=alert(4)>")
"""


@pytest.fixture
def failing(open_site: OpenSite, tmp_path: Path) -> Site:
    app = Flask("failing")
    app.logger.disabled = True
    module = load_module(tmp_path / "<img src=x onerror=alert(5)>", "<b>shop", MODULE)
    app.add_url_rule("/", MARKUP, module.view)
    site = open_site(app)
    for number in range(3):
        assert site.request(f"/?q={number}") == 500
    site.bound.monitor.recorder.flush()
    return site


def test_what_was_raised_is_inert(failing: Site, visit: OpenVisitor) -> None:
    visitor = visit(failing).log_in()
    for path in ("/overview", "/exceptions", "/exceptions/1", "/exceptions/1/delete"):
        visitor.go(path)
        is_inert(visitor)
    visitor.go("/exceptions/1")
    expect(visitor.find("p.message")).to_contain_text(MARKUP)
    expect(visitor.find(".own .source .at")).to_contain_text('raise Broken("<img src=x')
    expect(visitor.find("h1 .here")).to_contain_text("<script>alert(2)</script>")
    visitor.chart_colors()
    visitor.go("/data/exceptions")
    is_inert(visitor)


def test_a_group_is_resolved_opened_and_deleted(failing: Site, visit: OpenVisitor) -> None:
    visitor = visit(failing).log_in()
    visitor.go("/overview")
    visitor.find("a.badge-bad").click()
    visitor.find("table.exception-list tbody th a").click()
    visitor.find("button", "Mark as resolved").click()
    expect(visitor.find(".flash-ok")).to_contain_text("Marked as resolved")
    visitor.go("/exceptions")
    expect(visitor.find(".empty strong")).to_have_text("No exceptions in this range")
    visitor.go("/exceptions?state=resolved")
    visitor.find("table.exception-list tbody th a").click()
    visitor.find("button", "Open again").click()
    visitor.find("a.btn", "Delete").click()
    visitor.find("button", "Delete them").click()
    expect(visitor.find(".flash-ok")).to_contain_text("were deleted")
    expect(visitor.find(".empty strong")).to_have_text("No exceptions in this range")
