from __future__ import annotations

from datetime import datetime, timezone
from zoneinfo import ZoneInfo

import pytest
from werkzeug.datastructures import MultiDict

from fmd_admin.errors import ScopeError
from fmd_admin.read.scope import Scope, parse_scope
from fmd_admin.records import Batch, Row
from fmd_admin.store.store import Store
from fmd_admin.store.writer import BatchWriter

from .conftest import MakeWorld
from .data import World

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
NOW = datetime(2026, 11, 22, 14, 35, tzinfo=AMSTERDAM)


def millis(*moment: int, zone: ZoneInfo = AMSTERDAM, fold: int = 0) -> int:
    year, month, day, *rest = moment
    return round(datetime(year, month, day, *rest, fold=fold, tzinfo=zone).timestamp() * 1000)


def parse(
    store: Store, query: dict[str, list[str]], now: datetime = NOW, default: str = "7d"
) -> Scope:
    with store.read() as connection:
        return parse_scope(
            connection,
            query,
            zone=AMSTERDAM if now.tzinfo is None else now.tzinfo,  # type: ignore[arg-type]
            default_range=default,
            now_ms=round(now.timestamp() * 1000),
        )


@pytest.mark.parametrize(
    ("name", "start", "end", "label"),
    [
        ("1h", (2026, 11, 22, 13), (2026, 11, 22, 15), "22 Nov 2026, 13:00 \u2013 15:00"),
        (
            "24h",
            (2026, 11, 21, 15),
            (2026, 11, 22, 15),
            "21 Nov 2026, 15:00 \u2013 22 Nov 2026, 15:00",
        ),
        ("7d", (2026, 11, 16), (2026, 11, 23), "16 Nov \u2013 22 Nov 2026"),
        ("30d", (2026, 10, 24), (2026, 11, 23), "24 Oct \u2013 22 Nov 2026"),
    ],
)
def test_named_ranges(
    store: Store, name: str, start: tuple[int, ...], end: tuple[int, ...], label: str
) -> None:
    scope = parse(store, {"range": [name]})
    assert (scope.start_ms, scope.end_ms) == (millis(*start), millis(*end))
    assert scope.range_name == name
    assert scope.label == label
    assert scope.versions == ()
    assert scope.version_ids is None


def test_the_default_counts_without_a_range(store: Store) -> None:
    assert parse(store, {}).range_name == "7d"
    assert parse(store, {"range": [""]}, default="24h").range_name == "24h"


def test_24_hours_on_a_day_of_25(store: Store) -> None:
    now = datetime(2026, 10, 25, 12, 5, tzinfo=AMSTERDAM)
    scope = parse(store, {"range": ["24h"]}, now)
    assert scope.end_ms - scope.start_ms == 24 * 3_600_000
    assert scope.from_text == "2026-10-24T14:00"
    assert scope.to_text == "2026-10-25T13:00"


def test_7_days_are_whole_days_where_midnight_is_left_out(store: Store) -> None:
    cairo = ZoneInfo("Africa/Cairo")
    scope = parse(store, {"range": ["7d"]}, datetime(2026, 4, 30, 12, tzinfo=cairo))
    assert scope.start_ms == millis(2026, 4, 24, 1, zone=cairo)
    assert scope.end_ms == millis(2026, 5, 1, zone=cairo)
    assert [day.day for day in scope.days] == [24, 25, 26, 27, 28, 29, 30]
    assert scope.label == "24 Apr \u2013 30 Apr 2026"


def test_custom_ranges_are_on_the_wall_clock(store: Store) -> None:
    scope = parse(
        store, {"range": ["custom"], "from": ["2026-11-01T00:00"], "to": ["2026-11-03T12:00"]}
    )
    assert scope.start_ms == millis(2026, 11, 1)
    assert scope.end_ms == millis(2026, 11, 3, 12)
    assert scope.label == "1 Nov 2026, 00:00 \u2013 3 Nov 2026, 12:00"
    assert [day.isoformat() for day in scope.days] == ["2026-11-01", "2026-11-02", "2026-11-03"]


def test_custom_ranges_are_widened_to_full_hours(store: Store) -> None:
    scope = parse(store, {"from": ["2026-11-01T10:25"], "to": ["2026-11-01T12:01:30"]})
    assert scope.range_name == "custom"
    assert (scope.from_text, scope.to_text) == ("2026-11-01T10:00", "2026-11-01T13:00")


def test_kolkata_hours_begin_at_half_past_in_utc(store: Store) -> None:
    kolkata = ZoneInfo("Asia/Kolkata")
    now = datetime(2026, 11, 1, 15, tzinfo=kolkata)
    scope = parse(store, {"from": ["2026-11-01T10:10"], "to": ["2026-11-01T11:00"]}, now)
    start = datetime.fromtimestamp(scope.start_ms / 1000, timezone.utc)
    assert (start.hour, start.minute) == (4, 30)
    assert scope.end_ms - scope.start_ms == 3_600_000


def test_a_custom_range_may_be_open_to_now(store: Store) -> None:
    scope = parse(store, {"range": ["custom"], "from": ["2026-11-20T00:00"]})
    assert scope.end_ms == millis(2026, 11, 22, 15)


def test_a_form_may_send_both_a_name_and_empty_or_old_dates(store: Store) -> None:
    assert parse(store, {"range": ["24h"], "from": [""], "to": [""]}).range_name == "24h"
    old = {"range": ["24h"], "from": ["2026-11-20T00:00"], "to": ["rubbish"]}
    assert parse(store, old).range_name == "24h"


@pytest.mark.parametrize(
    ("label", "query"),
    [
        ("1 Nov 2026", {"from": ["2026-11-01T00:00"], "to": ["2026-11-02T00:00"]}),
        (
            "30 Dec 2025 \u2013 2 Jan 2026",
            {"from": ["2025-12-30T00:00"], "to": ["2026-01-03T00:00"]},
        ),
        (
            "1 Nov 2026, 22:00 \u2013 2 Nov 2026, 00:00",
            {"from": ["2026-11-01T22:00"], "to": ["2026-11-02T00:00"]},
        ),
    ],
)
def test_labels(store: Store, label: str, query: dict[str, list[str]]) -> None:
    assert parse(store, query).label == label


@pytest.mark.parametrize(
    ("query", "mend"),
    [
        ({"range": ["2w"]}, "1h, 24h, 7d, 30d, custom"),
        ({"range": ["custom"]}, "from=2026-11-01T00:00"),
        ({"from": ["yesterday"]}, "2026-11-01T00:00"),
        ({"from": ["2026-11-01"]}, "2026-11-01T00:00"),
        ({"from": ["2026-13-01T00:00"]}, "2026-11-01T00:00"),
        ({"from": ["0001-01-01T00:00"]}, "2026-11-01T00:00"),
        ({"from": ["9999-12-31T23:59"]}, "2026-11-01T00:00"),
        ({"from": ["2026-11-01T00:00"], "to": ["x"]}, "'to'"),
        ({"from": ["2026-11-02T00:00"], "to": ["2026-11-01T00:00"]}, "Swap"),
        ({"from": ["2026-11-02T00:00"], "to": ["2026-11-02T00:00"]}, "Swap"),
        ({"from": ["1980-11-02T00:00"], "to": ["2026-11-02T00:00"]}, "shorter"),
        ({"version": ["9.9"]}, "from the list"),
        ({"against": ["year"]}, "previous, week, off"),
    ],
)
def test_what_is_not_understood_is_refused_with_the_mend(
    store: Store, query: dict[str, list[str]], mend: str
) -> None:
    with pytest.raises(ScopeError, match=mend):
        parse(store, query)


def test_versions_are_found_by_name(world: World) -> None:
    scope = world.scope(version=["2.0", "1.0", "2.0", ""])
    assert scope.versions == ("2.0", "1.0")
    assert scope.version_ids is not None
    assert len(set(scope.version_ids)) == 2


@pytest.mark.parametrize(
    "query",
    [
        {"range": ["1h"]},
        {"range": ["30d"], "version": ["1.0", "2.0"]},
        {"from": ["2026-10-24T03:00"], "to": ["2026-10-25T09:00"], "version": ["1.1"]},
        # The second hour of that name, after the clock went back.
        {"from": ["2026-10-25T02:00+01:00"], "to": ["2026-10-25T03:00"]},
        {"from": ["2026-10-25T02:00"], "to": ["2026-10-25T02:00+01:00"]},
    ],
)
def test_a_url_brings_the_same_scope_back(world: World, query: dict[str, list[str]]) -> None:
    def parsed(args: object) -> Scope:
        with world.store.read() as connection:
            return parse_scope(
                connection, args, zone=world.zone, default_range="7d", now_ms=world.now_ms
            )

    scope = parsed(query)
    assert parsed(MultiDict(scope.to_query())) == scope
    assert "range" in dict(scope.to_query())


def test_the_hour_that_comes_twice_is_told_apart(world: World) -> None:
    first = world.scope(since="2026-10-25T02:00", to="2026-10-25T02:00+01:00")
    second = world.scope(since="2026-10-25T02:00+01:00", to="2026-10-25T03:00")
    assert first.end_ms == second.start_ms
    assert first.end_ms - first.start_ms == second.end_ms - second.start_ms == 3_600_000


def texts(world: World, **args: str | list[str]) -> tuple[str, str] | None:
    before = world.scope(**args).before()
    return None if before is None else (before.from_text, before.to_text)


def test_what_a_range_is_compared_with(world_in: MakeWorld) -> None:
    """On Wednesday, three days after an hour came twice."""
    world = world_in("Europe/Amsterdam", datetime(2026, 10, 28, 15, 20))
    # As many days, up to the same time of day.
    assert texts(world, range="7d") == ("2026-10-15T00:00", "2026-10-21T16:00")
    assert texts(world, range="30d") == ("2026-08-30T00:00", "2026-09-28T16:00")
    assert texts(world, range="24h") == ("2026-10-26T16:00", "2026-10-27T16:00")
    assert texts(world, range="1h") == ("2026-10-28T12:00", "2026-10-28T14:00")
    assert texts(world, range="24h", against="week") == ("2026-10-20T16:00", "2026-10-21T16:00")
    # A week earlier would overlap with it.
    assert texts(world, range="30d", against="week") == texts(world, range="30d")
    assert texts(world, range="7d", against="off") is None
    day = {"since": "2026-10-25T00:00", "to": "2026-10-26T00:00"}
    assert texts(world, **day) == ("2026-10-24T00:00", "2026-10-25T00:00")
    hours = {"since": "2026-10-25T06:00", "to": "2026-10-25T08:00"}
    assert texts(world, **hours) == ("2026-10-25T04:00", "2026-10-25T06:00")
    # Six hours before 06:00 on the day of 25 hours.
    hours = {"since": "2026-10-25T06:00", "to": "2026-10-25T12:00"}
    assert texts(world, **hours) == ("2026-10-25T01:00", "2026-10-25T06:00")
    assert texts(world, since="2026-12-01T00:00", to="2026-12-02T00:00") is None


def test_a_comparison_is_not_compared_itself(world: World) -> None:
    before = world.scope(range="7d").before()
    assert before is not None
    assert before.before() is None
    assert before.elapsed_ms == before.end_ms - before.start_ms


def test_elapsed_is_what_has_passed(world: World) -> None:
    scope = world.scope(range="24h")
    assert scope.elapsed_ms == world.now_ms - scope.start_ms
    assert world.scope(since="2026-10-01T00:00", to="2026-10-02T00:00").elapsed_ms == 86_400_000
    assert world.scope(since="2026-12-01T00:00", to="2026-12-02T00:00").elapsed_ms == 0


def test_no_version_holds_nul(store: Store) -> None:
    # PostgreSQL would refuse the statement.
    with pytest.raises(ScopeError, match="is not known"):
        parse(store, {"version": ["1.0\0"]})


def test_a_refused_range_is_named_shortly(store: Store) -> None:
    with pytest.raises(ScopeError) as caught:
        parse(store, {"range": ["x" * 5_000]})
    assert len(str(caught.value)) < 200


def test_the_version_without_a_name_has_a_word_of_its_own(store: Store) -> None:
    rows = [Row(1_795_387_000_000, "a", 5.0, 200, "GET", None, None)]
    for version in ("", "1.0"):
        BatchWriter(store, lambda: 1).write(Batch(f"w{version}", 1, version, rows))
    scope = parse(store, {"version": ["(no version)"]})
    assert scope.versions == ("",)
    assert scope.version_ids is not None
    assert len(scope.version_ids) == 1
    assert ("version", "(no version)") in scope.to_query()
    both = parse(store, {"version": ["(no version)", "1.0", "(no version)"]})
    assert both.versions == ("", "1.0")


def test_an_unknown_version_without_a_name_is_refused(store: Store) -> None:
    with pytest.raises(ScopeError, match=r"'\(no version\)' is not known"):
        parse(store, {"version": ["(no version)"]})
