"""Headers of every response, and pages that live under a strict policy."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser

import pytest
from flask import Flask

from fmd_admin.admin.headers import content_security_policy
from fmd_admin.errors import SettingsError
from fmd_admin.settings import Settings

from ...support import Bound
from .browser import Browser

POLICY = (
    "default-src 'none'; script-src 'self' https://cdn.jsdelivr.net; style-src 'self'; "
    "connect-src 'self'; img-src 'self' data:; font-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
PAGES = (
    "/login",
    "/overview",
    "/hourly-utilization",
    "/daily-utilization",
    "/api-performance",
    "/endpoint/1/hourly-utilization",
    "/data/requests",
    "/data/requests?status=bad",
    "/data/requests/details?id=1",
    "/data/requests/delete?ids=1",
    "/data/endpoints",
    "/data/versions",
    "/users",
    "/users/new",
    "/users/1",
    "/settings",
    "/account",
    "/nope",
)


class Inline(HTMLParser):
    """Collects what a policy without 'unsafe-inline' would block."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.foreign: list[dict[str, str | None]] = []
        self._raw = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "style" or (tag == "script" and "src" not in values):
            self._raw = tag
            self.found.append(f"<{tag}>")
        for name, value in attrs:
            if name.startswith("on") or name == "style":
                self.found.append(f"{tag} {name}={value}")
            if name in ("href", "src", "action") and (value or "").startswith("javascript:"):
                self.found.append(f"{tag} {name}={value}")
        if tag in ("script", "link", "img") and "//" in (
            values.get("src") or values.get("href") or ""
        ):
            self.foreign.append(values)


def measured(bound: Bound) -> Bound:
    bound.app.test_client().get("/hello/x").close()
    bound.monitor.recorder.flush()
    return bound


def test_pages_live_under_the_policy(bound: Bound, anna: Browser) -> None:
    measured(bound)
    scripts = 0
    for path in PAGES:
        browser = Browser(bound.app) if path == "/login" else anna
        answer = browser.get(path)
        assert answer.status_code == (404 if path == "/nope" else 200), path
        seen = Inline()
        seen.feed(answer.text)
        assert seen.found == [], path
        for values in seen.foreign:
            assert (values.get("src") or "").startswith("https://cdn.jsdelivr.net/npm/")
            assert (values.get("integrity") or "").startswith("sha384-")
            assert values.get("crossorigin") == "anonymous"
            scripts += 1
    assert scripts > 0


def test_headers_of_every_answer(bound: Bound, anna: Browser, nobody: Browser) -> None:
    measured(bound)
    for path in (*PAGES, "", "/", "/overview/data.json", "/data/requests/data.csv"):
        for browser in (anna, nobody):
            with browser.get(path) as answer:
                assert answer.headers["Content-Security-Policy"] == POLICY, path
                assert answer.headers["Referrer-Policy"] == "same-origin", path
                assert answer.headers["X-Content-Type-Options"] == "nosniff", path
                assert answer.headers["X-Frame-Options"] == "DENY", path
                assert answer.headers["Cache-Control"] == "no-store", path


def test_static_files_are_kept_privately(bound: Bound, nobody: Browser) -> None:
    page = nobody.get("/login").text
    links = re.findall(r'(?:src|href)="(/dashboard/static/[^"]+)"', page)
    assert len(links) >= 3
    for link in links:
        with nobody.client.get(link) as answer:
            assert answer.status_code == 200
            caching = answer.headers["Cache-Control"]
            assert caching == "private, max-age=31536000, immutable"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
        with nobody.client.get(link.partition("?")[0]) as answer:
            assert answer.headers["Cache-Control"] == "private, no-cache"
    with nobody.get("/static/nope.css?v=1") as answer:
        assert answer.headers["Cache-Control"] == "no-store"


def test_scripts_come_from_where_the_setting_says(bind: Callable[..., Bound]) -> None:
    bound = bind(assets_url="http://assets.internal:8080/js/")
    policy = Browser(bound.app).get("/login").headers["Content-Security-Policy"]
    assert "script-src 'self' http://assets.internal:8080;" in policy
    assert "jsdelivr" not in policy


@pytest.mark.parametrize("host", ["a.b;script-src *", "a'b", "a b"])
def test_hostile_address_of_the_assets_is_refused(host: str) -> None:
    with pytest.raises(SettingsError, match="ASSETS_URL"):
        content_security_policy(Settings(assets_url=f"https://{host}/"))


def test_the_hosts_answers_are_left_alone(bound: Bound) -> None:
    plain = Flask("plain")
    plain.add_url_rule("/hello/<name>", "hello", lambda name: f"hello {name}")
    expected = plain.test_client().get("/hello/x")
    answer = bound.app.test_client().get("/hello/x")
    assert answer.data == expected.data
    assert list(answer.headers) == list(expected.headers)
