from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from apscheduler.triggers.combining import OrTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from fmd_admin.errors import ScheduleError
from fmd_admin.jobs.schedules import last_tick, schedule

UTC = timezone.utc
AMSTERDAM = ZoneInfo("Europe/Amsterdam")


def ticks(kind: Any, now: datetime, count: int, zone: Any = UTC, **fields: Any) -> list[str]:
    """The next ``count`` ticks after ``now`` in UTC."""
    trigger = schedule(kind, fields).trigger(zone)
    found: list[str] = []
    tick = trigger.get_next_fire_time(None, now)
    while tick is not None and len(found) < count:
        found.append(f"{tick.astimezone(UTC):%d %H:%M:%S}")
        tick = trigger.get_next_fire_time(tick, tick)
    return found


def test_intervals_are_the_same_in_every_process_and_after_a_restart() -> None:
    early = datetime(2026, 11, 25, 12, 0, 3, 250_000, tzinfo=UTC)
    late = early + timedelta(seconds=6)
    assert ticks("interval", early, 3, seconds=10) == ["25 12:00:10", "25 12:00:20", "25 12:00:30"]
    assert ticks("interval", late, 3, seconds=10) == ["25 12:00:10", "25 12:00:20", "25 12:00:30"]


def test_days_and_weeks_begin_at_midnight_and_on_mondays() -> None:
    now = datetime(2026, 11, 25, 12, tzinfo=UTC)  # A Wednesday.
    assert ticks("interval", now, 1, zone=AMSTERDAM, days=1) == ["25 23:00:00"]
    assert ticks("interval", now, 1, weeks=1) == ["30 00:00:00"]


def test_an_interval_may_have_a_start_and_a_zone_of_its_own() -> None:
    now = datetime(2026, 11, 25, 12, tzinfo=UTC)
    start = datetime(2026, 11, 25, 12, 0, 7, tzinfo=UTC)
    assert ticks("interval", now, 1, minutes=1, start_date=start) == ["25 12:00:07"]
    assert ticks("interval", now, 1, days=1, timezone="Asia/Kolkata") == ["25 18:30:00"]


def test_cron_follows_the_wall_clock_of_the_zone_unless_it_names_one() -> None:
    before = datetime(2026, 10, 24, 12, tzinfo=UTC)  # The clock goes back that night.
    assert ticks("cron", before, 3, zone=AMSTERDAM, hour=23, minute=59, second=0) == [
        "24 21:59:00",
        "25 22:59:00",
        "26 22:59:00",
    ]
    assert ticks("cron", before, 1, zone=AMSTERDAM, hour=23, timezone="UTC") == ["24 23:00:00"]


def test_a_trigger_object_is_taken_as_it_is() -> None:
    made = OrTrigger([CronTrigger(second=0, timezone=UTC), CronTrigger(second=30, timezone=UTC)])
    now = datetime(2026, 11, 25, 12, 0, 1, tzinfo=UTC)
    assert ticks(made, now, 2) == ["25 12:00:30", "25 12:01:00"]
    assert schedule(made, {}).words(UTC).startswith("or[cron[second='0']")


@pytest.mark.parametrize(
    ("kind", "fields", "said"),
    [
        ("interval", {"seconds": 10}, "every 10 seconds"),
        ("interval", {"minutes": 1}, "every minute"),
        ("interval", {"days": 1, "hours": 2, "minutes": 1}, "every 1 day, 2 hours and 1 minute"),
        ("interval", {"hours": 6, "jitter": 30}, "every 6 hours, up to 30 s later"),
        ("interval", {"hours": 6, "end_date": "2030-01-01"}, "every 6 hours, until 2030-01-01"),
        ("cron", {"second": 0}, "every minute at second 0"),
        ("cron", {"minute": 5}, "every hour at 05:00 (UTC)"),
        (
            "cron",
            {"month": "*", "day": "*", "hour": 23, "minute": 59, "second": 0},
            "every day at 23:59:00 (UTC)",
        ),
        ("cron", {"day_of_week": "mon-fri", "hour": 8}, "every mon-fri at 08:00:00 (UTC)"),
        ("cron", {"minute": "*/5"}, "cron: minute */5, second 0 (UTC)"),
        ("cron", {"day": 1}, "cron: day 1, hour 0, minute 0, second 0 (UTC)"),
    ],
)
def test_in_words(kind: str, fields: dict[str, Any], said: str) -> None:
    assert schedule(kind, fields).words(UTC) == said


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        ("cron", {"minutes": 5}, r"cron takes 'minute', not 'minutes'. Its fields: year, month,"),
        ("cron", {"seconds": 5}, "cron takes 'second', not 'seconds'"),
        ("cron", {"weekday": 5}, "cron (takes 'day_of_week', not|does not take) 'weekday'"),
        ("interval", {"second": 5}, r"takes 'seconds', not 'second'. Its fields: weeks, days,"),
        ("interval", {"day": 5}, "interval takes 'days', not 'day'"),
        ("interval", {"month": 5}, "interval does not take 'month'"),
        ("interval", {"day_of_week": 5}, "interval does not take 'day_of_week'"),
        ("interval", {"minuets": 5}, "interval takes 'minutes', not 'minuets'"),
        ("cron", {}, "cron needs at least one of 'year', .* Example: minute=0"),
        ("interval", {}, "interval needs at least one of 'weeks', .* Example: minutes=5"),
        ("interval", {"jitter": 3}, "interval needs at least one of"),
        ("cron", {"minute": 99}, "cron does not understand minute=99: .*59"),
        ("cron", {"minute": "often"}, "cron does not understand minute='often'"),
        ("interval", {"seconds": "ten"}, "interval does not understand seconds='ten'"),
        ("interval", {"seconds": 1e300}, "interval does not understand"),
        ("interval", {"seconds": -5}, "The interval is -5 s. Allowed: 1 s and more"),
        ("interval", {"seconds": 0.5}, "The interval is 0.5 s. Allowed: 1 s and more"),
        ("interval", {"seconds": 0}, "The interval is 0 s"),
        ("cron", {"minute": 1, "timezone": "Mars/Base"}, "cron does not understand"),
        ("date", {"run_date": "x"}, "The trigger is 'date'. Allowed: 'cron', 'interval' or an"),
        (None, {"seconds": 1}, "The trigger is None"),
        (["cron"], {"second": 1}, "The trigger is"),
        (IntervalTrigger(seconds=3, timezone=UTC), {"seconds": 3}, "Leave out 'seconds'"),
    ],
)
def test_what_cannot_be_is_refused_with_what_would_be_right(
    kind: Any, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(ScheduleError, match=message):
        schedule(kind, fields)


def test_last_tick() -> None:
    trigger = schedule("interval", {"seconds": 10}).trigger(UTC)
    now = datetime(2026, 11, 25, 12, 0, 35, tzinfo=UTC)

    def last(seconds: float) -> str | None:
        found = last_tick(trigger, now - timedelta(seconds=seconds), now)
        return None if found is None else f"{found:%S}"

    assert last(60) == "30"
    assert last(5.5) == "30"
    assert last(5) is None  # The tick itself is what was run last.
    assert last(2) is None
    ended = schedule("interval", {"seconds": 10, "end_date": "2020-01-01"}).trigger(UTC)
    assert last_tick(ended, now - timedelta(seconds=60), now) is None
