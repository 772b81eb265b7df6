"""How often a rule would have fired over the last 14 days, had it been there."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import pairwise
from operator import attrgetter
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, func, select

from ..store.calendar import Calendar
from ..store.models import Endpoint, Outlier, OutlierSkipped
from ..store.types import to_millis
from .alert_rules import (
    APP,
    KINDS,
    QUANTILE_KINDS,
    Rule,
    exceeds,
    exception_groups,
    findings,
    span,
    value_of,
    watched,
)
from .buckets import Buckets, Total, first_hour
from .measured import conditions

DAYS = 14


def preview(connection: Connection, rule: Rule, now_ms: int, zone: ZoneInfo) -> int | None:
    """Return how often ``rule`` would have fired; None if nobody can tell.

    It is looked at at the end of each full hour, the report at the end of each day; its cool-down
    keeps it quiet as it would have been. Of exceptions that were resolved several times only the
    last one is known.
    """
    calendar = Calendar(zone)
    end_ms = calendar.hour_start(now_ms)
    start_ms = calendar.day_start(now_ms)
    for _ in range(DAYS):
        start_ms = calendar.day_start(start_ms - 1)
    if rule.kind == "drops":
        return None
    if KINDS[rule.kind].once:
        found_there = exception_groups(rule, start_ms).subquery()
        return connection.scalar(select(func.count()).select_from(found_there)) or 0
    if rule.kind == "regression":
        return _regressions(connection, rule, start_ms, now_ms, zone)
    hours = []
    moment = start_ms
    while moment < end_ms:
        hours.append(moment)
        moment = calendar.next_hour(moment)
    # Hours before the first one are in its window.
    first = start_ms
    for _ in range(rule.window_h - 1):
        first = calendar.hour_start(first - 1)
        hours.insert(0, first)
    fired = 0
    for key, began_ms in _began(connection, rule, end_ms).items():
        found = _by_hour(connection, rule, key, (first, end_ms, now_ms), zone)
        over = _over(rule, found, [*hours, end_ms], began_ms)
        fired += _after_cooldown(over, rule.quiet_ms)
    return fired


def _began(connection: Connection, rule: Rule, end_ms: int) -> dict[int | None, int]:
    """Return what is looked at, and from when on (UTC ms).

    Nobody can say that nothing was requested before anything was measured.
    """
    is_silence = rule.kind == "no_requests"
    if rule.scope == APP:
        began_ms = first_hour(connection) if is_silence else 0
        return {} if began_ms is None else {None: began_ms}
    seen = {
        row.id: to_millis(row.first_seen)
        for row in connection.execute(select(Endpoint.id, Endpoint.first_seen))
    }
    keys = watched(connection, rule, end_ms)
    return {key: seen[key] if is_silence else 0 for key in keys}


def _over(rule: Rule, found: dict[int, Total], edges: list[int], began_ms: int) -> Iterator[int]:
    """Yield the ends of the windows that are over the limit, and began after ``began_ms``.

    ``edges`` are where the hours begin, and where the last one ends.
    """
    window = Window(rule)
    for number, (hour, end) in enumerate(pairwise(edges)):
        window.move(found.get(hour))
        begins = number - rule.window_h + 1
        if begins >= 0 and edges[begins] >= began_ms and exceeds(rule, window.value()):
            yield end


class Window:
    """The last hours together, as many as ``rule`` looks at.

    What an hour adds is taken off when it leaves: to add all of them up for each window would take
    a week's rule 168 times as long.
    """

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._hours: deque[Total | None] = deque(maxlen=rule.window_h)
        self._hits = self._errors = 0
        self._counts: dict[int, int] = {}
        self._has_quantile = rule.kind in QUANTILE_KINDS

    def move(self, hour: Total | None) -> None:
        """Take the next hour, None if nothing was measured in it."""
        if len(self._hours) == self._rule.window_h:
            self._add(self._hours[0], -1)
        self._hours.append(hour)
        self._add(hour, 1)

    def _add(self, hour: Total | None, sign: int) -> None:
        if hour is None:
            return
        self._hits += sign * hour.hits
        self._errors += sign * hour.errors
        if self._has_quantile:
            if not hour.counts.keys() <= self._counts.keys():
                # In the order of the buckets, also where all have left again.
                new = dict.fromkeys(hour.counts, 0) | self._counts
                self._counts = dict(sorted(new.items()))
            for bucket, hits in hour.counts.items():
                self._counts[bucket] += sign * hits

    def value(self) -> float | None:
        """Return what the rule compares with its limit."""
        if self._rule.kind == "outliers":
            return float(self._hits)
        total = Total()
        total.hits, total.errors = self._hits, self._errors
        if self._has_quantile and self._hits:
            there = [hour for hour in self._hours if hour is not None]
            total.min_ms = min(map(attrgetter("min_ms"), there))
            total.max_ms = max(map(attrgetter("max_ms"), there))
            total.counts = self._counts
        return value_of(self._rule, total)


def _by_hour(
    connection: Connection,
    rule: Rule,
    key: int | None,
    times: tuple[int, int, int],
    zone: ZoneInfo,
) -> dict[int, Total]:
    """Return what was measured in each hour, by its beginning."""
    scope = span(*times, zone, key)
    if rule.kind != "outliers":
        return Buckets(connection, scope).totals("moment", hourly=True)
    calendar, found = Calendar(zone), dict[int, Total]()
    for model, hits in ((Outlier, None), (OutlierSkipped, OutlierSkipped.hits)):
        columns = [model.time] if hits is None else [model.time, hits]
        for row in connection.execute(select(*columns).where(*conditions(model, scope))):
            hour = calendar.hour_start(to_millis(row[0]))
            found.setdefault(hour, Total()).hits += 1 if hits is None else row[1]
    return found


def _after_cooldown(moments: Iterable[int], cooldown_ms: int) -> int:
    fired, last = 0, None
    for moment in moments:
        if last is None or moment - last >= cooldown_ms:
            fired, last = fired + 1, moment
    return fired


def _regressions(
    connection: Connection, rule: Rule, start_ms: int, now_ms: int, zone: ZoneInfo
) -> int:
    calendar = Calendar(zone)
    fired: dict[str, list[int]] = {}
    moment = calendar.next_day(start_ms)
    while moment <= now_ms:
        # The last moment of the day before: its report has that whole day.
        for one in findings(connection, rule, moment - 1, zone):
            fired.setdefault(one.quiet, []).append(moment)
        moment = calendar.next_day(moment)
    return sum(_after_cooldown(moments, rule.quiet_ms) for moments in fired.values())
