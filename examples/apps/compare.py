"""Real applications, bound with one line: their answers stay as they are, their counts are true.

    python -m examples.apps.compare [NAME …]

Serves each application twice over HTTP, with and without fmd_admin, asks both for the same, and
compares the answers byte for byte: all but the date, the values of session cookies, and tokens.
Then holds what was stored against what was asked for. Ends with 1 where they differ.
"""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from pathlib import Path
from urllib.parse import urlencode

from sqlalchemy import func, select

from examples import server
from examples.apps.journeys import JOURNEYS, Step
from fmd_admin import settings
from fmd_admin.extension import open_store
from fmd_admin.store.models import Endpoint, Request

#: What differs from one start to the next: signed tokens and ids of connections.
_TOKENS = (
    re.compile(r'(?:id="csrf_token" )?name="csrf_token"[^>]*value="([^"]+)"'),
    re.compile(r'"sid":"([^"]+)"'),
)
_NAMES = ("csrf", "sid")
_PLACE = "(token)"


@dataclass
class Answer:
    """What a client saw; ``headers`` and ``body`` without what differs each time."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


@dataclass
class Visitor:
    """A client with cookies that fills in what answers before have shown."""

    port: int
    cookies: dict[str, str] = field(default_factory=dict)
    seen: dict[str, str] = field(default_factory=dict)

    def send(self, step: Step) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        body, headers = self._body(step)
        # The same for both, whose ports differ.
        headers["Host"] = "shop.example"
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{k}={v}" for k, v in self.cookies.items())
        connection.request(step.method, self._filled(step.path), body, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        for value in answer.headers.get_all("Set-Cookie") or ():
            for morsel in SimpleCookie(value).values():
                self.cookies[morsel.key] = morsel.value
        return self._masked(answer, content)

    def _body(self, step: Step) -> tuple[str | None, dict[str, str]]:
        if step.form is not None:
            form = {key: self._filled(value) for key, value in step.form.items()}
            return urlencode(form), {"Content-Type": "application/x-www-form-urlencoded"}
        if step.data is not None:
            return json.dumps(step.data), {"Content-Type": "application/json"}
        return step.text, {}

    def _filled(self, text: str) -> str:
        for name, value in self.seen.items():
            text = text.replace(f"{{{name}}}", value)
        return text

    def _masked(self, answer: http.client.HTTPResponse, content: bytes) -> Answer:
        text = content.decode("latin-1")
        for name, pattern in zip(_NAMES, _TOKENS, strict=True):
            for token in pattern.findall(text):
                # The id of the connection is the one before that of its namespace.
                self.seen[name] = self.seen.get(name, token) if name == "sid" else token
                text = text.replace(token, _PLACE)
        headers = []
        for name, value in answer.getheaders():
            if name == "Set-Cookie":
                value = re.sub(r"^(\w+)=[^;]+", rf"\1={_PLACE}", value)
                value = re.sub(r"Expires=[^;]+", "Expires=", value)
            if name != "Date":
                headers.append((name, value))
        return Answer(answer.status, headers, text.encode("latin-1"))


@contextmanager
def serving(name: str, folder: Path, *options: str) -> Iterator[int]:
    """Serve an application; gives the port."""
    folder.mkdir()
    command = [sys.executable, "-m", "examples.apps.serve", name, str(folder), *options]
    # Some answers hold sets, in the order of the process.
    more = {"FMD_DATABASE": f"sqlite:///{folder}/fmd.db", "PYTHONHASHSEED": "0"}
    # The most that there is to do in a request.
    more["FMD_MONITOR_LEVEL"] = "3"
    environ = server.environment(more)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=server.ROOT, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=log,
        )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise server.ServerError((folder / "log").read_text())
        yield int(line)
        process.stdin.close()
        process.wait(server.STOPPING_S)
    finally:
        process.stdin.close()
        process.stdout.close()
        server.end(process)


def compare(name: str, folder: Path) -> list[str]:
    """Return what differs for an application, empty where nothing does."""
    steps = JOURNEYS[name]
    plain, monitored = folder / "plain", folder / "monitored"
    with serving(name, plain) as port, serving(name, monitored, "--monitored") as other:
        visitors = Visitor(port), Visitor(other)
        problems = []
        for number, step in enumerate(steps):
            one, two = (visitor.send(step) for visitor in visitors)
            if one != two:
                problems.append(f"{name} {number} {step.method} {step.path}: {one} is now {two}")
    expected = Counter(step.endpoint for step in steps if step.endpoint is not None)
    stored = counts(f"sqlite:///{monitored}/fmd.db")
    if stored != expected:
        problems.append(f"{name}: stored {dict(stored)}, asked for {dict(expected)}")
    log = (monitored / "log").read_text()
    if "fmd_admin:" in log.replace("fmd_admin: first start", ""):
        problems.append(f"{name}: {log}")
    return problems


def counts(database: str) -> Counter[str]:
    """Return the stored requests by endpoint."""
    store = open_store(settings.load(environ={}, code={"DATABASE": database}).values)
    query = select(Endpoint.name, func.count()).join(Request).group_by(Endpoint.name)
    try:
        with store.read() as connection:
            return Counter({row[0]: row[1] for row in connection.execute(query)})
    finally:
        store.close()


def main(names: list[str]) -> int:
    failed = 0
    for name in names or JOURNEYS:
        with tempfile.TemporaryDirectory(prefix="fmd-admin-apps-") as folder:
            problems = compare(name, Path(folder))
        print(f"{name}: {len(JOURNEYS[name])} requests, {len(problems)} differences")
        for problem in problems:
            print(f"DIFFERS  {problem}")
        failed += bool(problems)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
