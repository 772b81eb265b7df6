from __future__ import annotations

from datetime import datetime

import pytest

from fmd_admin.errors import ScopeError
from fmd_admin.read.overview import COLUMNS, SORTS, Overview, overview
from fmd_admin.records import Batch
from fmd_admin.store.store import Store
from fmd_admin.store.types import to_millis
from fmd_admin.store.writer import BatchWriter

from .conftest import MakeWorld
from .data import ZONES_AND_DAYS, World, count_by, quantile

RANGES: list[dict[str, str | list[str]]] = [
    {"range": "1h"},
    {"range": "24h", "version": "1.1"},
    {"range": "7d"},
    {"range": "30d", "version": ["1.0", "2.0"]},
    {"since": "2026-01-01T00:00", "to": "2026-12-31T00:00"},
]


def read(world: World, args: dict[str, str | list[str]], **options: object) -> Overview:
    with world.store.read() as connection:
        return overview(connection, world.scope(**args), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(("zone", "now"), ZONES_AND_DAYS)
def test_rows_are_those_of_the_requests(world_in: MakeWorld, zone: str, now: datetime) -> None:
    world = world_in(zone, now)
    today = world.local(world.now_ms).date()
    for args in RANGES:
        scope = world.scope(**args)
        rows = world.inside(scope)
        expected = count_by(rows, lambda row: row.endpoint)
        chosen = [row for row in world.rows if not scope.versions or row.version in scope.versions]
        all_ms = sum(row.duration_ms for row in rows)
        for found in read(world, args).rows:
            mine = expected.get(found.name, [])
            durations = [row.duration_ms for row in mine]
            dates = [world.local(r.time_ms).date() for r in chosen if r.endpoint == found.name]
            assert found.hits == len(mine) == sum(found.spark)
            assert found.hits_today == sum(day == today for day in dates)
            assert found.hits_week == sum((today - day).days < 7 for day in dates)
            assert found.errors == sum(row.status >= 400 for row in mine)
            assert found.error_share == pytest.approx(
                found.errors / len(mine) if mine else 0, abs=1e-12
            )
            assert found.total_ms == pytest.approx(sum(durations))
            assert found.share == pytest.approx(sum(durations) / all_ms if all_ms else 0)
            figures = (found.p50_ms, found.p95_ms, found.p99_ms)
            if mine:
                assert figures == pytest.approx(
                    tuple(quantile(durations, q) for q in (0.5, 0.95, 0.99)), rel=0.01
                )
            else:
                assert figures == (None, None, None)


def test_sparks_are_hits_in_steps_over_the_range(world: World) -> None:
    for args in RANGES:
        scope = world.scope(**args)
        found = read(world, args)
        steps = {len(row.spark) for row in found.rows}
        assert len(steps) == 1
        assert steps.pop() <= 30
    by_hour = read(world, {"range": "24h"})
    scope = world.scope(range="24h")
    for row in by_hour.rows:
        assert row.spark == [
            sum(
                r.endpoint == row.name and start <= r.time_ms < start + 3_600_000
                for r in world.rows
            )
            for start in range(scope.start_ms, scope.end_ms, 3_600_000)
        ]
    by_day = read(world, {"range": "30d"})
    days = world.scope(range="30d").days
    for row in by_day.rows:
        assert row.spark == [
            sum(r.endpoint == row.name and world.local(r.time_ms).date() == day for r in world.rows)
            for day in days
        ]


def test_a_spark_of_odd_days_begins_in_the_middle_of_one(world: World) -> None:
    found = read(world, {"since": "2026-10-01T17:00", "to": "2026-10-28T09:00"})
    for row in found.rows:
        assert sum(row.spark) == row.hits
        assert len(row.spark) == 28


def test_summary_is_of_all_rows_that_match(world: World) -> None:
    rows = world.inside(world.scope(range="30d"))
    summary = read(world, {"range": "30d"}, page_size=1).summary
    durations = [row.duration_ms for row in rows]
    assert summary.hits == len(rows)
    assert summary.errors == sum(row.status >= 400 for row in rows)
    assert summary.error_share == pytest.approx(summary.errors / summary.hits)
    assert (summary.p50_ms, summary.p95_ms, summary.p99_ms) == pytest.approx(
        tuple(quantile(durations, q) for q in (0.5, 0.95, 0.99)), rel=0.01
    )
    shop = [row for row in rows if row.endpoint.startswith("shop.")]
    assert read(world, {"range": "30d"}, search="SHOP.").summary.hits == len(shop)


def test_endpoints_without_hits_in_the_range_are_rows_too(world: World) -> None:
    writer = BatchWriter(world.store, lambda: 0)
    late = round(datetime(2040, 1, 1).timestamp() * 1000)
    writer.write(Batch("t", 1, "1.0", [], {"login": late, "index": late - 1}))
    found = {row.name: row for row in read(world, {"range": "1h"}).rows}
    assert found["login"].level == 0
    assert (found["login"].hits, found["login"].p50_ms, found["login"].share) == (0, None, 0)
    assert found["login"].spark == [0, 0]
    assert to_millis(found["login"].last_requested) == late
    assert to_millis(found["index"].last_requested) == late - 1


def test_search_and_blueprint(world: World) -> None:
    def names(**options: object) -> set[str]:
        return {row.name for row in read(world, {"range": "7d"}, **options).rows}

    assert names(search="ITEM") == {"shop.item"}
    assert names(search="  nothing like it ") == set()
    assert names(blueprint="shop") == {"shop.item", "shop.list"}
    assert names(blueprint="shop.api") == {"shop.api.basket"}
    assert names(blueprint="shop", search="list") == {"shop.list"}
    assert len(names(blueprint="")) == len(names()) == 4
    assert read(world, {"range": "7d"}, blueprint="shop").blueprints == ["shop", "shop.api"]


def test_share_is_of_all_endpoints_also_when_filtered(world: World) -> None:
    whole = {row.name: row.share for row in read(world, {"range": "30d"}).rows}
    (part,) = read(world, {"range": "30d"}, search="shop.item").rows
    assert part.share == whole["shop.item"] < 1
    assert sum(whole.values()) == pytest.approx(1)


@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize("sort", SORTS)
def test_every_column_sorts(world: World, sort: str, descending: bool) -> None:
    BatchWriter(world.store, lambda: 0).write(Batch("t", 1, "1.0", [], {"login": 1000}))
    found = read(world, {"range": "24h"}, sort=sort, descending=descending)
    values = [getattr(row, sort) for row in found.rows]
    known = [value for value in values if value is not None]
    assert known == sorted(known, reverse=descending)
    assert values[: len(known)] == known  # What has no value comes last.
    assert (found.sort, found.descending) == (sort, descending)


def test_rows_that_are_equal_are_in_the_order_of_their_names(store: Store) -> None:
    touched = dict.fromkeys(("b", "a", "C"), 1000)
    BatchWriter(store, lambda: 0).write(Batch("t", 1, "1.0", [], touched))
    world = World(store, [], 1_795_387_000_000)
    for descending in (True, False):
        found = read(world, {"range": "7d"}, sort="hits", descending=descending)
        assert [row.name for row in found.rows] == ["C", "a", "b"]
    assert [row.name for row in read(world, {}, sort="name", descending=False).rows] == [
        "a",
        "b",
        "C",
    ]


def test_an_unknown_column_is_refused(world: World) -> None:
    with pytest.raises(ScopeError, match="hits_today"):
        read(world, {"range": "7d"}, sort="password")


def test_pages(world: World) -> None:
    whole = [row.name for row in read(world, {"range": "7d"}, page_size=None).rows]
    first = read(world, {"range": "7d"}, page_size=3)
    second = read(world, {"range": "7d"}, page_size=3, page=2)
    assert [row.name for row in first.rows + second.rows] == whole
    assert (first.total, first.page, first.pages) == (4, 1, 2)
    assert (second.page, len(second.rows)) == (2, 1)
    assert read(world, {"range": "7d"}, page_size=3, page=99).page == 2
    assert read(world, {"range": "7d"}, page_size=3, page=-5).page == 1


def test_the_table_holds_the_page(world: World) -> None:
    found = read(world, {"range": "7d"}, page_size=2)
    table = found.table()
    assert table.columns == COLUMNS
    assert [row[0] for row in table.rows] == [row.name for row in found.rows]
    assert dict(zip(SORTS, table.rows[0], strict=True))["hits"] == found.rows[0].hits


def test_one_endpoint_only(world: World) -> None:
    with world.store.read() as connection:
        whole = overview(connection, world.scope(range="30d"))
        chosen = whole.rows[1]
        found = overview(connection, world.scope(chosen.id, range="30d"))
    assert [(row.name, row.hits) for row in found.rows] == [(chosen.name, chosen.hits)]


def test_an_empty_store(store: Store) -> None:
    found = read(World(store, [], 1_795_387_000_000), {"range": "7d"})
    assert (found.rows, found.total, found.page, found.pages) == ([], 0, 1, 1)
    assert (found.summary.hits, found.summary.p50_ms) == (0, None)
    assert found.blueprints == []
