"""What a rule would have done, against a count hour by hour."""

from __future__ import annotations

import random
from collections import Counter
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from scipy import stats
from sqlalchemy import update

from fmd_admin.read.alert_preview import DAYS, Window, preview
from fmd_admin.read.alert_rules import MIN_HITS, Rule, value_of
from fmd_admin.read.buckets import Total, together
from fmd_admin.read.catalog import endpoint_names
from fmd_admin.records import Batch, RaisedCount, Row
from fmd_admin.store import histogram, schema
from fmd_admin.store.exception_models import ExceptionGroup
from fmd_admin.store.models import Endpoint, Version
from fmd_admin.store.writer import BatchWriter

from ...profiles import outlier, store_batch
from ...support import new_store
from .data import HOUR_MS, quantile

DAY_MS = 24 * HOUR_MS
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


def random_hour(chance: random.Random) -> Total | None:
    if chance.random() < 0.3:
        return None
    hour, middle = Total(), chance.choice((0, 3, 6))
    durations = [chance.lognormvariate(middle, 0.5) for _ in range(25)]
    hour.hits, hour.errors = len(durations), chance.randrange(4)
    hour.min_ms, hour.max_ms = min(durations), max(durations)
    counts = Counter(histogram.bucket(duration) for duration in durations)
    hour.parts = [histogram.encode(counts)]
    return hour


@pytest.mark.parametrize("kind", ["p95", "median", "error_share", "no_requests", "outliers"])
@pytest.mark.parametrize("window_h", [1, 3, 24])
def test_a_moving_window_holds_what_its_hours_add_up_to(kind: str, window_h: int) -> None:
    chance = random.Random(7)
    rule = make_rule(kind, window_h=window_h)
    window, hours = Window(rule), [random_hour(chance) for _ in range(80)]
    values = []
    for number, hour in enumerate(hours, 1):
        window.move(hour)
        there = [one for one in hours[max(number - window_h, 0) : number] if one is not None]
        expected = together(there)
        if kind == "outliers":
            assert window.value() == expected.hits
        else:
            assert window.value() == value_of(rule, expected)
        values.append(window.value())
    assert len(set(values)) > 1


def test_silence_begins_with_what_was_measured_first(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    schema.migrate(store)
    now_ms = 1_795_387_000_000
    hour_ms = now_ms // HOUR_MS * HOUR_MS
    rule = make_rule("no_requests")
    with store.read() as connection:
        assert preview(connection, rule, now_ms, store.timezone) == 0
    # a: 30 hours ago and each hour since, but for 5 of them; b only 10 hours ago.
    hours = [n for n in range(1, 31) if n not in (3, 4, 12, 20, 29)]
    rows = [Row(hour_ms - n * HOUR_MS, "a", 5.0, 200, "GET", None, None) for n in hours]
    rows.append(Row(hour_ms - 10 * HOUR_MS, "b", 5.0, 200, "GET", None, None))
    BatchWriter(store, lambda: 1).write(Batch("w", 1, "1", rows))
    with store.write() as connection:
        for name, first in (("a", 30), ("b", 10)):
            mine = update(Endpoint).where(Endpoint.name == name)
            connection.execute(mine.values(first_seen=hour_ms - first * HOUR_MS))
    with store.read() as connection:
        for scope, expected in (("app", 5), ("each", 5 + 9)):
            one = make_rule("no_requests", scope=scope)
            assert preview(connection, one, now_ms, store.timezone) == expected
        two = make_rule("no_requests", window_h=2)
        assert preview(connection, two, now_ms, store.timezone) == 1
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


def day_start(zone: ZoneInfo, day: date) -> int:
    return round(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp() * 1000)


def weeks_of(now: datetime) -> list[Row]:
    """Seven weeks of endpoints that change in one way each, far from where anybody could doubt."""
    found = []
    for days in range(49):
        day = now.date() - timedelta(days=days)
        for number in range(40):
            moment = datetime(day.year, day.month, day.day, 9, number, tzinfo=now.tzinfo)
            if moment > now:
                continue
            time_ms = round(moment.timestamp() * 1000)
            spread = 1 + (number * 7 % 40) / 500
            late = number % 4 == 0
            for name, ms, status in (
                ("steady", 20 * spread, 200),
                ("slow", (40 if days < 6 else 20) * spread, 200),
                ("was slow", (40 if 8 <= days < 13 else 20) * spread, 200),
                ("errs", 20 * spread, 500 if days < 5 and number % 4 == 0 else 200),
                ("tail", (300 if late and days < 7 else 20) * spread, 200),
                ("faster", (20 if days < 6 else 40) * spread, 200),
            ):
                found.append(Row(time_ms, name, ms, status, "GET", None, None))
    return found


def regressions_by_hand(rows: list[Row], now: datetime, zone: ZoneInfo) -> list[tuple[str, date]]:
    """What anybody with SciPy would say at the end of each day."""
    said = []
    for back in range(DAYS, 0, -1):
        day = now.date() - timedelta(days=back)
        end, start, before = (
            day_start(zone, day + timedelta(days=days)) for days in (1, -6, -6 - 28)
        )
        for name in sorted({row.endpoint for row in rows}):
            mine = [row for row in rows if row.endpoint == name]
            old = [row for row in mine if before <= row.time_ms < start]
            new = [row for row in mine if start <= row.time_ms < end]
            times = [[row.duration_ms for row in side] for side in (old, new)]
            errors = [sum(row.status >= 400 for row in side) for side in (old, new)]
            sure_ms = stats.mannwhitneyu(*times).pvalue < 1e-3
            medians, tails = ([quantile(side, q) for side in times] for q in (0.5, 0.95))
            high = [sum(ms > tails[0] for ms in side) for side in times]
            sure_tail = (
                stats.fisher_exact(
                    [[count, len(side) - count] for count, side in zip(high, times, strict=True)]
                ).pvalue
                < 1e-3
            )
            sure_errors = (
                stats.fisher_exact(
                    [[count, len(side) - count] for count, side in zip(errors, times, strict=True)]
                ).pvalue
                < 1e-3
            )
            if (sure_ms and medians[1] >= 1.05 * medians[0]) or (
                sure_tail and tails[1] >= 1.1 * tails[0]
            ):
                said.append((f"{name} slower", day))
            if sure_errors and errors[1] / len(new) >= errors[0] / len(old) + 0.01:
                said.append((f"{name} more errors", day))
    return said


def test_regressions_are_those_of_a_count_by_hand(tmp_path: Path) -> None:
    # Winter time begins within the days that are compared.
    store = new_store(tmp_path, timezone="Europe/Amsterdam")
    schema.migrate(store)
    now = datetime(2026, 11, 4, 15, 20, tzinfo=store.timezone)
    now_ms = round(now.timestamp() * 1000)
    rows = weeks_of(now)
    BatchWriter(store, lambda: 1).write(Batch("w", 1, "1", rows))
    said = regressions_by_hand(rows, now, store.timezone)
    kinds = Counter(what for what, _ in said)
    assert set(kinds) == {"slow slower", "was slow slower", "errs more errors", "tail slower"}
    with store.read() as connection:
        names = {name: key for key, name in endpoint_names(connection).items()}
        rule = make_rule("regression", scope="each")
        assert preview(connection, rule, now_ms, store.timezone) == len(said)
        for name, expected in (("slow", kinds["slow slower"]), ("steady", 0), ("faster", 0)):
            one = make_rule("regression", scope="one", endpoint_id=names[name])
            assert preview(connection, one, now_ms, store.timezone) == expected
        # Quiet for three days: the days on which it says so are one run for each.
        quiet = make_rule("regression", scope="each", cooldown_min=3 * 24 * 60)
        assert preview(connection, quiet, now_ms, store.timezone) == sum(
            -(-count // 3) for count in kinds.values()
        )
    store.close()


def test_exceptions_are_those_of_a_count_by_hand(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    schema.migrate(store)
    now_ms = 1_795_387_000_000
    start_ms = now_ms // DAY_MS * DAY_MS - DAYS * DAY_MS

    def store_all(version: str, happened: list[tuple[str, str, int]]) -> None:
        batch = Batch(version, 1, version)
        for function, endpoint, time_ms in happened:
            place = ((("ValueError", "shop", function),), endpoint, time_ms - time_ms % 900_000)
            batch.raised[place] = RaisedCount(3, time_ms, time_ms)
        BatchWriter(store, lambda: 1).write(batch)

    chance = random.Random(5)
    first: dict[str, int] = {}
    back: dict[str, int] = {}
    for number in range(250):
        first[f"f{number}"] = begun = now_ms - chance.randrange(30) * DAY_MS - 7 * HOUR_MS
        if number % 10 != 3:
            back[f"f{number}"] = min(begun + chance.randrange(10) * DAY_MS, now_ms)
    at_a = [name for name in first if name.endswith("7")]
    store_all("1", [(name, "ab"[name not in at_a], ms) for name, ms in first.items()])
    resolved_ms = now_ms - 40 * DAY_MS
    with store.write() as connection:
        # A store that was there all the time knows when each was seen first.
        for name, time_ms in first.items():
            mine = update(ExceptionGroup).where(ExceptionGroup.function == name)
            connection.execute(mine.values(first_seen=time_ms, resolved_at=resolved_ms))
        connection.execute(update(Version).values(first_seen=resolved_ms - DAY_MS))
    # In the newer version they happen again, and once more at the end.
    times = [(name, "b", time_ms) for name, time_ms in back.items()]
    store_all("2", [*times, *((name, "b", now_ms) for name in back)])
    with store.write() as connection:
        later = update(Version).where(Version.name == "2")
        connection.execute(later.values(first_seen=resolved_ms + DAY_MS))

    new = [name for name, time_ms in first.items() if time_ms >= start_ms]
    came = [name for name, time_ms in back.items() if time_ms >= start_ms]
    assert 50 < len(new) < len(came) < len(first)
    with store.read() as connection:
        names = {name: key for key, name in endpoint_names(connection).items()}
        at = {"scope": "one", "endpoint_id": names["a"]}
        for rule, expected in (
            (make_rule("new_exception"), len(new)),
            (make_rule("returned"), len(came)),
            (make_rule("new_exception", **at), sum(name in at_a for name in new)),
            (make_rule("returned", **at), sum(name in at_a for name in came)),
        ):
            assert preview(connection, rule, now_ms, store.timezone) == expected, rule
    store.close()
