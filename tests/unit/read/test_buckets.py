from __future__ import annotations

from collections import Counter
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import event, select, update

from fmd_admin.read.buckets import Buckets, Total, cut, together
from fmd_admin.read.catalog import endpoint_names
from fmd_admin.store import histogram
from fmd_admin.store.calendar import Calendar
from fmd_admin.store.models import Day
from fmd_admin.store.rollups import merge_deltas

from .conftest import MakeWorld
from .data import ZONES_AND_DAYS, World, count_by, quantile

pytestmark = pytest.mark.every_engine

AMSTERDAM = ZoneInfo("Europe/Amsterdam")

RANGES: list[dict[str, str | list[str]]] = [
    {"range": "1h"},
    {"range": "24h"},
    {"range": "7d"},
    {"range": "30d"},
    {"range": "30d", "version": ["1.0", "2.0"]},
    {"since": "2026-01-01T00:00", "to": "2026-12-31T00:00"},
]


def at(*moment: int) -> int:
    year, month, day, *rest = moment
    return round(datetime(year, month, day, *rest, tzinfo=AMSTERDAM).timestamp() * 1000)


@pytest.mark.parametrize(
    ("start", "end", "days", "hours"),
    [
        ((2026, 10, 24), (2026, 10, 27), ((2026, 10, 24), (2026, 10, 27)), []),
        ((2026, 10, 24, 5), (2026, 10, 24, 9), None, [((2026, 10, 24, 5), (2026, 10, 24, 9))]),
        ((2026, 10, 24, 5), (2026, 10, 25, 9), None, [((2026, 10, 24, 5), (2026, 10, 25, 9))]),
        (
            (2026, 10, 24, 5),
            (2026, 10, 27, 9),
            ((2026, 10, 25), (2026, 10, 27)),
            [((2026, 10, 24, 5), (2026, 10, 25)), ((2026, 10, 27), (2026, 10, 27, 9))],
        ),
        (
            (2026, 10, 25),
            (2026, 10, 26, 1),
            ((2026, 10, 25), (2026, 10, 26)),
            [((2026, 10, 26), (2026, 10, 26, 1))],
        ),
    ],
)
def test_a_range_is_cut_into_days_and_hours(
    start: tuple[int, ...],
    end: tuple[int, ...],
    days: tuple[tuple[int, ...], tuple[int, ...]] | None,
    hours: list[tuple[tuple[int, ...], tuple[int, ...]]],
) -> None:
    found = cut(Calendar(AMSTERDAM), at(*start), at(*end))
    assert found.days == (None if days is None else (at(*days[0]), at(*days[1])))
    assert found.hours == [(at(*first), at(*last)) for first, last in hours]


@pytest.mark.parametrize(("zone", "now"), ZONES_AND_DAYS)
def test_totals_are_those_of_the_rows(world_in: MakeWorld, zone: str, now: datetime) -> None:
    world = world_in(zone, now)
    for args in RANGES:
        scope = world.scope(**args)
        with world.store.read() as connection:
            names = endpoint_names(connection)
            totals = Buckets(connection, scope).totals()
        expected = count_by(world.inside(scope), lambda row: row.endpoint)
        assert {names[key] for key in totals} == set(expected)
        for key, total in totals.items():
            rows = expected[names[key]]
            durations = [row.duration_ms for row in rows]
            assert total.hits == len(rows)
            assert total.sum_ms == pytest.approx(sum(durations))
            assert (total.min_ms, total.max_ms) == (min(durations), max(durations))
            assert total.quantiles((0.5, 0.95)) == pytest.approx(
                [quantile(durations, 0.5), quantile(durations, 0.95)], rel=0.01
            )
            assert total.errors == sum(row.status >= 400 for row in rows)


def test_merging_changes_nothing_that_is_read(world: World) -> None:
    def everything() -> list[object]:
        found: list[object] = []
        for args in RANGES:
            scope = world.scope(**args)
            with world.store.read() as connection:
                buckets = Buckets(connection, scope)
                found += [
                    {
                        key: (total.hits, total.errors, pytest.approx(total.sum_ms), total.counts)
                        for key, total in totals.items()
                    }
                    for totals in (buckets.totals(), buckets.totals("version_id"))
                ]
                found.append(_summed((row[:-1], row[-1]) for row in buckets.hits_by_hour()))
                span = (scope.start_ms, scope.end_ms)
                found.append(
                    _summed((row[:-1], row[-1]) for row in buckets.endpoint_hits_by_hour(*span))
                )
                days: list[tuple[object, int]] = [
                    ((buckets.calendar.day_start(moment), key), hits)
                    for moment, key, hits in buckets.endpoint_hits_by_day(*span)
                ]
                found.append(_summed(days))
        return found

    before = everything()
    with world.store.write() as connection:
        assert merge_deltas(connection, world.zone) > 0
    assert everything() == before


def test_only_weeks_that_changed_are_read_again(world: World) -> None:
    """As the database gives their sums: what their histograms are is kept in the process."""
    scope = world.scope(range="30d")
    read: list[str] = []

    def listen(_connection: object, _cursor: object, sql: str, *_rest: object) -> None:
        if "fmd_day.histogram" in sql:
            read.append(sql)

    def totals() -> dict[int, tuple[int, float, dict[int, int]]]:
        with world.store.read() as connection:
            found = Buckets(connection, scope).totals()
        return {key: (total.hits, total.sum_ms, total.counts) for key, total in found.items()}

    event.listen(world.store.engine, "before_cursor_execute", listen)
    first = totals()
    assert len(read) == 1
    assert totals() == first
    assert len(read) == 1
    with world.store.write() as connection:
        # Longer by a bucket, and as many: only the sum of the times tells.
        day, histogram_of_it = connection.execute(
            select(Day.day, Day.histogram).order_by(Day.day.desc()).limit(1)
        ).one()
        moved = {number + 1: hits for number, hits in histogram.counts(histogram_of_it).items()}
        values = {"sum_ms": Day.sum_ms + 0.001, "histogram": histogram.encode(moved)}
        changed = connection.execute(
            update(Day).where(Day.day == day, Day.histogram == histogram_of_it).values(values)
        )
        assert changed.rowcount >= 1
    read.clear()
    assert totals() != first
    assert len(read) == 1


def test_statuses_are_those_of_the_rows_also_when_days_change(world: World) -> None:
    # What a process keeps of the days is older than the merge then, and the same the third time.
    for merged in (False, True, False):
        if merged:
            with world.store.write() as connection:
                assert merge_deltas(connection, world.zone) > 0
        for args in RANGES:
            scope = world.scope(**args)
            rows = world.inside(scope)
            with world.store.read() as connection:
                names = endpoint_names(connection)
                buckets = Buckets(connection, scope)
                by_endpoint = buckets.statuses("endpoint_id")
                by_version = buckets.statuses("version_id")
                by_moment = buckets.statuses("moment")
            found = {names[key]: counts for key, counts in by_endpoint.items()}
            assert found == {
                name: Counter(row.status for row in of_it)
                for name, of_it in count_by(rows, lambda row: row.endpoint).items()
            }
            expected = Counter(row.status for row in rows)
            assert sum(map(Counter, by_version.values()), Counter()) == expected
            assert sum(map(Counter, by_moment.values()), Counter()) == expected


def _summed(items: object) -> dict[object, int]:
    found: dict[object, int] = {}
    for key, hits in items:  # type: ignore[attr-defined]
        found[key] = found.get(key, 0) + hits
    return found


def test_one_endpoint_only(world: World) -> None:
    with world.store.read() as connection:
        ids = {name: key for key, name in endpoint_names(connection).items()}
    scope = world.scope(ids["shop.item"], range="30d")
    with world.store.read() as connection:
        buckets = Buckets(connection, scope)
        totals = buckets.totals()
        hits = sum(hits for _, hits in buckets.hits_by_hour())
    rows = [row for row in world.inside(scope) if row.endpoint == "shop.item"]
    assert list(totals) == [ids["shop.item"]]
    assert totals[ids["shop.item"]].hits == hits == len(rows)


def test_quantiles_stay_within_what_was_measured() -> None:
    total = Total()
    total.hits, total.min_ms, total.max_ms = 1, 10.0, 10.0
    total.parts.append(histogram.encode({histogram.bucket(10.0): 1}))
    assert total.quantiles((0, 0.5, 1)) == [10.0, 10.0, 10.0]


def test_nothing_together_has_no_quantiles() -> None:
    assert together([]).quantiles((0.5,)) == []
    assert together([Total(), Total()]).hits == 0
