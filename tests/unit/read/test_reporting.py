"""The report against an independent computation from the raw requests."""

from __future__ import annotations

from datetime import datetime

import pytest
from scipy import stats

from fmd_admin.read import catalog
from fmd_admin.read.intervals import parse_intervals
from fmd_admin.read.reporting import COLUMNS, GROUPS, Report, report
from fmd_admin.read.scope import Scope
from fmd_admin.store.store import Store

from .conftest import MakeWorld
from .data import ZONES_AND_DAYS, World, count_by, quantile


def read(world: World, versions: list[str] | None = None, **args: str) -> Report:
    scope = world.scope(range="30d", version=versions or [])
    with world.store.read() as connection:
        asked = parse_intervals(args, scope, catalog.versions(connection))
        return report(connection, asked)


def rows_inside(world: World, scope: Scope) -> dict[object, list[tuple[float, int]]]:
    found = count_by(world.inside(scope), lambda row: row.endpoint)
    return {name: [(row.duration_ms, row.status) for row in rows] for name, rows in found.items()}


CASES = [
    *({"compare": kind} for kind in ("today", "week", "28d")),
    {"compare": "version", "before": "1.0", "after": "2.0"},
    {"compare": "custom"},
]


@pytest.mark.parametrize("args", CASES, ids=lambda args: args["compare"])
@pytest.mark.parametrize(
    ("zone", "now"), ZONES_AND_DAYS[:4], ids=lambda value: str(value).replace(" ", "-")
)
def test_figures_are_those_of_the_rows(
    world_in: MakeWorld, zone: str, now: datetime, args: dict[str, str]
) -> None:
    world = world_in(zone, now, hits=3000)
    found = read(world, **args)
    sides = found.intervals.before, found.intervals.after
    expected = [rows_inside(world, side) for side in sides]
    assert {row.name for row in found.rows} == set(expected[0]) | set(expected[1])
    assert found.hits == tuple(sum(map(len, side.values())) for side in expected)
    for row in found.rows:
        figures = row.comparison.before, row.comparison.after
        for side, rows_by_name, hours in zip(figures, expected, found.intervals.hours, strict=True):
            rows = rows_by_name.get(row.name, [])
            durations = [duration_ms for duration_ms, _ in rows]
            errors = sum(status >= 400 for _, status in rows)
            assert (side.hits, side.errors) == (len(rows), errors)
            assert side.per_hour == (None if hours is None else pytest.approx(len(rows) / hours))
            if not rows:
                assert (side.median_ms, side.p95_ms, side.mean_ms, side.error_share) == (None,) * 4
                continue
            assert side.mean_ms == pytest.approx(sum(durations) / len(durations))
            assert side.error_share == errors / len(rows)
            assert (side.median_ms, side.p95_ms) == pytest.approx(
                (quantile(durations, 0.5), quantile(durations, 0.95)), rel=0.01
            )


def test_p_of_the_times_is_near_that_of_the_raw_durations(world: World) -> None:
    found = read(world, compare="custom")
    sides = [rows_inside(world, side) for side in (found.intervals.before, found.intervals.after)]
    tested = [row for row in found.rows if row.comparison.times is not None]
    assert len(tested) == 4
    for row in tested:
        raw = [[duration_ms for duration_ms, _ in side[row.name]] for side in sides]
        assert row.comparison.times is not None
        # Buckets tie requests within 2 %: that moves p by a little.
        assert row.comparison.times.p == pytest.approx(stats.mannwhitneyu(*raw).pvalue, abs=0.02)


def test_the_version_filter_holds_for_both_intervals(world: World) -> None:
    found = read(world, ["1.1"], compare="28d")
    for row in found.rows:
        for side, figures in (
            (found.intervals.before, row.comparison.before),
            (found.intervals.after, row.comparison.after),
        ):
            rows = [item for item in world.inside(side) if item.endpoint == row.name]
            assert {item.version for item in rows} <= {"1.1"}
            assert figures.hits == len(rows)


def test_the_most_time_at_stake_comes_first(world: World) -> None:
    stakes = [abs(row.comparison.stake_ms) for row in read(world).rows]
    assert stakes == sorted(stakes, reverse=True)
    assert stakes[0] > 0


def test_groups_hold_everything_that_was_said(world: World) -> None:
    found = read(world)
    said = [(row.name, said) for row in found.rows for said in row.said]
    grouped = [(row.name, said) for entries in found.groups.values() for row, said in entries]
    assert sorted(said, key=repr) == sorted(grouped, key=repr)
    order = [kind for kind in GROUPS if kind in found.groups]
    assert list(found.groups) == order
    assert all(entries for entries in found.groups.values())


def test_the_table_has_a_row_for_each_endpoint(world: World) -> None:
    found = read(world)
    table = found.table()
    assert [row[0] for row in table.rows] == [row.name for row in found.rows]
    for row, cells in zip(found.rows, table.rows, strict=True):
        values = dict(zip((column.key for column in COLUMNS), cells, strict=True))
        before, after = row.comparison.before, row.comparison.after
        assert (values["hits_before"], values["hits_after"]) == (before.hits, after.hits)
        assert (values["median_before_ms"], values["p95_after_ms"]) == (
            before.median_ms,
            after.p95_ms,
        )
        assert before.median_ms is not None
        assert after.median_ms is not None
        assert values["median_change"] == pytest.approx(after.median_ms / before.median_ms - 1)
        assert values["verdict"] == ", ".join(GROUPS[said.kind].lower() for said in row.said)
        times = row.comparison.times
        assert values["times_p"] == (None if times is None else times.corrected)


def test_an_empty_store_has_an_empty_report(store: Store) -> None:
    found = read(World(store, [], 1_795_387_000_000))
    assert (found.rows, found.groups, found.hits) == ([], {}, (0, 0))
    assert found.table().rows == []
