"""Secrets that come with an outlier are nowhere in the database: byte by byte, and unpacked."""

from __future__ import annotations

import base64
import http.client
import json
import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

from .panel_session import PanelSession
from .servers import Server
from .stuck import ENVIRON
from .test_outliers import Found, found_when, serving, warm

pytestmark = pytest.mark.server

LIMIT_MS = 40.0
HANG_S = 0.1
#: In every secret, so that also a part of one is found.
MARK = "zq7"
BASIC = base64.b64encode(b"anna:zq7basic").decode()
JWT = ENVIRON["app.identity"]
#: How a secret may look where it was not hidden.
FORMS = [MARK, MARK.upper(), "%7a%71", "%7Aq7", BASIC, *JWT.split(".")[1:]]


@dataclass(frozen=True)
class Sent:
    """A POST to /secrets/<token> that hangs."""

    query: str = ""
    path: str = "public"
    headers: Sequence[tuple[str, str]] = ()
    form: str = ""
    json: object = None
    multipart: bool = False

    def content(self) -> tuple[str, bytes]:
        if self.json is not None:
            return "application/json", json.dumps(self.json).encode()
        if self.multipart:
            part = '--b\r\nContent-Disposition: form-data; name="{}"\r\n\r\n{}\r\n'
            text = part.format("api_key", "zq7part") + part.format("shown", "1") + "--b--\r\n"
            return "multipart/form-data; boundary=b", text.encode()
        return "application/x-www-form-urlencoded", self.form.encode()


def with_headers(*headers: tuple[str, str]) -> Sent:
    return Sent(headers=headers)


ODD = 'zq7"odd\\žl '
REQUESTS = [
    with_headers(("Authorization", f"Basic {BASIC}"), ("X-Copy", "zq7basic")),
    with_headers(("Authorization", "Bearer zq7bearer"), ("X-Copy", "zq7bearer")),
    with_headers(("authorization", 'Digest username="a", response="zq7digest"')),
    with_headers(("Proxy-Authorization", "zq7proxy"), ("X-Api-Key", "zq7api")),
    with_headers(("X-CSRF-Token", "zq7csrf"), ("X-Forwarded-Access-Token", "zq7fwd")),
    with_headers(("X-Identity", JWT), ("X-Jwt-Assertion", f"v={JWT}")),
    with_headers(("Cookie", 'sid=zq7sid; theme="zq7theme"; zq7bare')),
    with_headers(("Set-Cookie", "a=zq7set; Path=/"), ("X-Copy", "zq7set")),
    with_headers(("Cookie", "a=zq7%2Done; b=" + quote("zq7žluť"))),
    with_headers(("Referer", "http://host/a?x=1&token=zq7ref&y=2")),
    with_headers(("Referer", "http://host/?next=%2Fa%3Ftoken%3Dzq7next")),
    with_headers(("Referer", "http://host/secrets/zq7refpath")),
    with_headers(("Referer", "http://anna:zq7user@host/")),
    with_headers(("X-Note", '{"a": {"password": "zq7note"}}')),
    with_headers(("X-Long", "a" * 990 + " token=zq7long")),
    Sent("&token=zq7q1&token=zq7q2&shown=1&PassWord=zq7q3"),
    Sent("&token=a,zq7q4&password=b;zq7q5&secret=it's'zq7q6"),
    Sent("&pass%77ord=%7aq7q7&user[password]=zq7q8&a=1;token=zq7q9"),
    Sent("&next=%2F%3Ftoken%3Dzq7q10%26a%3D1&u=http%3A%2F%2Fa%3Azq7q11%40h"),
    Sent("&data=%7B%22token%22%3A%5B%22zq7q12%22%5D%7D&zq7q13=1&key=zq7q13"),
    Sent(path="zq7path1", headers=[("X-Original-Uri", "/secrets/zq7path1")]),
    Sent(path="%7a%717path2"),
    Sent(path=quote("zq7 cestička?")),
    Sent(form="password=zq7f1&confirm=zq7f1&token=zq7f2&token=zq7f3&shown=1"),
    Sent(form=f"password={quote(ODD)}&confirm={quote(ODD)}"),
    Sent(form="payload=" + quote('{"token": "zq7f5"}') + "&url=" + quote("/?key=zq7f6")),
    Sent(form="&".join(f"f{i}x=1" for i in range(120)) + "&token=zq7f7&x=zq7f7"),
    Sent(multipart=True),
    Sent(json={"password": "zq7j1", "again": "zq7j1", "a": [{"Tokens": ["zq7", {"b": "zq7j3"}]}]}),
    Sent(json={"auth": {"user": "zq7j4"}, "url": "/?token=zq7j5", "text": '{"key": "zq7j6"}'}),
    Sent(json={"password": ODD, "again": f"<{ODD}>", "zq7j8": 1, "key": "zq7j8"}),
    Sent(json=[[[{"csrf": "zq7j9" + "x" * 300}, "x zq7j9" + "x" * 300]]]),
]


def send(server: Server, sent: Sent) -> None:
    client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        kind, body = sent.content()
        client.putrequest("POST", f"/secrets/{sent.path}?s={HANG_S}{sent.query}")
        own = (("Content-Type", kind), ("Content-Length", str(len(body))))
        for name, value in (*sent.headers, *own):
            client.putheader(name, value)
        client.endheaders(body)
        response = client.getresponse()
        assert (response.status, response.read()) == (200, b"secrets"), sent
    finally:
        client.close()


def leaks(data: bytes) -> list[str]:
    """What of the secrets is in ``data``, with what is around it."""
    found = []
    for text in FORMS:
        at = data.find(text.encode())
        if at >= 0:
            found.append(repr(data[max(0, at - 60) : at + 60]))
    return found


def unpacked(database: Path) -> Iterator[tuple[str, bytes]]:
    """Every value of every row of every table, decompressed where it is compressed."""
    connection = sqlite3.connect(database)
    try:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        for (table,) in tables.fetchall():
            for row in connection.execute(f"SELECT * FROM {table}"):
                for value in row:
                    if isinstance(value, bytes):
                        data = value
                        with suppress(zlib.error):
                            data = zlib.decompress(value)
                        yield table, data
                    elif isinstance(value, str):
                        yield table, value.encode()
    finally:
        connection.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    settings = {
        # The mean learns from those that hang too.
        "outlier_detection_constant": 1.0,
        "outlier_min_ms": LIMIT_MS,
        "outlier_json_body": True,
        "outliers_per_minute": 1000,
        "monitor_level": 3,
    }
    with serving(tmp_path, "-k", "gthread", "--threads", "2", **settings) as made:
        yield made


def test_no_secret_is_in_the_database(tmp_path: Path, server: Server) -> None:
    warm(server, ["/secrets/public"] * 20, {"secrets"})
    for sent in REQUESTS:
        send(server, sent)
    found = found_when(tmp_path, lambda row: row.duration_ms >= HANG_S * 1000, len(REQUESTS))
    assert len(found.outliers) >= len(REQUESTS)
    # While it is open: what was written last is in the log beside it.
    files = sorted(file for file in tmp_path.rglob("*") if "fmd.db" in str(file) and file.is_file())
    assert {"fmd.db", "fmd.db-shm", "fmd.db-wal"} < {file.name for file in files}
    # The spool is a folder of its own beside it.
    assert any(file.parent.name == "fmd.db-spool" for file in files)
    assert {file.name: leaks(file.read_bytes()) for file in files} == {f.name: [] for f in files}
    anna = PanelSession(server.port).log_in()
    row = found.outliers[0].request
    pages = [f"/endpoint/{row.endpoint_id}/outliers/{one.request.id}" for one in found.outliers] + [
        f"/endpoint/{row.endpoint_id}/outliers",
        "/outliers/data.csv",
        "/data/outliers/data.csv",
        f"/endpoint/{row.endpoint_id}/grouped-profiler/data.json",
    ]
    assert {page: leaks(anna.get(page).body) for page in pages} == {page: [] for page in pages}
    server.stop()
    assert leaks((tmp_path / "fmd.db").read_bytes()) == []
    values = list(unpacked(tmp_path / "fmd.db"))
    assert len([1 for table, _ in values if table == "fmd_outlier"]) >= len(REQUESTS)
    assert [(table, leak) for table, value in values for leak in leaks(value)] == []
    # The code that hung has a password in it.
    assert any(b'password=\\"[hidden]\\"' in value for _, value in values)
    assert leaks(server.log.encode()) == []
    keys_are_kept(found)


def keys_are_kept(found: Found) -> None:
    details = found.details
    headers = {name for detail in details for name, _ in detail.headers}
    assert {
        "Authorization",
        "Proxy-Authorization",
        "X-Api-Key",
        "X-Csrf-Token",
        "Cookie",
        "Set-Cookie",
        "X-Forwarded-Access-Token",
    } <= headers
    cookies = {value for detail in details for name, value in detail.headers if name == "Cookie"}
    assert "sid=[hidden]; theme=[hidden]; [hidden]" in cookies
    values = {key for detail in details for key in detail.values}
    assert {"token", "password", "PassWord", "secret", "user[password]", "api_key"} <= values
    assert {"DB_PASSWORD", "DATABASE_URL", "AWS_SECRET_ACCESS_KEY"} <= details[0].environ.keys()
    assert details[0].environ["DATABASE_URL"] == "postgresql://[hidden]@db.example/shop"
    assert details[0].environ["app.visible"] == "visible"
    bodies = [json.loads(detail.json) for detail in details if detail.json is not None]
    assert {
        "auth": {"user": "[hidden]"},
        "url": "/?token=[hidden]",
        "text": '{"key": "[hidden]"}',
    } in (bodies)
    hidden = [{"Tokens": ["[hidden]", {"b": "[hidden]"}]}]
    assert {"password": "[hidden]", "again": "[hidden]", "a": hidden} in bodies
    assert any(detail.url.endswith("/secrets/[hidden]?s=0.1") for detail in details)
    assert any("&token=[hidden]&token=[hidden]&shown=1&PassWord=[hidden]" in d.url for d in details)
