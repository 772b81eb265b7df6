"""The mount: what goes to the panel, what stays the host's, and what the panel sees."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from fmd_admin.admin.mount import Mount
from fmd_admin.errors import BindError

from ...support import Bound
from .browser import Browser


class Recorded:
    """A WSGI app that keeps the environment it was called with."""

    def __init__(self) -> None:
        self.environ: dict[str, Any] | None = None

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        self.environ = environ
        return []


def call(prefix: str, **environ: Any) -> tuple[Recorded, Recorded]:
    host, panel = Recorded(), Recorded()
    Mount(host, prefix, panel)(environ, lambda *args: None)
    return host, panel


@pytest.mark.parametrize(
    ("prefix", "path", "rest"),
    [
        ("dashboard", "/dashboard", ""),
        ("dashboard", "/dashboard/", "/"),
        ("dashboard", "/dashboard/overview", "/overview"),
        ("/tools/my.panel/", "/tools/my.panel/overview", "/overview"),
        ("dashboard", "/dashboard//overview", "//overview"),
        # The bytes of a path travel as latin-1.
        ("büro", "/bÃ¼ro/overview", "/overview"),
    ],
)
def test_prefix_and_below_go_to_the_panel(prefix: str, path: str, rest: str) -> None:
    host, panel = call(prefix, PATH_INFO=path, SCRIPT_NAME="/app")
    assert host.environ is None
    assert panel.environ is not None
    assert panel.environ["PATH_INFO"] == rest
    assert panel.environ["SCRIPT_NAME"] + rest == "/app" + path


@pytest.mark.parametrize(
    "path", ["/", "", "/dashboardish", "/dashboard.", "/Dashboard", "/a/dashboard", "//dashboard"]
)
def test_everything_else_stays_the_hosts(path: str) -> None:
    environ = {"PATH_INFO": path, "werkzeug.request": object()}
    host, panel = Recorded(), Recorded()
    Mount(host, "dashboard", panel)(environ, lambda *args: None)
    assert panel.environ is None
    assert host.environ is environ


def test_environment_is_copied_without_the_hosts_request() -> None:
    environ = {"PATH_INFO": "/dashboard/x", "SCRIPT_NAME": "", "werkzeug.request": "host's"}
    before = dict(environ)
    panel = Recorded()
    Mount(Recorded(), "dashboard", panel)(environ, lambda *args: None)
    assert environ == before
    assert panel.environ is not None
    assert "werkzeug.request" not in panel.environ


def test_environment_may_lack_path_and_script_name() -> None:
    host, _ = call("dashboard")
    assert host.environ == {}
    _, panel = call("dashboard", PATH_INFO="/dashboard")
    assert panel.environ is not None
    assert panel.environ["SCRIPT_NAME"] == "/dashboard"


@pytest.mark.parametrize("prefix", ["", "/", "//"])
def test_root_is_refused(prefix: str) -> None:
    with pytest.raises(BindError, match="LINK"):
        Mount(Recorded(), prefix, Recorded())


def test_links_follow_a_prefix_from_a_proxy(bind: Callable[..., Bound]) -> None:
    app = Flask("host")
    app.wsgi_app = ProxyFix(app.wsgi_app, x_prefix=1, x_proto=1)  # type: ignore[method-assign]
    bound = bind(app, link="tools/panel")
    headers = {"X-Forwarded-Prefix": "/outer", "X-Forwarded-Proto": "https"}
    browser = Browser(bound.app, "/tools/panel")
    answer = browser.get("/overview", headers=headers)
    assert answer.location == "/outer/tools/panel/login?next=/overview"
    page = browser.get("/login", headers=headers)
    assert 'action="/outer/tools/panel/login"' in page.text
    assert 'src="/outer/tools/panel/static/js/theme.js' in page.text
    [cookie] = page.headers.getlist("Set-Cookie")
    assert "Path=/outer/tools/panel;" in cookie
    assert "Secure;" in cookie
    # The next request comes without the proxy: nothing was kept from the one before.
    assert browser.get("/overview").location == "/tools/panel/login?next=/overview"


def test_menu_follows_the_mount_of_each_request(bound: Bound, anna: Browser) -> None:
    anna.get("/overview")
    anna.client.set_cookie("fmd_session", anna.cookie(), path="/outer")
    page = anna.get("/overview", environ_overrides={"SCRIPT_NAME": "/outer"})
    assert 'href="/outer/dashboard/data/requests"' in page.text
    assert 'href="/outer/dashboard/settings"' in page.text
    assert 'href="/dashboard/' not in page.text


def test_panel_has_a_catch_all_host_beside_it(bind: Callable[..., Bound]) -> None:
    app = Flask("host")
    app.add_url_rule("/<path:rest>", "all", lambda rest: f"host: {rest}")
    bound = bind(app)
    client = bound.app.test_client()
    assert client.get("/dashboardish").text == "host: dashboardish"
    assert client.get("/dashboard/login").status_code == 200
    assert client.get("/dashboard").location == "/dashboard/login"
