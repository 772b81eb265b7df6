"""Somebody at the panel of a served app, without a browser: cookies, tokens, downloads."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import unescape
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlencode

_TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')


@dataclass(frozen=True)
class Answer:
    """A whole response."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class PanelSession:
    """A client of the panel at ``prefix`` with a connection of its own for each request."""

    def __init__(self, port: int, prefix: str = "/dashboard") -> None:
        self._port = port
        self._prefix = prefix
        self._cookies: dict[str, str] = {}

    @contextmanager
    def open(
        self, path: str, method: str = "GET", form: dict[str, Any] | None = None
    ) -> Iterator[http.client.HTTPResponse]:
        """Send a request; gives the response as soon as its headers are there."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        headers = {"Cookie": "; ".join(f"{k}={v}" for k, v in self._cookies.items())}
        body = None
        if form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            body = urlencode(form, doseq=True)
        try:
            connection.request(method, self._prefix + path, body, headers)
            response = connection.getresponse()
            for line in response.headers.get_all("Set-Cookie", []):
                for name, morsel in SimpleCookie(line).items():
                    self._cookies[name] = morsel.value
            yield response
        finally:
            connection.close()

    def get(self, path: str) -> Answer:
        with self.open(path) as response:
            return Answer(response.status, response.headers, response.read())

    def post(self, path: str, form: dict[str, Any]) -> Answer:
        """Send a form with the token of the session."""
        found = _TOKEN.search(self.get("/login").text) or _TOKEN.search(self.get("/account").text)
        assert found is not None, "no page with a token"
        form = {"csrf_token": unescape(found[1]), **form}
        with self.open(path, "POST", form) as response:
            return Answer(response.status, response.headers, response.read())

    def log_in(self, username: str = "anna", password: str = "correct horse") -> PanelSession:
        answer = self.post("/login", {"username": username, "password": password})
        assert answer.status == 303, answer.text
        return self
