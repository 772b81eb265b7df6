from __future__ import annotations

from datetime import datetime

import pytest

from fmd_admin.read.catalog import endpoint_names
from fmd_admin.read.utilization import daily, hourly
from fmd_admin.store.store import Store

from .conftest import MakeWorld
from .data import ZONES_AND_DAYS, World, count_by, local_days

RANGES: list[dict[str, str | list[str]]] = [
    {"range": "1h"},
    {"range": "24h"},
    {"range": "7d"},
    {"range": "30d", "version": ["1.0", "2.0"]},
    {"since": "2026-01-01T00:00", "to": "2026-12-31T00:00"},
]


@pytest.mark.parametrize(("zone", "now"), ZONES_AND_DAYS)
def test_cells_hold_the_hits_of_the_rows(world_in: MakeWorld, zone: str, now: datetime) -> None:
    world = world_in(zone, now)
    for args in RANGES:
        scope = world.scope(**args)
        with world.store.read() as connection:
            found = hourly(connection, scope)
        rows = world.inside(scope)
        expected = count_by(
            rows,
            lambda row: (
                world.local(row.time_ms).date().isoformat(),
                world.local(row.time_ms).hour,
            ),
        )
        assert found.days == local_days(scope)
        # The hours that there are: every minute of the range that is not in the future.
        exist = {
            (world.local(time_ms).date().isoformat(), world.local(time_ms).hour)
            for time_ms in range(scope.start_ms, min(scope.end_ms, world.now_ms + 1), 1_800_000)
        }
        for day, hits in zip(found.days, found.hits, strict=True):
            assert len(hits) == 24
            for hour, count in enumerate(hits):
                key = (day, hour)
                assert count == (len(expected.get(key, [])) if key in exist else None)
        assert found.total == len(rows)
        assert found.peak == max((len(part) for part in expected.values()), default=0)


def test_the_hour_left_out_is_none_and_the_one_that_comes_twice_has_both(
    world_in: MakeWorld,
) -> None:
    world = world_in("Europe/Amsterdam", datetime(2026, 10, 27, 12), days=3, hits=4000)
    with world.store.read() as connection:
        autumn = hourly(connection, world.scope(range="7d"))
        spring = hourly(connection, world.scope(since="2026-03-29T00:00", to="2026-03-30T00:00"))
    row = autumn.hits[autumn.days.index("2026-10-25")]
    one_hour = [row[hour] or 0 for hour in (1, 3)]
    assert (row[2] or 0) > 1.3 * max(one_hour)
    assert spring.hits == [[0, 0, None, *[0] * 21]]


def test_hits_of_a_clock_that_runs_ahead_are_shown(world: World) -> None:
    world.now_ms -= 5 * 3_600_000
    scope = world.scope(range="24h")
    later = [row for row in world.rows if world.now_ms < row.time_ms < scope.end_ms]
    with world.store.read() as connection:
        found = hourly(connection, scope)
    assert found.total == len(world.inside(scope))
    assert later


def test_one_endpoint_s_hours(world: World) -> None:
    with world.store.read() as connection:
        ids = {name: key for key, name in endpoint_names(connection).items()}
        found = hourly(connection, world.scope(ids["index"], range="30d"))
    rows = world.inside(world.scope(range="30d"))
    assert found.total == sum(row.endpoint == "index" for row in rows)


@pytest.mark.parametrize(("zone", "now"), ZONES_AND_DAYS)
def test_days_hold_the_hits_of_the_rows(world_in: MakeWorld, zone: str, now: datetime) -> None:
    world = world_in(zone, now)
    for args in RANGES:
        scope = world.scope(**args)
        with world.store.read() as connection:
            found = daily(connection, scope)
        rows = world.inside(scope)
        expected = count_by(
            rows, lambda row: (world.local(row.time_ms).date().isoformat(), row.endpoint)
        )
        assert found.days == local_days(scope)
        assert found.total == len(rows)
        for series in found.series:
            assert series.hits == [len(expected.get((day, series.name), [])) for day in found.days]
        assert {series.name for series in found.series} == {row.endpoint for row in rows}


def test_most_hits_first_and_the_rest_is_other(world: World) -> None:
    scope = world.scope(range="30d")
    by_endpoint = count_by(world.inside(scope), lambda row: row.endpoint)
    ranked = sorted(by_endpoint, key=lambda name: -len(by_endpoint[name]))
    with world.store.read() as connection:
        found = daily(connection, scope, top=2)
    assert [series.name for series in found.series] == [*ranked[:2], "other"]
    assert found.series[-1].endpoint_id is None
    assert sum(found.series[-1].hits) == sum(len(by_endpoint[name]) for name in ranked[2:])
    assert found.total == len(world.inside(scope))


def test_a_single_other_one_has_its_own_name(world: World) -> None:
    with world.store.read() as connection:
        found = daily(connection, world.scope(range="30d"), top=3)
    assert len(found.series) == 4
    assert None not in [series.endpoint_id for series in found.series]


def test_tables_have_the_rows_of_the_charts(world: World) -> None:
    with world.store.read() as connection:
        hours = hourly(connection, world.scope(range="7d"))
        days = daily(connection, world.scope(range="7d"), top=2)
    table = hours.table()
    assert [column.label for column in table.columns][:3] == ["Day", "00:00", "01:00"]
    assert table.rows == [(day, *row) for day, row in zip(hours.days, hours.hits, strict=True)]
    table = days.table()
    assert len({column.key for column in table.columns}) == len(table.columns) == 5
    assert [row[0] for row in table.rows] == days.days
    assert sum(row[1] for row in table.rows) == days.total  # type: ignore[misc]
    for row in table.rows:
        assert row[1] == sum(row[2:])  # type: ignore[arg-type]


def test_pages_of_an_empty_store(store: Store) -> None:
    world = World(store, [], 1_795_387_000_000)
    with store.read() as connection:
        hours = hourly(connection, world.scope(range="7d"))
        days = daily(connection, world.scope(range="7d"))
    assert (hours.total, hours.peak, len(hours.days)) == (0, 0, 7)
    assert (days.total, days.series, len(days.days)) == (0, [], 7)
    assert len(days.table().rows) == 7
