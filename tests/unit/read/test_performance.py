from __future__ import annotations

from datetime import datetime

import pytest

from fmd_admin.read.catalog import endpoint_names
from fmd_admin.read.performance import performance
from fmd_admin.store.store import Store

from .conftest import MakeWorld
from .data import World, count_by, quantile


@pytest.mark.parametrize("name", ["1h", "24h", "7d", "30d"])
def test_boxes_are_those_of_the_rows(world: World, name: str) -> None:
    scope = world.scope(range=name, version=["1.0", "1.1"])
    with world.store.read() as connection:
        found = performance(connection, scope)
    expected = count_by(world.inside(scope), lambda row: row.endpoint)
    assert {box.name for box in found.boxes} == set(expected)
    for box in found.boxes:
        durations = [row.duration_ms for row in expected[box.name]]
        assert box.hits == len(durations)
        assert (box.min_ms, box.max_ms) == (min(durations), max(durations))
        assert box.mean_ms == pytest.approx(sum(durations) / len(durations))
        figures = [box.q1_ms, box.median_ms, box.q3_ms, box.p95_ms, box.p99_ms]
        assert figures == pytest.approx(
            [quantile(durations, q) for q in (0.25, 0.5, 0.75, 0.95, 0.99)], rel=0.01
        )


def test_whiskers_end_at_the_last_requests_within_reach(world: World) -> None:
    scope = world.scope(range="30d")
    with world.store.read() as connection:
        found = performance(connection, scope)
    expected = count_by(world.inside(scope), lambda row: row.endpoint)
    for box in found.boxes:
        durations = [row.duration_ms for row in expected[box.name]]
        reach = 1.5 * (box.q3_ms - box.q1_ms)
        low = min(value for value in durations if value >= box.q1_ms - reach)
        high = max(value for value in durations if value <= box.q3_ms + reach)
        # A request at the very end of the reach may fall to either side of it.
        assert box.whisker_low_ms == pytest.approx(low, rel=0.05)
        assert box.whisker_high_ms == pytest.approx(high, rel=0.05)


def test_figures_are_in_order(world_in: MakeWorld) -> None:
    world = world_in("UTC", datetime(2026, 11, 22, 15), hits=60)
    with world.store.read() as connection:
        found = performance(connection, world.scope(range="30d"))
    assert found.boxes
    for box in found.boxes:
        ordered = [
            box.min_ms,
            box.whisker_low_ms,
            box.q1_ms,
            box.median_ms,
            box.q3_ms,
            box.whisker_high_ms,
            box.max_ms,
        ]
        assert ordered == sorted(ordered)


def test_the_slowest_median_comes_first(world: World) -> None:
    with world.store.read() as connection:
        medians = [box.median_ms for box in performance(connection, world.scope(range="30d")).boxes]
    assert medians == sorted(medians, reverse=True)
    assert len(medians) == 4


def test_one_endpoint(world: World) -> None:
    with world.store.read() as connection:
        ids = {name: key for key, name in endpoint_names(connection).items()}
        found = performance(connection, world.scope(ids["index"], range="30d"))
    assert [box.name for box in found.boxes] == ["index"]


def test_a_box_of_one_request_is_a_line(world_in: MakeWorld) -> None:
    world = world_in("UTC", datetime(2026, 11, 22, 15), hits=1, days=0.01)
    with world.store.read() as connection:
        (box,) = performance(connection, world.scope(range="24h")).boxes
    duration_ms = world.rows[0].duration_ms
    assert {box.min_ms, box.whisker_low_ms, box.median_ms, box.p99_ms, box.max_ms} == {duration_ms}


def test_the_table_has_a_row_for_each_box(world: World) -> None:
    with world.store.read() as connection:
        found = performance(connection, world.scope(range="30d"))
    table = found.table()
    assert [row[0] for row in table.rows] == [box.name for box in found.boxes]
    for column, value in zip(table.columns[1:], table.rows[0][1:], strict=True):
        assert value == getattr(found.boxes[0], column.key)


def test_an_empty_store_has_no_boxes(store: Store) -> None:
    world = World(store, [], 1_795_387_000_000)
    with store.read() as connection:
        assert performance(connection, world.scope(range="7d")).table().rows == []
