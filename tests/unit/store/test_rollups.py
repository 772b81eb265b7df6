from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from alembic import command
from sqlalchemy import BigInteger, delete, func, select, type_coerce, update

from fmd_admin.records import Batch, Row
from fmd_admin.store import histogram, migrating, schema
from fmd_admin.store.models import (
    Day,
    DayStatus,
    Endpoint,
    Hour,
    HourStatus,
    Request,
    RollupDelta,
)
from fmd_admin.store.rollups import merge_deltas, rebuild
from fmd_admin.store.store import Store
from fmd_admin.store.types import to_millis
from fmd_admin.store.writer import BatchWriter

from ...prepared import EmptyDatabase
from ...support import new_store

HOUR_MS = 3_600_000
ZONES = ("UTC", "Europe/Amsterdam", "Asia/Kolkata", "America/Havana", "Australia/Lord_Howe")
#: Around this moment Amsterdam, Havana (a week later) and Lord Howe move their clocks.
START_MS = to_millis(datetime(2026, 10, 24, 12, tzinfo=timezone.utc))

MakeStore = Callable[..., Store]


@pytest.fixture
def make_store(tmp_path: Path, empty_database: EmptyDatabase) -> Iterator[MakeStore]:
    made: list[Store] = []

    def make(zone: str = "UTC") -> Store:
        empty_database.copy_to(tmp_path)
        store = new_store(tmp_path, timezone=zone)
        schema.migrate(store)
        made.append(store)
        return store

    yield make
    for store in made:
        store.close()


class Feeder:
    """Writes random batches as the recorder would, in the order of no clock."""

    def __init__(self, store: Store, seed: int = 1, start_ms: int = START_MS) -> None:
        self._rnd = random.Random(seed)
        self._seed = seed
        self._writers = {
            version: BatchWriter(store, lambda: 1) for version in ("1.0", "1.1", "2.0")
        }
        self._sequence = 0
        self._start_ms = start_ms

    def write(self, rows: int, *, hours: float = 60) -> None:
        rnd = self._rnd
        self._sequence += 1
        version = rnd.choice(list(self._writers))
        batch = Batch(
            writer=f"{self._seed}-{version}",
            sequence=self._sequence,
            version=version,
            rows=[
                Row(
                    time_ms=self._start_ms + rnd.randrange(int(hours * HOUR_MS)),
                    endpoint=rnd.choice(("shop.index", "shop.item", "login", "report")),
                    duration_ms=rnd.lognormvariate(3, 1),
                    status=rnd.choice((200, 200, 200, 302, 404, 500)),
                    method="GET",
                    group=None,
                    ip=None,
                )
                for _ in range(rows)
            ],
        )
        self._writers[version].write(batch)

    def touch(self, endpoint: str, time_ms: int) -> None:
        self._sequence += 1
        self._writers["1.0"].write(Batch("touch", self._sequence, "1.0", [], {endpoint: time_ms}))


def merge(store: Store, limit: int = 20_000) -> int:
    with store.write() as connection:
        return merge_deltas(connection, store.timezone, limit)


def raw_rows(store: Store) -> list[Any]:
    with store.read() as connection:
        return list(
            connection.execute(
                select(
                    type_coerce(Request.time, BigInteger),
                    Request.endpoint_id,
                    Request.version_id,
                    Request.duration_ms,
                    Request.status,
                )
            )
        )


def local_hour(time_ms: int, zone: ZoneInfo) -> tuple[object, ...]:
    """What a clock on the wall shows of the hour, told apart by its offset."""
    local = datetime.fromtimestamp(time_ms / 1000, zone)
    return (local.date(), local.hour, local.utcoffset())


def local_day(time_ms: int, zone: ZoneInfo) -> tuple[object, ...]:
    return (datetime.fromtimestamp(time_ms / 1000, zone).date(),)


def naive(store: Store, cell: Callable[[int, ZoneInfo], tuple[object, ...]]) -> dict[Any, Any]:
    """The rollups as anybody would compute them from the raw rows."""
    found: dict[Any, list[tuple[float, int]]] = {}
    for time_ms, endpoint_id, version_id, duration_ms, status in raw_rows(store):
        key = (cell(time_ms, store.timezone), endpoint_id, version_id)
        found.setdefault(key, []).append((duration_ms, status))
    result = {}
    for key, rows in found.items():
        durations = [row[0] for row in rows]
        counts: dict[int, int] = {}
        for duration_ms in durations:
            number = histogram.bucket(duration_ms)
            counts[number] = counts.get(number, 0) + 1
        result[key] = (
            len(durations),
            sum(row[1] >= 400 for row in rows),
            pytest.approx(sum(durations)),
            pytest.approx(sum(d * d for d in durations)),
            min(durations),
            max(durations),
            dict(sorted(counts.items())),
        )
    return result


def stored(
    store: Store, table: Any, moment: Any, cell: Callable[[int, ZoneInfo], tuple[object, ...]]
) -> dict[Any, Any]:
    with store.read() as connection:
        rows = connection.execute(
            select(
                type_coerce(moment, BigInteger),
                table.endpoint_id,
                table.version_id,
                table.hits,
                table.errors,
                table.sum_ms,
                table.sum_squares,
                table.min_ms,
                table.max_ms,
                table.histogram,
            )
        ).all()
    found = {}
    for start, endpoint_id, version_id, *figures, data in rows:
        key = (cell(start, store.timezone), endpoint_id, version_id)
        assert key not in found
        found[key] = (*figures, histogram.counts(data))
    return found


def statuses(store: Store) -> dict[Any, int]:
    return _statuses(store, HourStatus, HourStatus.hour, local_hour)


def _statuses(
    store: Store, table: Any, moment: Any, cell: Callable[[int, ZoneInfo], tuple[object, ...]]
) -> dict[Any, int]:
    with store.read() as connection:
        rows = connection.execute(
            select(
                type_coerce(moment, BigInteger),
                table.endpoint_id,
                table.version_id,
                table.status,
                table.hits,
            )
        ).all()
    return {
        (cell(start, store.timezone), endpoint_id, version_id, status): hits
        for start, endpoint_id, version_id, status, hits in rows
    }


def day_statuses(store: Store) -> dict[Any, int]:
    return _statuses(store, DayStatus, DayStatus.day, local_day)


def naive_statuses(
    store: Store, cell: Callable[[int, ZoneInfo], tuple[object, ...]] = local_hour
) -> dict[Any, int]:
    found: dict[Any, int] = {}
    for time_ms, endpoint_id, version_id, _, status in raw_rows(store):
        key = (cell(time_ms, store.timezone), endpoint_id, version_id, status)
        found[key] = found.get(key, 0) + 1
    return found


def check(store: Store) -> None:
    """Hold every rollup against the raw rows."""
    assert stored(store, Hour, Hour.hour, local_hour) == naive(store, local_hour)
    assert stored(store, Day, Day.day, local_day) == naive(store, local_day)
    assert statuses(store) == naive_statuses(store)
    assert day_statuses(store) == naive_statuses(store, local_day)


def count(store: Store, table: Any) -> int:
    with store.read() as connection:
        return connection.scalar(select(func.count()).select_from(table)) or 0


@pytest.mark.parametrize("zone", ZONES)
def test_merged_rollups_are_those_of_the_raw_rows(make_store: MakeStore, zone: str) -> None:
    store = make_store(zone)
    feeder = Feeder(store)
    for _ in range(12):
        feeder.write(60, hours=9 * 24)
        merge(store)
    assert count(store, RollupDelta) == 0
    check(store)


def test_merging_some_at_a_time_comes_to_the_same(make_store: MakeStore) -> None:
    store = make_store("Europe/Amsterdam")
    feeder = Feeder(store)
    for _ in range(5):
        feeder.write(80)
    waiting = count(store, RollupDelta)
    merged = []
    while moved := merge(store, limit=37):
        merged.append(moved)
    assert sum(merged) == waiting
    assert max(merged) == 37
    check(store)


def test_nothing_to_merge(store: Store) -> None:
    assert merge(store) == 0


def test_more_hours_than_one_statement_asks_for(make_store: MakeStore) -> None:
    store = make_store()
    feeder = Feeder(store)
    for _ in range(2):
        feeder.write(1500, hours=1000)
        merge(store)
    check(store)


def test_merge_raises_last_requested_and_never_lowers_it(store: Store) -> None:
    feeder = Feeder(store)
    late = to_millis(datetime(2040, 1, 1, tzinfo=timezone.utc))
    feeder.touch("shop.index", late)
    feeder.touch("shop.index", late - 5)
    feeder.touch("login", 1000)
    with store.read() as connection:
        before = connection.scalar(select(Endpoint.last_requested).where(Endpoint.name == "login"))
    assert merge(store) == 3
    with store.read() as connection:
        last = {
            row.name: row.last_requested
            for row in connection.execute(select(Endpoint.name, Endpoint.last_requested))
        }
    assert to_millis(last["shop.index"]) == late
    assert last["login"] == before
    assert count(store, Hour) == count(store, Day) == count(store, HourStatus) == 0


def test_merge_that_fails_leaves_everything(store: Store) -> None:
    Feeder(store).write(50)
    waiting = count(store, RollupDelta)

    def fail() -> None:
        with store.write() as connection:
            merge_deltas(connection, store.timezone)
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        fail()
    assert count(store, RollupDelta) == waiting
    assert count(store, Hour) == 0
    merge(store)
    check(store)


@pytest.mark.parametrize("zone", ZONES)
def test_rebuild_mends_wrong_rollups(make_store: MakeStore, zone: str) -> None:
    store = make_store(zone)
    feeder = Feeder(store)
    for _ in range(6):
        feeder.write(60, hours=9 * 24)
    merge(store)
    feeder.write(60, hours=9 * 24)
    with store.write() as connection:
        # The oldest hour is left alone when the rollups know more than the rows: lower it.
        connection.execute(update(Hour).values(hits=0, sum_ms=1, histogram=b""))
        connection.execute(update(Day).values(hits=0))
        connection.execute(delete(HourStatus).where(HourStatus.status == 404))
        connection.execute(update(HourStatus).values(status=299).where(HourStatus.status == 500))
        connection.execute(update(DayStatus).values(hits=3))
        connection.execute(delete(RollupDelta))
    report = rebuild(store)
    assert report.kept_hour is None
    assert report.requests == count(store, Request)
    assert count(store, RollupDelta) == 0
    check(store)


def test_rebuild_of_right_rollups_changes_nothing(make_store: MakeStore) -> None:
    store = make_store("Europe/Amsterdam")
    feeder = Feeder(store)
    feeder.write(300)
    merge(store)
    feeder.write(300)
    rebuild(store)
    check(store)
    rebuild(store)
    check(store)


def test_rebuild_keeps_what_has_no_raw_rows_any_more(make_store: MakeStore) -> None:
    store = make_store("Europe/Amsterdam")
    Feeder(store).write(400)
    merge(store)
    before = (
        stored(store, Hour, Hour.hour, local_hour),
        stored(store, Day, Day.day, local_day),
        statuses(store),
        day_statuses(store),
    )
    # Pruned in the middle of an hour in the middle of a day.
    times = sorted(row[0] for row in raw_rows(store))
    cut_ms = next(
        time_ms
        for earlier, time_ms in pairwise(times[200:])
        if earlier // HOUR_MS == time_ms // HOUR_MS
    )
    with store.write() as connection:
        connection.execute(delete(Request).where(type_coerce(Request.time, BigInteger) < cut_ms))
    report = rebuild(store)
    assert report.kept_hour is not None
    assert to_millis(report.kept_hour) == cut_ms - cut_ms % HOUR_MS
    assert "kept" in str(report)
    assert stored(store, Hour, Hour.hour, local_hour) == {
        key: tuple(pytest.approx(v) if isinstance(v, float) else v for v in row)
        for key, row in before[0].items()
    }
    assert stored(store, Day, Day.day, local_day) == {
        key: tuple(pytest.approx(v) if isinstance(v, float) else v for v in row)
        for key, row in before[1].items()
    }
    assert statuses(store) == before[2]
    assert day_statuses(store) == before[3]


def test_rebuild_without_raw_rows_keeps_all(make_store: MakeStore) -> None:
    store = make_store()
    Feeder(store).write(100)
    merge(store)
    hours = stored(store, Hour, Hour.hour, local_hour)
    with store.write() as connection:
        connection.execute(delete(Request))
    report = rebuild(store)
    assert (report.requests, report.hours) == (0, 0)
    assert stored(store, Hour, Hour.hour, local_hour) == hours


def test_rebuild_of_an_empty_store(store: Store) -> None:
    report = rebuild(store)
    assert (report.requests, report.hours, report.days) == (0, 0, 0)


def test_rebuild_keeps_a_day_whose_first_hours_are_gone(make_store: MakeStore) -> None:
    store = make_store()
    Feeder(store).write(400)
    merge(store)
    days = stored(store, Day, Day.day, local_day)
    with store.write() as connection:
        connection.execute(delete(Request))
        hour = type_coerce(Hour.hour, BigInteger)
        connection.execute(delete(Hour).where(hour < START_MS + 20 * HOUR_MS))
    rebuild(store)
    assert {key: row[0] for key, row in stored(store, Day, Day.day, local_day).items()} == {
        key: row[0] for key, row in days.items()
    }


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("UTC", "Asia/Kolkata"),
        ("UTC", "Europe/Amsterdam"),
        ("Asia/Kolkata", "UTC"),
        ("America/Havana", "Australia/Lord_Howe"),
        ("Australia/Lord_Howe", "Europe/Amsterdam"),
    ],
)
def test_rebuild_after_a_change_of_the_time_zone(
    make_store: MakeStore, before: str, after: str
) -> None:
    old = make_store(before)
    for minutes in (5, 25, 40):
        Feeder(old, seed=minutes, start_ms=START_MS + minutes * 60_000).write(100)
    merge(old)
    new = make_store(after)
    rebuild(new)
    check(new)


def test_rebuild_skips_hours_in_which_nothing_was(make_store: MakeStore) -> None:
    store = make_store()
    Feeder(store, start_ms=0).write(20, hours=0.5)
    Feeder(store, seed=2).write(20, hours=0.5)
    seen: list[tuple[datetime, int]] = []
    report = rebuild(store, lambda hour, requests: seen.append((hour, requests)))
    check(store)
    assert report.hours == 2
    assert seen == [
        (datetime(1970, 1, 1, tzinfo=timezone.utc), 20),
        (datetime(2026, 10, 24, 12, tzinfo=timezone.utc), 40),
    ]


def test_batches_and_merges_go_on_while_it_is_rebuilt(make_store: MakeStore) -> None:
    store = make_store("Europe/Amsterdam")
    feeder = Feeder(store)
    feeder.write(300)

    def meanwhile(_hour: datetime, requests: int) -> None:
        feeder.write(20)
        if requests % 2:
            merge(store)

    rebuild(store, meanwhile)
    merge(store)
    check(store)


def test_rebuild_keeps_the_time_of_endpoints_at_level_0(store: Store) -> None:
    feeder = Feeder(store)
    feeder.write(30)
    late = to_millis(datetime(2040, 1, 1, tzinfo=timezone.utc))
    feeder.touch("login", late)
    rebuild(store)
    merge(store)
    with store.read() as connection:
        found = connection.scalar(select(Endpoint.last_requested).where(Endpoint.name == "login"))
    assert found is not None
    assert to_millis(found) == late
    check(store)


@pytest.mark.parametrize("zone", ["Europe/Amsterdam", "Asia/Kolkata"])
def test_the_migration_adds_up_the_days_that_are_there(make_store: MakeStore, zone: str) -> None:
    store = make_store(zone)
    feeder = Feeder(store)
    for _ in range(6):
        feeder.write(60, hours=9 * 24)
    merge(store)
    feeder.write(60)
    with store.write() as connection:
        config, script = migrating.alembic()
        config.attributes["connection"] = connection
        before = script.get_revision("0006").down_revision
        assert isinstance(before, str)
        command.downgrade(config, before)
    assert schema.migrate(store)
    merge(store)
    check(store)
