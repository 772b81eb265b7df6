"""A browser for tests of the panel: keeps cookies, logs in, sends forms with their token."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

from flask import Flask
from werkzeug.test import TestResponse

PREFIX = "/dashboard"
PASSWORD = "correct horse"
_TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')


class Browser:
    """One browser at a host app whose panel is mounted at ``prefix``."""

    def __init__(self, app: Flask, prefix: str = PREFIX, **environ: Any) -> None:
        self.client = app.test_client()
        self.prefix = prefix
        self.environ = environ

    def get(self, path: str, **options: Any) -> TestResponse:
        return self.open(path, method="GET", **options)

    def open(self, path: str, **options: Any) -> TestResponse:
        environ = {**self.environ, **options.pop("environ_base", {})}
        return self.client.open(self.prefix + path, environ_base=environ, **options)

    def token(self) -> str:
        """The token of the current session, from the first page that has one."""
        for path in ("/login", "/account", "/overview", "/settings"):
            found = _TOKEN.search(self.get(path).text)
            if found:
                return unescape(found[1])
        raise AssertionError("no page with a token")

    def post(self, path: str, data: dict[str, Any] | None = None, **options: Any) -> TestResponse:
        """Send a form with its token."""
        form = {"csrf_token": self.token(), **(data or {})}
        return self.open(path, method="POST", data=form, **options)

    def login(self, username: str = "anna", password: str = PASSWORD, **form: Any) -> TestResponse:
        return self.post("/login", {"username": username, "password": password, **form})

    def is_in(self) -> bool:
        """Whether the session is good for the overview."""
        return self.get("/overview").status_code == 200

    def cookie(self) -> str:
        """The value of the session cookie."""
        found = self.client.get_cookie("fmd_session", path=self.prefix)
        assert found is not None
        return found.value
