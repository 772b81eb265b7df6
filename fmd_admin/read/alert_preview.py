"""How often a rule would have fired over the last 14 days, had it been there."""

from __future__ import annotations

from collections.abc import Iterable
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, func, select

from ..store.calendar import Calendar
from ..store.models import Outlier, OutlierSkipped
from ..store.types import to_millis
from .alert_rules import (
    APP,
    KINDS,
    Rule,
    exceeds,
    exception_groups,
    findings,
    span,
    value_of,
    watched,
)
from .buckets import Buckets, Total, together
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
    ends = [*hours[1:], end_ms]
    fired = 0
    for key in _keys(connection, rule, start_ms):
        found = _by_hour(connection, rule, key, (first, end_ms, now_ms), zone)
        windows = [hours[max(n - rule.window_h + 1, 0) : n + 1] for n in range(len(hours))]
        over = (
            end
            for end, window in zip(ends, windows, strict=True)
            if end > start_ms and len(window) == rule.window_h
            if exceeds(rule, _value(rule, [found.get(hour) for hour in window]))
        )
        fired += _after_cooldown(over, rule.quiet_ms)
    return fired


def _keys(connection: Connection, rule: Rule, before_ms: int) -> list[int | None]:
    if rule.scope == APP:
        return [None]
    return list(watched(connection, rule, before_ms))


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


def _value(rule: Rule, totals: list[Total | None]) -> float | None:
    there = [total for total in totals if total is not None]
    if rule.kind == "outliers":
        return float(sum(total.hits for total in there))
    return value_of(rule, together(there))


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
