"""What a page looks at: a time range, versions, perhaps one endpoint; as it stands in the URL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, select

from ..errors import ScopeError
from ..store.calendar import Calendar
from ..store.models import Version
from ..store.types import to_millis
from .catalog import NO_NAME

RANGES = ("1h", "24h", "7d", "30d", "custom")
#: What a range may be compared with: as much time right before it, or the same time a week earlier.
COMPARISONS = ("previous", "week", "off")
_DAYS = {"7d": 7, "30d": 30}
MAX_DAYS = 1100
_TO = " \N{EN DASH} "
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_YEARS = range(1971, 2200)
_DAY_MS = 86_400_000


@dataclass(frozen=True)
class Scope:
    """What is looked at. Times are UTC milliseconds, ``end_ms`` is exclusive.

    ``start_ms`` and ``end_ms`` lie where hours begin in ``zone``. ``versions`` are the names
    asked for and ``version_ids`` their ids; () and None mean all. ``now_ms`` is the moment of
    the request: today is taken from it, and later hours have not happened yet. ``exact_start_ms``
    and ``exact_end_ms`` are a custom range as it was asked for, before it was widened to hours.
    ``compare`` is one of ``COMPARISONS``.
    """

    range_name: str
    start_ms: int
    end_ms: int
    versions: tuple[str, ...]
    version_ids: tuple[int, ...] | None
    endpoint_id: int | None
    zone: ZoneInfo
    now_ms: int
    exact_start_ms: int
    exact_end_ms: int
    compare: str = "previous"

    def before(self) -> Scope | None:
        """Return what this is compared with; None if nothing is, or if all of it is to come.

        It holds as many hours as have passed of this one, so that a day that has just begun is
        compared with the morning of the day before.
        """
        calendar = Calendar(self.zone)
        end_ms = min(self.end_ms, calendar.next_hour(self.now_ms))
        if self.compare == "off" or end_ms <= self.start_ms:
            return None
        days = self._shift_days(calendar)
        start_ms, end_ms = (
            _earlier(calendar, moment, days, self.end_ms - self.start_ms)
            for moment in (self.start_ms, end_ms)
        )
        return replace(
            self,
            start_ms=start_ms,
            end_ms=end_ms,
            exact_start_ms=start_ms,
            exact_end_ms=end_ms,
            compare="off",
        )

    def _shift_days(self, calendar: Calendar) -> int:
        """Return by how many dates the comparison lies before; 0 if it is made of hours."""
        if self.compare == "week" and self.week_is_another:
            return 7
        edges = (self.start_ms, self.end_ms)
        if all(calendar.day_start(edge) == edge for edge in edges):
            return len(self.days)
        return 0

    @property
    def week_is_another(self) -> bool:
        """Whether a week earlier is another time than the one right before, and apart from this."""
        return self.end_ms - self.start_ms < 6 * _DAY_MS

    @property
    def is_exact(self) -> bool:
        """Whether it was asked for more exactly than by hours: lists have less than charts."""
        asked = (self.exact_start_ms, self.exact_end_ms)
        return asked != (self.start_ms, self.end_ms)

    @property
    def elapsed_ms(self) -> int:
        """How much of the range has passed."""
        return max(min(self.end_ms, self.now_ms) - self.start_ms, 0)

    @property
    def days(self) -> list[date]:
        """The dates that the range touches, in order."""
        calendar = Calendar(self.zone)
        found = []
        moment = self.start_ms
        while moment < self.end_ms:
            found.append(calendar.date_of(moment))
            moment = calendar.next_day(moment)
        return found

    @property
    def label(self) -> str:
        """The range in words: days, or hours if it is not made of whole days."""
        return _in_words(Calendar(self.zone), self.start_ms, self.end_ms)

    @property
    def exact_label(self) -> str:
        """The range in words as lists have it, which is not widened to hours."""
        return _in_words(Calendar(self.zone), self.exact_start_ms, self.exact_end_ms)

    @property
    def from_text(self) -> str:
        """The beginning on the wall clock, as ``<input type=datetime-local>`` takes it."""
        return f"{Calendar(self.zone).local(self.start_ms):%Y-%m-%dT%H:%M}"

    @property
    def to_text(self) -> str:
        """The end on the wall clock, as ``<input type=datetime-local>`` takes it."""
        return f"{Calendar(self.zone).local(self.end_ms):%Y-%m-%dT%H:%M}"

    def to_query(self) -> list[tuple[str, str]]:
        """Return the pairs that keep this range and filter in a URL."""
        query = [("range", self.range_name)]
        if self.range_name == "custom":
            query.append(("from", self._exact(self.start_ms)))
            query.append(("to", self._exact(self.end_ms)))
        if self.compare != COMPARISONS[0]:
            query.append(("against", self.compare))
        return query + [("version", name or NO_NAME) for name in self.versions]

    def _exact(self, time_ms: int) -> str:
        local = Calendar(self.zone).local(time_ms)
        # The hour after the clock went back has the name of the hour before: tell them apart.
        return local.replace(tzinfo=None if not local.fold else local.tzinfo).isoformat(
            timespec="minutes"
        )


def _earlier(calendar: Calendar, time_ms: int, days: int, span_ms: int) -> int:
    """Return the hour so many days before on the wall clock, or so many ms before without days."""
    if not days:
        return calendar.hour_start(time_ms - span_ms)
    local = calendar.local(time_ms) - timedelta(days=days)
    return calendar.hour_start(to_millis(local.astimezone(timezone.utc)))


def _in_words(calendar: Calendar, start_ms: int, end_ms: int) -> str:
    start, end = calendar.local(start_ms), calendar.local(end_ms)
    if calendar.day_start(start_ms) == start_ms and calendar.day_start(end_ms) == end_ms:
        last = calendar.local(end_ms - 1)
        if start.date() == last.date():
            return _day(start)
        return f"{_day(start, year=start.year != last.year)}{_TO}{_day(last)}"
    if start.date() == end.date():
        return f"{_day(start)}, {_time(start)}{_TO}{_time(end)}"
    return f"{_day(start)}, {_time(start)}{_TO}{_day(end)}, {_time(end)}"


def _time(moment: datetime) -> str:
    return f"{moment:%H:%M:%S}" if moment.second else f"{moment:%H:%M}"


def _day(moment: datetime, *, year: bool = True) -> str:
    text = f"{moment.day} {_MONTHS[moment.month - 1]}"
    return f"{text} {moment.year}" if year else text


def parse_scope(
    connection: Connection,
    args: Any,
    *,
    zone: ZoneInfo,
    default_range: str,
    now_ms: int,
    endpoint_id: int | None = None,
) -> Scope:
    """Return what the URL's ``args`` ask for; ``default_range`` where they name no range.

    ``args`` is a werkzeug MultiDict or a dict of lists. Words: ``range`` (one of ``RANGES``),
    ``from`` and ``to`` on the wall clock of ``zone`` (only for custom), ``version`` (repeatable;
    ``NO_NAME`` is the one without a name), ``against`` (one of ``COMPARISONS``).
    Custom ranges are widened to full hours. Raises ScopeError, whose message says the mend.
    """
    names = {name: [value for value in _all(args, name) if value] for name in _WORDS}
    given = names["range"][-1] if names["range"] else ""
    range_name = given or ("custom" if names["from"] else default_range)
    if range_name not in RANGES:
        raise ScopeError(f"Range {range_name[:40]!r} is not known. Use one of {', '.join(RANGES)}.")
    compare = names["against"][-1] if names["against"] else COMPARISONS[0]
    if compare not in COMPARISONS:
        raise ScopeError(
            f"Comparison {compare[:40]!r} is not known. Use one of {', '.join(COMPARISONS)}."
        )
    calendar = Calendar(zone)
    if range_name == "custom":
        exact = _custom(calendar, names["from"], names["to"], now_ms)
        start_ms = calendar.hour_start(exact[0])
        end_ms = calendar.next_hour(exact[1] - 1)
    else:
        exact = start_ms, end_ms = named_range(calendar, range_name, now_ms)
    versions = tuple(dict.fromkeys("" if name == NO_NAME else name for name in names["version"]))
    return Scope(
        range_name=range_name,
        start_ms=start_ms,
        end_ms=end_ms,
        versions=versions,
        version_ids=_version_ids(connection, versions),
        endpoint_id=endpoint_id,
        zone=zone,
        now_ms=now_ms,
        exact_start_ms=exact[0],
        exact_end_ms=exact[1],
        compare=compare,
    )


_WORDS = ("range", "from", "to", "version", "against")


def _all(args: Any, name: str) -> list[str]:
    if isinstance(args, Mapping) and not hasattr(args, "getlist"):
        return list(args.get(name, ()))
    return list(args.getlist(name))


def named_range(calendar: Calendar, range_name: str, now_ms: int) -> tuple[int, int]:
    """Return beginning and end (UTC ms) of ``1h``, ``24h``, ``7d`` or ``30d``.

    1h: the full hour before and the current one. 24h: the current hour and the 23 before. 7d and
    30d: today, to its end, and the 6 or 29 days before.
    """
    if range_name in _DAYS:
        start = calendar.date_start(
            calendar.date_of(now_ms) - timedelta(days=_DAYS[range_name] - 1)
        )
        return start, calendar.next_day(now_ms)
    start = calendar.hour_start(now_ms)
    end = calendar.next_hour(now_ms)
    for _ in range(1 if range_name == "1h" else 23):
        start = calendar.hour_start(start - 1)
    return start, end


def _custom(
    calendar: Calendar, from_texts: list[str], to_texts: list[str], now_ms: int
) -> tuple[int, int]:
    if not from_texts:
        raise ScopeError("A custom range needs its beginning, such as from=2026-11-01T00:00.")
    start = moment_of(calendar.zone, "from", from_texts[-1])
    if to_texts:
        end = moment_of(calendar.zone, "to", to_texts[-1])
    else:
        end = calendar.next_hour(now_ms)
    if end <= start:
        raise ScopeError("The range ends before it begins. Swap 'from' and 'to'.")
    if end - start > MAX_DAYS * _DAY_MS:
        raise ScopeError(f"The range is longer than {MAX_DAYS} days. Choose a shorter one.")
    return start, end


def moment_of(zone: ZoneInfo, word: str, text: str) -> int:
    """Return the UTC ms of a time of the URL, on the wall clock of ``zone``.

    Raises ScopeError, which names the ``word`` it stood under, for what is not written so.
    """
    refusal = ScopeError(f"'{word}' is {text[:40]!r}. Write it as 2026-11-01T00:00.")
    if "T" not in text:
        raise refusal
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise refusal from None
    if moment.year not in _YEARS:
        raise refusal
    return to_millis(moment if moment.tzinfo else moment.replace(tzinfo=zone))


def _version_ids(connection: Connection, versions: tuple[str, ...]) -> tuple[int, ...] | None:
    if not versions:
        return None
    # PostgreSQL refuses NUL in text; no version's name holds one.
    asked = [name for name in versions if "\0" not in name]
    rows = connection.execute(select(Version.name, Version.id).where(Version.name.in_(asked))).all()
    ids: dict[str, int] = {row.name: row.id for row in rows}
    for name in versions:
        if name not in ids:
            shown = name[:40] or NO_NAME
            raise ScopeError(f"Version {shown!r} is not known. Choose one from the list.")
    return tuple(ids[name] for name in versions)
