"""Takes the pictures in docs/images from the running demo.

    python examples/screenshots.py

Needs the extra "dev", Chromium at /usr/bin/chromium (or the path in CHROMIUM) and npm, which brings
the files that browsers get from the CDN.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, StorageState, sync_playwright

if __package__ in (None, ""):  # Run as a script: the checkout is not on the path.
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from examples import server
from tests.browser import cdn
from tests.receivers import webhook

IMAGES = server.ROOT / "docs" / "images"
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
ARGUMENTS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
DESKTOP, PHONE = (1440, 860), (360, 740)
#: Charts move into place for this long.
DRAWING_MS = 1_500


@dataclass(frozen=True)
class Picture:
    """One file: the page it shows (below the panel's address), its theme and its size.

    In a path ``{name}`` stands for the id of the endpoint of that name. ``click`` is what is
    clicked before: a link of the page.
    """

    name: str
    path: str
    theme: Literal["light", "dark"] = "light"
    size: tuple[int, int] = DESKTOP
    click: str = ""


#: Endpoints that are raised to the highest level before the pictures are taken.
PROFILED = ("shop.search", "report.monthly", "basket.pay")
#: Rules of alerts that are made before: name, kind, limit, severity.
RULES = (
    ("Errors", "error_share", "5", "critical"),
    ("New exceptions", "new_exception", "5", "warning"),
    ("Slow", "p95", "40", "info"),
)
PICTURES = (
    Picture("overview", "/overview"),
    Picture("overview-dark", "/overview", theme="dark"),
    Picture("overview-phone", "/overview", size=PHONE),
    Picture("summary", "/endpoint/{shop.search}"),
    Picture("summary-phone", "/endpoint/{shop.search}", size=PHONE),
    Picture("hourly-utilization", "/hourly-utilization"),
    Picture("multi-version-utilization", "/multi-version-utilization"),
    Picture("daily-utilization", "/daily-utilization?range=30d"),
    Picture("api-performance", "/api-performance"),
    Picture("reporting", "/reporting"),
    Picture("version-performance", "/endpoint/{shop.search}/versions?range=30d"),
    Picture("users-versions", "/endpoint/{shop.search}/users-versions?range=30d"),
    Picture("ips-versions", "/endpoint/{shop.search}/ips-versions?range=30d"),
    Picture("users", "/endpoint/{shop.search}/users?range=30d"),
    Picture("status-codes", "/status-codes"),
    Picture("exceptions", "/exceptions?range=30d"),
    Picture("exceptions-phone", "/exceptions?range=30d", size=PHONE),
    Picture("exception", "/exceptions?range=30d", click="tbody th a"),
    Picture("outliers", "/outliers?range=24h"),
    Picture("outlier", "/outliers?range=24h", click="tbody th a"),
    Picture("profiler", "/endpoint/{shop.search}/profiler?range=24h"),
    Picture("grouped-profiler", "/endpoint/{shop.search}/grouped-profiler?range=24h"),
    Picture("grouped-profiler-dark", "/endpoint/{shop.search}/grouped-profiler", theme="dark"),
    Picture("custom-graph", "/custom-graphs?range=1h", click="tbody th a"),
    Picture("requests", "/data/requests"),
    Picture("users-of-the-panel", "/users"),
    Picture("settings", "/settings"),
    Picture("alerts", "/alerts"),
    Picture("alert-rule", "/alerts/rules/1"),
    Picture("system", "/system"),
)


@contextmanager
def demo(warm_up_s: float) -> Iterator[dict[str, str]]:
    """Run the demo with history; gives what it printed: Shop, Panel, User, Password, …"""
    command = [sys.executable, "manage.py", "demo", "--history", "--port", "0"]
    command += ["--version-switch-s", str(warm_up_s / 2)]
    process = subprocess.Popen(command, cwd=server.ROOT, stdout=subprocess.PIPE, text=True)
    try:
        printed: dict[str, str] = {}
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            if found := re.match(r"(\w+) {2,}(\S+)", line):
                printed[found[1]] = found[2]
            if "has taken over" in line:
                break
        else:
            raise SystemExit("the demo ended by itself")
        time.sleep(warm_up_s / 2)
        yield printed
    finally:
        process.terminate()
        process.communicate()


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


def sign_in(browser: Browser, panel: str, user: str, password: str) -> StorageState:
    """Return the cookies of a session."""
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{panel}/login")
        page.locator("[name=username]").fill(user)
        page.locator("[name=password]").fill(password)
        page.locator("form:has([name=password]) [type=submit]").click()
        page.wait_for_url(re.compile(r"(?<!/login)$"))
        return context.storage_state()


def raise_levels(browser: Browser, session: StorageState, panel: str) -> None:
    """Set the endpoints of PROFILED to level 3, as an admin does."""
    with browser.new_context(storage_state=session) as context:
        page = context.new_page()
        for name in PROFILED:
            page.goto(f"{panel}/overview?q={name}")
            page.locator(f"form.levels[data-name='{name}'] button[value='3']").click()
            page.locator("#level-status").get_by_text("is now 3").wait_for(state="attached")


def set_alerts_up(browser: Browser, session: StorageState, panel: str, hook: str) -> None:
    """Make a target and some rules, and send a test, as an admin does."""
    with browser.new_context(storage_state=session) as context:
        page = context.new_page()
        page.goto(f"{panel}/alerts/targets/new")
        page.locator("#name").fill("On-call")
        page.locator("#address").fill(hook)
        page.get_by_role("button", name="Save").click()
        page.get_by_role("button", name="Send a test").click()
        for name, kind, limit, severity in RULES:
            page.goto(f"{panel}/alerts/rules/new")
            page.locator("#name").fill(name)
            page.locator("#kind").select_option(kind)
            page.locator("#threshold").fill(limit)
            page.locator("#severity").select_option(severity)
            page.get_by_role("button", name="Save").click()
            page.locator(".flash-ok").wait_for()


def ids_of(browser: Browser, session: StorageState, panel: str) -> dict[str, int]:
    """Return the ids of all endpoints by name."""
    with browser.new_context(storage_state=session) as context:
        answer = context.request.get(f"{panel}/overview/data.json")
        return {row["name"]: row["id"] for row in answer.json()["rows"]}


def take(
    browser: Browser,
    session: StorageState,
    files: Mapping[str, bytes],
    panel: str,
    picture: Picture,
    ids: Mapping[str, int],
) -> None:
    """Open the page and write its picture; print what the browser complains of."""
    path = re.sub(r"\{(.+?)\}", lambda found: str(ids[found[1]]), picture.path)
    faults: list[str] = []
    width, height = picture.size
    with browser.new_context(
        storage_state=session,
        viewport={"width": width, "height": height},
        color_scheme=picture.theme,
    ) as context:
        cdn.answer(context, files)
        page = context.new_page()
        page.on("console", lambda message: _note(faults, message.type, message.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        answer = page.goto(f"{panel}{path}")
        if answer is None or not answer.ok:
            raise SystemExit(f"{panel}{path} is answered with {answer and answer.status}")
        if picture.click:
            page.locator(picture.click).first.click()
        page.wait_for_load_state("networkidle")
        page.wait_for_timeout(DRAWING_MS)
        page.screenshot(path=str(IMAGES / f"{picture.name}.png"))
        print(f"{picture.name}.png: {page.url}", flush=True)
    for fault in faults:
        print(f"  the browser says: {fault}", flush=True)


def _note(faults: list[str], kind: str, text: str) -> None:
    if kind in {"error", "warning"}:
        faults.append(text)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", help="only these pictures")
    parser.add_argument("--warm-up-s", type=float, default=40.0, help="let the demo run (40)")
    options = parser.parse_args(argv)
    IMAGES.mkdir(parents=True, exist_ok=True)
    files = cdn.assets()
    with webhook() as hook, demo(options.warm_up_s) as printed, chromium() as browser:
        panel = printed["Panel"].rstrip("/")
        session = sign_in(browser, panel, printed["User"], printed["Password"])
        raise_levels(browser, session, panel)
        set_alerts_up(browser, session, panel, hook.url)
        time.sleep(options.warm_up_s)
        ids = ids_of(browser, session, panel)
        for picture in PICTURES:
            if not options.names or picture.name in options.names:
                take(browser, session, files, panel, picture, ids)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
