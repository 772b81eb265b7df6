"""What rules of alerts look at: the kinds there are, and what each one finds at a moment."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import BigInteger, Connection, Select, select, type_coerce

from ..store.alert_models import AlertRule
from ..store.calendar import Calendar
from ..store.exception_models import ExceptionDay, ExceptionGroup
from ..store.models import Endpoint, Writer
from ..store.presence import dropped_at_ms
from ..store.types import to_millis
from .buckets import Buckets, Total, together
from .catalog import endpoint_names
from .exceptions import came_back_at
from .intervals import parse_intervals
from .outliers import counts as outlier_counts
from .reporting import report
from .scope import Scope

#: Requests that a window needs before shares and quantiles mean anything.
MIN_HITS = 20
HOUR_MS = 3_600_000
APP, EACH, ONE = "app", "each", "one"
#: Findings of one rule at once: a storm of new kinds of exceptions is no storm of mails.
MOST = 20
#: Groups of exceptions that are looked at, the newest ones.
_LOOKED_AT = 200
#: What is older than this was told long ago: the log of alerts, which knows, is kept for 90 days.
_NEWS_MS = 80 * 24 * HOUR_MS
#: The report hardly changes within a day: it alerts once on each (the shortest has 23 hours).
_DAY_MS = 23 * HOUR_MS


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of rule. ``unit`` is that of its limit, empty if it has none.

    ``once``: it is about something that happens once, and the cool-down does not matter.
    """

    label: str
    help: str
    unit: str = ""
    lowest: float = 0.0
    highest: float = 0.0
    default: float = 0.0
    windowed: bool = False
    scoped: bool = True
    once: bool = False


KINDS: Mapping[str, Kind] = {
    "new_exception": Kind("New exception", "An exception of a kind never seen before.", once=True),
    "returned": Kind(
        "Resolved exception came back", "It happened again in a newer version.", once=True
    ),
    "error_share": Kind(
        "Error share", "Answers with status 400 and above.", "%", 0.01, 100, 5, windowed=True
    ),
    "p95": Kind("95th percentile", "1 in 20 is slower.", "ms", 0.01, 3.6e6, 1000, windowed=True),
    "median": Kind("Median", "1 in 2 is slower.", "ms", 0.01, 3.6e6, 500, windowed=True),
    "regression": Kind(
        "Regression",
        "The report of the last 7 days against the 28 before says so; at most once a day.",
    ),
    "outliers": Kind(
        "Outlier burst", "More outliers than this.", "outliers", 1, 1e6, 20, windowed=True
    ),
    "no_requests": Kind("No requests", "Nothing was requested for this long.", windowed=True),
    "drops": Kind("Requests not stored", "fmd_admin itself dropped requests.", scoped=False),
}
#: Kinds whose value is a quantile, and which.
QUANTILE_KINDS: Mapping[str, float] = {"p95": 0.95, "median": 0.5}


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule as it is evaluated. Times are UTC ms; ``threshold`` in the unit of its kind."""

    id: int
    name: str
    kind: str
    scope: str
    endpoint_id: int | None
    threshold: float
    window_h: int
    cooldown_min: int
    severity: str
    targets: tuple[int, ...]
    active: bool
    since_ms: int

    @property
    def quiet_ms(self) -> int:
        """How long it keeps quiet about the same thing after an alert."""
        cooldown_ms = self.cooldown_min * 60_000
        return max(cooldown_ms, _DAY_MS) if self.kind == "regression" else cooldown_ms


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule found. ``subject`` comes once for rules of that sort, see ``Alert``."""

    subject: str
    quiet: str
    title: str
    body: str


def rule_of(row: AlertRule) -> Rule:
    """Return the rule of a row."""
    targets = tuple(int(part) for part in row.targets.split(",") if part)
    return Rule(
        row.id,
        row.name,
        row.kind,
        row.scope,
        row.endpoint_id,
        row.threshold,
        row.window_h,
        row.cooldown_min,
        row.severity,
        targets,
        row.active,
        to_millis(row.since),
    )


def rules(connection: Connection) -> list[Rule]:
    """Return all rules in the order of their names."""
    rows = connection.execute(select(AlertRule.__table__).order_by(AlertRule.name)).all()
    return [rule_of(row) for row in rows]  # type: ignore[arg-type]


def findings(connection: Connection, rule: Rule, now_ms: int, zone: ZoneInfo) -> list[Finding]:
    """Return what the rule finds now."""
    if rule.kind == "new_exception":
        return list(_exceptions(connection, rule, now_ms, "New exception"))
    if rule.kind == "returned":
        return list(_exceptions(connection, rule, now_ms, "Came back"))
    if rule.kind == "drops":
        return list(_drops(connection, rule))
    if rule.kind == "regression":
        return list(_regressions(connection, rule, now_ms, zone))
    found = []
    names = endpoint_names(connection)
    for key, value in values(connection, rule, window(rule, now_ms, zone)).items():
        if exceeds(rule, value):
            name = "all endpoints" if key is None else names.get(key, "?")
            subject = f"endpoint:{key or 0}"
            found.append(Finding(subject, subject, *_texts(rule, name, value)))
    return found[:MOST]


def exceeds(rule: Rule, value: float | None) -> bool:
    """Whether a value (None: too few requests) is over the limit of the rule."""
    if value is None:
        return False
    if rule.kind == "no_requests":
        return value == 0
    return value > rule.threshold


def window(rule: Rule, now_ms: int, zone: ZoneInfo) -> Scope:
    """Return the hours that a rule looks at: the running one and those before it.

    "No requests" needs all of them to be over, so that it looks at one more.
    """
    calendar = Calendar(zone)
    start = calendar.hour_start(now_ms)
    for _ in range(rule.window_h - (0 if rule.kind == "no_requests" else 1)):
        start = calendar.hour_start(start - 1)
    endpoint_id = rule.endpoint_id if rule.scope == ONE else None
    return span(start, calendar.next_hour(now_ms), now_ms, zone, endpoint_id)


def span(start_ms: int, end_ms: int, now_ms: int, zone: ZoneInfo, endpoint_id: int | None) -> Scope:
    """Return the scope of some hours."""
    return Scope(
        range_name="custom",
        start_ms=start_ms,
        end_ms=end_ms,
        versions=(),
        version_ids=None,
        endpoint_id=endpoint_id,
        zone=zone,
        now_ms=now_ms,
        exact_start_ms=start_ms,
        exact_end_ms=end_ms,
        compare="off",
    )


def values(connection: Connection, rule: Rule, scope: Scope) -> dict[int | None, float | None]:
    """Return the value of each endpoint the rule looks at; None is the key of all together."""
    if rule.kind == "outliers":
        counted = outlier_counts(connection, scope)
        if rule.scope == EACH:
            return {key: float(hits) for key, hits in counted.by_endpoint.items()}
        key = rule.endpoint_id if rule.scope == ONE else None
        return {key: float(counted.total)}
    # Nobody asks for these hours again: the next look is of others.
    totals = Buckets(connection, scope).totals(keep=False)
    if rule.scope == APP:
        return {None: value_of(rule, together(totals.values()))}
    keys = watched(connection, rule, scope.start_ms)
    return {key: value_of(rule, totals.get(key, Total())) for key in keys}


def watched(connection: Connection, rule: Rule, before_ms: int) -> list[int]:
    """Return the endpoints of a rule that were there before ``before_ms`` (UTC)."""
    query = select(Endpoint.id).order_by(Endpoint.id)
    if rule.scope == ONE:
        return list(connection.scalars(query.where(Endpoint.id == rule.endpoint_id)))
    if rule.kind == "no_requests":
        query = query.where(type_coerce(Endpoint.first_seen, BigInteger) < before_ms)
    return list(connection.scalars(query))


def value_of(rule: Rule, total: Total) -> float | None:
    """Return what the rule compares with its limit, None where there are too few requests."""
    if rule.kind == "no_requests":
        return float(total.hits)
    if total.hits < MIN_HITS:
        return None
    if rule.kind == "error_share":
        return 100 * total.errors / total.hits
    return total.quantiles((QUANTILE_KINDS[rule.kind],))[0]


def _texts(rule: Rule, name: str, value: float | None) -> tuple[str, str]:
    kind = KINDS[rule.kind]
    hours = f"the last {rule.window_h} h" if rule.window_h > 1 else "the last hour"
    if rule.kind == "no_requests":
        return f"No requests to {name}", f"Nothing was requested in {hours}."
    shown, limit = f"{value:,.1f} {kind.unit}", f"{rule.threshold:g} {kind.unit}"
    return (
        f"{kind.label} of {name}: {shown}",
        f"{kind.label} in {hours}: {shown}; the limit is {limit}.",
    )


def exception_groups(rule: Rule, since_ms: int) -> Select[Any]:
    """Select the groups that rule is about, since ``since_ms`` (UTC)."""
    group = ExceptionGroup
    columns: list[Any] = [group.id, group.type, group.module, group.function, group.resolved_at]
    query = select(*columns)
    if rule.kind == "new_exception":
        query = query.where(group.first_seen >= since_ms)
    else:
        query = query.where(group.resolved_at.is_not(None), came_back_at() >= since_ms)
    if rule.scope == ONE:
        there = select(ExceptionDay.group_key).where(ExceptionDay.endpoint_id == rule.endpoint_id)
        query = query.where(group.id.in_(there))
    return query


def _exceptions(connection: Connection, rule: Rule, now_ms: int, word: str) -> Iterator[Finding]:
    since_ms = max(rule.since_ms, now_ms - _NEWS_MS)
    query = exception_groups(rule, since_ms).order_by(ExceptionGroup.id.desc())
    for row in connection.execute(query.limit(_LOOKED_AT)):
        subject = f"group:{row.id}"
        if rule.kind == "returned":
            # It may be resolved and come back again; new it is only once.
            subject += f":{to_millis(row.resolved_at)}"
        place = ".".join(part for part in (row.module, row.function) if part)
        title = f"{word}: {row.type} in {place}"
        yield Finding(
            subject, subject, title[:500], f"See Exceptions in the panel, number {row.id}."
        )


def _regressions(
    connection: Connection, rule: Rule, now_ms: int, zone: ZoneInfo
) -> Iterator[Finding]:
    scope = span(now_ms - HOUR_MS, now_ms, now_ms, zone, None)
    found = report(connection, parse_intervals({"compare": "28d"}, scope, []))
    for row in found.rows:
        if rule.scope == ONE and row.endpoint_id != rule.endpoint_id:
            continue
        for said in row.said:
            if said.kind in {"slower", "more_errors"}:
                subject = f"{said.kind}:{row.endpoint_id}"
                yield Finding(
                    subject, subject, f"Regression: {row.name}"[:500], f"{row.name} {said.text}"
                )


def _drops(connection: Connection, rule: Rule) -> Iterator[Finding]:
    seen_at = type_coerce(Writer.seen_at, BigInteger)
    rows = connection.execute(
        select(Writer.writer, Writer.dropped, seen_at.label("seen_ms"), Writer.status).where(
            Writer.dropped > 0, seen_at >= rule.since_ms
        )
    )
    for row in rows:
        # A process counts from its beginning on, which may be before the rule's.
        status = json.loads(row.status or "{}")
        if dropped_at_ms(row.dropped, row.seen_ms, status) < rule.since_ms:
            continue
        yield Finding(
            f"drops:{row.writer[:40]}:{row.dropped}",
            "drops",
            f"fmd_admin dropped {row.dropped:,} requests",
            "A process could not store all requests. The System page says more.",
        )
