"""Login, logout and the session: cookies, throttling, open redirects, own password."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta, timezone
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from fmd_admin.store import engine
from fmd_admin.store.accounts import accounts
from fmd_admin.store.live import save_setting
from fmd_admin.store.throttle import LIMITS

from ...support import Bound, database_url
from .browser import PASSWORD, PREFIX, Browser


def test_login_begins_a_session_and_logout_ends_it(bound: Bound, nobody: Browser) -> None:
    page = nobody.get("/login")
    assert page.status_code == 200
    assert not nobody.is_in()
    answer = nobody.login()
    assert answer.status_code == 303
    assert answer.location == f"{PREFIX}/overview"
    assert nobody.is_in()
    assert nobody.get("/login").location == f"{PREFIX}/overview"
    answer = nobody.post("/logout")
    assert answer.location == f"{PREFIX}/login"
    assert not nobody.is_in()
    assert "You are logged out" in nobody.get("/login").text
    assert nobody.get("/logout").location.startswith(f"{PREFIX}/login")


@pytest.mark.parametrize(
    ("username", "password"),
    [("anna", "wrong horse"), ("nobody", PASSWORD), ("anna", ""), ("", PASSWORD), ("", "")],
)
def test_wrong_login(nobody: Browser, username: str, password: str) -> None:
    answer = nobody.login(username, password)
    assert answer.status_code == (401 if username and password else 400)
    assert not nobody.is_in()
    assert PASSWORD not in answer.text


def test_nothing_of_the_session_before_the_login_remains(nobody: Browser) -> None:
    before = nobody.token()
    nobody.login()
    assert nobody.open("/logout", method="POST", data={"csrf_token": before}).status_code == 400


def test_first_login_asks_for_a_password_of_ones_own(nobody: Browser) -> None:
    nobody.login()
    assert "first login of this account" in nobody.get("/overview").text
    nobody.post("/logout")
    nobody.login()
    assert "first login" not in nobody.get("/overview").text


def cookie_of(answer: Any) -> Any:
    [header] = [c for c in answer.headers.getlist("Set-Cookie") if c.startswith("fmd_session=")]
    return SimpleCookie(header)["fmd_session"]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_cookie_of_the_session(bound: Bound, scheme: str) -> None:
    browser = Browser(bound.app)
    extra = {"base_url": f"{scheme}://localhost/"}
    token_page = browser.get("/login", **extra)
    token = token_page.text.split('name="csrf_token" value="')[1].split('"')[0]
    answer = browser.open(
        "/login",
        method="POST",
        data={"csrf_token": token, "username": "anna", "password": PASSWORD},
        headers={"Referer": f"{scheme}://localhost{PREFIX}/login"},
        **extra,
    )
    assert answer.status_code == 303
    for cookie in (cookie_of(token_page), cookie_of(answer)):
        assert cookie["httponly"] is True
        assert cookie["samesite"] == "Lax"
        assert cookie["path"] == PREFIX
        assert cookie["domain"] == ""
        assert bool(cookie["secure"]) is (scheme == "https")
    expires = datetime.strptime(cookie_of(answer)["expires"], "%a, %d %b %Y %H:%M:%S %Z")
    left = expires.replace(tzinfo=timezone.utc) - datetime.now(timezone.utc)
    assert timedelta(hours=11) < left <= timedelta(hours=12)


def test_session_slides_and_its_length_is_a_setting(bound: Bound, anna: Browser) -> None:
    first = cookie_of(anna.get("/overview"))
    with bound.monitor.store.write() as connection:
        save_setting(connection, "SESSION_HOURS", "48", "anna")
    with bound.monitor.store.read() as connection:
        bound.monitor.config.refresh(connection)
    later = cookie_of(anna.get("/overview"))
    form = "%a, %d %b %Y %H:%M:%S %Z"
    gained = datetime.strptime(later["expires"], form) - datetime.strptime(first["expires"], form)
    assert timedelta(hours=35) < gained < timedelta(hours=37)
    with anna.get("/static/css/fmd.css?v=1") as answer:
        assert "Set-Cookie" not in answer.headers


def test_session_ends_after_its_hours(
    bound: Bound, anna: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    now = time.time()
    monkeypatch.setattr("itsdangerous.timed.time.time", lambda: now + 11 * 3600)
    assert anna.is_in()
    # That request made it slide; this is twelve hours after it, and one second.
    monkeypatch.setattr("itsdangerous.timed.time.time", lambda: now + 23 * 3600 + 2)
    assert not anna.is_in()


def test_key_without_a_host_key_is_shared_by_processes(
    bind: Callable[..., Bound], tmp_path: Path
) -> None:
    one, two = bind(Flask("one")), bind(Flask("two"))
    browser, other = Browser(one.app), Browser(two.app)
    browser.login()
    other.client.set_cookie("fmd_session", browser.cookie(), path=PREFIX)
    assert other.is_in()
    assert one.app.secret_key is None


def test_the_first_page_of_a_process_waits_for_nobody_who_writes(
    bind: Callable[..., Bound], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bind(Flask("one"))
    monkeypatch.setattr(engine, "BUSY_TIMEOUT_S", 0)
    two = bind(Flask("two"), spool="off", database=database_url(tmp_path))
    # Without its thread: it would say each second that it cannot write.
    monkeypatch.setattr(two.monitor.recorder, "start", int)
    other = sqlite3.connect(tmp_path / "fmd.db", isolation_level=None)
    with closing(other):
        other.execute("BEGIN IMMEDIATE")
        two.monitor._kept_secret = None
        assert Browser(two.app).get("/login").status_code == 200


def test_late_host_key_counts(bound: Bound, anna: Browser) -> None:
    bound.app.secret_key = "set late"
    assert not anna.is_in()
    anna.login()
    assert anna.is_in()
    bound.app.secret_key = b"bytes are keys too"
    assert not anna.is_in()
    assert anna.login().status_code == 303


def test_five_wrong_passwords_slow_the_login_down_in_all_processes(
    bind: Callable[..., Bound], caplog: pytest.LogCaptureFixture
) -> None:
    one, two = bind(Flask("one")), bind(Flask("two"))
    browsers = [Browser(one.app), Browser(two.app)]
    for index in range(5):
        assert browsers[index % 2].login("anna", "wrong horse").status_code == 401
    for browser in browsers:
        answer = browser.login()
        assert answer.status_code == 429
        assert 1 <= int(answer.headers["Retry-After"]) <= 2
        assert "Too many failed logins. Try again in" in answer.text
        assert not browser.is_in()
    assert "too many failed logins" in caplog.text


def test_addresses_are_counted_apart_as_the_proxy_names_them(bound: Bound) -> None:
    # One client has few tries at one account, and many at different ones: it may be a proxy.
    for index in range(LIMITS["address"].free_tries):
        attacker = Browser(bound.app, REMOTE_ADDR="203.0.113.7")
        assert attacker.login(f"guess{index}", "wrong horse").status_code == 401
    assert Browser(bound.app, REMOTE_ADDR="203.0.113.7").login().status_code == 429
    assert Browser(bound.app, REMOTE_ADDR="203.0.113.8").login().status_code == 303


HOSTILE = [
    "//evil.example",
    "///evil.example",
    "////evil.example/x",
    "/\\evil.example",
    "\\\\evil.example",
    "\\/evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    " //evil.example",
    "/ /evil.example",
    "http://evil.example",
    "https:evil.example",
    "http:///evil.example",
    "javascript:alert(1)",
    "data:text/html,x",
    "evil.example",
    "@evil.example",
    ".evil.example",
    "/%2fevil.example",
    "/%5cevil.example",
    "/%09/evil.example",
    "/..//evil.example",
    "/../host-page",
    "/%2e%2e/host-page",
    "/x/../../host-page",
    "/./x",
    "/\x00",
    "/\u2028",
    "?x",
    "#x",
    "",
    "/" + "x" * 3000,
]


def test_no_open_redirect(bound: Bound) -> None:
    for target in HOSTILE:
        browser = Browser(bound.app)
        page = browser.get("/login", query_string={"next": target})
        assert page.status_code == 200, target
        assert "evil" not in page.text, target
        answer = browser.login(next=target)
        assert answer.status_code == 303, target
        location = answer.location
        assert location == f"{PREFIX}/overview" or location.startswith(f"{PREFIX}/%"), target
        assert "evil" not in location, target
        # Logged in already, the page leads on at once.
        again = browser.get("/login", query_string={"next": target})
        assert again.location == location, target


@pytest.mark.parametrize(
    "target",
    [
        "/data/requests",
        "/overview?range=7d&version=1.0%2Fx&version=2",
        "/endpoint/3/hourly-utilization?from=2026-11-01T00:00",
        "/data/requests?search=http://x//y",
    ],
)
def test_login_leads_on_to_where_one_wanted(nobody: Browser, target: str) -> None:
    asked = nobody.get(target)
    page = nobody.client.get(asked.location)
    assert 'name="next"' in page.text
    field = page.text.split('name="next" value="')[1].split('"')[0]
    answer = nobody.login(next=field.replace("&amp;", "&"))
    assert answer.location == PREFIX + target


def test_next_is_not_asked_for_after_a_change(nobody: Browser) -> None:
    answer = nobody.open("/overview/level", method="POST", data={"ids": "1", "level": "3"})
    assert answer.status_code == 303
    assert answer.location == f"{PREFIX}/login"
    assert nobody.get("").location == f"{PREFIX}/login"


def test_change_of_the_password_ends_the_other_sessions(bound: Bound, vera: Browser) -> None:
    elsewhere = Browser(bound.app)
    elsewhere.login("vera")
    assert elsewhere.is_in()
    new = "another horse"
    answer = vera.post("/account", {"current": PASSWORD, "password": new, "again": new})
    assert answer.status_code == 303
    assert "Your password is changed" in vera.get("/account").text
    assert vera.is_in()
    assert not elsewhere.is_in()
    assert elsewhere.login("vera").status_code == 401
    assert elsewhere.login("vera", new).status_code == 303


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"current": "wrong horse"}, "The current password is wrong"),
        ({"again": "different horse"}, "The two new passwords differ"),
        ({"password": "short", "again": "short"}, "too short"),
        ({"password": "password1", "again": "password1"}, "tried first"),
        ({"current": ""}, "Enter your current password"),
    ],
)
def test_password_that_is_not_changed(
    bound: Bound, vera: Browser, form: dict[str, str], message: str
) -> None:
    good = {"current": PASSWORD, "password": "another horse", "again": "another horse"}
    answer = vera.post("/account", {**good, **form})
    assert answer.status_code == 400
    assert message in answer.text
    assert 'aria-invalid="true"' in answer.text
    assert vera.is_in()
    with bound.monitor.store.read() as connection:
        names = [account.username for account in accounts(connection)]
    assert names == ["anna", "vera"]
    assert Browser(bound.app).login("vera").status_code == 303


def test_current_password_cannot_be_guessed_in_an_open_session(vera: Browser) -> None:
    form = {"current": "wrong horse", "password": "another horse", "again": "another horse"}
    codes = [vera.post("/account", form).status_code for _ in range(6)]
    assert codes == [400] * 5 + [429]


def test_login_page_says_a_weak_password(bind: Callable[..., Bound]) -> None:
    app = Flask("host")
    app.debug = True
    bound = bind(app, username="admin", password="admin")
    browser = Browser(bound.app)
    browser.login("admin", "admin")
    browser.post("/logout")
    browser.login("admin", "admin")
    assert "easy to guess" in browser.get("/overview").text


def test_csrf_on_https_names_the_proxy_as_a_cause(bound: Bound) -> None:
    """Without the Referer that a browser sends, Flask-WTF refuses forms on https."""
    browser = Browser(bound.app)
    page = browser.get("/login", base_url="https://localhost/")
    token = page.text.split('name="csrf_token" value="')[1].split('"')[0]
    answer = browser.open(
        "/login", method="POST", data={"csrf_token": token}, base_url="https://localhost/"
    )
    assert answer.status_code == 400
    assert "referrer header is missing" in answer.text
    assert "ProxyFix" in answer.text


@pytest.mark.parametrize("cookie", ["1|x", "a|b", "1|" + "0" * 128, "|"])
def test_remember_cookies_lead_nowhere(bound: Bound, cookie: str) -> None:
    client = bound.app.test_client()
    client.set_cookie("fmd_remember", cookie, path="/dashboard")
    assert client.get("/dashboard/login").status_code == 200
    assert client.get("/dashboard/overview").status_code == 302


def test_a_copied_session_ends_with_the_logout(bound: Bound) -> None:
    anna, copy = Browser(bound.app), Browser(bound.app)
    anna.login()
    copy.login()
    assert copy.get("/overview").status_code == 200
    anna.post("/logout")
    assert copy.get("/overview").status_code == 302
