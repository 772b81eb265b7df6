"""When something runs: cron and interval in the words of APScheduler, checked at once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone, tzinfo
from difflib import get_close_matches
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from ..errors import ScheduleError

_COMMON = ("start_date", "end_date", "timezone", "jitter")
_CRON = ("year", "month", "day", "week", "day_of_week", "hour", "minute", "second")
_INTERVAL = ("weeks", "days", "hours", "minutes", "seconds")
FIELDS = {"cron": (*_CRON, *_COMMON), "interval": (*_INTERVAL, *_COMMON)}
SHORTEST_S = 1.0
#: Ticks that are looked through for the last one that was missed.
_MOST_TICKS = 10_000


class Trigger(Protocol):
    """What APScheduler's triggers have in common."""

    def get_next_fire_time(
        self, previous_fire_time: datetime | None, now: datetime
    ) -> datetime | None:
        """Return the first time after ``previous_fire_time`` and not before ``now``."""


@dataclass(frozen=True)
class Schedule:
    """A checked schedule. ``kind`` is "cron", "interval" or a trigger object."""

    kind: str | BaseTrigger
    fields: Mapping[str, Any]

    def trigger(self, zone: tzinfo) -> Trigger:
        """Return its APScheduler trigger, by the wall clock of ``zone`` unless it names its own.

        Intervals without a start are counted from a Monday's midnight in 1970, not from now: all
        processes see the same ticks, and a restart neither moves nor postpones them.
        """
        if not isinstance(self.kind, str):
            made: Trigger = self.kind
            return made
        fields = {"timezone": zone, **self.fields}
        if self.kind == "cron":
            made = CronTrigger(**fields)
            return made
        if fields.get("start_date") is None:
            at = fields["timezone"]
            fields["start_date"] = datetime(
                1970, 1, 5, tzinfo=ZoneInfo(at) if isinstance(at, str) else at
            )
        made = IntervalTrigger(**fields)
        return made

    def words(self, zone: tzinfo) -> str:
        """Return the schedule as people say it: ``every 10 seconds``."""
        if not isinstance(self.kind, str):
            return str(self.kind)
        said = _cron_words(self.trigger(zone)) if self.kind == "cron" else self._interval_words()
        if self.fields.get("jitter"):
            said += f", up to {self.fields['jitter']} s later"
        for field, word in (("start_date", "from"), ("end_date", "until")):
            if self.fields.get(field):
                said += f", {word} {self.fields[field]}"
        return said

    def _interval_words(self) -> str:
        parts = [(self.fields[name], name) for name in _INTERVAL if self.fields.get(name)]
        if len(parts) == 1 and parts[0][0] == 1:
            return f"every {parts[0][1][:-1]}"
        said = [f"{number} {name[:-1] if number == 1 else name}" for number, name in parts]
        return "every " + " and ".join(part for part in (", ".join(said[:-1]), said[-1]) if part)


def schedule(kind: Any, fields: Mapping[str, Any]) -> Schedule:
    """Check a schedule. Raises ScheduleError, whose message names what would be right."""
    given = {name: value for name, value in fields.items() if value is not None}
    if isinstance(kind, BaseTrigger):
        if given:
            raise ScheduleError(
                f"A trigger object holds its schedule already. Leave out {_listed(given)}."
            )
        return Schedule(kind, {})
    if not isinstance(kind, str) or kind not in FIELDS:
        raise ScheduleError(
            f"The trigger is {kind!r}. Allowed: 'cron', 'interval' or an APScheduler trigger "
            "object."
        )
    for name in given:
        if name not in FIELDS[kind]:
            raise _wrong_field(kind, name)
    own = _CRON if kind == "cron" else _INTERVAL
    if not any(name in own for name in given):
        example = "minute=0" if kind == "cron" else "minutes=5"
        raise ScheduleError(f"{kind} needs at least one of {_listed(own)}. Example: {example}.")
    found = Schedule(kind, given)
    try:
        trigger = found.trigger(timezone.utc)
    except (ValueError, TypeError, KeyError, OSError, OverflowError) as error:
        raise ScheduleError(f"{kind} does not understand {_shown(given)}: {error}") from error
    length_s = getattr(trigger, "interval_length", None)
    if kind == "interval" and not any(given.get(name) for name in own):
        length_s = 0.0  # APScheduler takes it for a second.
    if length_s is not None and not (length_s >= SHORTEST_S and math.isfinite(length_s)):
        raise ScheduleError(f"The interval is {length_s:g} s. Allowed: {SHORTEST_S:g} s and more.")
    return found


def last_tick(trigger: Trigger, after: datetime, now: datetime) -> datetime | None:
    """Return the newest tick in (``after``, ``now``], None if there is none."""
    found = None
    tick = trigger.get_next_fire_time(None, after)
    for _ in range(_MOST_TICKS):
        if tick is None or tick > now:
            break
        if tick > after:
            found = tick
        # The second argument is when to look from; a tick is never before the one before it.
        tick = trigger.get_next_fire_time(tick, tick)
    return found


def _wrong_field(kind: str, name: str) -> ScheduleError:
    known = FIELDS[kind]
    turned = name.removesuffix("s") if kind == "cron" else f"{name}s"
    near = [turned] if turned in known else get_close_matches(name, known, 1, 0.75)
    takes = f"takes {near[0]!r}, not {name!r}" if near else f"does not take {name!r}"
    return ScheduleError(f"{kind} {takes}. Its fields: {', '.join(known)}.")


def _listed(names: Any) -> str:
    return ", ".join(repr(name) for name in names)


def _shown(fields: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in fields.items())


def _cron_words(trigger: Any) -> str:
    said = {field.name: str(field) for field in trigger.fields}
    clock = [said[name] for name in ("hour", "minute", "second")]
    days = {name: said[name] for name in ("year", "month", "day", "week", "day_of_week")}
    days = {name: text for name, text in days.items() if text != "*"}
    zone = f" ({trigger.timezone})"
    if all(text.isdigit() for text in clock) and days.keys() <= {"day_of_week"}:
        day = days.get("day_of_week", "day")
        return f"every {day} at {':'.join(f'{int(text):02}' for text in clock)}{zone}"
    if not days and clock[0] == "*" and clock[2].isdigit():
        if clock[1] == "*":
            return f"every minute at second {clock[2]}"
        if clock[1].isdigit():
            return f"every hour at {int(clock[1]):02}:{int(clock[2]):02}{zone}"
    parts = {**days, **dict(zip(("hour", "minute", "second"), clock, strict=True))}
    return "cron: " + ", ".join(f"{n} {t}" for n, t in parts.items() if t != "*") + zone
