from __future__ import annotations

from datetime import datetime, timezone

import pytest
from sqlalchemy import update

from fmd_admin.read import versions
from fmd_admin.read.catalog import endpoint_names
from fmd_admin.read.versions import multi_version, version_performance
from fmd_admin.store.models import Version
from fmd_admin.store.store import Store

from .conftest import MakeWorld
from .data import ZONES_AND_DAYS, World, count_by, quantile

RANGES: list[dict[str, str | list[str]]] = [
    {"range": "24h"},
    {"range": "7d"},
    {"range": "30d", "version": ["1.0", "2.0"]},
    {"since": "2026-01-01T07:00", "to": "2026-12-31T17:00"},
]


@pytest.mark.parametrize(("zone", "now"), ZONES_AND_DAYS)
def test_bars_hold_the_hits_of_the_rows(world_in: MakeWorld, zone: str, now: datetime) -> None:
    world = world_in(zone, now)
    for args in RANGES:
        scope = world.scope(**args)
        with world.store.read() as connection:
            found = multi_version(connection, scope)
        rows = world.inside(scope)
        expected = count_by(rows, lambda row: (row.version, row.endpoint))
        assert found.total == len(rows)
        assert {(v.name, e.name): hits for v, e, hits in found.pairs()} == {
            key: len(part) for key, part in expected.items()
        }
        for version in found.versions.rows:
            assert version.total == sum(version.hits)
        by_endpoint = [sum(row.endpoint == e.name for row in rows) for e in found.endpoints]
        assert by_endpoint == sorted(by_endpoint, reverse=True)


def test_the_version_first_seen_last_is_on_top(world: World) -> None:
    with world.store.write() as connection:
        for number, name in enumerate(("1.1", "2.0", "1.0")):
            first_seen = datetime(2026, 1, 1 + number, tzinfo=timezone.utc)
            connection.execute(
                update(Version).where(Version.name == name).values(first_seen=first_seen)
            )
    with world.store.read() as connection:
        scope = world.scope(range="30d")
        bars = multi_version(connection, scope)
        boxes = version_performance(connection, scope)
    assert [version.name for version in bars.versions.rows] == ["1.0", "2.0", "1.1"]
    assert [box.name for box in boxes.boxes] == ["1.0", "2.0", "1.1"]


def test_the_rest_is_other(world: World) -> None:
    scope = world.scope(range="30d")
    with world.store.read() as connection:
        found = multi_version(connection, scope, top=2)
        one_left = multi_version(connection, scope, top=3)
    assert [endpoint.id is None for endpoint in found.endpoints] == [False, False, True]
    assert found.endpoints[-1].name == "other"
    assert sum(version.total for version in found.versions.rows) == len(world.inside(scope))
    for version in found.versions.rows:
        assert version.total == sum(version.hits)
    assert len(one_left.endpoints) == 4
    assert None not in [endpoint.id for endpoint in one_left.endpoints]


def test_a_search_shows_what_matches_and_shares_stay_those_of_all(world: World) -> None:
    scope = world.scope(range="30d")
    with world.store.read() as connection:
        found = multi_version(connection, scope, search="SHOP")
        nothing = multi_version(connection, scope, search="nothing like it")
    rows = world.inside(scope)
    assert {e.name for e in found.endpoints} == {
        "other",
        *(row.endpoint for row in rows if "shop" in row.endpoint),
    }
    assert found.total == nothing.total == len(rows)
    assert [e.name for e in nothing.endpoints] == ["other"]
    for *_, share in found.table().rows:
        assert 0 < share < 1  # type: ignore[operator]


def test_many_versions_come_in_pages(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "PAGE_SIZE", 2)
    scope = world.scope(range="30d")
    with world.store.read() as connection:
        pages = [multi_version(connection, scope, page=page) for page in (1, 2, 99)]
        boxes = [version_performance(connection, scope, page=page) for page in (-1, 2)]
    assert [len(page.versions.rows) for page in pages] == [2, 1, 1]
    assert pages[1] == pages[2]
    assert {page.total for page in pages} == {len(world.inside(scope))}
    assert [(page.versions.page, page.versions.pages) for page in boxes] == [(1, 2), (2, 2)]
    assert len({box.name for page in boxes for box in page.boxes}) == 3


@pytest.mark.parametrize(("zone", "now"), ZONES_AND_DAYS)
@pytest.mark.parametrize("name", [None, "index"])
def test_boxes_are_those_of_the_rows(
    world_in: MakeWorld, zone: str, now: datetime, name: str | None
) -> None:
    world = world_in(zone, now)
    with world.store.read() as connection:
        ids = {found: key for key, found in endpoint_names(connection).items()}
        for args in RANGES:
            scope = world.scope(None if name is None else ids[name], **args)
            found = version_performance(connection, scope)
            rows = [row for row in world.inside(scope) if name in (None, row.endpoint)]
            expected = count_by(rows, lambda row: row.version)
            assert {box.name for box in found.boxes} == set(expected)
            for box in found.boxes:
                durations = [row.duration_ms for row in expected[box.name]]
                assert box.hits == len(durations)
                assert (box.min_ms, box.max_ms) == (min(durations), max(durations))
                assert box.mean_ms == pytest.approx(sum(durations) / len(durations))
                assert [box.q1_ms, box.median_ms, box.q3_ms, box.p99_ms] == pytest.approx(
                    [quantile(durations, q) for q in (0.25, 0.5, 0.75, 0.99)], rel=0.01
                )


def test_tables_have_the_rows_of_the_charts(world: World) -> None:
    with world.store.read() as connection:
        bars = multi_version(connection, world.scope(range="30d"), top=1)
        boxes = version_performance(connection, world.scope(range="30d"))
    rows = bars.table().rows
    assert [row[:3] for row in rows] == [(v.name, e.name, hits) for v, e, hits in bars.pairs()]
    shares: dict[object, float] = {}
    for version, _, _, share in rows:
        shares[version] = shares.get(version, 0.0) + share  # type: ignore[operator]
    assert list(shares.values()) == pytest.approx([1.0] * 3)
    assert [row[0] for row in boxes.table().rows] == [box.name for box in boxes.boxes]


def test_an_empty_store(store: Store) -> None:
    world = World(store, [], 1_795_387_000_000)
    with store.read() as connection:
        bars = multi_version(connection, world.scope(range="7d"))
        boxes = version_performance(connection, world.scope(range="7d"))
    assert (bars.total, bars.table().rows, bars.endpoints) == (0, [], [])
    assert (boxes.boxes, boxes.table().rows) == ([], [])
