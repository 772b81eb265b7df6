"""Flask-Admin views that a host adds: in the panel's look, and nothing that the CSP blocks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from flask_admin import BaseView, expose
from flask_admin.contrib.fileadmin import FileAdmin
from flask_admin.contrib.sqla import ModelView

from fmd_admin.store.models import Version, db

from ...support import Bound
from .browser import Browser
from .views.test_overview import request_hello


class Things(ModelView):
    can_view_details = True
    can_export = True
    can_set_page_size = True
    column_filters = ("name",)
    column_searchable_list = ("name",)
    form_columns = ("name",)
    column_list = ("name",)


class ThingsInWindows(Things):
    create_modal = edit_modal = details_modal = True


class Hello(BaseView):
    @expose("/")
    def index(self) -> str:
        return self.render("admin/index.html")


@pytest.fixture
def pages(bound: Bound, tmp_path: Path, anna: Browser) -> dict[str, str]:
    """The pages of foreign views by their path."""
    request_hello(bound)
    (tmp_path / "files" / "folder").mkdir(parents=True)
    (tmp_path / "files" / "it's.txt").write_text("x")
    admin = bound.monitor.admin
    app = bound.monitor.panel_app
    # The panel has answered already; a host adds its views before.
    app._got_first_request = False
    admin.add_view(Things(Version, db, name="Things", category="Shop", endpoint="things"))
    admin.add_view(ThingsInWindows(Version, db, name="Windows", endpoint="windows"))
    admin.add_view(FileAdmin(str(tmp_path / "files"), name="Files", endpoint="files"))
    admin.add_view(Hello(name="Hello", endpoint="hello"))
    found = {}
    for path in (
        "/things/",
        "/things/new/",
        "/things/edit/?id=1",
        "/things/details/?id=1",
        "/windows/",
        "/windows/new/?modal=True",
        "/windows/edit/?id=1&modal=True",
        "/windows/details/?id=1&modal=True",
        "/files/",
        "/hello/",
    ):
        answer = anna.get(path)
        assert answer.status_code == 200, path
        found[path] = answer.text
    return found


def test_nothing_inline(pages: dict[str, str]) -> None:
    for path, text in pages.items():
        assert not re.search(r"<[^>]*\son[a-z]+\s*=", text), path
        for tag in re.findall(r"<script\b[^>]*>[^<]*", text):
            assert " src=" in tag, (path, tag)


def test_windows_bring_no_scripts(pages: dict[str, str]) -> None:
    for path, text in pages.items():
        if "modal=True" in path:
            assert "<script" not in text, path


def test_delete_buttons_do_nothing_by_themselves(pages: dict[str, str]) -> None:
    for path in ("/things/", "/windows/", "/files/"):
        forms = re.findall(r'<form class="icon".*?</form>', pages[path], re.S)
        assert forms, path
        for form in forms:
            assert 'name="csrf_token"' in form
            (button,) = re.findall(r"<button[^>]*>", form)
            assert 'type="button"' in button
            assert "data-confirm=" in button


def test_bulk_action_is_left_to_the_script(pages: dict[str, str]) -> None:
    assert 'data-bulk-action="delete"' in pages["/things/"]
    assert "js/flask_admin.js" in pages["/things/"]


def test_foreign_pages_have_the_menu_and_both_kinds_of_styles(pages: dict[str, str]) -> None:
    for path in ("/things/", "/files/", "/hello/"):
        page = pages[path]
        assert '<li class="nav-title">Shop</li>' in page
        assert "bootstrap.min.css" in page
        # Ours come last, so that they win.
        assert page.index("css/flask_admin.css") > page.rindex("bootstrap.min.css")
        assert re.search(r'aria-current="page">(Things|Files|Hello)<', page)


def test_foreign_form_works_with_the_panels_token(bound: Bound, anna: Browser) -> None:
    request_hello(bound)
    # The flusher writes to the same file: SQLite would refuse a form that read before it wrote.
    bound.monitor.recorder.close()
    bound.monitor.jobs.stop()
    bound.monitor.panel_app._got_first_request = False
    bound.monitor.admin.add_view(Things(Version, db, name="Things", endpoint="things"))
    answer = anna.post("/things/edit/?id=1", {"name": "renamed"})
    assert answer.status_code == 302
    assert "renamed" in anna.get("/things/").text
