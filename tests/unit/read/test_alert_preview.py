"""What a rule would have done, against a count hour by hour."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fmd_admin.read.alert_preview import DAYS, preview
from fmd_admin.read.alert_rules import MIN_HITS, Rule
from fmd_admin.records import Batch, Row
from fmd_admin.store import schema
from fmd_admin.store.writer import BatchWriter

from ...profiles import outlier, store_batch
from ...support import new_store
from .data import HOUR_MS, quantile

ZONES = [
    ("UTC", datetime(2026, 11, 22, 15, 20)),
    ("Europe/Amsterdam", datetime(2026, 10, 28, 15, 20)),
    ("Asia/Kolkata", datetime(2026, 11, 22, 15, 20)),
]


def make_rule(kind: str, **more: Any) -> Rule:
    values: dict[str, Any] = {
        "id": 1,
        "name": kind,
        "kind": kind,
        "scope": "app",
        "endpoint_id": None,
        "threshold": 0.0,
        "window_h": 1,
        "cooldown_min": 0,
        "severity": "info",
        "targets": (1,),
        "active": True,
        "since_ms": 0,
    }
    return Rule(**{**values, **more})


def rows_before(now_ms: int) -> list[Row]:
    chance = random.Random(4)
    found = []
    for hour in range(18 * 24):
        time_ms = now_ms - hour * HOUR_MS
        ms = chance.choice((10.0, 10.0, 80.0))
        share = chance.choice((0.0, 0.02, 0.3))
        for number in range(chance.choice((0, 5, 30, 60))):
            status = 500 if chance.random() < share else 200
            name = ("a", "b")[number % 3 == 0]
            found.append(Row(time_ms - number * 1000, name, ms, status, "GET", None, None))
    return found


def over(rule: Rule, rows: list[Row]) -> bool:
    """What anybody would say of the requests of a window."""
    if rule.kind == "no_requests":
        return not rows
    if len(rows) < MIN_HITS:
        return False
    if rule.kind == "error_share":
        return 100 * sum(row.status >= 400 for row in rows) / len(rows) > rule.threshold
    q = 0.95 if rule.kind == "p95" else 0.5
    return quantile([row.duration_ms for row in rows], q) > rule.threshold


def by_hand(rule: Rule, rows: list[Row], now: datetime, names: list[str | None]) -> int:
    """Count the full hours at whose end the rule fires; the clock of the zone cuts hours."""
    end = now.replace(minute=0)
    start = (now - timedelta(days=DAYS)).replace(hour=0, minute=0)
    first_ms, end_ms = (round(moment.timestamp() * 1000) for moment in (start, end))
    fired = 0
    for name in names:
        last = None
        for moment in range(first_ms + HOUR_MS, end_ms + 1, HOUR_MS):
            since = moment - rule.window_h * HOUR_MS
            inside = [
                row
                for row in rows
                if since <= row.time_ms < moment and name in (None, row.endpoint)
            ]
            if over(rule, inside) and (last is None or moment - last >= rule.cooldown_min * 60_000):
                fired, last = fired + 1, moment
    return fired


@pytest.mark.parametrize(("zone", "now"), ZONES)
def test_the_number_is_that_of_a_count_by_hand(tmp_path: Path, zone: str, now: datetime) -> None:
    store = new_store(tmp_path, timezone=zone)
    schema.migrate(store)
    local = now.replace(tzinfo=store.timezone)
    now_ms = round(local.timestamp() * 1000)
    rows = rows_before(now_ms)
    BatchWriter(store, lambda: 1).write(Batch("w", 1, "1", rows))
    for rule, names in (
        (make_rule("error_share", threshold=10.0), [None]),
        (make_rule("error_share", threshold=10.0, window_h=3, cooldown_min=240), [None]),
        (make_rule("error_share", threshold=5.0, scope="each"), ["a", "b"]),
        (make_rule("median", threshold=50.0, window_h=2), [None]),
        (make_rule("p95", threshold=50.0, cooldown_min=60), [None]),
        (make_rule("no_requests"), [None]),
        (make_rule("no_requests", window_h=2, cooldown_min=600), [None]),
    ):
        with store.read() as connection:
            found = preview(connection, rule, now_ms, store.timezone)
        expected = by_hand(rule, rows, local, list(names))
        assert found == expected, rule
        assert expected > 0
    store.close()


def test_outliers_and_what_nobody_can_tell(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    schema.migrate(store)
    now_ms = 1_764_000_000_000
    times = [now_ms - 3 * HOUR_MS] * 4 + [now_ms - 40 * HOUR_MS] * 2 + [now_ms - 500 * HOUR_MS] * 9
    store_batch(store, outliers=[outlier(time_ms=moment) for moment in times])
    for threshold, expected in ((1.0, 2), (3.0, 1), (4.0, 0)):
        with store.read() as connection:
            rule = make_rule("outliers", threshold=threshold)
            assert preview(connection, rule, now_ms, store.timezone) == expected
    with store.read() as connection:
        assert preview(connection, make_rule("drops"), now_ms, store.timezone) is None
    store.close()
