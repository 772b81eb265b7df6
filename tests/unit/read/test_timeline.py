from __future__ import annotations

from datetime import datetime

import pytest

from fmd_admin.read import timeline
from fmd_admin.read.buckets import Buckets
from fmd_admin.read.catalog import endpoint_names
from fmd_admin.read.timeline import Timeline

from .conftest import MakeWorld
from .data import ZONES_AND_DAYS, Measured, World, quantile

RANGES: list[dict[str, str | list[str]]] = [
    {"range": "1h"},
    {"range": "24h"},
    {"range": "7d"},
    {"range": "30d", "version": ["1.0", "2.0"]},
    {"since": "2026-03-01T05:00", "to": "2026-12-01T17:00"},
]


def by_step(world: World, steps: Timeline, rows: list[Measured]) -> list[list[Measured]]:
    """The rows of each step, told apart by what a clock on the wall shows."""

    def cell(time_ms: int) -> object:
        local = world.local(time_ms)
        return (local.date(), local.hour, local.utcoffset()) if steps.hourly else local.date()

    found: dict[object, list[Measured]] = {}
    for row in rows:
        found.setdefault(cell(row.time_ms), []).append(row)
    return [found.pop(cell(start), []) for start in steps.starts] + list(found.values())


@pytest.mark.parametrize(("zone", "now"), ZONES_AND_DAYS)
def test_steps_hold_the_figures_of_the_rows(world_in: MakeWorld, zone: str, now: datetime) -> None:
    world = world_in(zone, now)
    for args in RANGES:
        scope = world.scope(**args)
        steps = timeline.timeline(scope)
        expected = by_step(world, steps, world.inside(scope))
        with world.store.read() as connection:
            buckets = Buckets(connection, scope)
            totals = timeline.totals(buckets, steps)
            statuses = timeline.statuses(buckets, steps)
        assert len(expected) == len(steps.starts), "rows that lie in no step"
        for rows, total, counts in zip(expected, totals, statuses, strict=True):
            assert total.hits == len(rows) == sum(counts.values())
            assert total.errors == sum(row.status >= 400 for row in rows)
            assert counts == {
                status: sum(row.status == status for row in rows)
                for status in {row.status for row in rows}
            }
            if rows:
                durations = [row.duration_ms for row in rows]
                assert total.sum_ms == pytest.approx(sum(durations))
                assert total.quantiles((0.5, 0.95)) == pytest.approx(
                    [quantile(durations, 0.5), quantile(durations, 0.95)], rel=0.01
                )


def test_the_units_of_ranges(world: World) -> None:
    assert timeline.timeline(world.scope(range="1h")).unit == "hour"
    assert timeline.timeline(world.scope(range="24h")).unit == "hour"
    assert timeline.timeline(world.scope(range="7d")).unit == "day"
    assert len(timeline.timeline(world.scope(range="30d")).starts) == 30
    assert timeline.timeline(world.scope(range="7d"), most_hours=200).unit == "hour"


def test_the_hour_that_comes_twice_is_two_steps_and_the_one_left_out_is_none(
    world_in: MakeWorld,
) -> None:
    world = world_in("Europe/Amsterdam", datetime(2026, 10, 26, 12), hits=1)
    autumn = timeline.timeline(world.scope(since="2026-10-25T01:00", to="2026-10-25T04:00"))
    spring = timeline.timeline(world.scope(since="2026-03-29T01:00", to="2026-03-29T04:00"))
    assert autumn.edges() == [
        ("2026-10-25T01:00+02:00", "2026-10-25T02:00+02:00"),
        ("2026-10-25T02:00+02:00", "2026-10-25T02:00+01:00"),
        ("2026-10-25T02:00+01:00", "2026-10-25T03:00+01:00"),
        ("2026-10-25T03:00+01:00", "2026-10-25T04:00+01:00"),
    ]
    assert spring.edges() == [
        ("2026-03-29T01:00+01:00", "2026-03-29T03:00+02:00"),
        ("2026-03-29T03:00+02:00", "2026-03-29T04:00+02:00"),
    ]
    assert len(autumn.cells()) == len(set(autumn.cells())) == 4


def test_days_at_the_ends_of_a_range_are_cut(world: World) -> None:
    steps = timeline.timeline(world.scope(since="2026-10-20T07:00", to="2026-10-25T17:00"))
    assert steps.cells() == [f"2026-10-{day}" for day in range(20, 26)]
    assert steps.edges()[0] == ("2026-10-20T07:00+02:00", "2026-10-21T00:00+02:00")
    assert steps.edges()[-1] == ("2026-10-25T00:00+02:00", "2026-10-25T17:00+01:00")


def test_one_endpoint_s_steps(world: World) -> None:
    with world.store.read() as connection:
        ids = {name: key for key, name in endpoint_names(connection).items()}
        scope = world.scope(ids["index"], range="30d")
        totals = timeline.totals(Buckets(connection, scope), timeline.timeline(scope))
    rows = [row for row in world.inside(scope) if row.endpoint == "index"]
    assert sum(total.hits for total in totals) == len(rows) > 0
