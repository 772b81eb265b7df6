"""What charts over time share: the steps that a range is cut into, and what happened in it."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from ..store.calendar import HOUR_MS, Calendar
from ..store.types import to_millis
from .catalog import versions
from .scope import Scope

#: (longest range in days, hours of a step); longer ranges have steps of a day.
_STEPS = ((14, 1), (32, 3))
_DAY_MS = 24 * HOUR_MS


@dataclass(frozen=True, slots=True)
class Steps:
    """Where the steps of a range begin (UTC ms). ``by_day``: each is a day.

    ``label`` says how long a step is, for "per …".
    """

    starts: list[int]
    by_day: bool
    label: str


@dataclass(frozen=True, slots=True)
class Marker:
    """A moment (UTC ms) at which a version of the host app was seen first."""

    time_ms: int
    label: str


def steps(scope: Scope) -> Steps:
    """Return the steps of ``scope`` up to now: hours for two weeks, days for what is long."""
    calendar = Calendar(scope.zone)
    length_ms = scope.end_ms - scope.start_ms
    hours = next((hours for days, hours in _STEPS if length_ms <= days * _DAY_MS), 0)
    end_ms = max(min(scope.end_ms, scope.now_ms), scope.start_ms + 1)
    starts: list[int] = []
    moment = scope.start_ms
    while moment < end_ms:
        starts.append(moment)
        if not hours:
            moment = calendar.next_day(moment)
        else:
            moment = calendar.next_hour(moment)
            while moment < end_ms and calendar.local(moment).hour % hours:
                moment = calendar.next_hour(moment)
    label = "day" if not hours else "hour" if hours == 1 else f"{hours} hours"
    return Steps(starts, not hours, label)


def markers(connection: Connection, scope: Scope) -> list[Marker]:
    """Return the versions that were new in the range; the very first one is no change."""
    return [
        Marker(time_ms, version.name)
        for version in versions(connection)[1:]
        if scope.start_ms <= (time_ms := to_millis(version.first_seen)) < scope.end_ms
        and (not scope.versions or version.name in scope.versions)
    ]
