"""Who the host's current user is: roles, refusals, faults, and what the host gets to see."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, request, session
from werkzeug.middleware.proxy_fix import ProxyFix

from fmd_admin import FMDAdmin, header_auth
from fmd_admin.errors import SettingsError

from ...support import Bound
from .browser import Browser

Bind = Callable[..., Bound]


@pytest.fixture
def host(tmp_path: Path) -> Flask:
    app = Flask("host", instance_path=str(tmp_path))
    app.secret_key = "of the host"

    @app.post("/login/<name>")
    def login(name: str) -> str:
        session["name"] = name
        return "in"

    @app.post("/logout")
    def logout() -> str:
        session.clear()
        return "out"

    return app


def by_session() -> Any:
    """Admins are called anna, viewers vera; paul is a plain user."""
    name = session.get("name")
    if name is None:
        return None
    return {"anna": ("anna", "admin"), "vera": "viewer", "paul": False}[name]


def browser_of(bind: Bind, host: Flask, auth: Callable[[], Any]) -> Browser:
    return Browser(bind(host, extension=FMDAdmin(auth=auth)).app)


def test_an_admin_opens_the_panel_without_a_second_login(bind: Bind, host: Flask) -> None:
    browser = browser_of(bind, host, by_session)
    browser.client.post("/login/anna")
    page = browser.get("/users")
    assert page.status_code == 200
    assert "Signed in by the application" in page.text
    assert "Change password" not in page.text
    saved = browser.post("/settings", {"BRAND_NAME": "Shop"})
    assert saved.status_code in (200, 302, 303)
    assert browser.open("/settings/reset", method="POST").status_code == 400, "no token, no change"
    browser.client.post("/logout")
    assert browser.get("/users").status_code == 302, "no longer than the host's own session"


def test_a_viewer_looks_and_changes_nothing(bind: Bind, host: Flask) -> None:
    browser = browser_of(bind, host, by_session)
    browser.client.post("/login/vera")
    assert browser.get("/overview").status_code == 200
    assert "viewer of the application" in browser.get("/overview").text
    assert browser.get("/users").status_code == 403
    assert browser.open("/settings", method="POST").status_code == 403


def test_a_plain_user_sees_403_and_may_log_in_to_the_panel(bind: Bind, host: Flask) -> None:
    browser = browser_of(bind, host, by_session)
    browser.client.post("/login/paul")
    page = browser.get("/overview")
    assert page.status_code == 403
    assert "may not enter" in page.text
    assert 'href="/dashboard/login"' in page.text
    assert browser.get("/overview/data.json").status_code == 403
    browser.login("anna")
    assert browser.get("/overview").status_code == 200


def test_a_user_of_the_host_may_log_in_with_an_account_of_the_panel(
    bind: Bind, host: Flask
) -> None:
    browser = browser_of(bind, host, by_session)
    browser.client.post("/login/vera")
    assert 'href="/dashboard/login"' in browser.get("/overview").text
    assert browser.get("/login").status_code == 200
    assert browser.login("anna", "wrong horse").status_code == 401
    assert browser.get("/users").status_code == 403
    assert browser.login("anna").location == "/dashboard/overview"
    page = browser.get("/users")
    assert page.status_code == 200
    assert "Signed in by the application" not in page.text
    browser.post("/logout")
    assert browser.get("/users").status_code == 403, "the host's user again"


def test_nobody_sees_the_login(bind: Bind, host: Flask) -> None:
    browser = browser_of(bind, host, by_session)
    answer = browser.get("/overview")
    assert (answer.status_code, answer.location) == (302, "/dashboard/login?next=/overview")
    assert browser.get("/login").status_code == 200


@pytest.mark.parametrize(
    "answer", [KeyError("secret detail"), "root", True, ("anna", "root"), ("anna",), 1, "", []]
)
def test_what_fails_or_is_not_understood_denies(bind: Bind, host: Flask, answer: Any) -> None:
    def auth() -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    bound = bind(host, extension=FMDAdmin(auth=auth))
    browser = Browser(bound.app)
    page = browser.get("/overview")
    assert page.status_code == 403
    assert "secret detail" not in page.text
    assert bound.monitor.faults.by_place() == {"auth": 1}
    assert browser.get("/login").status_code == 200
    with browser.get("/static/icon.svg") as picture:
        assert picture.status_code == 200


def test_an_own_account_goes_before_the_hosts_user(bind: Bind, host: Flask) -> None:
    browser = browser_of(bind, host, by_session)
    browser.login("anna")
    browser.client.post("/login/vera")
    assert browser.get("/users").status_code == 200


def test_what_the_host_is_asked_with(bind: Bind, host: Flask) -> None:
    seen: list[tuple[Any, ...]] = []

    def auth() -> Any:
        seen.append(
            (
                request.method,
                request.path,
                request.script_root,
                request.get_data(),
                dict(request.form),
                request.endpoint,
                request.headers.get("X-Mine"),
            )
        )
        return "admin"

    browser = browser_of(bind, host, auth)
    token = browser.token()
    seen.clear()
    browser.open(
        "/overview/level",
        method="POST",
        data={"csrf_token": token, "level": "1"},
        headers={"X-Mine": "1"},
    )
    path = "/dashboard/overview/level"
    assert set(map(repr, seen)) == {repr(("GET", path, "", b"", {}, None, "1"))}


def test_asking_is_not_measured_and_leaves_the_host_alone(bind: Bind, host: Flask) -> None:
    bound = bind(host, extension=FMDAdmin(auth=by_session))
    browser = Browser(bound.app)
    browser.client.post("/login/anna").close()
    answer = browser.get("/overview")
    assert answer.status_code == 200
    assert not any(value.startswith("session=") for value in answer.headers.getlist("Set-Cookie"))
    assert [row.endpoint for row in bound.rows()] == ["login"]


PROXY = {"X-Remote-User": "anna"}


def from_proxy(**options: Any) -> Callable[[], Any]:
    roles = {"anna": "admin", "vera": "viewer"}
    return header_auth(
        "X-Remote-User",
        trusted=["127.0.0.1", "10.0.0.0/8", "fd00::/8"],
        role=lambda name: roles.get(name, False),
    )


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "fd00::1", "::ffff:10.1.2.3"])
def test_a_proxys_header_counts_from_trusted_addresses(
    bind: Bind, host: Flask, address: str
) -> None:
    browser = browser_of(bind, host, from_proxy())
    browser.environ = {"REMOTE_ADDR": address}
    assert browser.get("/users", headers=PROXY).status_code == 200
    assert browser.get("/users", headers={"X-Remote-User": "vera"}).status_code == 403
    assert browser.get("/overview", headers={"X-Remote-User": "paul"}).status_code == 403
    assert browser.get("/overview").status_code == 302


@pytest.mark.parametrize("address", ["192.0.2.7", "11.0.0.1", "", "unix:", "::ffff:192.0.2.7"])
def test_and_from_nowhere_else(bind: Bind, host: Flask, address: str) -> None:
    browser = browser_of(bind, host, from_proxy())
    browser.environ = {"REMOTE_ADDR": address}
    assert browser.get("/users", headers=PROXY).status_code == 302


def test_below_proxyfix_the_peer_counts_and_not_what_it_says(bind: Bind, host: Flask) -> None:
    host.wsgi_app = ProxyFix(host.wsgi_app)  # type: ignore[method-assign]
    browser = browser_of(bind, host, from_proxy())
    browser.environ = {"REMOTE_ADDR": "10.0.0.1"}
    forwarded = {**PROXY, "X-Forwarded-For": "192.0.2.7"}
    assert browser.get("/users", headers=forwarded).status_code == 200
    browser.environ = {"REMOTE_ADDR": "192.0.2.7"}
    forged = {**PROXY, "X-Forwarded-For": "10.0.0.1"}
    assert browser.get("/users", headers=forged).status_code == 302


def test_a_network_that_is_none_stops_the_start() -> None:
    with pytest.raises(SettingsError, match=r"'10\.0\.0\.1/8'"):
        header_auth("X-Remote-User", trusted=["10.0.0.1/8"])
