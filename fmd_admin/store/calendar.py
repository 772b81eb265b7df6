"""Where hours and days begin in a time zone, in UTC milliseconds."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from .types import from_millis, to_millis

HOUR_MS = 3_600_000
_MILLISECOND = timedelta(milliseconds=1)


class Calendar:
    """Cuts time into the hours and days of one zone, without gaps and overlaps.

    An hour begins at each full hour on the wall clock, and where the clock is moved; so no hour is
    longer than 60 minutes, and with Kolkata's offset hours begin at :30 UTC. A day begins at the
    first moment of its date: at 01:00 where midnight is left out, at the first of two midnights.

    The last hour and day asked for are kept, as requests come in almost in order. An object is
    meant for one thread.
    """

    def __init__(self, zone: ZoneInfo) -> None:
        self.zone = zone
        self._hour = self._hour_end = 0
        self._day = self._day_end = 0

    def hour_start(self, time_ms: int) -> int:
        """Return the beginning of the hour that ``time_ms`` lies in."""
        if not self._hour <= time_ms < self._hour_end:
            self._find_hour(time_ms)
        return self._hour

    def next_hour(self, time_ms: int) -> int:
        """Return the end of the hour that ``time_ms`` lies in: where the next one begins."""
        self.hour_start(time_ms)
        return self._hour_end

    def day_start(self, time_ms: int) -> int:
        """Return the beginning of the day that ``time_ms`` lies in."""
        if not self._day <= time_ms < self._day_end:
            self._find_day(time_ms)
        return self._day

    def next_day(self, time_ms: int) -> int:
        """Return the end of the day that ``time_ms`` lies in: where the next one begins."""
        self.day_start(time_ms)
        return self._day_end

    def local(self, time_ms: int) -> datetime:
        """Return the wall clock of the zone at ``time_ms``."""
        return from_millis(time_ms).astimezone(self.zone)

    def hours_of(self, day_ms: int) -> list[tuple[int, int]]:
        """Return the hours of the day that ``day_ms`` lies in: (beginning, hour on the clock).

        Where the clock goes back an hour stands twice, where it goes forward one is left out.
        """
        start, end = self.day_start(day_ms), self.next_day(day_ms)
        if end - start == 24 * HOUR_MS and self._offset_ms(start) == self._offset_ms(end - 1):
            return [(start + hour * HOUR_MS, hour) for hour in range(24)]
        hours = []
        while start < end:
            hours.append((start, self.local(start).hour))
            start = self.next_hour(start)
        return hours

    def date_of(self, time_ms: int) -> date:
        """Return the date of the day that ``time_ms`` lies in."""
        return self.local(self.day_start(time_ms)).date()

    def date_start(self, day: date) -> int:
        """Return the first moment that shows ``day`` (or a later date, if it was left out)."""
        midnight = datetime(day.year, day.month, day.day, tzinfo=self.zone)
        start = to_millis(midnight)
        if self.local(start - 1).date() < day:
            return start
        # The clock was moved over midnight: the day begins where it was moved.
        return self._moved(start - 24 * HOUR_MS, start)

    def _find_hour(self, time_ms: int) -> None:
        offset = self._offset_ms(time_ms)
        start = time_ms - (time_ms + offset) % HOUR_MS
        end = start + HOUR_MS
        if self._offset_ms(start) != offset:
            start = self._moved(start, time_ms)
        if self._offset_ms(end - 1) != offset:
            end = self._moved(time_ms, end - 1)
        self._hour, self._hour_end = start, end

    def _find_day(self, time_ms: int) -> None:
        day = self.local(time_ms).date()
        start, end = self.date_start(day), self.date_start(day + timedelta(days=1))
        if time_ms >= end:
            # The clock went back over midnight: this hour shows the old date once more.
            start, end = end, self.date_start(day + timedelta(days=2))
        self._day, self._day_end = start, end

    def _offset_ms(self, time_ms: int) -> int:
        offset = self.local(time_ms).utcoffset()
        return 0 if offset is None else offset // _MILLISECOND

    def _moved(self, before_ms: int, after_ms: int) -> int:
        """Return the moment at which the clock was moved between two moments."""
        old = self._offset_ms(before_ms)
        while after_ms - before_ms > 1:
            between = (before_ms + after_ms) // 2
            if self._offset_ms(between) == old:
                before_ms = between
            else:
                after_ms = between
        return after_ms
