"""A Flask-Admin view that the host adds works under the panel's content security policy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask_admin.contrib.sqla import ModelView
from flask_sqlalchemy import SQLAlchemy
from playwright.sync_api import expect

from fmd_admin.store.accounts import VIEWER, create_user

from ..support import Bound
from .conftest import OpenSite, OpenVisitor
from .site import Site, shop
from .visitor import PASSWORD, Visitor

pytestmark = pytest.mark.browser

QUESTION = "Are you sure you want to delete this record?"


@pytest.fixture
def goods(open_site: OpenSite, tmp_path: Path) -> Iterator[Site]:
    """A shop with a table of goods in its own database, and a view of them in the panel."""
    app = shop()
    app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{tmp_path}/shop.db"
    db = SQLAlchemy(app)

    class Item(db.Model):  # type: ignore[name-defined,misc]
        id = db.mapped_column(db.Integer, primary_key=True)
        name = db.mapped_column(db.String(80))

    class Items(ModelView):
        can_view_details = True
        can_export = True
        column_filters = ("name",)
        column_searchable_list = ("name",)

    with app.app_context():
        db.create_all()
        db.session.add_all(Item(name=name) for name in ("lamp", "tent", "stove"))
        db.session.commit()

    def add_view(bound: Bound) -> None:
        view: Any = Items(Item, db, name="Goods", category="Shop", endpoint="goods")
        bound.monitor.admin.add_view(view)

    site = open_site(app, prepare=add_view)
    yield site
    with app.app_context():
        db.session.remove()
        db.engine.dispose()


@pytest.fixture
def anna(goods: Site, visit: OpenVisitor) -> Visitor:
    return visit(goods).log_in()


def names(visitor: Visitor) -> list[str]:
    return visitor.find("td.col-name").all_inner_texts()


def test_list_and_filter(goods: Site, anna: Visitor) -> None:
    anna.go("/overview")
    anna.link("Goods").click()
    expect(anna.find("td.col-name")).to_have_text(["lamp", "tent", "stove"])
    expect(anna.find("#menu [aria-current=page]")).to_have_text("Goods")
    anna.settle()
    entry = anna.find(".field-filters .filter", "Name")
    expect(entry).to_be_hidden()
    anna.page.get_by_text("Add Filter").click()
    expect(entry).to_be_visible()
    entry.click()
    # Which comparison (a select2 box), and with what.
    anna.find("#filter_form .select2-container").nth(0).click()
    anna.find(".select2-results .select2-result, .select2-results__option").filter(
        has_text="equals"
    ).nth(0).click()
    anna.find("#filter_form input.filter-val").fill("tent")
    anna.find("#filter_form button[type=submit]").click()
    expect(anna.find("td.col-name")).to_have_text(["tent"])


def test_deletion_asks_first(goods: Site, anna: Visitor) -> None:
    anna.go("/goods/")
    trash = anna.find("tr", "tent").get_by_role("button", name="Delete Record")
    anna.answer_dialog(accept=False)
    trash.click()
    anna.page.wait_for_timeout(200)  # What a form that is sent all the same would need.
    anna.go("/goods/")
    assert names(anna) == ["lamp", "tent", "stove"], "a dismissed question deleted something"
    anna.answer_dialog(accept=True)
    trash.click()
    expect(anna.find("td.col-name")).to_have_text(["lamp", "stove"])
    assert anna.dialogs == [QUESTION, QUESTION]


def test_bulk_deletion_asks_first(goods: Site, anna: Visitor) -> None:
    anna.go("/goods/")
    anna.find("input.action-checkbox").nth(0).check()
    anna.find("input.action-checkbox").nth(2).check()
    for accept in (False, True):
        anna.answer_dialog(accept=accept)
        anna.page.get_by_text("With selected").click()
        anna.find("[data-bulk-action=delete]").click()
        if not accept:
            anna.page.wait_for_timeout(200)
            anna.go("/goods/")
            assert names(anna) == ["lamp", "tent", "stove"]
            anna.find("input.action-checkbox").nth(0).check()
            anna.find("input.action-checkbox").nth(2).check()
    expect(anna.find("td.col-name")).to_have_text(["tent"])
    assert len(anna.dialogs) == 2


def test_create_edit_and_details(goods: Site, anna: Visitor) -> None:
    anna.go("/goods/")
    anna.link("Create").click()
    anna.page.get_by_label("Name").fill("map")
    anna.find("input[type=submit][value=Save]").click()
    expect(anna.find("td.col-name")).to_have_text(["lamp", "tent", "stove", "map"])
    anna.find("tr", "lamp").locator("a[href*=edit]").click()
    anna.page.get_by_label("Name").fill("big lamp")
    anna.find("input[type=submit][value=Save]").click()
    expect(anna.find("td.col-name").nth(0)).to_have_text("big lamp")
    anna.find("tr", "big lamp").locator("a[href*=details]").click()
    expect(anna.find("main table.searchable")).to_contain_text("big lamp")


def test_on_a_phone(goods: Site, visit: OpenVisitor) -> None:
    phone = visit(goods, viewport={"width": 360, "height": 740}).log_in()
    for path in ("/goods/", "/goods/new/", "/goods/details/?id=1"):
        phone.go(path)
        width = phone.find("html").evaluate("(html) => html.scrollWidth")
        assert width <= 360, path


def test_a_viewer_deletes_nothing(goods: Site, visit: OpenVisitor) -> None:
    create_user(goods.store, "vera", PASSWORD, VIEWER)
    vera = visit(goods).log_in("vera")
    vera.allow("status of 403")
    vera.go("/goods/")
    assert names(vera) == ["lamp", "tent", "stove"]
    vera.answer_dialog(accept=True)
    vera.find("tr", "tent").get_by_role("button", name="Delete Record").click()
    expect(vera.find("h1")).to_have_text("You may not do this")
    vera.go("/goods/")
    assert names(vera) == ["lamp", "tent", "stove"]
