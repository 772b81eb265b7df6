"""Secrets of any letters, sent in any of the ways there are, with copies where none is expected."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from random import Random
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from flask import Flask, request
from werkzeug.test import EnvironBuilder

from fmd_admin.collect.outliers import Facts, collect_facts
from fmd_admin.collect.redaction import words_of
from fmd_admin.settings import Settings

WORDS = words_of(Settings().redact)
#: In every secret twice, so that a part of one is found too.
MARK = "zqjx"
LETTERS = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ abcXYZ019žλ漢"
NAMES = ["password", "api_key", "Token", "session[id]", "x-auth", "csrf.token", "user[password]"]
ROUNDS = 400


def lower_case_quotes(text: str) -> str:
    return re.sub("%..", lambda match: match.group().lower(), quote(text, safe=""))


QUOTES: list[Callable[[str], str]] = [
    lambda text: quote(text, safe=""),
    lambda text: quote(text, safe="!'()*,;:@/$"),
    quote_plus,
    lower_case_quotes,
    lambda text: "".join(f"%{byte:02X}" for byte in text.encode()),
]


class Message:
    """A request that is being made up."""

    def __init__(self, random: Random) -> None:
        self.random = random
        letters = [random.choice(LETTERS) for _ in range(random.randint(0, 8))]
        middle = random.randint(0, len(letters))
        self.secret = "".join([*letters[:middle], MARK, *letters[middle:], MARK])
        self.name = random.choice(NAMES)
        self.query: list[str] = []
        self.form: list[str] = []
        self.json: dict[str, Any] = {}
        self.headers: dict[str, str] = {}
        self.environ: dict[str, str] = {}

    def quoted(self, text: str) -> str:
        return self.random.choice(QUOTES)(text)

    def hide_somewhere(self) -> None:
        """Send the secret under a name that says so."""
        name, secret = self.name, self.secret
        pair = f"{self.random.choice([name, self.quoted(name)])}={self.quoted(secret)}"
        as_json = json.dumps({name: secret}, ensure_ascii=self.random.random() < 0.5)
        ways: list[Callable[[], object]] = [
            lambda: self.query.append(pair),
            lambda: self.form.append(f"{name}={self.quoted(secret)}"),
            lambda: self.json.update({"a": [{name: [secret, {"b": secret}]}]}),
            lambda: self.query.append("next=" + self.quoted(f"/x?{pair}")),
            lambda: self.form.append("payload=" + self.quoted(as_json)),
            lambda: self.headers.update({"Referer": f"http://h/x?{pair}&b=1"}),
            lambda: self.environ.update({"APP_SECRET": secret}),
        ]
        self.random.choice(ways)()

    def copy_somewhere(self) -> None:
        """Send it again, under a name that says nothing. A body is either a form or JSON."""
        quoted = self.quoted(self.secret)
        ways: list[Callable[[], object]] = [
            lambda: self.query.append(f"copy={quoted}"),
            lambda: self.form.append(f"copy={quoted}"),
            lambda: self.json.update({"copy": [f"<{self.secret}>", {self.secret: 1}]}),
            lambda: self.headers.update({"X-Copy": f"see {quoted}"}),
            lambda: self.environ.update({"copy": f"<{self.secret}>"}),
            lambda: self.environ.update({"RAW_URI": f"/x?z={quoted}"}),
        ]
        if self.json:
            del ways[1]
        elif self.form:
            del ways[2]
        self.random.choice(ways)()

    def facts(self, app: Flask) -> Facts:
        options: dict[str, Any] = {"method": "POST", "headers": self.headers}
        if self.json:
            options["json"] = self.json
        else:
            options["data"] = "&".join(self.form)
            options["content_type"] = "application/x-www-form-urlencoded"
        builder = EnvironBuilder(**options)
        environ = {**builder.get_environ(), "QUERY_STRING": "&".join(self.query), **self.environ}
        builder.close()
        with app.request_context(environ):
            # The host reads its body.
            _ = request.get_json() if self.json else request.form
            real = request._get_current_object()  # type: ignore[attr-defined]
            return collect_facts(environ, real, words=WORDS, ip="full", with_json=True)


@pytest.mark.parametrize("seed", range(3))
def test_none_is_left(seed: int) -> None:
    random = Random(seed)
    app = Flask("host")
    app.add_url_rule("/", "index", lambda: "", methods=["POST"])
    for _ in range(ROUNDS):
        message = Message(random)
        message.hide_somewhere()
        for _ in range(random.randint(0, 2)):
            message.copy_somewhere()
        facts = message.facts(app)
        text = repr((facts.url, facts.values, facts.json, facts.headers, facts.environ)).lower()
        sent = (message.secret, message.query, message.form, message.json, message.headers)
        assert MARK not in text, sent
        assert "%7a%71%6a%78" not in text, sent
