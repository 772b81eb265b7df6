"""The requests that go to each endpoint of httpbin, and a client that measures them."""

from __future__ import annotations

import base64
import http.client
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from werkzeug.routing import Map, Rule

#: Tells a request and its stored row apart from all others.
NUMBER_HEADER = "X-Request-Number"

_BASIC = {"Authorization": "Basic " + base64.b64encode(b"anna:tent").decode()}
_DIGEST = {"Authorization": 'Digest username="anna", nonce="1", uri="/", response="2", realm="3"'}

#: For each rule: paths to ask for with every method that the rule allows.
PATHS: dict[str, tuple[str, ...]] = {
    "/static/<path:filename>": ("/static/favicon.ico", "/static/missing.css"),
    "/flasgger_static/<path:filename>": ("/flasgger_static/swagger-ui.css",),
    "/anything/<path:anything>": ("/anything/a/b%20c?x=1", "/anything/caf%C3%A9"),
    "/redirect/<int:n>": ("/redirect/1", "/redirect/3?absolute=true"),
    "/redirect-to": ("/redirect-to?url=/get&status_code=307", "/redirect-to?url=/html"),
    "/relative-redirect/<int:n>": ("/relative-redirect/2",),
    "/absolute-redirect/<int:n>": ("/absolute-redirect/2",),
    "/stream/<int:n>": ("/stream/5", "/stream/100"),
    "/status/<codes>": ("/status/200", "/status/418", "/status/204,500,301", "/status/teapot"),
    "/response-headers": ("/response-headers?X-Colour=green",),
    "/cookies/set/<name>/<value>": ("/cookies/set/bread/rye",),
    "/cookies/set": ("/cookies/set?bread=rye&butter=salted",),
    "/cookies/delete": ("/cookies/delete?bread=",),
    "/basic-auth/<user>/<passwd>": ("/basic-auth/anna/tent",),
    "/hidden-basic-auth/<user>/<passwd>": ("/hidden-basic-auth/anna/tent",),
    "/digest-auth/<qop>/<user>/<passwd>": ("/digest-auth/auth/anna/tent",),
    "/digest-auth/<qop>/<user>/<passwd>/<algorithm>": ("/digest-auth/auth/anna/tent/SHA-256",),
    "/digest-auth/<qop>/<user>/<passwd>/<algorithm>/<stale_after>": (
        "/digest-auth/auth-int/anna/tent/MD5/1",
    ),
    "/delay/<delay>": ("/delay/0.15",),
    "/drip": ("/drip?duration=0.2&numbytes=4&delay=0.1", "/drip?duration=0.1&code=503"),
    "/base64/<value>": ("/base64/aHR0cGJpbg==", "/base64/!"),
    "/etag/<etag>": ("/etag/leaf",),
    "/cache/<int:value>": ("/cache/60",),
    "/bytes/<int:n>": ("/bytes/2000", "/bytes/0"),
    "/stream-bytes/<int:n>": ("/stream-bytes/20000?chunk_size=1000",),
    "/range/<int:numbytes>": ("/range/100?duration=0.2&chunk_size=10", "/range/0"),
    "/links/<int:n>/<int:offset>": ("/links/10/3",),
    "/links/<int:n>": ("/links/4",),
}

#: Seconds that httpbin was asked to take: by path for HEAD (no body), and for the rest.
DELAYS_S: dict[str, tuple[float, float]] = {
    "/delay/0.15": (0.15, 0.15),
    "/delay/0.4": (0.4, 0.4),
    "/drip?duration=0.2&numbytes=4&delay=0.1": (0.1, 0.3),
    "/drip?duration=0.1&code=503": (0.0, 0.1),
    "/range/100?duration=0.2&chunk_size=10": (0.0, 0.2),
}


@dataclass(frozen=True)
class Sent:
    """One request to send."""

    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def delay_s(self) -> float:
        """How long the server was asked to take at least."""
        if self.method == "OPTIONS":
            return 0.0  # Flask answers these itself.
        without_body, with_body = DELAYS_S.get(self.path, (0.0, 0.0))
        return without_body if self.method == "HEAD" else with_body


@dataclass(frozen=True)
class Seen:
    """What the client saw of one request."""

    number: str
    sent: Sent
    status: int
    elapsed_s: float


def all_requests(rules: Map) -> Iterator[Sent]:
    """Every rule with each of its methods, what needs special headers, and what has no rule."""
    for rule in rules.iter_rules():
        for path in paths(rule):
            for method in sorted(rule.methods or ()):
                has_body = method in {"POST", "PUT", "PATCH", "DELETE"}
                kind = {"Content-Type": "application/json"} if has_body else {}
                yield Sent(method, path, kind, b'{"bread": "rye"}' if has_body else b"")
    yield from _with_headers()
    yield from _unmatched()


def paths(rule: Rule) -> tuple[str, ...]:
    """Paths that ask for ``rule``; one with arguments must stand in PATHS."""
    return PATHS[rule.rule] if rule.arguments else PATHS.get(rule.rule, (rule.rule,))


def _with_headers() -> Iterator[Sent]:
    for code in (200, 201, 202, 300, 302, 304, 400, 401, 403, 404, 406, 409, 429, 500, 503, 599):
        yield Sent("GET", f"/status/{code}")
    for accept in ("image/webp", "image/svg+xml", "image/jpeg", "image/png", "text/plain"):
        yield Sent("GET", "/image", {"Accept": accept})
    yield Sent("GET", "/basic-auth/anna/tent", _BASIC)
    yield Sent("GET", "/basic-auth/anna/boots", _BASIC)
    yield Sent("GET", "/hidden-basic-auth/anna/tent", _BASIC)
    yield Sent("GET", "/digest-auth/auth/anna/tent", _DIGEST)
    yield Sent("GET", "/bearer", {"Authorization": "Bearer of-good-news"})
    yield Sent("GET", "/cache", {"If-None-Match": "leaf"})
    yield Sent("GET", "/etag/leaf", {"If-None-Match": "leaf"})
    yield Sent("GET", "/etag/leaf", {"If-Match": "root"})
    yield Sent("GET", "/range/100", {"Range": "bytes=10-20"})
    yield Sent("GET", "/range/100", {"Range": "bytes=200-"})
    yield Sent("GET", "/static/favicon.ico", {"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"})
    yield Sent("GET", "/delay/0.4")
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    yield Sent("POST", "/post", form, b"a=1&a=2")
    yield Sent("POST", "/anything", {"Content-Type": "application/octet-stream"}, bytes(200_000))


def _unmatched() -> Iterator[Sent]:
    for path in (
        "/no/such/page",
        "/get/",
        "/stream/many",
        "/links//3",
        "//get",
        "/wp-login.php",
        "/%00",
    ):
        yield Sent("GET", path)
    for method, path in (("POST", "/get"), ("GET", "/post"), ("DELETE", "/"), ("BREW", "/get")):
        yield Sent(method, path)


class Client:
    """Sends one request after the other, each on a connection of its own."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self.count = 0

    def send(self, sent: Sent) -> Seen:
        """Send, and wait for the end of the connection: by then the server is done with it."""
        self.count += 1
        number = str(self.count)
        headers = {**sent.headers, NUMBER_HEADER: number, "Connection": "close"}
        started_s = time.perf_counter()
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        connection.connect()
        # http.client lets go of the socket at the end of the body; ours outlives it.
        with connection.sock.dup() as raw:
            try:
                connection.request(sent.method, sent.path, sent.body or None, headers)
                response = connection.getresponse()
                response.read()
                while raw.recv(65_536):
                    pass
            finally:
                connection.close()
        return Seen(number, sent, response.status, time.perf_counter() - started_s)
