"""A host app with its panel behind a real HTTP server, and a history to look at."""

from __future__ import annotations

import http.client
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from flask import Blueprint, Flask, abort
from sqlalchemy import func, select

from fmd_admin.records import Batch, Row
from fmd_admin.store.models import Endpoint, Request, RollupDelta
from fmd_admin.store.store import Store
from fmd_admin.store.types import to_millis
from fmd_admin.store.writer import BatchWriter

from ..support import Bound

#: The host's releases; the newer one answers the requests of these tests.
OLDER, NEWER = "1.0", "1.1"
#: The newer release came so many days ago.
RELEASED_DAYS_AGO = 4
DAYS = 9
#: Hours of a past day with requests, and how much busier than the first one they are.
HOURS = {9: 1, 12: 2, 15: 3}
#: Requests in the first of these hours, by endpoint, with the median in ms.
HABITS = {"index": (4, 3.0), "shop.items": (3, 12.0), "shop.item": (2, 25.0), "report": (1, 240.0)}
ROUTES = {"index": "/", "shop.items": "/shop/", "shop.item": "/shop/1", "report": "/report"}
#: The longest that anything takes in a process that works alone.
SOON_S = 10.0


@dataclass
class Site:
    """A served host app; the panel's own requests are not measured."""

    bound: Bound
    port: int

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def panel(self) -> str:
        return f"{self.origin}/dashboard"

    @property
    def store(self) -> Store:
        return self.bound.monitor.store

    def request(self, path: str = "/", method: str = "GET", **headers: str) -> int:
        """Send a real request; return its status once the answer is complete."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SOON_S)
        try:
            connection.request(method, path, headers=headers)
            response = connection.getresponse()
            response.read()
            return response.status
        finally:
            connection.close()

    def is_stored(self, endpoint: str) -> bool:
        """Send a request to ``endpoint``; tell whether it leaves a row, once it is accounted for.

        At every level the time of the last request moves with it, in one transaction, so nothing
        is missed. The endpoint must be known: a new one begins with that time.
        """
        # Apart from the request before by more than the clocks differ.
        time.sleep(0.02)
        since_ms = time.time_ns() // 1_000_000 - 5
        self.request(ROUTES[endpoint])
        wait_until(lambda: (self.last_requested_ms(endpoint) or 0) >= since_ms)
        return self.rows(endpoint, since_ms) > 0

    def last_requested_ms(self, endpoint: str) -> int | None:
        """When ``endpoint`` was requested last, as far as it is stored."""
        with self.store.read() as connection:
            moments = [
                connection.scalar(select(func.max(table.last_requested)).where(*conditions))
                for table, conditions in (
                    (Endpoint, [Endpoint.name == endpoint]),
                    (
                        RollupDelta,
                        [RollupDelta.endpoint_id == Endpoint.id, Endpoint.name == endpoint],
                    ),
                )
            ]
        return max((to_millis(moment) for moment in moments if moment), default=None)

    def rows(self, endpoint: str, since_ms: int) -> int:
        """How many requests of ``endpoint`` are stored that began at ``since_ms`` or later."""
        since = datetime.fromtimestamp(since_ms / 1000, timezone.utc)
        with self.store.read() as connection:
            return (
                connection.scalar(
                    select(func.count())
                    .select_from(Request)
                    .join(Endpoint, Endpoint.id == Request.endpoint_id)
                    .where(Endpoint.name == endpoint, Request.time >= since)
                )
                or 0
            )

    def endpoint_id(self, name: str) -> int:
        with self.store.read() as connection:
            return connection.execute(select(Endpoint.id).where(Endpoint.name == name)).scalar_one()

    def level(self, name: str) -> int:
        """The stored level of an endpoint."""
        with self.store.read() as connection:
            return connection.execute(
                select(Endpoint.level).where(Endpoint.name == name)
            ).scalar_one()


def whole_files(wsgi_app: Any) -> Any:
    """Let static files be read before they are sent.

    A browser that goes on to the next page drops what it is still loading, and werkzeug's server
    then forgets to close the file that it was sending.
    """

    def answer(environ: dict[str, Any], start_response: Any) -> Any:
        body = wsgi_app(environ, start_response)
        if "/static/" not in environ["PATH_INFO"]:
            return body
        try:
            return [b"".join(body)]
        finally:
            body.close()

    return answer


def wait_until(is_so: Callable[[], bool], timeout_s: float = SOON_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline, f"not so within {timeout_s} s"
        time.sleep(0.02)


def shop() -> Flask:
    """A small host: a page, a blueprint of two, a report, and errors."""
    app = Flask("host")
    app.add_url_rule("/", "index", lambda: "hello")
    app.add_url_rule("/report", "report", lambda: "figures")
    blueprint = Blueprint("shop", __name__, url_prefix="/shop")
    blueprint.add_url_rule("/", "items", lambda: "items")
    blueprint.add_url_rule(
        "/<int:number>", "item", lambda number: (number and "item") or abort(404)
    )
    app.register_blueprint(blueprint)
    return app


def past(days_ago: int, hour: int) -> int:
    """UTC ms of an hour of a day that has passed (or of today, for 0)."""
    midnight = datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
    return to_millis(midnight - timedelta(days=days_ago) + timedelta(hours=hour))


def history() -> Iterable[tuple[str, Row]]:
    """(version, row) of requests on each of the past days, none today."""
    chance = random.Random(7)
    for days_ago in range(DAYS, 0, -1):
        version = OLDER if days_ago >= RELEASED_DAYS_AGO else NEWER
        for hour, times in HOURS.items():
            for name, (hits, median_ms) in HABITS.items():
                for number in range(times * hits):
                    yield (
                        version,
                        Row(
                            time_ms=past(days_ago, hour) + 60_000 * number,
                            endpoint=name,
                            duration_ms=median_ms * chance.lognormvariate(0, 0.4),
                            status=404 if name == "shop.item" and number % 2 else 200,
                            method="GET",
                            group="bob" if hour == 9 else "eve",
                            ip="192.0.2.7",
                        ),
                    )


def hits_of(version: str | None = None, days: int = DAYS) -> int:
    """How many requests :func:`history` has in the last ``days`` days."""
    return sum(
        1 for found, row in history() if version in (None, found) and row.time_ms >= past(days, 0)
    )


def fill(store: Store, rows: Iterable[tuple[str, Row]]) -> None:
    """Store rows as the flusher would, one batch a version."""
    by_version: dict[str, list[Row]] = {}
    for version, row in rows:
        by_version.setdefault(version, []).append(row)
    for number, (version, found) in enumerate(by_version.items()):
        writer = BatchWriter(store, lambda: 1)
        writer.write(Batch(f"history-{number}", 1, version, found))
