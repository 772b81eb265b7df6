"""The two intervals that a report compares, as they stand in the URL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from ..errors import ScopeError
from ..store.calendar import HOUR_MS, Calendar
from ..store.types import to_millis
from .catalog import NO_NAME, VersionInfo
from .scope import MAX_DAYS, Scope, moment_of, named_range

#: What may be compared: the word of the URL and its label.
COMPARES = {
    "today": "Today / yesterday",
    "week": "This / last week",
    "28d": "7 / 28 days",
    "version": "Two versions",
    "custom": "Custom",
}
DEFAULT = "28d"
#: Words of the URL that belong to a report only.
WORDS = (
    "compare",
    "before",
    "after",
    "before_from",
    "before_to",
    "after_from",
    "after_to",
)
_DAYS_BEFORE = 28
_NOTES = {
    "today": (
        "Today so far against yesterday up to the end of the same hour, so that both hold the "
        "same hours of a day."
    ),
    "week": (
        "This week since Monday so far against last week up to the same day and the end of the "
        "same hour, so that both hold the same days and hours."
    ),
    "28d": (
        "The last 7 days, with today so far, against the 28 days before them: both hold each day "
        "of the week equally often."
    ),
    "version": (
        "Two versions in the same time range. How long each of them ran is not known, so load is "
        "not compared."
    ),
    "custom": "Two intervals of full hours. They are fairest with the same hours and weekdays.",
}
_THAN = {"today": "yesterday", "week": "last week", "28d": "in the 28 days before"}


@dataclass(frozen=True, slots=True)
class Intervals:
    """Two scopes. ``than`` names the first in a sentence ("slower than last week").

    ``note`` says what is compared and why that is fair. ``has_load`` is whether the lengths of
    the intervals say something about load. ``before_name`` and ``after_name`` are short.
    """

    compare: str
    before: Scope
    after: Scope
    before_name: str
    after_name: str
    than: str
    note: str
    has_load: bool

    def hours(self, began_ms: int = 0) -> tuple[float | None, float | None]:
        """Return how many hours of each have passed; None where that says nothing about load.

        ``began_ms`` is when anything was measured first (UTC): nobody knows what was before.
        """
        if not self.has_load:
            return None, None
        return _hours(self.before, began_ms), _hours(self.after, began_ms)

    def to_query(self) -> list[tuple[str, str]]:
        """Return the pairs that bring these intervals back; without range and version filter."""
        query = [("compare", self.compare)]
        for side, scope in (("before", self.before), ("after", self.after)):
            if self.compare == "version":
                query.append((side, scope.versions[0]))
            elif self.compare == "custom":
                times = dict(scope.to_query())
                query += [(f"{side}_{word}", times[word]) for word in ("from", "to")]
        return query


def _hours(scope: Scope, began_ms: int) -> float | None:
    passed = min(scope.end_ms, scope.now_ms) - max(scope.start_ms, began_ms)
    return passed / HOUR_MS if passed > 0 else None


def parse_intervals(
    args: Any, scope: Scope, versions: Sequence[VersionInfo], default: str = DEFAULT
) -> Intervals:
    """Return what the URL's ``args`` (a MultiDict) ask for.

    ``scope`` is what the same URL says about range and versions: its versions filter both
    intervals, its range holds for the comparison of two versions. ``versions`` are all there are,
    oldest first. Raises ScopeError, whose message says the mend.
    """
    compare = args.get("compare") or default
    if compare not in COMPARES:
        raise ScopeError(f"compare is {compare[:40]!r}. Use one of {', '.join(COMPARES)}.")
    if compare == "version":
        return _versions(args, scope, versions)
    if compare == "custom":
        pairs = _custom(args, scope)
        names = ("First interval", "Second interval")
    else:
        pairs = _named(compare, Calendar(scope.zone), scope.now_ms)
        names = {
            "today": ("Yesterday", "Today"),
            "week": ("Last week", "This week"),
            "28d": ("28 days before", "Last 7 days"),
        }[compare]
    before, after = (_inside(scope, *pair) for pair in pairs)
    than = _THAN.get(compare, "in the first interval")
    return Intervals(compare, before, after, *names, than, _NOTES[compare], has_load=True)


def _inside(scope: Scope, start_ms: int, end_ms: int) -> Scope:
    return replace(
        scope,
        range_name="custom",
        start_ms=start_ms,
        end_ms=end_ms,
        exact_start_ms=start_ms,
        exact_end_ms=end_ms,
    )


def _versions(args: Any, scope: Scope, versions: Sequence[VersionInfo]) -> Intervals:
    ids = {version.name: version.id for version in versions}
    if len(ids) < 2:
        raise ScopeError(
            "There are no two versions to compare yet. Set APP_VERSION or GIT, so that each "
            "release of the app is counted under its own version."
        )
    *_, old, new = ids
    names = [
        args.get(word) if word in args else default
        for word, default in (("before", old), ("after", new))
    ]
    for word, name in zip(("before", "after"), names, strict=True):
        if name not in ids:
            raise ScopeError(
                f"Version {name[:40]!r} ({word!r}) is not known. Choose one from the list."
            )
    if names[0] == names[1]:
        raise ScopeError(f"Both versions are {names[0][:40]!r}. Choose two different ones.")
    whole = _inside(scope, scope.start_ms, scope.end_ms)
    before, after = (replace(whole, versions=(name,), version_ids=(ids[name],)) for name in names)
    shown = [name or NO_NAME for name in names]
    return Intervals(
        "version",
        before,
        after,
        f"Version {shown[0]}",
        f"Version {shown[1]}",
        f"in version {shown[0]}",
        _NOTES["version"],
        has_load=False,
    )


Pair = tuple[int, int]


def _named(compare: str, calendar: Calendar, now_ms: int) -> tuple[Pair, Pair]:
    today = calendar.date_of(now_ms)
    if compare == "28d":
        start, end = named_range(calendar, "7d", now_ms)
        first = calendar.date_of(start) - timedelta(days=_DAYS_BEFORE)
        return (calendar.date_start(first), start), (start, end)
    days = 1 if compare == "today" else 7
    first = today if compare == "today" else today - timedelta(days=today.weekday())
    start = calendar.date_start(first)
    earlier = calendar.date_start(first - timedelta(days=days))
    # Where the clock left out the hour after midnight, the first one that there was.
    end_before = max(_same_hour(calendar, now_ms, days), calendar.next_hour(earlier))
    return (earlier, min(end_before, start)), (start, calendar.next_hour(now_ms))


def _same_hour(calendar: Calendar, now_ms: int, days: int) -> int:
    """Return the end of the hour that showed the clock's hour of now so many days earlier."""
    hour = calendar.local(calendar.hour_start(now_ms)).replace(minute=0, tzinfo=None, fold=0)
    end = (hour + timedelta(hours=1) - timedelta(days=days)).replace(tzinfo=calendar.zone)
    # An hour that the clock left out ends where the clock was moved.
    return calendar.next_hour(to_millis(end) - 1)


def _custom(args: Any, scope: Scope) -> tuple[Pair, Pair]:
    calendar = Calendar(scope.zone)
    if not any(args.get(word) for word in WORDS[3:]):
        start, end = named_range(calendar, "7d", scope.now_ms)
        week_before = calendar.date_start(calendar.date_of(start) - timedelta(days=7))
        return (week_before, start), (start, end)
    before, after = (_interval(args, calendar, side) for side in ("before", "after"))
    if before[0] < after[1] and after[0] < before[1]:
        raise ScopeError(
            "The two intervals overlap, so that some requests would be compared with themselves. "
            "Let one end before the other begins; both are widened to full hours."
        )
    return before, after


def _interval(args: Any, calendar: Calendar, side: str) -> Pair:
    moments = []
    for word in (f"{side}_from", f"{side}_to"):
        text = args.get(word)
        if not text:
            raise ScopeError(f"{word!r} is missing. Write it as 2026-11-01T00:00.")
        moments.append(moment_of(calendar.zone, word, text))
    start, end = moments
    if end <= start:
        raise ScopeError(
            f"The interval ends before it begins, or is empty. Let '{side}_to' be after "
            f"'{side}_from'."
        )
    if end - start > MAX_DAYS * 86_400_000:
        raise ScopeError(
            f"The interval from '{side}_from' to '{side}_to' is longer than {MAX_DAYS} days. "
            "Choose a shorter one."
        )
    return calendar.hour_start(start), calendar.next_hour(end - 1)
