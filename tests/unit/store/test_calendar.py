from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from fmd_admin.store.calendar import HOUR_MS, Calendar

STEP_MS = 300_000

#: Zones with a day on which the clock is moved there, and an ordinary day.
MOVES = [
    ("UTC", date(2026, 5, 5)),
    ("Asia/Kolkata", date(2026, 5, 5)),
    ("Asia/Kathmandu", date(2026, 5, 5)),
    ("Europe/Amsterdam", date(2026, 3, 29)),
    ("Europe/Amsterdam", date(2026, 10, 25)),
    ("America/New_York", date(2026, 11, 1)),
    ("Africa/Cairo", date(2026, 4, 24)),  # 00:00 is left out
    ("Africa/Cairo", date(2026, 10, 29)),  # 24:00 goes back to 23:00
    ("America/Havana", date(2026, 3, 8)),  # 00:00 is left out
    ("America/Havana", date(2026, 11, 1)),  # 01:00 goes back to 00:00: two midnights
    ("America/Santiago", date(2026, 9, 6)),
    ("Australia/Lord_Howe", date(2026, 4, 5)),  # half an hour
    ("Australia/Lord_Howe", date(2026, 10, 4)),
    ("Pacific/Apia", date(2011, 12, 31)),  # the day before was left out
    ("America/St_Johns", date(2010, 11, 7)),  # 00:01 goes back to 23:01
]


def millis(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def moments(zone: ZoneInfo, day: date) -> range:
    start = millis(datetime(day.year, day.month, day.day, tzinfo=zone) - timedelta(hours=40))
    start -= start % STEP_MS
    return range(start, start + 80 * HOUR_MS, STEP_MS)


def wall(zone: ZoneInfo, time_ms: int) -> datetime:
    return datetime.fromtimestamp(time_ms / 1000, zone)


@pytest.mark.parametrize(("name", "day"), MOVES)
def test_hours_follow_the_wall_clock_without_gaps(name: str, day: date) -> None:
    zone = ZoneInfo(name)
    calendar = Calendar(zone)
    previous = None
    for time_ms in moments(zone, day):
        start, end = calendar.hour_start(time_ms), calendar.next_hour(time_ms)
        assert start <= time_ms < end
        assert end - start <= HOUR_MS
        assert wall(zone, start).replace(minute=0, second=0) == wall(zone, time_ms).replace(
            minute=0, second=0
        )
        # An hour begins on the full hour, or where the clock is moved.
        at, before = wall(zone, start), wall(zone, start - 1)
        assert at.minute == 0 or at.utcoffset() != before.utcoffset()
        if previous is not None:
            assert previous in ((start, end), (previous[0], start))
        previous = (start, end)


@pytest.mark.parametrize(("name", "day"), MOVES)
def test_days_follow_the_date_without_gaps(name: str, day: date) -> None:
    zone = ZoneInfo(name)
    calendar = Calendar(zone)
    previous = None
    for time_ms in moments(zone, day):
        start, end = calendar.day_start(time_ms), calendar.next_day(time_ms)
        assert start <= time_ms < end
        assert calendar.date_of(time_ms) == wall(zone, start).date()
        if name != "America/St_Johns":  # There the old date shows once more after midnight.
            assert wall(zone, start).date() == wall(zone, time_ms).date()
            assert wall(zone, start - 1).date() < wall(zone, time_ms).date()
        assert calendar.hour_start(start) == start
        if previous is not None:
            assert previous in ((start, end), (previous[0], start))
        previous = (start, end)


@pytest.mark.parametrize(("name", "day"), MOVES)
def test_hours_of_a_day_are_its_hours(name: str, day: date) -> None:
    zone = ZoneInfo(name)
    calendar = Calendar(zone)
    start = calendar.date_start(day)
    walked = []
    moment = start
    while moment < calendar.next_day(start):
        walked.append((moment, wall(zone, moment).hour))
        moment = calendar.next_hour(moment)
    assert calendar.hours_of(start + 7 * HOUR_MS) == walked


def test_days_with_23_and_25_hours() -> None:
    calendar = Calendar(ZoneInfo("Europe/Amsterdam"))
    spring, autumn = date(2026, 3, 29), date(2026, 10, 25)
    assert [hour for _, hour in calendar.hours_of(calendar.date_start(spring))] == [
        0,
        1,
        *range(3, 24),
    ]
    assert [hour for _, hour in calendar.hours_of(calendar.date_start(autumn))] == [
        0,
        1,
        2,
        2,
        *range(3, 24),
    ]


def test_a_day_without_midnight_begins_at_one() -> None:
    zone = ZoneInfo("Africa/Cairo")
    start = Calendar(zone).date_start(date(2026, 4, 24))
    assert wall(zone, start) == datetime(2026, 4, 24, 1, tzinfo=zone)


def test_a_day_with_two_midnights_begins_at_the_first() -> None:
    zone = ZoneInfo("America/Havana")
    calendar = Calendar(zone)
    start = calendar.date_start(date(2026, 11, 1))
    assert start == millis(datetime(2026, 11, 1, fold=0, tzinfo=zone))
    assert calendar.next_day(start) - start == 25 * HOUR_MS


def test_kolkata_hours_begin_at_half_past_in_utc() -> None:
    calendar = Calendar(ZoneInfo("Asia/Kolkata"))
    noon = millis(datetime(2026, 5, 5, 12, 10, tzinfo=ZoneInfo("UTC")))
    assert wall(ZoneInfo("UTC"), calendar.hour_start(noon)).minute == 30


def test_moments_out_of_order_are_found_all_the_same() -> None:
    zone = ZoneInfo("Europe/Amsterdam")
    calendar = Calendar(zone)
    times = list(moments(zone, date(2026, 10, 25)))
    for time_ms in times[::7] + times[::-13]:
        assert calendar.hour_start(time_ms) == Calendar(zone).hour_start(time_ms)
        assert calendar.day_start(time_ms) == Calendar(zone).day_start(time_ms)
