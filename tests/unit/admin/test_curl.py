from __future__ import annotations

import http.server
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from fmd_admin.admin.curl import command

NASTY = 'it\'s "$HOME" `id` \\ $(id) !x\nline\tü ; & | > <'


def words(text: str) -> list[str]:
    """The arguments that a shell makes of a command."""
    out = subprocess.run(
        ["sh", "-c", text.replace("curl", "printf '%s\\0'", 1)], capture_output=True, check=True
    ).stdout
    return out.decode().split("\0")[:-1]


def test_a_shell_takes_every_argument_as_it_was() -> None:
    found = words(
        command(
            "PUT",
            f"http://shop.example/{NASTY}",
            [("X-Nasty", NASTY), ("Host", "shop.example"), ("X-Empty", "")],
            {},
            json.dumps({"a": NASTY}),
        )
    )
    assert found == [
        "--globoff",
        "--request",
        "PUT",
        "--url",
        f"http://shop.example/{NASTY}",
        "--header",
        f"X-Nasty: {NASTY}",
        "--header",
        "X-Empty;",
        "--data-raw",
        json.dumps({"a": NASTY}),
    ]


@pytest.mark.parametrize(
    ("method", "values", "body", "flag"),
    [
        ("GET", {}, None, None),
        ("HEAD", {}, None, "--head"),
        ("POST", {"a": ["1"]}, None, None),
        ("POST", {}, "{}", None),
        ("POST", {}, None, "--request POST"),
        ("GET", {}, "{}", "--request GET"),
        ("DELETE", {}, None, "--request DELETE"),
    ],
)
def test_method(method: str, values: dict[str, list[str]], body: str | None, flag: str) -> None:
    text = command(method, "http://x/", [], values, body)
    flags = ["--head", "--request GET", "--request POST", "--request DELETE"]
    assert [f for f in flags if f in text] == ([flag] if flag else [])


def test_only_what_is_not_in_the_address_is_a_form() -> None:
    values = {"q": ["a b", "a b"], "token": ["[hidden]"], "note": ["x"]}
    text = command("POST", "http://x/?q=a+b&token=[hidden]", [], values, None)
    assert text.count("--data-urlencode") == 2
    assert "--data-urlencode 'q=a b'" in text
    assert "--data-urlencode note=x" in text
    # An address that was cut has lost values; a GET has no form for all that.
    assert "--data" not in command("GET", "http://x/", [], values, None)


class Echo(http.server.BaseHTTPRequestHandler):
    seen: dict[str, Any] = {}

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        Echo.seen = {
            "method": self.command,
            "path": self.path,
            "headers": dict(self.headers),
            "body": self.rfile.read(length).decode(),
        }
        self.send_response(204)
        self.end_headers()

    do_GET = do_POST = do_PUT = _answer

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def echo() -> Iterator[str]:
    server = http.server.HTTPServer(("127.0.0.1", 0), Echo)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("host", ["[", "[hidden]@h", "℀.example"])
def test_an_address_that_is_none_is_shown_as_it_is(host: str) -> None:
    found = words(command("POST", f"http://{host}/?a=1", [], {"a": ["1"], "b": ["2"]}, None))
    assert found == ["--globoff", "--url", f"http://{host}/?a=1", "--data-urlencode", "b=2"]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not here: apt-get install curl")
def test_real_curl_sends_the_request_again(echo: str) -> None:
    def send(*args: Any) -> dict[str, Any]:
        text = command(*args) + " --silent --show-error --noproxy '*'"
        subprocess.run(["sh", "-c", text], check=True, timeout=30)
        return Echo.seen

    values = {"q": ["[1-3]{a}"], "name": ["Zoë & Bob"], "odd=key": ["@file"]}
    url = f"{echo}/search?q=[1-3]{{a}}"
    headers = [("X-Empty", ""), ("User-Agent", "it's"), ("Cookie", "session=[hidden]")]
    seen = send("POST", url, headers, values, None)
    assert (seen["method"], urlsplit(seen["path"]).query) == ("POST", "q=[1-3]{a}")
    assert parse_qsl(seen["body"]) == [("name", "Zoë & Bob"), ("odd=key", "@file")]
    assert seen["headers"]["User-Agent"] == "it's"
    assert seen["headers"]["X-Empty"] == ""
    assert seen["headers"]["Cookie"] == "session=[hidden]"
    seen = send("PUT", url, [("Content-Type", "application/json")], values, '{"a": "@b"}')
    assert (seen["method"], seen["body"]) == ("PUT", '{"a": "@b"}')
    assert seen["headers"]["Content-Type"] == "application/json"
    assert send("GET", url, [], values, None)["method"] == "GET"
