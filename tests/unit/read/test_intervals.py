"""The two intervals of a report: from the URL, on the wall clock, across changes of the clock."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from fmd_admin.errors import ScopeError
from fmd_admin.read.catalog import VersionInfo
from fmd_admin.read.intervals import COMPARES, Intervals, parse_intervals
from fmd_admin.read.scope import Scope

from .data import DAY_MS, HOUR_MS, ZONES_AND_DAYS

FIRST_SEEN = datetime(2026, 1, 1, tzinfo=timezone.utc)
VERSIONS = [VersionInfo(id, name, FIRST_SEEN) for id, name in ((4, "1.0"), (9, "1.1"), (2, "2.0"))]
AMSTERDAM = ZoneInfo("Europe/Amsterdam")


def at(*moment: int, zone: ZoneInfo = AMSTERDAM, fold: int = 0) -> int:
    year, month, day, *rest = moment
    return round(datetime(year, month, day, *rest, fold=fold, tzinfo=zone).timestamp() * 1000)


def scope_at(now_ms: int, zone: ZoneInfo = AMSTERDAM, versions: tuple[str, ...] = ()) -> Scope:
    """What the URL says about range and versions; the range is the week before now."""
    start_ms = now_ms - 7 * DAY_MS
    ids = tuple(version.id for version in VERSIONS if version.name in versions) or None
    return Scope(
        "7d", start_ms, now_ms, versions, ids, None, zone, now_ms, start_ms, now_ms
    )  # fmt: skip


def parse(
    now_ms: int = at(2026, 11, 25, 14, 35),
    zone: ZoneInfo = AMSTERDAM,
    versions: list[VersionInfo] = VERSIONS,
    **args: str,
) -> Intervals:
    return parse_intervals(args, scope_at(now_ms, zone), versions)


def spans(found: Intervals) -> list[tuple[int, int]]:
    return [(side.start_ms, side.end_ms) for side in (found.before, found.after)]


@pytest.mark.parametrize(
    ("compare", "before", "after", "hours"),
    [
        (
            "today",
            (at(2026, 11, 24), at(2026, 11, 24, 15)),
            (at(2026, 11, 25), at(2026, 11, 25, 15)),
            (15, 14 + 35 / 60),
        ),
        (
            "week",  # The 25th is a Wednesday.
            (at(2026, 11, 16), at(2026, 11, 18, 15)),
            (at(2026, 11, 23), at(2026, 11, 25, 15)),
            (63, 62 + 35 / 60),
        ),
        (
            "28d",
            (at(2026, 10, 22), at(2026, 11, 19)),
            (at(2026, 11, 19), at(2026, 11, 26)),
            # An hour came twice on 25 October.
            (28 * 24 + 1, 6 * 24 + 14 + 35 / 60),
        ),
    ],
)
def test_named_intervals(
    compare: str, before: tuple[int, int], after: tuple[int, int], hours: tuple[float, float]
) -> None:
    found = parse(compare=compare)
    assert spans(found) == [before, after]
    assert found.hours == pytest.approx(hours)
    assert found.compare == compare
    assert found.note


def test_seven_days_against_28_without_a_word() -> None:
    assert parse().compare == "28d"


MOMENTS = [
    (zone, round(day.replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000) + step * 20 * 60_000)
    for zone, day in ZONES_AND_DAYS
    for step in range(-3 * 72, 3 * 72, 5)
]


@pytest.mark.parametrize("compare", ["today", "week", "28d"])
def test_intervals_are_fair_at_any_moment_around_a_change_of_the_clock(compare: str) -> None:
    days = {"today": 1, "week": 7}.get(compare)
    for name, now_ms in MOMENTS:
        zone = ZoneInfo(name)
        found = parse(now_ms, zone, compare=compare)
        before, after = spans(found)
        context = (name, datetime.fromtimestamp(now_ms / 1000, zone), found)
        assert before[0] < before[1] <= after[0] <= now_ms < after[1], context

        def local(time_ms: int, zone: ZoneInfo = zone) -> datetime:
            return datetime.fromtimestamp(time_ms / 1000, zone).replace(tzinfo=None)

        # Both begin where their day does: the moment before shows the day before.
        for start, _ in (before, after):
            assert local(start - 1).date() < local(start).date(), context
        if days is None:
            assert (local(before[0]).date(), local(after[0]).date()) == (
                local(now_ms).date() - timedelta(days=34),
                local(now_ms).date() - timedelta(days=6),
            ), context
            continue
        assert local(after[0]).date() - local(before[0]).date() == timedelta(days=days), context
        # Each hour of the clock up to now's, except those that a clock skipped or showed twice.
        expected = {
            (local(t).date() - timedelta(days=days), local(t).hour)
            for t in range(after[0], after[1], 10 * 60_000)
        }
        held = {(local(t).date(), local(t).hour) for t in range(before[0], before[1], 10 * 60_000)}
        assert all(is_odd(moment, zone) for moment in (expected ^ held)), (
            context, expected ^ held
        )  # fmt: skip


def is_odd(moment: tuple[date, int], zone: ZoneInfo) -> bool:
    """Whether the clock was moved on this day, or on the day it is compared with."""
    offsets = set()
    for days in (0, 1, 7):
        noon = datetime.combine(moment[0], datetime.min.time(), zone) + timedelta(days=days)
        offsets |= {noon.utcoffset(), (noon + timedelta(days=1)).utcoffset()}
    return len(offsets) > 1


def test_an_hour_that_was_skipped_yesterday() -> None:
    found = parse(at(2026, 3, 30, 2, 20), compare="today")
    assert spans(found) == [
        (at(2026, 3, 29), at(2026, 3, 29, 3)),
        (at(2026, 3, 30), at(2026, 3, 30, 3)),
    ]
    assert found.hours == pytest.approx((2, 2 + 20 / 60))


def test_an_hour_that_came_twice_yesterday_and_today() -> None:
    yesterday = parse(at(2026, 10, 26, 2, 20), compare="today")
    assert spans(yesterday)[0] == (at(2026, 10, 25), at(2026, 10, 25, 3))
    assert yesterday.hours[0] == 4
    for fold in (0, 1):
        today = parse(at(2026, 10, 25, 2, 20, fold=fold), compare="today")
        assert spans(today)[0] == (at(2026, 10, 24), at(2026, 10, 24, 3))
        assert today.hours[1] == pytest.approx(2 + fold + 20 / 60)


def test_kolkata_hours_begin_at_half_past_in_utc() -> None:
    zone = ZoneInfo("Asia/Kolkata")
    found = parse(at(2026, 11, 25, 14, 35, zone=zone), zone, compare="today")
    assert found.before.end_ms == at(2026, 11, 24, 15, zone=zone)
    assert found.before.end_ms % HOUR_MS == HOUR_MS // 2


def test_versions_filter_both_intervals() -> None:
    scope = scope_at(at(2026, 11, 25, 14), versions=("1.1",))
    found = parse_intervals({"compare": "week"}, scope, VERSIONS)
    assert found.before.versions == found.after.versions == ("1.1",)
    assert found.before.version_ids == found.after.version_ids == (9,)


def test_two_versions_share_the_range_and_have_no_load() -> None:
    found = parse(compare="version", before="2.0", after="1.0")
    assert (found.before.version_ids, found.after.version_ids) == ((2,), (4,))
    scope = scope_at(at(2026, 11, 25, 14, 35))
    assert spans(found) == [(scope.start_ms, scope.end_ms)] * 2
    assert found.than == "in version 2.0"
    assert found.hours == (None, None)


def test_the_two_newest_versions_are_compared_without_a_choice() -> None:
    found = parse(compare="version")
    assert (found.before.versions, found.after.versions) == (("1.1",), ("2.0",))
    # A form may name one of them only, and a version may have no name.
    unnamed = [VersionInfo(1, "", FIRST_SEEN), VersionInfo(2, "1.0", FIRST_SEEN)]
    found = parse(versions=unnamed, compare="version", before="", after="1.0")
    assert found.before.version_ids == (1,)
    assert found.before_name == "Version (no version)"


CUSTOM = {
    "compare": "custom",
    "before_from": "2026-11-01T00:00",
    "before_to": "2026-11-03T00:00",
    "after_from": "2026-11-08T10:20",
    "after_to": "2026-11-10T11:10",
}


def test_custom_intervals_are_widened_to_full_hours() -> None:
    found = parse(**CUSTOM)
    assert spans(found) == [
        (at(2026, 11, 1), at(2026, 11, 3)),
        (at(2026, 11, 8, 10), at(2026, 11, 10, 12)),
    ]
    assert found.hours == (48, 50)
    assert found.than == "in the first interval"


def test_custom_intervals_may_be_in_any_order_and_touch() -> None:
    times = {**CUSTOM, "before_from": "2026-11-10T12:00", "before_to": "2026-11-12T00:00"}
    assert spans(parse(**times))[0] == (at(2026, 11, 10, 12), at(2026, 11, 12))


def test_custom_begins_with_the_last_week_against_the_one_before() -> None:
    found = parse(compare="custom")
    assert spans(found) == [
        (at(2026, 11, 12), at(2026, 11, 19)),
        (at(2026, 11, 19), at(2026, 11, 26)),
    ]


def test_an_interval_that_has_not_begun_has_no_load() -> None:
    found = parse(at(2026, 11, 5), **CUSTOM)
    assert found.hours == (48, None)


@pytest.mark.parametrize(
    ("args", "mend"),
    [
        ({"compare": "month"}, "today, week, 28d, version, custom"),
        ({"compare": "<script>"}, "<script>"),
        ({"compare": "version", "before": "9.9"}, "'9.9' .*'before'.*from the list"),
        ({"compare": "version", "after": "9.9"}, "'9.9' .*'after'.*from the list"),
        ({"compare": "version", "before": "2.0", "after": "2.0"}, "two different"),
        ({**CUSTOM, "before_to": ""}, "'before_to' is missing"),
        ({**CUSTOM, "after_from": ""}, "'after_from' is missing"),
        ({**CUSTOM, "after_from": "tomorrow"}, "'after_from' is 'tomorrow'. Write it as"),
        ({**CUSTOM, "before_from": "2026-02-30T00:00"}, "'before_from'"),
        ({**CUSTOM, "before_to": CUSTOM["before_from"]}, "empty. Let 'before_to' be after"),
        ({**CUSTOM, "after_to": "2026-11-01T00:00"}, "'after_to' be after"),
        ({**CUSTOM, "before_from": "2019-11-01T00:00"}, "'before_from'.* shorter"),
        ({**CUSTOM, "after_from": "2026-11-02T00:00"}, "overlap"),
        ({**CUSTOM, "before_to": "2026-11-08T10:10"}, "overlap.*full hours"),
        (
            {**CUSTOM, "after_from": CUSTOM["before_from"], "after_to": CUSTOM["before_to"]},
            "overlap",
        ),
    ],
)
def test_what_is_not_understood_is_refused_with_the_mend(args: dict[str, str], mend: str) -> None:
    with pytest.raises(ScopeError, match=mend):
        parse(**args)


def test_one_version_cannot_be_compared() -> None:
    for versions in ([], VERSIONS[:1]):
        with pytest.raises(ScopeError, match="APP_VERSION"):
            parse(versions=versions, compare="version")


def test_every_kind_has_a_label() -> None:
    assert {parse(compare=kind).compare for kind in COMPARES} == set(COMPARES)


@pytest.mark.parametrize(
    "args",
    [
        *({"compare": kind} for kind in COMPARES),
        {"compare": "version", "before": "2.0", "after": "1.0"},
        CUSTOM,
        # The hour that comes twice, by both of its names.
        {
            "compare": "custom",
            "before_from": "2026-10-25T02:00",
            "before_to": "2026-10-25T02:00+01:00",
            "after_from": "2026-10-25T02:00+01:00",
            "after_to": "2026-10-25T03:00",
        },
    ],
)
def test_a_url_brings_the_same_intervals_back(args: dict[str, str]) -> None:
    found = parse(**args)
    assert parse(**dict(found.to_query())) == found
