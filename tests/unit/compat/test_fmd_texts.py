"""Outliers as Flask-MonitoringDashboard writes them, and what could stand in their place."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from fmd_admin.compat.fmd_texts import SourcedFrame, method_of, stack, to_outlier
from fmd_admin.compat.fmd_trees import code_frame, to_profile
from fmd_admin.records import Frame, Row

ROW = Row(1_000, "slow", 250.0, 200, "GET", "anna", "192.0.2.7")
ENVIRON = str(
    {
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "https",
        "wsgi.input": object(),
        "SERVER_PORT": 5000,
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/orders",
        "QUERY_STRING": "page=7&token=abcdefgh",
        "HTTP_HOST": "shop.example",
        "HTTP_COOKIE": "session=verysecret",
        "HTTP_X_QUOTE": "it's \"quoted\", {'a': 'b'}",
        "REMOTE_ADDR": "192.0.2.7",
        "nested": {"inner_password": "deepsecret"},
        "flag": True,
    }
)
STACK = (
    'File: "/srv/shop/app.py", line 7, in "slow": "wait(password="hunter22")"<br />'
    'File: "/srv/venv/lib/python3.8/site-packages/flask/app.py", line 9, in "wsgi": "return x"'
)


def frame(file: str, line: int, function: str, source: str) -> SourcedFrame:
    return SourcedFrame(Frame(file, line, function, True), source)


def outlier(ip: str = "full", **changed: Any) -> Any:
    columns: dict[str, Any] = {
        "request_header": "Host: shop.example\r\nX-Api-Key: topsecret99\r\n\r\n",
        "request_environment": ENVIRON,
        "request_url": b"https://shop.example/orders?page=7&token=abcdefgh",
        "cpu_percent": "[1.5, 20.0]",
        "memory": "svmem(total=8000, available=2097152, percent=61.5, used=1)",
        "stacktrace": STACK,
        **changed,
    }
    found = SimpleNamespace(**columns)
    return to_outlier(ROW, found, frame, words=("password", "token", "session"), ip=ip)


def test_everything_is_read_back() -> None:
    made = outlier()
    assert made.url.startswith("https://shop.example/orders?page=7&token=")
    assert made.values["page"] == ["7"]
    assert (made.cpu_percent, made.memory_percent, made.memory_available_mib) == (
        [1.5, 20.0],
        61.5,
        2.0,
    )
    assert [one.function for one in made.stack] == ["slow", "wsgi"]
    assert dict(made.headers)["X-Quote"] == "it's \"quoted\", {'a': 'b'}"
    assert made.environ["SERVER_PORT"] == "5000"
    assert made.limit_ms == 0


def test_no_secret_is_left() -> None:
    text = repr(outlier())
    for secret in ("abcdefgh", "verysecret", "topsecret99", "deepsecret"):
        assert secret not in text


@pytest.mark.parametrize("ip", ["anonymized", "off"])
def test_addresses_are_cut_there_too(ip: str) -> None:
    assert "192.0.2.7" not in repr(outlier(ip).environ)


@pytest.mark.parametrize("column", ["request_environment", "stacktrace", "memory", "cpu_percent",
                                    "request_header", "request_url"])  # fmt: skip
@pytest.mark.parametrize(
    "text", [None, "", "{", "'" * 5_000, "[[" * 5_000, "\0", "{'a': 'b\\", b"\xff"]
)
def test_whatever_stands_there_is_survived(column: str, text: Any) -> None:
    outlier(**{column: text})


def test_without_an_environment_the_url_is_taken() -> None:
    made = outlier(request_environment=None)
    assert made.url.startswith("https://shop.example/orders?page=7&token=")
    assert "abcdefgh" not in repr(made)


def test_the_method_is_kept_in_the_environment_only() -> None:
    assert method_of(SimpleNamespace(request_environment=ENVIRON)) == "POST"
    assert method_of(SimpleNamespace(request_environment=None)) == ""


def test_lines_with_the_same_place_and_another_text_are_two() -> None:
    one, other = frame("a.py", 1, "f", "old"), frame("a.py", 1, "f", "new")
    assert one != other
    assert len({one, other, frame("a.py", 1, "f", "old")}) == 2
    assert stack("no frame at all", frame) == []


def line(position: int, indent: int, code_id: int, duration: float) -> Any:
    return SimpleNamespace(position=position, indent=indent, code_id=code_id, duration=duration)


def test_trees() -> None:
    texts = ["@app.route('/')", "def slow():", "outer()", "inner()", "other()"]
    codes = {
        number: code_frame(
            SimpleNamespace(
                filename="a.py",
                line_number=number,
                function_name="None" if number < 2 else "slow",
                code=text,
            ),
            frame,
        )
        for number, text in enumerate(texts)
    }
    lines = [
        line(0, 0, 0, 50.0),
        line(1, 0, 1, 50.0),
        line(2, 1, 2, 30.0),
        line(3, 2, 3, 30.0),
        line(4, 1, 4, 20.0),
        line(5, 1, 99, 1.0),
    ]
    [root] = to_profile(ROW, lines, codes).roots
    assert (root.frame.function, root.total_ms) == ("slow", 50.0)
    assert [child.total_ms for child in root.children] == [30.0, 20.0]
    [inner] = root.children[0].children
    assert inner.frame.line == 3
    assert to_profile(ROW, [], codes).roots == []
    # Deeper than its parent could be, or above all: nothing is lost.
    assert len(to_profile(ROW, [line(0, 7, 2, 1.0), line(1, -3, 3, 1.0)], codes).roots) == 2
