"""A real Chromium for the tests of this folder, sites to visit, and visitors.

The browser is started once for the folder, not for the session: Playwright keeps an event loop
in the main thread, and tests of other folders need that thread without one.
"""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest
from flask import Flask
from jinja2 import BytecodeCache, FileSystemBytecodeCache
from playwright.sync_api import Browser, expect, sync_playwright

from examples.screenshots import ARGUMENTS, CHROMIUM

from ..cheap_hashes import use_cheap_hashes
from ..support import Bound, missing, not_at_midnight, serve
from . import cdn
from .site import NEWER, Site, fill, history, shop, whole_files
from .visitor import Visitor

#: For the slowest of machines; nothing waits that long where things work.
TIMEOUT_MS = 15_000
#: The longest that a test takes.
LONGEST_S = 60.0
#: How long connections of a closed browser context may take to go.
SETTLE_S = 5.0

OpenSite = Callable[..., Site]
OpenVisitor = Callable[..., Visitor]


@pytest.fixture(scope="package")
def cdn_files() -> Mapping[str, bytes]:
    """What the CDN answers, from the npm packages."""
    try:
        return cdn.assets()
    except cdn.CDNError as error:
        missing(f"The chart libraries cannot be had: {error}", "apt-get install npm")
        raise


@pytest.fixture(scope="package")
def chromium(cdn_files: Mapping[str, bytes]) -> Iterator[Browser]:
    """The browser, with a new profile in a temporary folder (Playwright makes and removes it)."""
    if not Path(CHROMIUM).exists():
        missing(f"There is no Chromium at {CHROMIUM}", "apt-get install chromium")
    expect.set_options(timeout=TIMEOUT_MS)
    with cdn.serve(cdn_files) as to_cdn, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS + to_cdn)
        yield browser
        browser.close()


@pytest.fixture(autouse=True)
def no_leaks() -> Iterator[None]:
    """As for all other tests, but for Chromium's processes: they come and go as it likes.

    They are children of Playwright's driver, so it is enough to look at our own children.
    """
    process = psutil.Process()
    threads = set(threading.enumerate())
    children = set(process.children())
    descriptors = process.num_fds()
    yield

    def left() -> list[str]:
        found = [f"thread {t.name}" for t in threading.enumerate() if t not in threads]
        found += [f"process {child.pid}" for child in process.children() if child not in children]
        more = process.num_fds() - descriptors
        return [*found, f"{more} file descriptors"] if more > 0 else found

    deadline = time.monotonic() + SETTLE_S
    while left() and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.05)
    assert left() == []


@pytest.fixture(autouse=True)
def _cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    use_cheap_hashes(monkeypatch)


@pytest.fixture(scope="package")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> BytecodeCache:
    """Compiled templates, kept over all tests: compiling them takes longer than the requests."""
    return FileSystemBytecodeCache(str(tmp_path_factory.mktemp("templates")))


@pytest.fixture
def open_site(bind: Callable[..., Bound], compiled: BytecodeCache) -> Iterator[OpenSite]:
    """Serve a bound app: ``open_site(app, prepare=…, monitor_level=0)``.

    ``prepare`` gets what is bound before the first request.
    """
    with ExitStack() as stack:

        def open_it(
            app: Flask | None = None,
            prepare: Callable[[Bound], None] | None = None,
            **settings: Any,
        ) -> Site:
            settings.setdefault("app_version", NEWER)
            settings.setdefault("flush_interval_s", 0.05)
            bound = bind(app or shop(), **settings)
            bound.monitor.panel_app.jinja_env.bytecode_cache = compiled
            not_at_midnight(LONGEST_S)
            if prepare is not None:
                prepare(bound)
            bound.app.wsgi_app = whole_files(bound.app.wsgi_app)
            return Site(bound, stack.enter_context(serve(bound.app)))

        yield open_it


@pytest.fixture
def site(open_site: OpenSite) -> Site:
    """The shop with nine days of history under two versions, and no requests today."""
    return open_site(prepare=lambda bound: fill(bound.monitor.store, history()))


@pytest.fixture
def visit(chromium: Browser) -> Iterator[OpenVisitor]:
    """Open a browser context of its own: ``visit(site, viewport=…)``; fails on any fault."""
    visitors: list[Visitor] = []

    def open_it(site: Site, **options: Any) -> Visitor:
        options.setdefault("viewport", {"width": 1280, "height": 900})
        context = chromium.new_context(**options)
        context.set_default_timeout(TIMEOUT_MS)
        visitors.append(Visitor(context, site.origin))
        return visitors[-1]

    yield open_it
    for visitor in visitors:
        visitor.close()
    assert [fault for visitor in visitors for fault in visitor.faults] == []


@pytest.fixture
def anna(site: Site, visit: OpenVisitor) -> Visitor:
    """The admin of the shop, logged in."""
    return visit(site).log_in()
