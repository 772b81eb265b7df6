"""A small HTTP client with cookies that counts every answer it gets."""

from __future__ import annotations

import http.client
import json
import re
import threading
from collections import Counter
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from pathlib import Path
from urllib.parse import urlencode, urlsplit

TIMEOUT_S = 30.0


@dataclass
class Tally:
    """What was sent and answered: (method, path without query, status) → how often."""

    answered: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    unanswered: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, method: str, path: str, status: int) -> None:
        with self.lock:
            self.answered[method, path, status] += 1

    def add_unanswered(self) -> None:
        with self.lock:
            self.unanswered += 1

    def total(self) -> int:
        with self.lock:
            return self.answered.total()

    def save(self, path: Path) -> None:
        """Write the counts as JSON: {"unanswered": n, "answered": [[method, path, status, n]]}."""
        with self.lock:
            rows = [[*key, count] for key, count in sorted(self.answered.items())]
            content = {"unanswered": self.unanswered, "answered": rows}
        # A reader never sees half a file.
        beside = path.with_suffix(".part")
        beside.write_text(json.dumps(content), encoding="utf-8")
        beside.replace(path)


@dataclass
class Answer:
    """What came back. ``status`` is 0 where nothing did."""

    status: int
    text: str = ""
    location: str = ""

    def number(self) -> int | None:
        """The order's number at the end of the location."""
        found = re.search(r"/(\d+)$", self.location)
        return int(found[1]) if found else None


class Browser:
    """One person's browser: keeps cookies, says in X-Forwarded-For where it stands."""

    def __init__(self, base_url: str, address: str, tally: Tally, token: str = "") -> None:
        parts = urlsplit(base_url)
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError(f"{base_url!r} is not a URL like http://127.0.0.1:5000")
        self.host, self.port = parts.hostname, parts.port or 80
        self.tally = tally
        self.cookies: dict[str, str] = {}
        self.headers = {"X-Forwarded-For": address, "User-Agent": "shop-traffic"}
        if token:
            self.headers["Authorization"] = f"Bearer {token}"

    def get(self, path: str) -> Answer:
        return self.send("GET", path)

    def post(self, path: str, **form: object) -> Answer:
        """Send a form, and follow the redirect as a browser does."""
        answer = self.send(
            "POST", path, urlencode(form).encode(), "application/x-www-form-urlencoded"
        )
        if answer.status == 303:
            followed = self.get(answer.location)
            return Answer(followed.status, followed.text, answer.location)
        return answer

    def send_json(self, method: str, path: str, content: object) -> Answer:
        return self.send(method, path, json.dumps(content).encode(), "application/json")

    def send(self, method: str, path: str, body: bytes = b"", kind: str = "") -> Answer:
        """Send one request on a connection of its own, so that each is answered or is not."""
        headers = dict(self.headers)
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{k}={v}" for k, v in self.cookies.items())
        if kind:
            headers["Content-Type"] = kind
        connection = http.client.HTTPConnection(self.host, self.port, timeout=TIMEOUT_S)
        try:
            connection.request(method, path, body or None, headers)
            response = connection.getresponse()
            text = response.read().decode("utf-8", "replace")
        except (OSError, http.client.HTTPException):
            self.tally.add_unanswered()
            return Answer(0)
        finally:
            connection.close()
        self.tally.add(method, urlsplit(path).path, response.status)
        for line in response.headers.get_all("Set-Cookie", ()):
            for name, morsel in SimpleCookie(line).items():
                self.cookies[name] = morsel.value
        return Answer(response.status, text, response.headers.get("Location", ""))
