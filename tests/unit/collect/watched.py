"""Requests without a server and without Flask, as the watcher sees them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

from fmd_admin.collect.collector import Collector
from fmd_admin.collect.exceptions import Exceptions
from fmd_admin.collect.exchange import Exchange
from fmd_admin.collect.raised import Raised
from fmd_admin.collect.tracing import Rules
from fmd_admin.collect.watching import Watch, WatchedExchange
from fmd_admin.faults import Faults
from fmd_admin.records import Batch, Outlier, Profile, RequestRecord, Row

DEADLINE_S = 20.0


def until(is_so: Callable[[], object]) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + DEADLINE_S
    while not is_so():
        assert time.monotonic() < deadline, f"not so within {DEADLINE_S} s"
        time.sleep(0.001)


def profiles(batch: Batch) -> list[Profile]:
    """Those with samples, then those without."""
    without = [
        Profile(*batch.rows[place].fields(), samples=0, period_ms=period_ms)
        for place, period_ms in batch.unsampled
    ]
    return batch.profiles + without


def call(exchange: Exchange, view: Callable[[], object]) -> None:
    """What the collector's __call__ is in the real thing."""
    if isinstance(exchange, WatchedExchange):
        exchange.border = id(sys._getframe())
    view()


def environment(endpoint: str = "index", **more: Any) -> dict[str, Any]:
    rule = SimpleNamespace(endpoint=endpoint, arguments=set(), map=None)
    request = SimpleNamespace(url_rule=rule, routing_exception=None)
    return {"REQUEST_METHOD": "GET", "werkzeug.request": request, **more}


def identify(exchange: Exchange, *, late: bool = False) -> None:
    exchange.endpoint = exchange.environ["werkzeug.request"].url_rule.endpoint
    exchange.group = exchange.ip = None


class Watched:
    """A watch with what came out of it."""

    def __init__(self, level: int = 2, *, limit_ms: float | None = None, **rules: Any) -> None:
        self.records: list[RequestRecord] = []
        self.heavy: list[RequestRecord] = []
        self.left_out: list[str] = []
        self.faults = Faults()
        self.watch = Watch(
            append_heavy=self.heavy.append,
            leave_out=self.left_out.append,
            faults=self.faults,
            call=call.__code__,
        )
        self.collector = SimpleNamespace(
            sink=SimpleNamespace(put=self.records.append),
            hold=None,
            identify=identify,
            raised=Raised(cast("Exceptions", None), self.heavy.append),
        )
        # No test lives in two minutes.
        self.watch._cap._clock = lambda: 0.0
        self.rules = Rules(default=level, **rules)
        self.apply()
        if limit_ms is not None:
            self.watch.means.limits_ns["index"] = int(limit_ms * 1e6)

    def apply(self, level: int | None = None, per_minute: int = 20) -> None:
        if level is not None:
            self.rules = Rules(default=level, period_ms=self.rules.period_ms)
        self.watch.apply(self.rules, constant=2.5, min_ms=0.0, outliers_per_minute=per_minute)

    def begin(self, environ: dict[str, Any] | None = None) -> WatchedExchange:
        return WatchedExchange(
            cast("Collector", self.collector),
            environ or environment(),
            lambda *_: lambda _: None,
            self.watch,
        )

    def request(self, view: Callable[[], object], environ: dict[str, Any] | None = None) -> None:
        """One whole request."""
        exchange = self.begin(environ)
        try:
            call(exchange, view)
            exchange.start("200 OK", [])
        finally:
            exchange.end()

    def batch(self) -> Batch:
        """What the flusher makes of all records."""
        batch = Batch("w", 1, "1")
        for (endpoint, *_texts), start_ns, end_ns, detail, _ticket in self.records + self.heavy:
            row = Row(0, endpoint, (end_ns - start_ns) / 1e6, 200, "GET", None, None)
            batch.rows.append(row)
            if detail is not None:
                detail.add_to(batch, row)
        return batch

    def outlier(self) -> Outlier:
        [made] = self.batch().outliers
        return made

    def profile(self) -> Profile:
        [made] = profiles(self.batch())
        return made
