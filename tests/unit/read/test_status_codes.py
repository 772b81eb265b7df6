from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import delete, event

from fmd_admin.read import measured, status_codes
from fmd_admin.read.catalog import endpoint_names
from fmd_admin.read.measured import Asked
from fmd_admin.read.status_codes import OTHER, by_endpoint, errors, over_time
from fmd_admin.records import Batch, Row
from fmd_admin.store.models import Request
from fmd_admin.store.store import Store
from fmd_admin.store.writer import BatchWriter

from .conftest import MakeWorld
from .data import ZONES_AND_DAYS, World, count_by

RANGES: list[dict[str, str | list[str]]] = [
    {"range": "24h"},
    {"range": "7d", "version": "1.1"},
    {"range": "30d"},
    {"since": "2026-01-01T07:00", "to": "2026-12-31T17:00"},
]


@pytest.mark.parametrize(("zone", "now"), ZONES_AND_DAYS)
def test_steps_hold_the_statuses_of_the_rows(world_in: MakeWorld, zone: str, now: datetime) -> None:
    world = world_in(zone, now)
    for args in RANGES:
        scope = world.scope(**args)
        with world.store.read() as connection:
            found = over_time(connection, scope)
        rows = world.inside(scope)
        assert found.codes == sorted({row.status for row in rows})
        assert found.total == len(rows)
        assert sum(found.errors) == sum(row.status >= 400 for row in rows)
        for number, (start, end) in enumerate(found.steps.edges()):
            first, last = datetime.fromisoformat(start), datetime.fromisoformat(end)
            inside = [row for row in rows if first <= world.local(row.time_ms) < last]
            assert found.totals[number] == len(inside)
            assert found.errors[number] == sum(row.status >= 400 for row in inside)
            for code, hits in zip(found.codes, found.hits, strict=True):
                assert hits[number] == sum(row.status == code for row in inside)


@pytest.mark.parametrize(("zone", "now"), ZONES_AND_DAYS)
def test_endpoints_hold_the_statuses_of_the_rows(
    world_in: MakeWorld, zone: str, now: datetime
) -> None:
    world = world_in(zone, now)
    for args in RANGES:
        scope = world.scope(**args)
        with world.store.read() as connection:
            found = by_endpoint(connection, scope)
        rows = world.inside(scope)
        expected = count_by(rows, lambda row: (row.endpoint, row.status))
        assert {(e.name, code): hits for e, code, hits in found.pairs()} == {
            key: len(part) for key, part in expected.items()
        }
        failures = [endpoint.errors for endpoint in found.endpoints]
        assert failures == sorted(failures, reverse=True)
        assert found.total == len(rows)


def test_one_endpoint_s_statuses(world: World) -> None:
    with world.store.read() as connection:
        ids = {name: key for key, name in endpoint_names(connection).items()}
        scope = world.scope(ids["index"], range="30d")
        (only,) = by_endpoint(connection, scope).endpoints
        steps = over_time(connection, scope)
        listed = errors(connection, scope, Asked(page_size=None))
    rows = [row for row in world.inside(scope) if row.endpoint == "index"]
    assert (only.name, only.total) == ("index", len(rows))
    assert steps.total == len(rows)
    assert sorted(row.duration_ms for row in listed.rows) == sorted(
        row.duration_ms for row in rows if row.status >= 400
    )


def test_rare_codes_and_quiet_endpoints_are_others(world: World) -> None:
    scope = world.scope(range="30d")
    with world.store.read() as connection:
        steps = over_time(connection, scope, top=2)
        found = by_endpoint(connection, scope, top=2, top_endpoints=2)
    rows = world.inside(scope)
    by_code = count_by(rows, lambda row: row.status)
    most = sorted(by_code, key=lambda code: (-len(by_code[code]), code))[:2]  # type: ignore[operator]
    assert steps.codes == found.codes == [*sorted(most), OTHER]  # type: ignore[type-var]
    assert [sum(hits) for hits in zip(*steps.hits, strict=True)] == steps.totals
    assert [(e.name, e.id is None) for e in found.endpoints][-1] == ("2 others", True)
    assert found.total == len(rows)
    assert sum(e.errors for e in found.endpoints) == sum(row.status >= 400 for row in rows)
    assert steps.table().columns[-1].label == "other"


def test_errors_come_newest_first_in_pages(world: World) -> None:
    scope = world.scope(range="30d", version=["1.0", "1.1"])
    expected = sorted(
        (row for row in world.inside(scope) if row.status >= 400),
        key=lambda row: row.time_ms,
        reverse=True,
    )
    with world.store.read() as connection:
        first = errors(connection, scope, Asked(page_size=20))
        pages = [
            errors(connection, scope, Asked(page=page, page_size=20))
            for page in range(1, first.pages + 1)
        ]
        beyond = errors(connection, scope, Asked(page=999, page_size=20))
        oldest = errors(connection, scope, Asked(descending=False, page_size=20))
    assert first.total == len(expected) > 100
    found = [row for page in pages for row in page.rows]
    assert [
        (int(row.time.timestamp() * 1000 + 0.5), row.endpoint, row.status, row.version)
        for row in found
    ] == [(row.time_ms, row.endpoint, row.status, row.version) for row in expected]
    assert beyond == pages[-1]
    assert oldest.rows[0] == found[-1]


@pytest.mark.sqlite_only  # It asks SQLite for its plan.
def test_errors_are_found_by_their_own_index(world: World) -> None:
    plans: list[str] = []

    def explain(connection: Any, _cursor: Any, sql: str, values: Any, *_: Any) -> None:
        if "FROM fmd_request" in sql and not sql.startswith("EXPLAIN"):
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values)
            plans.append(" ".join(row[3] for row in rows))

    for endpoint_id in (None, 2):
        scope = world.scope(endpoint_id, range="30d")
        with world.store.read() as connection:
            event.listen(connection, "before_cursor_execute", explain)
            status_codes.errors(connection, scope, Asked(page=2, page_size=20))
            connection.execute(
                status_codes.every_error(scope).order_by(Request.time.desc(), Request.id.desc())
            )
    # Counting, the keys of a page and the export; the rows of a page are fetched by their keys.
    assert len(plans) == 8
    assert sum("fmd_request_errors" in plan for plan in plans) == 6, plans
    assert sum("fmd_request_errors_endpoint" in plan for plan in plans[4:]) == 3, plans
    assert not any("fmd_request_time" in plan for plan in plans), plans


def test_errors_that_are_no_longer_stored_stay_in_the_charts(world: World) -> None:
    scope = world.scope(range="30d")
    with world.store.write() as connection:
        connection.execute(delete(Request))
    with world.store.read() as connection:
        assert errors(connection, scope, Asked()).rows == []
        assert sum(over_time(connection, scope).errors) > 0


def test_tables_have_the_rows_of_the_charts(world: World) -> None:
    with world.store.read() as connection:
        steps = over_time(connection, world.scope(range="7d"))
        hours = over_time(connection, world.scope(range="24h"))
        found = by_endpoint(connection, world.scope(range="7d"))
    assert [row[0] for row in steps.table().rows] == steps.steps.cells()
    assert hours.table().columns[0].kind == "time"
    for row, total, failed in zip(steps.table().rows, steps.totals, steps.errors, strict=True):
        assert row[1:3] == (total, failed)
        assert sum(row[3:]) == total  # type: ignore[arg-type]
    assert [row[:3] for row in found.table().rows] == [
        (endpoint.name, str(code), hits) for endpoint, code, hits in found.pairs()
    ]


def test_an_empty_store(store: Store) -> None:
    world = World(store, [], 1_795_387_000_000)
    with store.read() as connection:
        scope = world.scope(range="7d")
        assert over_time(connection, scope).total == 0
        assert len(over_time(connection, scope).table().rows) == 7
        assert by_endpoint(connection, scope).table().rows == []
        assert errors(connection, scope, Asked()) == status_codes.ErrorList([], 0, 1, 1)


@pytest.mark.parametrize("top", [1, 2, 3, 20])
@pytest.mark.parametrize("statuses", [(0,), (0, 0, 0, 200, 404, 404, 500), (0, 200, 200, 500)])
def test_a_status_of_0_is_counted_once(store: Store, top: int, statuses: tuple[int, ...]) -> None:
    now_ms = 1_795_387_000_000
    rows = [Row(now_ms - 1, "a", 5.0, status, "GET", None, None) for status in statuses]
    BatchWriter(store, lambda: 1).write(Batch("w", 1, "1.0", rows))
    with store.read() as connection:
        scope = World(store, [], now_ms).scope(range="7d")
        steps = over_time(connection, scope, top=top)
        (only,) = by_endpoint(connection, scope, top=top).endpoints
    assert [sum(hits) for hits in zip(*steps.hits, strict=True)] == steps.totals
    assert sum(only.hits) == only.total == len(statuses)
    assert len(set(steps.codes)) == len(steps.codes)
    assert steps.codes[-1] == OTHER
    assert sum(steps.hits[-1]) >= statuses.count(0)


@pytest.mark.every_engine
def test_many_errors_are_counted_as_they_are(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """MySQL, without an index of them, counts where there are many as the rollups do."""
    is_mysql = world.store.engine.dialect.name == "mysql"
    counted: list[str] = []

    def listen(_connection: object, _cursor: object, sql: str, *_rest: object) -> None:
        if "count(*)" in sql and "fmd_request.status" in sql:
            counted.append(sql)

    event.listen(world.store.engine, "before_cursor_execute", listen)
    for args in RANGES:
        scope = world.scope(**args)
        rows = [row for row in world.inside(scope) if row.status >= 400]
        for most in (len(rows) - 1, len(rows)):
            monkeypatch.setattr(measured, "COUNTED", most)
            with world.store.read() as connection:
                found = errors(connection, scope, Asked(page_size=5))
            assert (found.total, found.more) == (most, most < len(rows)), args
            assert len(found.rows) == min(5, most)
    assert bool(counted) != is_mysql
    # From the middle of an hour: no more than there are, and that there may be more.
    since = world.local(sorted(row.time_ms for row in world.rows)[200])
    scope = world.scope(since=f"{since:%Y-%m-%dT%H:%M}", to="2027-01-01T00:00")
    start_ms = scope.exact_start_ms
    actual = sum(row.time_ms >= start_ms and row.status >= 400 for row in world.rows)
    monkeypatch.setattr(measured, "COUNTED", actual + 1)
    with world.store.read() as connection:
        found = errors(connection, scope, Asked(page_size=5))
    assert found.total <= actual
    assert found.more == (is_mysql and start_ms != scope.start_ms)
    assert actual - found.total <= sum(
        start_ms <= row.time_ms < start_ms + 3_600_000 for row in world.rows
    )
    # Once the oldest requests are gone their hours are no longer counted.
    limit_ms = world.scope(range="7d").start_ms
    with world.store.write() as connection:
        connection.execute(delete(Request).where(Request.time < limit_ms))
    left = sum(row.time_ms >= limit_ms and row.status >= 400 for row in world.rows)
    monkeypatch.setattr(measured, "COUNTED", left)
    with world.store.read() as connection:
        found = errors(connection, world.scope(range="30d"), Asked(page_size=5))
    assert (found.total, found.more) == (left, False)
