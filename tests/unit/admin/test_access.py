"""Deny by default: what nobody, a viewer and an admin get at every rule of the panel."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, abort, request
from flask_admin import BaseView, expose
from sqlalchemy import event
from werkzeug.routing import Rule

from fmd_admin.admin.context import panel_of
from fmd_admin.errors import BindError
from fmd_admin.store.accounts import accounts, update_user
from fmd_admin.store.models import Config, Endpoint, Request, SavedSetting, User

from ...support import Bound
from .browser import PREFIX, Browser

METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PURGE")
CHANGING = ("POST", "PUT", "PATCH", "DELETE", "PURGE")
STATIC = {"static": "css/fmd.css", "admin.static": "vendor/jquery.min.js"}


class Foreign(BaseView):
    """A view that a host adds, with changes by POST and DELETE, and a fault of its own."""

    def __init__(self) -> None:
        super().__init__("My view", endpoint="foreign")
        self.changes: list[str] = []

    @expose("/", methods=("GET", "POST", "DELETE"))
    def index(self) -> str:
        if request.method != "GET":
            self.changes.append(request.method)
        return self.render("fmd_admin/page.html", page_title="Foreign")

    @expose("/broken")
    def broken(self) -> str:
        raise RuntimeError("secret detail")

    @expose("/teapot")
    def teapot(self) -> str:
        abort(418)


@pytest.fixture(autouse=True)
def foreign(bound: Bound) -> Foreign:
    """Every walk meets a view of the host's, too."""
    view = Foreign()
    bound.monitor.admin.add_view(view)
    return view


def rules(bound: Bound) -> Iterator[tuple[Rule, str]]:
    """Every rule of the panel with an address for it."""
    with bound.monitor.panel_app.test_request_context():
        adapter = bound.monitor.panel_app.url_map.bind("localhost")
        for rule in bound.monitor.panel_app.url_map.iter_rules():
            values: dict[str, Any] = {}
            for name in rule.arguments:
                values[name] = STATIC[rule.endpoint] if name == "filename" else 1
            methods = rule.methods or set()
            method = "GET" if "GET" in methods else sorted(methods - {"OPTIONS"})[0]
            yield rule, adapter.build(rule.endpoint, values, method=method)


def test_walk_covers_the_panel(bound: Bound) -> None:
    walked = {rule.endpoint for rule, _ in rules(bound)}
    assert walked == set(bound.monitor.panel_app.view_functions)
    assert len(walked) > 30


def test_nobody_gets_login_and_static_only(bound: Bound, nobody: Browser, foreign: Foreign) -> None:
    answered = set()
    for rule, path in rules(bound):
        for method in METHODS:
            with nobody.open(path, method=method) as answer:
                denied = answer.status_code == 401 or (answer.location or "").startswith(
                    f"{PREFIX}/login"
                )
                if not denied:
                    answered.add(rule.endpoint)
                    assert answer.status_code in (200, 400, 405), (rule, method)
    assert answered == {"login.index", "static", "admin.static"}
    assert foreign.changes == []


def test_nobody_learns_no_address(nobody: Browser) -> None:
    """An address that is not there looks like one that is."""
    for path in ("/nope", "/users/99", "/login/", "/data"):
        assert nobody.get(path).location.startswith(f"{PREFIX}/login"), path
    assert nobody.get("/static/nope.css").status_code == 404
    assert nobody.get("/static/%2e%2e/setup.cfg").status_code == 404
    assert nobody.get("/static/../settings").status_code == 404


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/overview/data.json", {}),
        ("/overview/data.csv", {}),
        ("/data/requests/data.csv", {}),
        ("/overview", {"Accept": "application/json"}),
        ("/overview", {"Sec-Fetch-Dest": "empty"}),
    ],
)
def test_scripts_and_downloads_get_401(nobody: Browser, path: str, headers: dict[str, str]) -> None:
    answer = nobody.get(path, headers=headers)
    assert answer.status_code == 401
    assert "not logged in" in answer.text
    assert answer.location is None
    assert answer.mimetype == ("text/plain" if path.endswith(".csv") else "application/json")


def test_viewer_reads_and_changes_nothing(bound: Bound, vera: Browser, foreign: Foreign) -> None:
    bound.app.test_client().get("/hello/x").close()
    bound.monitor.recorder.flush()
    token = vera.token()
    own = {"account.index", "login.logout", "login.index"}
    for rule, path in rules(bound):
        for method in CHANGING:
            if rule.endpoint in own:
                continue
            for form in ({}, {"csrf_token": token}):
                answer = vera.open(path, method=method, data=form)
                assert answer.status_code == 403, (rule, method)
        if "GET" not in (rule.methods or ()):
            continue
        with vera.get(path) as answer:
            admins = {"users", "settings", "alerts"}
            asks = rule.endpoint.endswith(("delete_rows", ".delete", "system.prune"))
            if rule.endpoint.split(".")[0] in admins or asks:
                assert answer.status_code == 403, rule
            elif rule.endpoint != "foreign.broken":
                assert answer.status_code in (200, 302, 303, 404, 418), rule
    assert foreign.changes == []
    with bound.monitor.store.read() as connection:
        assert [(a.username, a.role) for a in accounts(connection)] == [
            ("anna", "admin"),
            ("vera", "viewer"),
        ]
    assert bound.rows()


def test_every_change_needs_the_token(bound: Bound, anna: Browser, foreign: Foreign) -> None:
    checked = 0
    for rule, path in rules(bound):
        for method in CHANGING[:4]:
            if method not in (rule.methods or ()):
                continue
            for form in ({}, {"csrf_token": ""}, {"csrf_token": "x.y.z"}):
                answer = anna.open(path, method=method, data=form)
                assert answer.status_code == 400, (rule, method)
                assert "This form has expired" in answer.text
                assert "ProxyFix" in answer.text
            checked += 1
    assert checked > 10
    assert foreign.changes == []
    assert anna.is_in()


def test_token_of_another_session_is_refused(bound: Bound, anna: Browser, vera: Browser) -> None:
    answer = anna.open("/logout", method="POST", data={"csrf_token": vera.token()})
    assert answer.status_code == 400
    assert anna.is_in()


def test_get_changes_nothing(bound: Bound, anna: Browser) -> None:
    """Every GET rule, with all words that a change would read."""
    bound.app.test_client().get("/hello/x").close()
    bound.monitor.recorder.flush()
    before = dump(bound)
    words = "ids=1&id=1&level=3&confirmed=yes&name=PAGE_SIZE&PAGE_SIZE=10&role=viewer&active="
    for rule, path in rules(bound):
        if "GET" in (rule.methods or ()):
            with anna.get(f"{path}?{words}&password=changed-it-all"):
                pass
    assert dump(bound) == before
    assert anna.is_in()


def dump(bound: Bound) -> list[Any]:
    """All rows of the tables that only admins change."""
    with bound.monitor.store.read() as connection:
        return [
            connection.execute(table.__table__.select()).all()
            for table in (Config, Endpoint, Request, SavedSetting, User)
        ]


def test_foreign_view_is_shown_and_changed_by_admins(
    anna: Browser, vera: Browser, foreign: Foreign
) -> None:
    assert vera.get("/foreign/").status_code == 200
    assert "My view" in vera.get("/overview").text
    assert anna.post("/foreign/").status_code == 200
    assert foreign.changes == ["POST"]


def test_endpoint_that_is_taken_is_refused_with_the_mend(bound: Bound) -> None:
    view = Foreign()
    view.endpoint = "users"
    with pytest.raises(BindError, match="endpoint='my_users'"):
        bound.monitor.admin.add_view(view)


def test_deactivation_and_role_end_sessions_at_the_next_request(
    bound: Bound, anna: Browser, vera: Browser
) -> None:
    store = bound.monitor.store
    assert vera.is_in()
    with store.read() as connection:
        ids = {a.username: a.id for a in accounts(connection)}
    update_user(store, ids["vera"], active=False)
    assert not vera.is_in()
    assert vera.login("vera").status_code == 401
    update_user(store, ids["vera"], active=True)
    assert not vera.is_in()
    assert vera.login("vera").status_code == 303
    update_user(store, ids["vera"], role="admin")
    assert not vera.is_in()
    assert anna.is_in()


def test_forged_and_foreign_sessions_are_worth_nothing(bound: Bound, anna: Browser) -> None:
    good = anna.cookie()
    app = Flask("other")
    app.secret_key = "guessed"
    payload = {"_user_id": "1:" + "0" * 32, "_fresh": True}
    serializer = app.session_interface.get_signing_serializer(app)  # type: ignore[attr-defined]
    forged = [serializer.dumps(payload), good[:-1], good + "A", "", "x" * 4000]
    for value in forged:
        browser = Browser(bound.app)
        browser.client.set_cookie("fmd_session", value, path=PREFIX)
        assert not browser.is_in(), value
    browser = Browser(bound.app)
    browser.client.set_cookie("fmd_session", good, path=PREFIX)
    assert browser.is_in()


def test_hosts_session_is_worthless_inside(bind: Callable[..., Bound]) -> None:
    """Same secret key, same payload, under our cookie's name."""
    app = Flask("host")
    app.secret_key = "the host's"
    bound = bind(app)
    with bound.monitor.store.read() as connection:
        account = accounts(connection)[0]
    payload = {"_user_id": f"{account.id}:{account.session_key}", "_fresh": True}
    serializer = app.session_interface.get_signing_serializer(app)  # type: ignore[attr-defined]
    browser = Browser(app)
    browser.client.set_cookie("fmd_session", serializer.dumps(payload), path=PREFIX)
    assert not browser.is_in()
    assert browser.login().status_code == 303
    assert browser.is_in()
    # The host signs with its own key still, and a change of it ends the panel's sessions.
    assert app.secret_key == "the host's"
    app.secret_key = "another"
    assert not browser.is_in()


def test_hosts_remember_cookie_is_left_alone(bound: Bound, anna: Browser) -> None:
    """Flask-Login's default cookie at "/" belongs to the host; logging out here keeps it."""
    anna.client.set_cookie("remember_token", "1|host", path="/")
    answer = anna.post("/logout")
    assert answer.status_code == 303
    assert not any("remember" in c for c in answer.headers.getlist("Set-Cookie"))
    assert anna.client.get_cookie("remember_token", path="/") is not None


def test_error_pages(bound: Bound, anna: Browser, vera: Browser) -> None:
    missing = anna.get("/nope")
    assert missing.status_code == 404
    assert "There is no such page" in missing.text
    answer = anna.get("/nope.json").json
    assert answer is not None
    assert answer["message"].startswith("There is no such page. Check the address")
    forged = anna.open("/overview/level", method="POST", headers={"Accept": "application/json"})
    assert forged.status_code == 400
    assert "The CSRF token is missing." in (forged.json or {})["message"]
    forbidden = vera.get("/users")
    assert forbidden.status_code == 403
    assert "Your role is viewer" in forbidden.text
    wrong = anna.open("/overview", method="DELETE", data={"csrf_token": anna.token()})
    assert wrong.status_code == 405
    assert "GET" in wrong.headers["Allow"]
    for answer in (missing, forbidden, wrong):
        assert "Content-Security-Policy" in answer.headers
        assert "fmd.css" in answer.text


def test_fault_in_a_view_is_logged_and_shown_plainly(
    bound: Bound, anna: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    bound.app.testing = bound.monitor.panel_app.testing = True
    answer = anna.get("/foreign/broken")
    assert answer.status_code == 500
    assert "The panel failed" in answer.text
    assert "secret detail" not in answer.text
    [record] = [r for r in caplog.records if r.levelname == "ERROR"]
    assert record.name == "fmd_admin"
    assert "/foreign/broken" in record.getMessage()
    assert record.exc_info is not None
    assert bound.monitor.panel_app.logger.handlers == []
    assert anna.get("/foreign/teapot").status_code == 418


def test_error_page_stands_without_the_store(bound: Bound, anna: Browser) -> None:
    with bound.monitor.store.write() as connection:
        connection.exec_driver_sql("ALTER TABLE fmd_user RENAME TO fmd_gone")
    answer = anna.get("/overview")
    assert answer.status_code == 500
    assert "The panel failed" in answer.text


def test_a_database_that_is_away(
    bound: Bound, anna: Browser, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file, away = tmp_path / "fmd.db", tmp_path / "away.db"
    bound.monitor.store.close()
    file.rename(away)
    file.mkdir()
    bound.monitor.store.close()  # A connection that was made meanwhile has the file.
    for path, kind in (("/overview", "text/html"), ("/overview/data.json", "application/json")):
        answer = anna.get(path)
        assert answer.status_code == 503
        assert answer.content_type.startswith(kind)
        assert int(answer.headers["Retry-After"]) > 0
        assert "The database does not answer" in answer.text
        assert "unable to open" not in answer.text
    assert "unable to open database file" in caplog.text
    file.rmdir()
    away.rename(file)
    assert anna.get("/overview").status_code == 200


def test_a_database_that_stays_locked(bound: Bound, anna: Browser, tmp_path: Path) -> None:
    engine = bound.monitor.store.engine
    form = {"csrf_token": anna.token(), "ids": "1", "level": "1"}
    other = sqlite3.connect(tmp_path / "fmd.db", isolation_level=None, timeout=20)
    event.listen(engine, "checkout", _impatient)
    try:
        other.execute("BEGIN IMMEDIATE")
        assert anna.open("/overview/level", method="POST", data=form).status_code == 503
    finally:
        other.close()
        event.remove(engine, "checkout", _impatient)
        engine.dispose()
    assert anna.open("/overview/level", method="POST", data=form).status_code == 303


def _impatient(connection: Any, *_more: Any) -> None:
    connection.execute("PRAGMA busy_timeout = 10").close()


def test_two_panels_in_one_process_stay_apart(bind: Callable[..., Bound], tmp_path: Any) -> None:
    one = bind(Flask("one"), database=f"sqlite:///{tmp_path}/one.db")
    two = bind(
        Flask("two"),
        database=f"sqlite:///{tmp_path}/two.db",
        username="berta",
        brand_name="Panel two",
    )
    first, second = Browser(one.app), Browser(two.app)
    assert first.login("anna").status_code == 303
    assert second.login("anna").status_code == 401
    assert second.login("berta").status_code == 303
    other = Browser(two.app)
    other.client.set_cookie("fmd_session", first.cookie(), path=PREFIX)
    assert not other.is_in()
    assert "Panel two" in second.get("/overview").text
    assert "Panel two" not in first.get("/overview").text
    one.app.add_url_rule("/only-one", "only_one", lambda: "1")
    one.app.test_client().get("/only-one").close()
    assert [row.endpoint for row in one.rows()] == ["only_one"]
    assert two.rows() == []


def test_app_without_a_panel_says_what_is_missing() -> None:
    with pytest.raises(BindError, match="build_site"):
        panel_of(Flask("other"))


@pytest.mark.parametrize("number", ["9" * 30, str(2**63)])
@pytest.mark.parametrize(
    "path",
    [
        "/users/{}",
        "/endpoint/{}/hourly-utilization",
        "/endpoint/{}/hourly-utilization/data.json",
        "/data/requests/details?id={}",
        "/data/requests/delete?ids={}",
        "/data/endpoints?level={}",
        "/data/requests?range=custom&from=x&from=2026-11-01T00:00&page={}",
    ],
)
def test_numbers_that_no_row_can_have(bound: Bound, path: str, number: str) -> None:
    admin = Browser(bound.app)
    admin.login()
    assert admin.get(path.format(number)).status_code in {200, 303, 400, 404}


def test_an_address_that_is_too_long_is_refused(nobody: Browser, vera: Browser) -> None:
    # Every link of a page repeats it: some pages have a thousand.
    for query in ("version=1.0&" * 1_500, "q=" + "a" * 1_000_000):
        for browser in (nobody, vera):
            page = browser.get(f"/status-codes?{query}")
            assert page.status_code == 414
            assert "too long" in page.text
            assert len(page.data) < 10_000
        assert vera.get(f"/status-codes/over-time/data.csv?{query}").status_code == 414
    assert vera.get("/status-codes?q=" + "a" * 8_000).status_code == 200
