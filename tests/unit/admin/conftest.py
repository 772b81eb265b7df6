"""A bound host app with an admin (anna) and a viewer (vera), and browsers for them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fmd_admin.store.accounts import VIEWER, create_user

from ...cheap_hashes import use_cheap_hashes
from ...support import Bound, not_at_midnight
from .browser import PASSWORD, Browser

#: The longest that a test takes where it gets a small part of a processor.
LONGEST_S = 20.0


@pytest.fixture(autouse=True)
def _cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    use_cheap_hashes(monkeypatch)


@pytest.fixture
def bound(bind: Callable[..., Bound]) -> Bound:
    """A host with one route, and its panel at /dashboard; the day does not end meanwhile."""
    not_at_midnight(LONGEST_S)
    made = bind()
    made.app.add_url_rule("/hello/<name>", "hello", lambda name: f"hello {name}")
    create_user(made.monitor.store, "vera", PASSWORD, VIEWER)
    return made


@pytest.fixture
def nobody(bound: Bound) -> Browser:
    """A browser without a login."""
    return Browser(bound.app)


@pytest.fixture
def anna(bound: Bound) -> Browser:
    """The admin's browser."""
    browser = Browser(bound.app)
    assert browser.login("anna").status_code == 303
    return browser


@pytest.fixture
def vera(bound: Bound) -> Browser:
    """The viewer's browser."""
    browser = Browser(bound.app)
    assert browser.login("vera").status_code == 303
    return browser
