from __future__ import annotations

import dataclasses
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest

from fmd_admin.read import visitors as module
from fmd_admin.read.catalog import endpoint_names
from fmd_admin.read.scope import Scope
from fmd_admin.read.visitor_performance import VisitorPerformance, visitor_performance
from fmd_admin.read.visitor_versions import VisitorVersions, visitor_versions
from fmd_admin.read.visitors import OTHER_NAME, Visitors, Wanted, whole_days
from fmd_admin.records import Batch, Row
from fmd_admin.store import visitor_weeks, visitors
from fmd_admin.store.calendar import Calendar
from fmd_admin.store.kept import Kept
from fmd_admin.store.store import Store
from fmd_admin.store.visitor_models import Kind
from fmd_admin.store.visitor_parts import OTHER
from fmd_admin.store.writer import BatchWriter

from .conftest import MakeWorld
from .data import ZONES_AND_DAYS, Measured, World, count_by, quantile

ALL = Wanted(page_size=None)


def by_version(world: World, scope: Scope, kind: Kind, wanted: Wanted = ALL) -> VisitorVersions:
    with world.store.read() as connection:
        return visitor_versions(connection, scope, kind, wanted)


def performance(world: World, scope: Scope, wanted: Wanted = ALL) -> VisitorPerformance:
    with world.store.read() as connection:
        return visitor_performance(connection, scope, wanted)


def endpoint_id(world: World, name: str) -> int:
    with world.store.read() as connection:
        return next(id for id, found in endpoint_names(connection).items() if found == name)


def sum_days(world: World) -> None:
    """Sum what is merged over all endpoints, as the jobs do once a day is over."""
    with world.store.write() as connection:
        cells = visitors.unsummed(connection, world.now_ms)
        assert cells
        for cell in cells:
            visitors.sum_endpoints(connection, cell)


def sum_weeks(world: World) -> None:
    """Sum the weeks that are over, once their days are summed."""
    calendar = Calendar(world.zone)
    with world.store.write() as connection:
        weeks = visitor_weeks.unsummed(connection, calendar, world.now_ms)
        assert weeks
        for week in weeks:
            visitor_weeks.sum_days(connection, calendar, week)
        assert visitor_weeks.unsummed(connection, calendar, world.now_ms) == []


def whole(world: World, scope: Scope) -> list[Measured]:
    """The rows of all days that the scope touches, found one by one on the wall clock."""
    first = world.local(scope.start_ms).date()
    last = world.local(scope.end_ms - 1).date()
    return [
        row
        for row in world.rows
        if first <= world.local(row.time_ms).date() <= last
        and (not scope.versions or row.version in scope.versions)
    ]


def name_of(row: Measured, kind: Kind) -> str | None:
    return row.group if kind == Kind.GROUP else row.ip


def check_versions(world: World, scope: Scope, kind: Kind, rows: list[Measured]) -> None:
    result = by_version(world, scope, kind)
    expected = count_by(
        [row for row in rows if name_of(row, kind) is not None],
        lambda row: (name_of(row, kind), row.version),
    )
    found = {
        (result.names[bubble.visitor], result.versions[bubble.version]): bubble
        for bubble in result.bubbles
    }
    assert set(found) == set(expected)
    assert len(found) == len(result.bubbles)
    for key, bubble in found.items():
        durations = [row.duration_ms for row in expected[key]]
        assert bubble.hits == len(durations)
        assert bubble.mean_ms == pytest.approx(sum(durations) / len(durations))
    # Of all endpoints together it is that of the requests with a visitor.
    compared = [r for r in rows if scope.endpoint_id is not None or name_of(r, kind)]
    median_ms = quantile([row.duration_ms for row in compared], 0.5)
    assert result.median_ms == pytest.approx(median_ms, rel=0.01)
    hits = count_by([r for r in rows if name_of(r, kind)], lambda row: name_of(row, kind))
    assert result.shown.total == len(hits)
    ordered = [len(hits[name]) for name in result.names]
    assert ordered == sorted(ordered, reverse=True)


def read_weeks(world: World, scope: Scope) -> dict[tuple[int, int], int]:
    """The weeks that a page of ``scope`` is made of."""
    with world.store.read() as connection:
        return Visitors(connection, scope, Kind.GROUP)._sums()[1]


@pytest.mark.parametrize(("zone", "now"), ZONES_AND_DAYS)
def test_every_figure_is_that_of_the_rows(world_in: MakeWorld, zone: str, now: datetime) -> None:
    world = world_in(zone, now, hits=900)
    for summed in ("not", "days", "weeks"):
        if summed == "days":
            sum_days(world)
        elif summed == "weeks":
            sum_weeks(world)
            assert any(row for row in read_weeks(world, world.scope(range="30d")))
        for scope in (
            world.scope(range="7d"),
            world.scope(range="30d", version=["1.0", "2.0"]),
            world.scope(range="24h"),
        ):
            rows = whole(world, scope)
            for kind in Kind:
                check_versions(world, scope, kind, rows)
            check_boxes(performance(world, scope), rows)


def test_one_endpoint(world: World) -> None:
    sum_days(world)
    scope = world.scope(endpoint_id(world, "shop.item"), range="30d")
    rows = [row for row in whole(world, scope) if row.endpoint == "shop.item"]
    for kind in Kind:
        check_versions(world, scope, kind, rows)
    check_boxes(performance(world, scope), rows)


def check_boxes(result: VisitorPerformance, rows: list[Measured]) -> None:
    expected = count_by([row for row in rows if row.group], lambda row: row.group)
    assert {box.name for box in result.boxes} == set(expected)
    for box in result.boxes:
        durations = [row.duration_ms for row in expected[box.name]]
        assert box.hits == len(durations)
        # Durations are kept in whole nanoseconds.
        extremes = (min(durations), max(durations))
        assert (box.min_ms, box.max_ms) == pytest.approx(extremes, abs=1e-6)
        assert box.mean_ms == pytest.approx(sum(durations) / len(durations))
        figures = [box.q1_ms, box.median_ms, box.q3_ms, box.p95_ms, box.p99_ms]
        assert figures == pytest.approx(
            [quantile(durations, q) for q in (0.25, 0.5, 0.75, 0.95, 0.99)], rel=0.01
        )


@pytest.mark.parametrize("name", ["1h", "24h", "7d"])
def test_a_range_is_widened_to_whole_days(world: World, name: str) -> None:
    scope = world.scope(range=name)
    wide = whole_days(scope)
    start, end = world.local(wide.start_ms), world.local(wide.end_ms)
    assert (start.hour, start.minute, end.hour, end.minute) == (0, 0, 0, 0)
    assert start.date() == world.local(scope.start_ms).date()
    assert wide.start_ms <= scope.start_ms < scope.end_ms <= wide.end_ms
    assert by_version(world, scope, Kind.GROUP).scope == wide
    assert (wide == scope) is (name == "7d")


def test_pages_are_parts_of_all(world: World) -> None:
    scope = world.scope(range="30d")
    every = by_version(world, scope, Kind.CLIENT)
    names: list[str] = []
    rows: list[tuple[object, ...]] = []
    page = 1
    while True:
        part = by_version(world, scope, Kind.CLIENT, Wanted(page=page, page_size=7))
        assert (part.shown.page, part.shown.total) == (page, every.shown.total)
        assert len(part.names) <= 7
        names += part.names
        rows += part.table().rows
        if page == part.shown.pages:
            break
        page += 1
    assert names == every.names
    assert rows == every.table().rows
    beyond = by_version(world, scope, Kind.CLIENT, Wanted(page=99, page_size=7))
    assert beyond.shown.page == page
    boxes = performance(world, scope, Wanted(page=2, page_size=3)).boxes
    assert boxes == performance(world, scope).boxes[3:6]


def test_names_are_searched_in_any_case(world: World) -> None:
    scope = world.scope(range="30d")
    result = by_version(world, scope, Kind.GROUP, Wanted("USER1", 1, 100))
    users = {row.group for row in whole(world, scope) if row.group}
    assert set(result.names) == {name for name in users if "user1" in name}
    assert by_version(world, scope, Kind.GROUP, Wanted("user_", 1, 100)).names == []
    assert performance(world, scope, Wanted("nobody")).boxes == []


def test_who_is_over_the_cap_comes_last_as_other(
    world_in: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visitors, "MOST_OF_ENDPOINT", 2)
    world = world_in("Europe/Amsterdam", datetime(2026, 10, 28, 15, 20), anew=True)
    scope = world.scope(range="30d")
    rows = [row for row in whole(world, scope) if row.group]
    for page_size in (None, 5):
        first = by_version(world, scope, Kind.GROUP, Wanted(page_size=page_size))
        last = by_version(world, scope, Kind.GROUP, Wanted("", first.shown.pages, page_size))
        assert last.names[-1] == OTHER_NAME
        assert last.shown.ids[-1] == OTHER
        if page_size is not None:
            assert OTHER_NAME not in first.names
    assert sum(bubble.hits for bubble in by_version(world, scope, Kind.GROUP).bubbles) == len(rows)
    boxes = performance(world, scope).boxes
    assert boxes[-1].name == OTHER_NAME
    assert sum(box.hits for box in boxes) == len(rows)
    assert OTHER_NAME not in by_version(world, scope, Kind.GROUP, Wanted("user")).names


def test_versions_stand_in_the_order_first_seen(world: World) -> None:
    result = by_version(world, world.scope(range="30d"), Kind.GROUP)
    first = {}
    for row in sorted(world.rows, key=lambda row: row.time_ms):
        first.setdefault(row.version, row.time_ms)
    assert sorted(result.versions) == sorted(first)
    assert all(a != b for a, b in pairwise(result.versions))


def test_the_tables_have_the_figures(world: World) -> None:
    scope = world.scope(range="30d")
    result = by_version(world, scope, Kind.GROUP)
    assert result.median_ms is not None
    for bubble, row in zip(result.bubbles, result.table().rows, strict=True):
        assert row == (
            result.names[bubble.visitor],
            result.versions[bubble.version],
            bubble.hits,
            bubble.mean_ms,
            pytest.approx(bubble.mean_ms / result.median_ms),
        )
    boxes = performance(world, scope)
    assert [row[:2] for row in boxes.table().rows] == [(b.name, b.hits) for b in boxes.boxes]


def test_an_empty_store_knows_nobody(store: Store) -> None:
    world = World(store, [], 1_795_387_000_000)
    result = by_version(world, world.scope(range="7d"), Kind.GROUP)
    assert (result.bubbles, result.known, result.median_ms) == ([], False, None)
    assert result.table().rows == performance(world, world.scope(range="7d")).table().rows == []


def test_who_came_at_another_time_is_known(world_in: MakeWorld) -> None:
    world = world_in("UTC", datetime(2026, 11, 22, 15), hits=30, days=1)
    scope = world.scope(since="2026-01-01T00:00", to="2026-01-02T00:00")
    assert by_version(world, scope, Kind.GROUP).known
    assert performance(world, scope).known


@pytest.mark.every_engine
def test_what_is_kept_is_never_of_days_as_they_were(world: World) -> None:
    scopes = [world.scope(range="30d"), world.scope(endpoint_id(world, "shop.item"), range="30d")]

    def check() -> None:
        for scope in scopes:
            rows = whole(world, scope)
            if scope.endpoint_id is not None:
                rows = [row for row in rows if row.endpoint == "shop.item"]
            for kind in Kind:
                check_versions(world, scope, kind, rows)
            check_boxes(performance(world, scope), rows)

    check()
    sum_days(world)
    check()
    # The same visitors once more in the same days, and new ones in them.
    late = [
        dataclasses.replace(row, duration_ms=2 * row.duration_ms, group=row.group and group)
        for row in world.rows[::9]
        for group in (row.group, "new")
    ]
    writer = BatchWriter(world.store, lambda: 1)
    for version in ("1.0", "2.0"):
        part = [row for row in late if row.version == version]
        world.rows.extend(part)
        stored = [
            Row(row.time_ms, row.endpoint, row.duration_ms, row.status, "GET", row.group, row.ip)
            for row in part
        ]
        writer.write(Batch(f"late {version}", 1, version, stored))
    check()
    visitors.tend(world.store, bool, at=1)
    check()


def test_all_that_is_kept_is_counted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    scope = world.scope(range="30d")
    held: list[tuple[int, int]] = []
    find = Kept.find

    def watched(kept: Kept, key: Any, make: Any, size: Any) -> Any:
        def measured(found: Any) -> int:
            bytes_held: int = size(found)
            held.append((sum(len(part) for part in key if isinstance(part, bytes)), bytes_held))
            return bytes_held

        return find(kept, key, make, measured)

    monkeypatch.setattr(Kept, "find", watched)
    # As if the same few visitors came in every row.
    monkeypatch.setattr(module, "_ENTRY_BYTES", 0)
    first = by_version(world, scope, Kind.GROUP)
    assert held
    assert all(of_key <= counted for of_key, counted in held)
    assert by_version(world, scope, Kind.GROUP) == first
