"""What goes by age, against a computation from the rows; and that nothing else does."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Connection, func, insert, select, text

from fmd_admin import settings
from fmd_admin.records import Batch, Row
from fmd_admin.store import prune_runs, retention, schema, visitors
from fmd_admin.store.code_lines import SEEN_EVERY_MS, CodeLines
from fmd_admin.store.models import (
    Client,
    CodeLine,
    Day,
    Group,
    Hour,
    HourStatus,
    LoginFailure,
    Outlier,
    OutlierSkipped,
    Profile,
    Request,
    RollupDelta,
    Writer,
)
from fmd_admin.store.pruner import Pruner
from fmd_admin.store.retention import KINDS, NAMES, Aged, tables_of
from fmd_admin.store.rollups import merge_deltas, rebuild
from fmd_admin.store.store import Store
from fmd_admin.store.trees import decode
from fmd_admin.store.types import to_millis
from fmd_admin.store.writer import BatchWriter

from ...prepared import EmptyDatabase
from ...profiles import DECODE, VIEW, outlier, profile, source
from ...support import new_store, stored_rows

DAY_MS = 86_400_000
#: Two of them shortly after their clocks were moved.
ZONES = [
    ("UTC", datetime(2026, 11, 22, 15, 20)),
    ("Asia/Kolkata", datetime(2026, 11, 22, 0, 10)),
    ("Europe/Amsterdam", datetime(2026, 10, 27, 0, 30)),
    ("Europe/Amsterdam", datetime(2026, 3, 31, 23, 50)),
    ("America/Havana", datetime(2026, 11, 2, 23, 59)),
]


def moment(zone: str, wall: datetime) -> int:
    return to_millis(wall.replace(tzinfo=ZoneInfo(zone)))


def values(**code: object) -> settings.Settings:
    return settings.load(environ={}, code=code).values


def prune(store: Store, plan: dict[str, int], **options: object) -> Counter[str]:
    pruner = Pruner(
        store, plan, fence=lambda _: None, record=lambda _connection, _deleted: None, **options
    )
    while not pruner.work(5.0, lambda _pause_s: False):
        pass
    return +pruner.deleted


def count(store: Store, model: type) -> int:
    with store.read() as connection:
        return connection.scalar(select(func.count()).select_from(model)) or 0


@pytest.fixture(params=ZONES, ids=[f"{zone} {now:%m-%d}" for zone, now in ZONES])
def placed(
    request: pytest.FixtureRequest, tmp_path: Path, empty_database: EmptyDatabase
) -> Iterator[tuple[Store, int]]:
    zone, now = request.param
    empty_database.copy_to(tmp_path)
    store = new_store(tmp_path, timezone=zone)
    schema.migrate(store)
    yield store, moment(zone, now)
    store.close()


def row(time_ms: int, **fields: object) -> Row:
    found = {"endpoint": "index", "duration_ms": 5.0, "status": 200, "group": None, "ip": None}
    found.update(fields)
    return Row(time_ms=time_ms, method="GET", **found)  # type: ignore[arg-type]


def local_date(store: Store, time_ms: int) -> date:
    return datetime.fromtimestamp(time_ms / 1000, store.timezone).date()


def figures(connection: Connection) -> dict[str, object]:
    """All sums, in an order of their own."""
    return {
        table.__tablename__: sorted(map(tuple, connection.execute(select(table.__table__))))
        for table in (Hour, HourStatus, Day)
    }


def test_requests_go_by_days_of_the_zone(placed: tuple[Store, int]) -> None:
    store, now_ms = placed
    chance = random.Random(3)
    times = [now_ms - int(chance.random() * 8 * DAY_MS) for _ in range(3000)]
    today = local_date(store, now_ms)
    for days in range(9):  # The first and the last moment of each day.
        start = datetime.combine(today - timedelta(days=days), datetime.min.time(), store.timezone)
        times += [to_millis(start) - 1, to_millis(start)]
    BatchWriter(store, lambda: 1).write(Batch("w", 1, "1", [row(t) for t in times]))
    with store.write() as connection:
        merge_deltas(connection, store.timezone)
    with store.read() as connection:
        sums = figures(connection)
    plan = retention.plan(values(keep_requests_days=4), store.timezone, now_ms)
    kept = [t for t in times if (today - local_date(store, t)).days <= 4]
    with store.read() as connection:
        amount = retention.amount_before(
            connection, retention.BY_NAME["requests"], plan["requests"]
        )
    gone = prune(store, plan, always_names=False)
    assert gone == {"requests": len(times) - len(kept)}
    assert (amount.rows, amount.exact) == (gone["requests"], True)
    assert Counter(r.time_ms for r in stored_rows(store)) == Counter(kept)
    with store.read() as connection:
        assert figures(connection) == sums
    # What is gone stays in the sums, also when they are made anew.
    report = rebuild(store)
    assert report.kept_hour is None
    with store.read() as connection:
        assert figures(connection) == sums


def test_sums_of_an_hour_and_of_its_day_go_together(placed: tuple[Store, int]) -> None:
    store, now_ms = placed
    times = [now_ms - hour * 3_600_000 for hour in range(0, 24 * 7, 5)]
    BatchWriter(store, lambda: 1).write(Batch("w", 1, "1", [row(t) for t in times]))
    with store.write() as connection:
        merge_deltas(connection, store.timezone)
    plan = retention.plan(values(keep_rollups_days=3, keep_requests_days=0), store.timezone, now_ms)
    assert "requests" not in plan
    prune(store, plan)
    today = local_date(store, now_ms)
    kept = sum((today - local_date(store, t)).days <= 3 for t in times)
    with store.read() as connection:
        sums = [connection.scalar(select(func.sum(t.hits))) for t in (Hour, HourStatus, Day)]
    assert sums == [kept] * 3
    assert count(store, Request) == len(times)


def test_zero_keeps_for_ever() -> None:
    names = [kind.setting.lower() for kind in KINDS if kind.setting]
    now_ms = time.time_ns() // 1_000_000
    plan = retention.plan(values(**dict.fromkeys(names, 0)), ZoneInfo("UTC"), now_ms)
    assert set(plan) == {"alerts", "login_failures", "processes"}


def test_every_setting_belongs_to_a_kind() -> None:
    keeps = {name for name in settings.TABLE if name.startswith("KEEP_")}
    assert keeps == {kind.setting for kind in KINDS if kind.setting}
    assert all(aged.exists for kind in KINDS for aged in kind.tables)


def test_every_kind_goes_at_its_age(store: Store) -> None:
    now_ms = time.time_ns() // 1_000_000
    ages = [0, 1, 13, 15, 29, 31, 729, 731]
    writer = BatchWriter(store, lambda: 1, source)
    for number, days in enumerate(ages):
        at = now_ms - days * DAY_MS
        batch = Batch("w", number + 1, "1", [row(at)])
        batch.profiles.append(profile(time_ms=at))
        batch.outliers.append(outlier(time_ms=at))
        writer.write(batch)
    with store.write() as connection:
        merge_deltas(connection, store.timezone)
        for days in ages:
            at = now_ms - days * DAY_MS
            common = {"endpoint_id": 1, "version_id": 1, "hits": 1}
            connection.execute(insert(OutlierSkipped).values(time=at, **common))
            name = f"s{days}"
            connection.execute(insert(LoginFailure).values(subject=name, failures=1, last_at=at))
            counts = {"last_seq": 1, "dropped": 0, "faults": 0}
            connection.execute(insert(Writer).values(writer=name, seen_at=at, **counts))
    gone = prune(store, retention.plan(values(), store.timezone, now_ms))
    assert gone == {
        "requests": 3,
        "profiles": 5,
        "outliers": 10,
        "rollups": 4,
        "login_failures": 6,
        "processes": 3,
    }
    left = {
        Request: 5,
        Profile: 3,
        Outlier: 3,
        OutlierSkipped: 3,
        Hour: 7,
        HourStatus: 7,
        Day: 7,
        LoginFailure: 2,
        Writer: 6,  # One of them writes here.
    }
    assert {model: count(store, model) for model in left} == left


def test_rows_of_one_moment_are_deleted_in_parts(store: Store) -> None:
    BatchWriter(store, lambda: 1).write(Batch("w", 1, "1", [row(1000)] * 50 + [row(2000)] * 5))
    aged = Aged("fmd_request", "time")
    gone = []
    for _ in range(4):
        with store.write() as connection:
            gone.append(retention.delete_oldest(connection, aged, 1500, 20))
    assert gone == [20, 20, 10, 0]
    assert count(store, Request) == 5


@pytest.mark.sqlite_only
def test_deletion_walks_the_index(store: Store) -> None:
    small = {"fmd_login_failure", "fmd_writer", "fmd_code_line"}
    for kind in KINDS:
        for aged in tables_of(kind):
            if aged.table_name in small:
                continue
            statements = walked(store, aged)
            for plan in statements:
                assert "SEARCH" in plan, plan
                assert "SCAN" not in plan, plan
                # Those of two kinds are sorted together, but only the ones that are old enough.
                assert "TEMP B-TREE" not in plan or aged.before_time, plan


def walked(store: Store, aged: Aged) -> list[str]:
    """The query plans of what delete_oldest and any_before do with a table."""
    from sqlalchemy import event

    seen: list[tuple[str, object]] = []

    def note(_c: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
        seen.append((statement, parameters))

    event.listen(store.engine, "before_cursor_execute", note)
    try:
        with store.write() as connection:
            pad(connection, aged)
            seen.clear()
            retention.any_before(connection, aged, 1500)
            retention.delete_oldest(connection, aged, 1500, 2)
            retention.delete_oldest(connection, aged, 1500, 20)
            found = list(seen)
            plans = [
                " / ".join(r[3] for r in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {s}", p))
                for s, p in found
            ]
            connection.execute(aged.table.delete())
    finally:
        event.remove(store.engine, "before_cursor_execute", note)
    assert len(plans) == 5
    return plans


def pad(connection: Connection, aged: Aged) -> None:
    """Three rows that need nothing else."""
    connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
    for number in range(3):
        fields: dict[str, object] = {}
        for column in aged.table.columns:
            if column.name == aged.time_name:
                fields[column.name] = 1000
            elif column.primary_key:
                fields[column.name] = number + 1
            elif not column.nullable:
                kind = column.type.python_type if column.name != "method" else str
                text = f"{number}" if column.unique else "GET"
                fields[column.name] = {bytes: b"", str: text, bool: True}.get(kind, number + 1)
        connection.execute(insert(aged.table).values(**fields))


def test_amounts_beyond_what_is_counted_are_estimated(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_ms = time.time_ns() // 1_000_000
    rows = [row(now_ms - DAY_MS * (1 + number % 40)) for number in range(2_000)]
    rows.sort(key=lambda r: r.time_ms)
    batch = Batch("w", 1, "1", rows)
    batch.outliers.extend(outlier(time_ms=r.time_ms) for r in rows[:500])
    BatchWriter(store, lambda: 1).write(batch)
    with store.write() as connection:
        merge_deltas(connection, store.timezone)
    plan = retention.plan(values(keep_outliers_days=30), store.timezone, now_ms)
    true = sum(r.time_ms < plan["requests"] for r in rows)
    assert true > 300
    monkeypatch.setattr(retention, "COUNTED", 100)
    with store.read() as connection:
        about = retention.amount_before(connection, retention.BY_NAME["requests"], plan["requests"])
        outliers = retention.amount_before(
            connection, retention.BY_NAME["outliers"], plan["outliers"]
        )
        sums = retention.amount_before(connection, retention.BY_NAME["rollups"], now_ms)
    assert (about.exact, about.rows) == (False, true)
    assert str(about) == f"about {true:,}"
    assert (outliers.exact, outliers.rows) == (False, true)
    assert str(sums) == f"about {40 * 3:,}" or sums.exact  # 40 rows in each table: below the cap.


# Lines of code, groups and clients


def test_lines_stay_as_long_as_a_process_meets_them(store: Store) -> None:
    now = [time.time()]
    lines = CodeLines(store, source, clock=lambda: now[0])
    lines.resolve([VIEW, DECODE])
    for _ in range(20):
        now[0] += SEEN_EVERY_MS / 1000 + 1
        lines.resolve([VIEW])
    now_ms = int(now[0] * 1000)
    gone = prune(store, retention.plan(values(), store.timezone, now_ms))
    assert gone == {"code_lines": 1}
    with store.read() as connection:
        assert list(connection.scalars(select(CodeLine.function))) == [VIEW.function]
    # Met again, it is made again.
    ids = lines.resolve([DECODE])
    now[0] += SEEN_EVERY_MS / 1000 + 1
    with store.read() as connection:
        known = set(connection.scalars(select(CodeLine.id)))
    assert set(lines.resolve([VIEW, DECODE]).values()) == known
    assert ids is not None


def test_lines_of_stored_profiles_are_never_deleted(store: Store) -> None:
    """A process that meets a line once a day for weeks, and one that stops: no profile loses it."""
    now = [time.time() - 40 * 86_400]
    writer = BatchWriter(store, lambda: 1, source)
    writer._lines = CodeLines(store, source, clock=lambda: now[0])
    for number in range(400):
        now[0] += 2.4 * 3600
        batch = Batch("w", number + 1, "1", [])
        batch.profiles.append(profile(time_ms=int(now[0] * 1000)))
        if number < 300:
            writer.write(batch)
        prune(store, retention.plan(values(), store.timezone, int(now[0] * 1000)))
    assert count(store, Profile) > 0
    with store.read() as connection:
        known = set(connection.scalars(select(CodeLine.id)))
        used = {
            node.line_id
            for tree in connection.scalars(select(Profile.tree))
            for node in decode(tree)
        }
    assert used
    assert used <= known
    now[0] += 20 * 86_400
    prune(store, retention.plan(values(), store.timezone, int(now[0] * 1000)))
    assert (count(store, Profile), count(store, CodeLine)) == (0, 0)


def test_names_without_data_go_and_no_others(store: Store) -> None:
    now_ms = time.time_ns() // 1_000_000
    old = now_ms - 800 * DAY_MS
    writer = BatchWriter(store, lambda: 1, source)
    rows = [row(old, ip=f"10.0.{n // 250}.{n % 250}", group=f"g{n}") for n in range(3000)]
    rows += [row(now_ms, ip=f"10.0.0.{n}", group=f"g{n}") for n in range(7)]
    batch = Batch("w", 1, "1", rows)
    batch.outliers.append(outlier(time_ms=now_ms, group="slow", ip="192.0.2.9"))
    writer.write(batch)
    visitors.tend(store, lambda _connection: None, at=1)
    gone = prune(store, retention.plan(values(), store.timezone, now_ms) | {NAMES: 0})
    assert gone["names"] == 2 * 2993
    with store.read() as connection:
        groups = set(connection.scalars(select(Group.name)))
        clients = set(connection.scalars(select(Client.name)))
    assert groups == {f"g{n}" for n in range(7)} | {"slow"}
    assert clients == {f"10.0.0.{n}" for n in range(7)} | {"192.0.2.9"}
    # The writer's ids were dropped: nothing refers to a name that is gone.
    writer.write(Batch("w", 2, "1", [row(now_ms, ip="10.0.1.1", group="g2000")]))
    last = stored_rows(store)[-1]
    assert (last.ip, last.group) == ("10.0.1.1", "g2000")


def test_names_in_the_days_of_visitors_stay(store: Store) -> None:
    """Without a raw row, merged or still waiting: the pages of visitors show them."""
    now_ms = time.time_ns() // 1_000_000
    writer = BatchWriter(store, lambda: 1, source)
    writer.write(Batch("w", 1, "1", [row(now_ms - 3 * DAY_MS, ip="10.0.0.1", group="merged")]))
    assert visitors.tend(store, lambda _connection: None, at=1) == 1
    writer.write(Batch("w", 2, "1", [row(now_ms, ip="10.0.0.2", group="waiting")]))
    with store.write() as connection:
        connection.execute(insert(Group).values(name="nobody"))
        connection.execute(text("DELETE FROM fmd_request"))
    assert prune(store, {NAMES: 0}) == {"names": 1}
    with store.read() as connection:
        assert set(connection.scalars(select(Group.name))) == {"merged", "waiting"}
        assert set(connection.scalars(select(Client.name))) == {"10.0.0.1", "10.0.0.2"}


def test_names_are_not_looked_for_each_hour(store: Store) -> None:
    with store.write() as connection:
        connection.execute(insert(Group).values(name="nobody"))
    assert prune(store, {NAMES: 0}, always_names=False) == {}
    assert prune(store, {NAMES: 0}) == {"names": 1}


@pytest.mark.parametrize("sample", ["", ".*=0"])
@pytest.mark.parametrize("at", [2, 5, 8])
def test_a_name_that_comes_back_while_it_is_looked_for_stays(
    store: Store, sample: str, at: int
) -> None:
    """With its row left out too: then it waits in what is counted of visitors only."""
    writer = BatchWriter(store, lambda: 1, sample=lambda: sample)
    old = time.time_ns() // 1_000_000 - 40 * DAY_MS
    writer.write(Batch("w", 1, "1", [row(old, group=f"g{n}") for n in range(5)]))
    with store.write() as connection:
        connection.execute(text("DELETE FROM fmd_visitor_delta"))
    # A day of visitors, so that there is a step between what waits and the deletion.
    writer.write(Batch("w", 2, "1", [row(old, group="day")]))
    visitors.tend(store, lambda _connection: None, at=1)
    with store.write() as connection:
        connection.execute(text("DELETE FROM fmd_request"))
    pruner = Pruner(
        store, {NAMES: 0}, fence=lambda _: None, record=lambda _connection, _deleted: None
    )
    steps = 0
    while not pruner.work(0.0, lambda _pause_s: False):
        steps += 1
        if steps == at:  # All tables were not read yet, or were: with the old id in the cache.
            writer.write(Batch("w", 3, "1", [row(old + DAY_MS, group="g3")]))
    assert [r.group for r in stored_rows(store)] == ([] if sample else ["g3"])
    with store.read() as connection:
        assert set(connection.scalars(select(Group.name))) == {"day", "g3"}


# Runs


def test_runs_are_remembered_and_empty_ones_are_not_piled_up(store: Store) -> None:
    with store.write() as connection:
        for number in range(70):
            run_id = prune_runs.ask(connection, prune_runs.HOURLY, {"requests": 5}, 1000 + number)
            if number in (3, 60):
                prune_runs.count(connection, run_id, {"requests": number})
            run = prune_runs.next_open(connection)
            assert run is not None
            assert run.id == run_id
            prune_runs.finish(connection, run, 2000 + number)
        waiting = prune_runs.ask(connection, "anna", {"requests": 7}, 3000)
        recent = prune_runs.recent(connection, 10)
    assert [(run.reason, run.deleted) for run in recent] == [
        ("anna", {}),
        ("hourly", {}),
        ("hourly", {"requests": 60}),
    ]
    with store.read() as connection:
        run = prune_runs.next_open(connection)
        done = prune_runs.last_done(connection)
    assert run is not None
    assert (run.id, run.plan, run.rows) == (waiting, {"requests": 7}, 0)
    assert done is not None
    assert done.finished_at is not None


def test_merging_old_deltas_after_their_rows_went_keeps_them_counted(store: Store) -> None:
    now_ms = time.time_ns() // 1_000_000
    old = now_ms - 40 * DAY_MS
    BatchWriter(store, lambda: 1).write(Batch("w", 1, "1", [row(old)] * 10 + [row(now_ms)] * 5))
    prune(store, retention.plan(values(), store.timezone, now_ms))
    assert count(store, Request) == 5
    assert count(store, RollupDelta) == 2
    with store.write() as connection:
        merge_deltas(connection, store.timezone)
    rebuild(store)
    with store.read() as connection:
        assert connection.scalar(select(func.sum(Day.hits))) == 15
