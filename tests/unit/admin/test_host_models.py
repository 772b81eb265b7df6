"""Flask-Admin views of the host's own models, added to the panel."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask_admin.contrib.sqla import ModelView
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from ...support import Bound
from .browser import Browser


class Host:
    """A host with a database and a model of its own, and a view of it in the panel."""

    def __init__(self, bind: Callable[..., Bound], folder: Path) -> None:
        self.db = SQLAlchemy()
        db = self.db

        class Product(db.Model):  # type: ignore[name-defined,misc]
            id: Mapped[int] = mapped_column(Integer, primary_key=True)
            name: Mapped[str] = mapped_column(String(50))

        self.product = Product
        self.app = Flask("host", instance_path=str(folder))
        self.app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{folder}/host.db"
        self.bound = bind(self.app)
        self.bound.monitor.admin.add_view(ModelView(Product, db, category="Shop"))
        # Set up after fmd_admin, as an app factory may do.
        db.init_app(self.app)
        with self.app.app_context():
            db.create_all()
            db.session.add(Product(name="<i>tea</i>"))
            db.session.commit()
        self.anna = Browser(self.app)
        self.anna.login()

    def names(self) -> list[str]:
        with self.app.app_context():
            rows = self.db.session.query(self.product).order_by(self.product.id).all()
            return [row.name for row in rows]

    def close(self) -> None:
        with self.app.app_context():
            self.db.engine.dispose()


@pytest.fixture
def host(bind: Callable[..., Bound], tmp_path: Path) -> Any:
    made = Host(bind, tmp_path)
    yield made
    made.close()


def test_rows_are_shown_created_and_deleted(host: Host) -> None:
    page = host.anna.get("/product/")
    assert page.status_code == 200
    assert "&lt;i&gt;tea&lt;/i&gt;" in page.text
    assert "<i>tea" not in page.text
    assert host.anna.post("/product/new/", {"name": "coffee"}).status_code == 302
    assert host.names() == ["<i>tea</i>", "coffee"]
    assert host.anna.post("/product/edit/?id=2", {"name": "cocoa"}).status_code == 302
    assert host.names() == ["<i>tea</i>", "cocoa"]
    assert host.anna.post("/product/delete/", {"id": "1"}).status_code == 302
    assert host.names() == ["cocoa"]
    form = {"action": "delete", "rowid": "2"}
    assert host.anna.post("/product/action/", form).status_code == 302
    assert host.names() == []


def test_changes_need_the_token_and_an_admin(host: Host) -> None:
    answer = host.anna.open("/product/delete/", method="POST", data={"id": "1"})
    assert answer.status_code == 400
    assert Browser(host.app).post("/product/delete/", {"id": "1"}).status_code == 303
    assert host.names() == ["<i>tea</i>"]


def test_session_of_the_host_is_given_back(host: Host) -> None:
    for _ in range(3):
        assert host.anna.get("/product/").status_code == 200
    assert list(host.db.session.registry.registry) == []


def test_nothing_in_the_pages_needs_inline_scripts(host: Host) -> None:
    """What the policy blocks would not run; a confirmation that is blocked deletes unasked."""
    host.anna.post("/product/new/", {"name": "coffee"})
    for path in ("/product/", "/product/new/", "/product/edit/?id=1"):
        page = host.anna.get(path).text
        assert not re.search(r"\son(click|submit|change)=", page), path
        assert not re.search(r"<script(?![^>]*\ssrc=)[^>]*>", page), path
        assert "<style" not in page


def test_own_and_foreign_lists_are_one_menu(host: Host) -> None:
    page = host.anna.get("/overview").text
    titles = re.findall(r'class="nav-title">([^<]+)<', page)
    assert titles == [
        "Dashboard",
        "Versions and users",
        "Problems",
        "Custom graphs",
        "Data",
        "Administration",
        "Shop",
    ]
    names = re.findall(r'<li><a href="/dashboard[^"]*"[^>]*>([^<]+)</a></li>', page)
    assert names == [
        "Overview",
        "Hourly API Utilization",
        "Multi Version API Utilization",
        "Daily API Utilization",
        "API Performance",
        "Reporting",
        "Version Performance",
        "Users by Version",
        "IPs by Version",
        "Performance by User",
        "Status Codes",
        "Exceptions",
        "Outliers",
        "All graphs",
        "Requests",
        "Outliers",
        "Exceptions",
        "Profiles",
        "Endpoints",
        "Versions",
        "Custom graph values",
        "Users",
        "Settings",
        "Alerts",
        "System",
        "Product",
    ]
