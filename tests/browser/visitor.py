"""Somebody in front of a browser: one context of Chromium that notes what goes wrong in it."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable
from html import unescape

from playwright.sync_api import (
    BrowserContext,
    ConsoleMessage,
    Dialog,
    Locator,
    Page,
    Request,
    Response,
)

from .cdn import CDN_URL

PASSWORD = "correct horse"
#: Violations are on the console anyway; this says what was blocked and where.
_WATCH = """
addEventListener("securitypolicyviolation", (event) => console.error(
  `blocked by the CSP: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`));
"""
_TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')
_CHROMA = """
(canvas) => {
  const copy = document.createElement("canvas");
  [copy.width, copy.height] = [canvas.width, canvas.height];
  const context = copy.getContext("2d", { willReadFrequently: true });
  context.drawImage(canvas, 0, 0);
  const { data } = context.getImageData(0, 0, copy.width, copy.height);
  const colors = new Map();
  for (let i = 0; i < data.length; i += 4) {
    const [r, g, b, opacity] = data.slice(i, i + 4);
    if (opacity < 200 || Math.max(r, g, b) - Math.min(r, g, b) < 40) continue;
    const color = `${r} ${g} ${b}`;
    colors.set(color, (colors.get(color) ?? 0) + 1);
  }
  return [...colors].filter(([, pixels]) => pixels > 20).map(([color]) => color).sort();
}
"""


class Visitor:
    """A browser context with one page. ``faults`` must be empty at the end of the test.

    A fault is anything at warning level and above on the console, an uncaught error, what the
    CSP blocks, a dialog that nobody expects, an answer of 500 and above, and a request to
    anywhere but the site and the CDN.
    """

    def __init__(self, context: BrowserContext, origin: str) -> None:
        self.context = context
        self.panel = f"{origin}/dashboard"
        self.faults: list[str] = []
        self.dialogs: list[str] = []
        self._origin = origin
        self._allowed: list[re.Pattern[str]] = []
        self._answers: deque[bool] = deque()
        context.add_init_script(_WATCH)
        context.on("console", self._said)
        context.on("weberror", lambda error: self._fault(f"error: {error.error}"))
        context.on("dialog", self._asked)
        context.on("request", self._requested)
        context.on("response", self._answered)
        self.page: Page = context.new_page()

    def allow(self, pattern: str) -> None:
        """Take faults that match ``pattern`` for what the test wants to see."""
        self._allowed.append(re.compile(pattern))

    def answer_dialog(self, *, accept: bool) -> None:
        """Expect one more dialog, and answer it so."""
        self._answers.append(accept)

    def go(self, path: str) -> Response:
        """Open a page of the panel."""
        response = self.page.goto(f"{self.panel}{path}")
        assert response is not None
        return response

    def log_in(self, username: str = "anna") -> Visitor:
        """Begin a session over HTTP, as the login form does, without drawing any page."""
        url = f"{self.panel}/login"
        found = _TOKEN.search(self.context.request.get(url).text())
        assert found is not None
        answer = self.context.request.post(
            url,
            form={
                "csrf_token": unescape(found[1]),
                "username": username,
                "password": PASSWORD,
            },
            max_redirects=0,
        )
        assert answer.status == 303, answer.text()
        return self

    def settle(self) -> None:
        """Wait until the scripts of a page that a click led to have run, as :meth:`go` does."""
        self.page.wait_for_load_state("load")

    def find(self, selector: str, text: str | None = None) -> Locator:
        """What ``selector`` finds, of it only what holds ``text``."""
        return self.page.locator(selector, has_text=text)

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def link(self, name: str) -> Locator:
        return self.page.get_by_role("link", name=name, exact=True)

    def download(self, click: Callable[[], None]) -> tuple[str, str]:
        """Do what starts a download; return the file's name and text."""
        with self.page.expect_download() as started:
            click()
        path = started.value.path()
        return started.value.suggested_filename, path.read_bytes().decode()

    def wait_for(self, expression: str) -> None:
        """Wait until a JavaScript expression is true.

        Playwright's own wait_for_function polls with eval, which the panel's CSP forbids.
        """
        for _ in range(400):
            if self.page.evaluate(expression):
                return
            time.sleep(0.025)
        raise AssertionError(f"not so on {self.page.url}: {expression}; {self.faults}")

    def chart_colors(self, number: int = 0) -> list[str]:
        """The colours ("r g b", no greys) in a canvas of the page; waits until there are some.

        Axes, grid and labels are grey: what has a colour is a bar, a box or a cell.
        """
        canvas = self.find("figure[data-chart] canvas").nth(number)
        for _ in range(200):
            colors: list[str] = canvas.evaluate(_CHROMA)
            if colors:
                return colors
            self.page.wait_for_timeout(25)
        raise AssertionError(f"nothing is drawn on {self.page.url}; {self.faults}")

    def close(self) -> None:
        """Hear what the pages still have to say, then close them."""
        for page in self.context.pages:
            page.evaluate("1")
        self.context.close()

    def _fault(self, text: str) -> None:
        if not any(pattern.search(text) for pattern in self._allowed):
            self.faults.append(text)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning", "assert"}:
            self._fault(f"{message.type}: {message.text} ({message.location.get('url')})")

    def _asked(self, dialog: Dialog) -> None:
        self.dialogs.append(dialog.message)
        if not self._answers:
            self._fault(f"dialog: {dialog.message}")
            dialog.dismiss()
        elif self._answers.popleft():
            dialog.accept()
        else:
            dialog.dismiss()

    def _requested(self, request: Request) -> None:
        if not request.url.startswith((f"{self._origin}/", CDN_URL, "data:", "blob:")):
            self._fault(f"request to a foreign place: {request.url}")

    def _answered(self, response: Response) -> None:
        if response.status >= 500:
            self._fault(f"{response.status} from {response.url}")
