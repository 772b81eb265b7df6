"""Custom graphs as their pages show them, held against the stored values one by one."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from fmd_admin.read import graphs
from fmd_admin.read.graphs import MOST_POINTS, GraphValues
from fmd_admin.store import graph_sums
from fmd_admin.store import graphs as rows
from fmd_admin.store.graph_sums import QUARTER_MS
from fmd_admin.store.store import Store
from fmd_admin.store.types import from_millis

from .data import HOUR_MS, ZONES_AND_DAYS, World

MINUTE_MS = 60_000


def fill(
    store: Store, until_ms: int, step_ms: int, count: int, value: Callable[[int], float]
) -> dict[int, float]:
    """Store ``count`` values of graph 1 before ``until_ms`` as runs do; and some of graph 2."""
    end_ms = until_ms // step_ms * step_ms
    found = {end_ms - n * step_ms: value(n) for n in range(count, 0, -1)}
    with store.write() as connection:
        for number, title in enumerate(("Users", "other"), 1):
            made = rows.register(connection, title, "every minute", min(found), end_ms)
            assert made.id == number
        for time_ms, number in found.items():
            rows.keep_value(connection, 1, time_ms, number)
        rows.keep_value(connection, 2, end_ms, -1.0)
    return found


def look(world: World, **args: str) -> GraphValues:
    scope = world.scope(**args)
    with world.store.read() as connection:
        info = graphs.graph(connection, 1)
        assert info is not None
        return graphs.values(connection, scope, info)


@pytest.mark.parametrize(("zone", "now"), ZONES_AND_DAYS)
@pytest.mark.parametrize("range_name", ["1h", "24h", "7d", "30d"])
def test_many_values_across_clock_changes(
    world_in: Callable[..., World],
    zone: str,
    now: datetime,
    range_name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A tenth of the real limits, which a test below looks at.
    monkeypatch.setattr(graphs, "MOST_POINTS", 150)
    monkeypatch.setattr(graphs, "_MOST_STEPS", 72)
    world = world_in(zone, now, hits=1)
    scope = world.scope(range=range_name)
    step_ms = (world.now_ms - scope.start_ms) // 240 // 1000 * 1000
    wave = {n: 100 + 50 * math.sin(n / 40) + n % 7 / 10 for n in range(301)}
    found = fill(world.store, world.now_ms, step_ms, 300, wave.__getitem__)
    inside = {t: v for t, v in found.items() if scope.start_ms <= t < scope.end_ms}
    result = look(world, range=range_name)
    assert result.total == len(inside) > 150
    assert result.points == []
    assert result.step_ms is not None
    assert len(result.steps) <= 73
    by_step: dict[int, list[float]] = {}
    for time_ms, value in inside.items():
        start = time_ms - (time_ms - scope.start_ms) % result.step_ms
        by_step.setdefault(start, []).append(value)
    assert [step.start_ms for step in result.steps] == sorted(by_step)
    for step in result.steps:
        values = by_step[step.start_ms]
        assert step.values == len(values)
        assert step.mean == pytest.approx(math.fsum(values) / len(values), rel=1e-12)
        assert (step.low, step.high) == (min(values), max(values))


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "Asia/Kathmandu", "Europe/Amsterdam"])
def test_sums_of_quarters_give_the_same(
    world_in: Callable[..., World], zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graphs, "MOST_POINTS", 150)
    monkeypatch.setattr(graphs, "_MOST_STEPS", 72)
    ranges = [
        {"range": "30d"},
        {"range": "7d"},
        {"since": "2026-10-02T03:07", "to": "2026-10-24T05:51"},
    ]
    world = world_in(zone, datetime(2026, 10, 25, 15, 20), hits=1)
    fill(world.store, world.now_ms, 7 * MINUTE_MS, 6_000, lambda n: math.sin(n) * 1e6)
    one_by_one = [look(world, **args) for args in ranges]
    assert graph_sums.tend(world.store, lambda _connection: None)
    # What came since is still read one by one.
    with world.store.write() as connection:
        rows.keep_value(connection, 1, world.now_ms // 1000 * 1000 - 500, 3.5)
    for args, before in zip(ranges, one_by_one, strict=True):
        after = look(world, **args)
        assert before.step_ms is not None
        assert before.step_ms >= QUARTER_MS
        newest = 1 if "range" in args else 0
        assert after.total == before.total + newest
        for one, other in zip(before.steps[: -newest or None], after.steps, strict=False):
            assert (one.start_ms, one.values, one.low, one.high) == (
                other.start_ms,
                other.values,
                other.low,
                other.high,
            )
            assert other.mean == pytest.approx(one.mean)


def test_up_to_the_limit_they_are_as_they_are(world: World) -> None:
    found = fill(world.store, world.now_ms, 10_000, MOST_POINTS, float)
    result = look(world, range="24h")
    assert (dict(result.points), result.step_ms) == (found, None)
    with world.store.write() as connection:
        rows.keep_value(connection, 1, min(found) - 10_000, 0.0)
    result = look(world, range="24h")
    assert result.total == MOST_POINTS + 1
    # 15,000 s in at most 720 steps.
    assert result.step_ms == 30_000
    assert len(result.table().rows) == len(result.steps)
    assert result.gap_ms == 90_000


def test_few_values_are_as_they_are(world: World) -> None:
    found = fill(world.store, world.now_ms, MINUTE_MS, 50, lambda n: n / 3)
    result = look(world, range="1h")
    scope = world.scope(range="1h")
    assert dict(result.points) == found
    assert result.step_ms is None
    assert result.total == 50
    assert result.gap_ms == 3 * MINUTE_MS
    # Drawn from the first value on, which lies in the range.
    assert result.start_ms == min(found)
    assert result.end_ms == world.now_ms
    assert (result.last_time, result.last_value) == (from_millis(max(found)), 1 / 3)
    assert scope.start_ms < min(found)


def test_only_the_exact_range_is_read(world: World) -> None:
    found = fill(world.store, world.now_ms, MINUTE_MS, 500, float)
    times = sorted(found)
    zone = ZoneInfo("Europe/Amsterdam")
    since, to = (
        datetime.fromtimestamp(times[n] / 1000, zone).isoformat(timespec="minutes")
        for n in (100, 200)
    )
    result = look(world, range="custom", since=since, to=to)
    assert [time for time, _ in result.points] == times[100:200]
    scope = world.scope(range="custom", since=since, to=to)
    exported = list(graphs.export(world.store, 1, scope))
    assert exported == [(from_millis(time), found[time]) for time in times[100:200]]


def test_an_export_reads_in_pieces(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    found = fill(world.store, world.now_ms, MINUTE_MS, 100, float)
    for chunk in (7, 50, 100, 1000):
        monkeypatch.setattr(graphs, "EXPORT_CHUNK", chunk)
        got = list(graphs.export(world.store, 1, world.scope(range="24h")))
        assert got == [(from_millis(time), value) for time, value in found.items()]


def test_a_graph_without_values(world: World) -> None:
    with world.store.write() as connection:
        rows.register(connection, "Users", "every minute", world.now_ms, None)
    result = look(world)
    assert (result.total, result.points, result.steps) == (0, [], [])
    assert result.last_value is None
    assert not result.failing
    with world.store.read() as connection:
        assert graphs.graph(connection, 7) is None


def test_a_fault_counts_until_the_next_value(world: World) -> None:
    fill(world.store, world.now_ms - HOUR_MS, MINUTE_MS, 5, float)
    last_ms = (world.now_ms - HOUR_MS) // MINUTE_MS * MINUTE_MS - MINUTE_MS
    with world.store.write() as connection:
        rows.keep_error(connection, 1, last_ms + MINUTE_MS, "x" * 5000)
    assert look(world).failing
    assert look(world).graph.error == "x" * 1000
    with world.store.write() as connection:
        rows.keep_value(connection, 1, last_ms + 2 * MINUTE_MS, 3.0)
    assert not look(world).failing


def test_the_list_has_all_by_title(world: World) -> None:
    found = fill(world.store, world.now_ms, MINUTE_MS, 100, float)
    with world.store.write() as connection:
        rows.register(connection, "another", "every day", world.now_ms, None)
    with world.store.read() as connection:
        listed = graphs.graphs(connection)
        assert graphs.titles(connection) == [(3, "another"), (2, "other"), (1, "Users")]
    assert [one.graph.title for one in listed.graphs] == ["another", "other", "Users"]
    users = listed.graphs[-1]
    assert users.recent == list(found.values())[-48:]
    assert (users.last_value, users.last_time) == (1.0, from_millis(max(found)))
    assert listed.table().rows[0] == ("another", "every day", None, None, None)


def test_nobody_runs_it(world: World) -> None:
    with world.store.write() as connection:
        rows.register(connection, "Users", "every minute", world.now_ms, world.now_ms)
    with world.store.read() as connection:
        info = graphs.graph(connection, 1)
    assert info is not None
    assert not info.overdue(world.now_ms + 20_000)
    assert info.overdue(world.now_ms + 40_000)


def test_a_clock_that_was_wrong_does_not_stop_a_graph_for_long(world: World) -> None:
    with world.store.write() as connection:
        rows.register(connection, "Users", "every minute", world.now_ms, None)
        year_ms = 365 * 24 * HOUR_MS
        assert rows.claim(connection, 1, world.now_ms + year_ms, None)
        assert rows.claim(connection, 1, world.now_ms, None)
        assert not rows.claim(connection, 1, world.now_ms - MINUTE_MS, None)


def test_deleting(world: World) -> None:
    fill(world.store, world.now_ms, MINUTE_MS, 5, float)
    with world.store.write() as connection:
        assert rows.delete_values(connection, [1, 2]) == 2
    assert look(world).total == 3
    with world.store.write() as connection:
        assert rows.delete_graphs(connection, [1]) == 1
        rows.keep_value(connection, 1, 1000, 3.0)  # A run that was under way.
    with world.store.read() as connection:
        assert graphs.graph(connection, 1) is None
        assert [one.graph.title for one in graphs.graphs(connection).graphs] == ["other"]
        assert graphs.graphs(connection).graphs[0].recent == [-1.0]
