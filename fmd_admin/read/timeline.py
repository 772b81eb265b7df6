"""Time on an axis: the hours or days of a range, and what was measured in each of them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from ..store.calendar import HOUR_MS, Calendar
from ..store.types import from_millis, to_millis
from .buckets import Buckets, Total
from .catalog import versions
from .scope import Scope
from .table import Column

#: Longer ranges are shown by day.
MOST_HOURS = 72


@dataclass(frozen=True, slots=True)
class Timeline:
    """The steps of a range. ``starts`` are UTC ms; a step ends where the next begins, or the range.

    At the ends of the range a day may be cut. The hour that comes twice when the clock goes back
    is two steps, the one that is left out is none.
    """

    unit: Literal["hour", "day"]
    starts: list[int]
    end_ms: int
    zone: ZoneInfo

    @property
    def hourly(self) -> bool:
        """Whether the steps are hours."""
        return self.unit == "hour"

    def index(self, time_ms: int) -> int:
        """Return the number of the step that a moment in the range lies in."""
        return bisect_right(self.starts, time_ms) - 1

    def edges(self) -> list[tuple[str, str]]:
        """Return beginning and end of each step on the wall clock: ``2026-11-22T14:00+01:00``."""
        zone = self.zone
        texts = [
            from_millis(time_ms).astimezone(zone).isoformat(timespec="minutes")
            for time_ms in (*self.starts, self.end_ms)
        ]
        return list(pairwise(texts))

    def column(self) -> Column:
        """Return the first column of a table with a row for each step."""
        return (
            Column("day", "Day", "date") if self.unit == "day" else Column("hour", "Hour", "time")
        )

    def cells(self) -> list[object]:
        """Return the values of :meth:`column`."""
        if self.unit == "hour":
            return [from_millis(start) for start in self.starts]
        calendar = Calendar(self.zone)
        return [calendar.date_of(start).isoformat() for start in self.starts]


def timeline(scope: Scope, most_hours: int = MOST_HOURS) -> Timeline:
    """Return the hours of ``scope``, or its days if it is longer than ``most_hours``."""
    calendar = Calendar(scope.zone)
    hourly = scope.end_ms - scope.start_ms <= most_hours * HOUR_MS
    following = calendar.next_hour if hourly else calendar.next_day
    starts = []
    moment = scope.start_ms
    while moment < scope.end_ms:
        starts.append(moment)
        moment = following(moment)
    return Timeline("hour" if hourly else "day", starts, scope.end_ms, scope.zone)


def totals(buckets: Buckets, steps: Timeline) -> list[Total]:
    """Return what was measured in each step: hits, errors, durations."""
    found = [Total() for _ in steps.starts]
    for moment, total in buckets.totals("moment", hourly=steps.hourly).items():
        found[steps.index(moment)].add(total)
    return found


def statuses(buckets: Buckets, steps: Timeline) -> list[Mapping[int, int]]:
    """Return hits by status code in each step."""
    found: list[dict[int, int]] = [{} for _ in steps.starts]
    for moment, counts in buckets.statuses("moment", hourly=steps.hourly).items():
        into = found[steps.index(moment)]
        for status, hits in counts.items():
            into[status] = into.get(status, 0) + hits
    return list(found)


@dataclass(frozen=True, slots=True)
class Marker:
    """A moment (UTC ms) at which a version of the host app was seen first."""

    time_ms: int
    label: str


def markers(connection: Connection, scope: Scope) -> list[Marker]:
    """Return the versions that were new in the range; the very first one is no change."""
    return [
        Marker(time_ms, version.name)
        for version in versions(connection)[1:]
        if scope.start_ms <= (time_ms := to_millis(version.first_seen)) < scope.end_ms
        and (not scope.versions or version.name in scope.versions)
    ]
