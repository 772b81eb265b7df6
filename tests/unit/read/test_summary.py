from __future__ import annotations

from datetime import datetime
from itertools import pairwise

import pytest

from fmd_admin.read.catalog import endpoint_names, versions
from fmd_admin.read.figures import Change, Figures, change, relative
from fmd_admin.read.overview import overview
from fmd_admin.read.summary import summary
from fmd_admin.store.calendar import HOUR_MS
from fmd_admin.store.store import Store
from fmd_admin.store.types import to_millis

from .conftest import MakeWorld
from .data import ZONES_AND_DAYS, Measured, World, quantile

RANGES: list[dict[str, str | list[str]]] = [
    {"range": "1h"},
    {"range": "24h"},
    {"range": "7d"},
    {"range": "30d", "version": ["1.0", "2.0"]},
    {"since": "2026-02-01T05:00", "to": "2026-12-01T00:00", "against": "off"},
]


def id_of(world: World, name: str) -> int:
    with world.store.read() as connection:
        names = endpoint_names(connection)
    return next(key for key, found in names.items() if found == name)


def check(found: Figures, rows: list[Measured]) -> None:
    durations = [row.duration_ms for row in rows]
    assert found.hits == len(rows)
    assert found.errors == sum(row.status >= 400 for row in rows)
    if rows:
        assert found.error_share == found.errors / found.hits
        assert found.mean_ms == pytest.approx(sum(durations) / len(rows))
        assert [found.p50_ms, found.p95_ms, found.p99_ms] == pytest.approx(
            [quantile(durations, q) for q in (0.5, 0.95, 0.99)], rel=0.01
        )
    else:
        assert (found.error_share, found.mean_ms, found.p50_ms, found.p95_ms) == (None,) * 4


@pytest.mark.parametrize(("zone", "now"), ZONES_AND_DAYS)
def test_figures_and_steps_are_those_of_the_rows(
    world_in: MakeWorld, zone: str, now: datetime
) -> None:
    world = world_in(zone, now)
    endpoint_id = id_of(world, "index")
    mine = [row for row in world.rows if row.endpoint == "index"]
    for args in RANGES:
        scope = world.scope(endpoint_id, **args)
        with world.store.read() as connection:
            found = summary(connection, scope)
        inside = [row for row in world.inside(scope) if row.endpoint == "index"]
        check(found.now, inside)
        starts = [to_millis(point.time) for point in found.points]
        assert starts == found.steps.starts == sorted(set(starts))
        assert starts[0] == scope.start_ms
        edges = [*starts, scope.end_ms]
        for point, (start, end) in zip(found.points, pairwise(edges), strict=True):
            rows = [row for row in inside if start <= row.time_ms < end]
            durations = [row.duration_ms for row in rows]
            assert (point.hits, point.errors) == (len(rows), sum(r.status >= 400 for r in rows))
            if rows:
                assert point.mean_ms == pytest.approx(sum(durations) / len(rows))
                assert point.p95_ms == pytest.approx(quantile(durations, 0.95), rel=0.01)
        earlier = scope.before()
        if earlier is None:
            assert found.before is found.change is None
            continue
        assert found.before is not None
        check(
            found.before,
            [
                row
                for row in mine
                if earlier.start_ms <= row.time_ms < earlier.end_ms
                and (not scope.versions or row.version in scope.versions)
            ],
        )


def test_a_week_is_shown_by_hour_and_more_by_day(world: World) -> None:
    units = []
    for args in ({"range": "24h"}, {"range": "7d"}, {"range": "30d"}):
        with world.store.read() as connection:
            found = summary(connection, world.scope(id_of(world, "index"), **args))
        units.append(found.steps.unit)
    assert units == ["hour", "hour", "day"]


def test_versions_that_were_new_in_the_range_are_marked(world: World) -> None:
    with world.store.read() as connection:
        known = versions(connection)
    with world.store.read() as connection:
        scope = world.scope(id_of(world, "index"), since="2026-01-01T00:00")
        found = summary(connection, scope)
        none = summary(connection, world.scope(id_of(world, "index"), range="1h"))
    assert {marker.label: marker.time_ms for marker in found.markers} == {
        version.name: to_millis(version.first_seen) for version in known[1:]
    }
    assert none.markers == []


def test_an_endpoint_without_requests(store: Store, world: World) -> None:
    with world.store.read() as connection:
        found = summary(connection, world.scope(999, range="24h"))
    assert (found.now.hits, found.now.p50_ms) == (0, None)
    assert found.change == Change(None, None, None, None, None)
    assert [point.hits for point in found.points] == [0] * 24


def figures_of(hits: int, errors: int, p50_ms: float, span_ms: int) -> Figures:
    return Figures(hits, errors, errors / hits, p50_ms, p50_ms, p50_ms * 2, p50_ms * 4, span_ms)


def test_change_compares_rates_not_numbers_of_unequal_times() -> None:
    now, before = figures_of(150, 3, 30.0, 1_000), figures_of(200, 2, 20.0, 2_000)
    found = change(now, before)
    assert found.hits == pytest.approx(0.5)
    assert found.error_share == pytest.approx(0.01)
    assert (found.p50, found.p95, found.p99) == pytest.approx((0.5, 0.5, 0.5))


def test_time_before_anything_was_measured_is_not_compared_with(world: World) -> None:
    scope = world.scope(id_of(world, "index"), range="30d")
    earlier = scope.before()
    first_ms = min(row.time_ms for row in world.rows)
    assert earlier is not None
    assert earlier.start_ms < first_ms < earlier.end_ms
    with world.store.read() as connection:
        found = summary(connection, scope)
        every = overview(connection, world.scope(range="30d"))
    assert found.before is not None
    assert found.change is not None
    assert every.change is not None
    # Counted from the beginning of the first hour.
    assert 0 <= found.before.span_ms - (earlier.end_ms - first_ms) < HOUR_MS
    rate, before = (one.hits / one.span_ms for one in (found.now, found.before))
    assert found.change.hits == pytest.approx(rate / before - 1)
    inside = [len(world.inside(one)) for one in (scope, earlier)]
    rate, before = inside[0] / found.now.span_ms, inside[1] / found.before.span_ms
    assert every.change.hits == pytest.approx(rate / before - 1)


def test_nothing_is_compared_with_nothing() -> None:
    assert relative(None, 3.0) is None
    assert relative(3.0, None) is None
    assert relative(3.0, 0.0) is None
