"""httpbin, which nobody here wrote, bound with one line and held against what a client sees.

    python examples/httpbin_bound.py

Starts httpbin under gunicorn (2 processes, 4 threads each), asks for all its endpoints over HTTP,
and compares every stored row with what the client saw. Ends with 1 where they differ.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from flask import Flask, request
from sqlalchemy import select
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, RequestRedirect

if __package__ in (None, ""):  # Run as a script: the checkout is not on the path.
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from examples import server
from examples.httpbin_requests import NUMBER_HEADER, Client, Seen, all_requests
from fmd_admin import FMDAdmin, settings
from fmd_admin.extension import open_store
from fmd_admin.records import UNMATCHED
from fmd_admin.store.models import Endpoint, Group, Request

#: Older ones do not run with today's Werkzeug.
HTTPBIN = "0.10.4"
#: Durations are stored in ms as floats; this is for their rounding, not for slowness.
ROUNDING_MS = 0.001


def bound_app() -> Flask:
    """httpbin with the panel: this is what gunicorn serves."""
    from httpbin import app

    FMDAdmin(app, group_by=lambda: request.headers.get(NUMBER_HEADER, ""))
    return app


@dataclass(frozen=True)
class Stored:
    """One stored row."""

    number: str | None
    endpoint: str
    method: str
    status: int
    duration_ms: float


@dataclass(frozen=True)
class Report:
    """The outcome. ``problems`` is empty where all agree."""

    seen: int
    matched: int
    unmatched: int
    endpoints: int
    statuses: Counter[int]
    problems: list[str]


def run(folder: Path) -> Report:
    """Serve, drive and compare httpbin, with all files in ``folder``."""
    library = httpbin_folder()
    sys.path.insert(0, str(library))
    from httpbin import app

    database = f"sqlite:///{folder / 'fmd_admin.db'}"
    environ = server.environment({"FMD_DATABASE": database}, library)
    with server.listening() as listener:
        gunicorn = server.Gunicorn(
            "examples.httpbin_bound:bound_app()", listener, environ, folder / "server.log"
        )
        try:
            # The panel's own pages are not measured.
            gunicorn.wait("/dashboard/login")
            client = Client(*gunicorn.address)
            seen = [client.send(sent) for sent in all_requests(app.url_map)]
        finally:
            gunicorn.end()
    return compare(app.url_map, seen, read(database))


def read(database: str) -> list[Stored]:
    """Return all stored rows."""
    store = open_store(settings.load(environ={}, code={"DATABASE": database}).values)
    columns = (Group.name, Endpoint.name, Request.method, Request.status, Request.duration_ms)
    query = select(*columns).select_from(Request).join(Endpoint).outerjoin(Group)
    try:
        with store.read() as connection:
            return [Stored(*row) for row in connection.execute(query)]
    finally:
        store.close()


def compare(rules: Map, seen: Iterable[Seen], stored: Iterable[Stored]) -> Report:
    """Hold every stored row against what the client saw of the same request."""
    problems = []
    rows: dict[str, list[Stored]] = {}
    for row in stored:
        rows.setdefault(row.number or "", []).append(row)
    expected: Counter[str] = Counter()
    found: Counter[str] = Counter(row.endpoint for part in rows.values() for row in part)
    statuses: Counter[int] = Counter()
    for one in seen:
        endpoint = endpoint_of(rules, one.sent.method, one.sent.path)
        expected[endpoint] += 1
        statuses[one.status] += 1
        own = rows.pop(one.number, [])
        if len(own) == 1:
            problems += differences(one, own[0], endpoint)
        else:
            problems.append(f"{name(one)}: {len(own)} rows stored instead of 1")
    problems += [f"stored but never sent: {part}" for part in rows.values()]
    rest = {rule.endpoint for rule in rules.iter_rules()} - set(expected)
    problems += [f"endpoint {endpoint} was never asked for" for endpoint in sorted(rest)]
    if expected != found:
        problems.append(
            f"rows per endpoint: {found - expected} too many, {expected - found} missing"
        )
    return Report(
        seen=expected.total(),
        matched=expected.total() - expected[UNMATCHED],
        unmatched=expected[UNMATCHED],
        endpoints=len(expected),
        statuses=statuses,
        problems=problems,
    )


def differences(seen: Seen, row: Stored, endpoint: str) -> list[str]:
    """Return what a stored row says otherwise than the client saw it."""
    problems = []
    # Methods that no standard knows are stored as OTHER.
    method = "OTHER" if seen.sent.method == "BREW" else seen.sent.method
    pairs = (
        ("endpoint", row.endpoint, endpoint),
        ("method", row.method, method),
        ("status", row.status, seen.status),
    )
    for what, is_, should in pairs:
        if is_ != should:
            problems.append(f"{name(seen)}: {what} is stored as {is_!r} instead of {should!r}")
    low_ms, high_ms = seen.sent.delay_s * 1000, seen.elapsed_s * 1000
    if not low_ms - ROUNDING_MS <= row.duration_ms <= high_ms + ROUNDING_MS:
        problems.append(
            f"{name(seen)}: {row.duration_ms:.3f} ms is not between the {low_ms:.3f} ms asked for "
            f"and the {high_ms:.3f} ms that the client waited"
        )
    return problems


def endpoint_of(rules: Map, method: str, path: str) -> str:
    """The endpoint that httpbin's own URL map finds; UNMATCHED where it finds none."""
    try:
        endpoint, _ = rules.bind("localhost").match(unquote(path.partition("?")[0]), method)
    except (HTTPException, RequestRedirect):
        return UNMATCHED
    return str(endpoint)


def name(seen: Seen) -> str:
    return f"{seen.sent.method} {seen.sent.path} → {seen.status}"


def httpbin_folder() -> Path:
    """Where httpbin can be imported from; installs it into a temporary folder if need be.

    Not a dependency like others, because below Python 3.12 it asks for a greenlet that Playwright
    does not allow, though it runs without any. Safe when several processes do it at once.
    """
    try:
        found = importlib.metadata.distribution("httpbin")
    except importlib.metadata.PackageNotFoundError:
        found = None
    if found is not None and found.version == HTTPBIN:
        return Path(str(found.locate_file("")))
    # The user's number keeps others of this machine from putting their own code there.
    folder = Path(tempfile.gettempdir()) / f"fmd-admin-httpbin-{HTTPBIN}-{os.getuid()}"
    if not folder.is_dir():
        part = Path(tempfile.mkdtemp(prefix=f"{folder.name}-"))
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
        command += ["--disable-pip-version-check", "--target", str(part), f"httpbin=={HTTPBIN}"]
        try:
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise server.ServerError(f"httpbin cannot be installed: {done.stderr}")
            part.rename(folder)
        except OSError:
            if not folder.is_dir():  # Otherwise another process was faster.
                raise
        finally:
            shutil.rmtree(part, ignore_errors=True)
    if folder.stat().st_uid != os.getuid():
        raise server.ServerError(f"{folder} belongs to another user; remove it")
    return folder


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="fmd-admin-httpbin-") as folder:
        report = run(Path(folder))
    print(f"{report.seen} requests sent to httpbin {HTTPBIN} over HTTP:")
    print(f"  {report.matched} to its {report.endpoints - 1} endpoints,")
    print(f"  {report.unmatched} that no rule matches.")
    counts = ", ".join(f"{status}: {count}" for status, count in sorted(report.statuses.items()))
    print(f"  Answers by status: {counts}")
    for problem in report.problems:
        print(f"DIFFERS  {problem}")
    if report.problems:
        print(f"{len(report.problems)} differences between what was seen and what is stored.")
        return 1
    print(
        "Every stored row agrees in endpoint, method, status and duration; none lacks or is extra."
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
