"""What is deleted by age: the one table of kinds, the dates before which rows go, and how many.

A kind is kept for so many whole days before today, as days are in the configured time zone: rows
go once the day they belong to is over that age. So a day is there as a whole or not at all, and
an hour of raw rows is never cut in two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from zoneinfo import ZoneInfo

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    delete,
    func,
    literal,
    select,
    tuple_,
    type_coerce,
)
from sqlalchemy import Table as SQLTable

from ..settings import Settings
from .calendar import HOUR_MS, Calendar
from .models import Day, db
from .visitor_models import WEEK
from .visitor_models import Kind as Visitor

#: Rows counted one by one for a preview; what is beyond is estimated.
COUNTED = 10_000
#: In a plan: groups and clients that nothing stored refers to. They have no age.
NAMES = "names"
LINES = "code_lines"
PROFILES = "profiles"
SOURCES = "sources"
EXCEPTIONS = "exceptions"
EXCEPTION_GROUPS = "exception_groups"
ROLLUPS = "rollups"
#: Kinds that others refer to: they are as old as those, and go after all of them.
FOLLOW = {
    LINES: (PROFILES,),
    SOURCES: (EXCEPTIONS,),
    EXCEPTION_GROUPS: (EXCEPTIONS, ROLLUPS),
}
#: How much older they must be: they are marked as seen a day late at most.
_SPARE_MS = 48 * HOUR_MS


@dataclass(frozen=True)
class Aged:
    """A table whose rows have a time, by the names of both.

    ``before_time`` is the column that the index by time begins with, if it is not the time
    itself, and all values that there are in it.
    """

    table_name: str
    time_name: str
    before_time: tuple[str, tuple[int, ...]] | None = None

    @cached_property
    def table(self) -> SQLTable:
        return db.metadata.tables[self.table_name]

    @cached_property
    def time(self) -> ColumnElement[int]:
        """The time as UTC ms."""
        return type_coerce(self.table.c[self.time_name], BigInteger)

    @cached_property
    def key(self) -> list[ColumnElement[int]]:
        """What sorts all rows by age: the time, then the rest of the primary key."""
        rest = [c for c in self.table.primary_key.columns if c.name != self.time_name]
        return [self.time, *rest]

    def until(self, moment: ColumnElement[bool]) -> list[ColumnElement[bool]]:
        """Return the conditions of rows whose time is as ``moment`` says, so that an index is used.

        Without all values of what it begins with, databases read the whole table for them.
        """
        if self.before_time is None:
            return [moment]
        name, values = self.before_time
        return [self.table.c[name].in_(values), moment]

    @property
    def exists(self) -> bool:
        return self.table_name in db.metadata.tables


@dataclass(frozen=True)
class Kind:
    """One kind of data. ``setting`` says for how many days it is kept, else ``days`` does.

    ``by_schedule`` kinds are those that ``add_database_pruning_schedule`` deletes. ``chunk`` is
    the most rows of a transaction.
    """

    name: str
    label: str
    tables: tuple[Aged, ...]
    setting: str = ""
    days: int = 0
    by_schedule: bool = False
    chunk: int = 2_000


#: In the order in which they are deleted. A new kind of data is one more line here.
KINDS = (
    Kind(
        "requests",
        "Raw requests",
        (Aged("fmd_request", "time"),),
        "KEEP_REQUESTS_DAYS",
        by_schedule=True,
    ),
    Kind(
        PROFILES,
        "Profiles",
        (Aged("fmd_profile", "time"),),
        "KEEP_PROFILES_DAYS",
        by_schedule=True,
        chunk=200,
    ),
    # They go after the profiles, and with them: see with_lines().
    Kind(LINES, "Lines of code in no profile", (Aged("fmd_code_line", "seen_at"),)),
    Kind(
        "outliers",
        "Outliers",
        (Aged("fmd_outlier", "time"), Aged("fmd_outlier_skipped", "time")),
        "KEEP_OUTLIERS_DAYS",
        by_schedule=True,
        chunk=200,
    ),
    Kind(
        EXCEPTIONS,
        "Exceptions",
        (Aged("fmd_exception", "time"),),
        "KEEP_EXCEPTIONS_DAYS",
        by_schedule=True,
        chunk=200,
    ),
    Kind(SOURCES, "Code in no exception", (Aged("fmd_source", "seen_at"),)),
    Kind(
        ROLLUPS,
        "Sums per hour and day",
        (
            Aged("fmd_status", "hour"),
            Aged("fmd_hour", "hour"),
            Aged("fmd_day", "day"),
            Aged("fmd_day_status", "day"),
            Aged(
                "fmd_visitor_day", "day", ("kind", (*Visitor, *(kind + WEEK for kind in Visitor)))
            ),
            Aged("fmd_exception_day", "day"),
        ),
        "KEEP_ROLLUPS_DAYS",
    ),
    Kind(
        EXCEPTION_GROUPS,
        "Groups of exceptions without any",
        (Aged("fmd_exception_group", "seen_at"),),
    ),
    Kind(
        "graph_values",
        "Values of custom graphs",
        (Aged("fmd_graph_value", "time"), Aged("fmd_graph_quarter", "quarter")),
        "KEEP_GRAPH_VALUES_DAYS",
    ),
    # The deliveries first, as they refer to the others.
    Kind(
        "alerts",
        "Alerts",
        (Aged("fmd_alert_delivery", "fired_at"), Aged("fmd_alert", "fired_at")),
        days=90,
    ),
    Kind("login_failures", "Failed logins", (Aged("fmd_login_failure", "last_at"),), days=1),
    Kind("processes", "Processes that ended", (Aged("fmd_writer", "seen_at"),), days=30),
)
BY_NAME: Mapping[str, Kind] = {kind.name: kind for kind in KINDS}
NAMES_LABEL = "Groups and clients without data"


def tables_of(kind: Kind) -> list[Aged]:
    """Return the tables of a kind that this version has."""
    return [aged for aged in kind.tables if aged.exists]


def label_of(name: str) -> str:
    """Return how a kind in a plan is called."""
    kind = BY_NAME.get(name)
    return NAMES_LABEL if kind is None else kind.label


def keep_days(kind: Kind, settings: Settings) -> int:
    """Return for how many days a kind is kept; 0 is for ever."""
    days: int = getattr(settings, kind.setting.lower()) if kind.setting else kind.days
    return days


def day_before(zone: ZoneInfo, now_ms: int, days: int) -> int:
    """Return where the day begins (UTC ms) that was ``days`` days before today in ``zone``."""
    calendar = Calendar(zone)
    return calendar.date_start(calendar.date_of(now_ms) - timedelta(days=days))


def plan(settings: Settings, zone: ZoneInfo, now_ms: int) -> dict[str, int]:
    """Return the kinds that are deleted by age, and before when (UTC ms)."""
    kept = {kind.name: keep_days(kind, settings) for kind in KINDS if tables_of(kind)}
    found = {name: day_before(zone, now_ms, days) for name, days in kept.items() if days}
    return with_lines(found, now_ms)


def with_lines(plan: Mapping[str, int], now_ms: int) -> dict[str, int]:
    """Return a plan with what goes with its kinds: lines of code, groups of exceptions."""
    found = {name: before_ms for name, before_ms in plan.items() if name not in FOLLOW}
    for name, leaders in FOLLOW.items():
        if all(leader in found for leader in leaders):
            found[name] = min(now_ms, *(found[leader] for leader in leaders)) - _SPARE_MS
    order = [kind.name for kind in KINDS if kind.name in found]
    return {name: found[name] for name in (*order, *(found.keys() - set(order)))}


def any_before(connection: Connection, aged: Aged, before_ms: int) -> bool:
    """Tell whether a table has rows from before ``before_ms``."""
    older = aged.until(aged.time < before_ms)
    return connection.scalar(select(literal(1)).where(*older).limit(1)) is not None


def delete_oldest(connection: Connection, aged: Aged, before_ms: int, most: int) -> int:
    """Delete the oldest rows from before ``before_ms``, ``most`` of them; return how many.

    To be called in a write transaction. Both statements walk the index by time from its start.
    """
    older = aged.until(aged.time < before_ms)
    last = connection.execute(
        select(*aged.key).where(*older).order_by(*aged.key).offset(most - 1).limit(1)
    ).one_or_none()
    if last is None:
        condition = older
    else:
        # The first ones bound the walk, the last one tells rows of the same moment apart.
        condition = aged.until(aged.time <= last[0])
        condition.append(tuple_(*aged.key) <= tuple_(*map(literal, last)))
    return connection.execute(delete(aged.table).where(*condition)).rowcount


@dataclass(frozen=True)
class Amount:
    """A number of rows: ``exact``, or about as many; ``least`` if there are at least so many."""

    rows: int
    exact: bool = True
    least: bool = False

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.rows + other.rows, self.exact and other.exact, self.least or other.least)

    def __str__(self) -> str:
        word = "" if self.exact else "more than " if self.least else "about "
        return f"{word}{self.rows:,}"


def amount_before(connection: Connection, kind: Kind, before_ms: int) -> Amount:
    """Return how many rows of a kind are older than ``before_ms``, at once at any size."""
    total = Amount(0)
    for aged in tables_of(kind):
        total += _older(connection, aged, before_ms)
    return total


def _older(connection: Connection, aged: Aged, before_ms: int) -> Amount:
    older = aged.until(aged.time < before_ms)
    some = select(literal(1)).where(*older).limit(COUNTED + 1).subquery()
    rows = connection.scalar(select(func.count()).select_from(some)) or 0
    if rows <= COUNTED:
        return Amount(rows)
    if aged.table_name == "fmd_request":
        return Amount(max(rows, _hits_before(connection, aged, before_ms)), exact=False)
    if "id" not in aged.table.c:
        return Amount(COUNTED, exact=False, least=True)
    # Rows are appended: the ids between the oldest row and the last one that goes are about all.
    query = select(aged.table.c.id).where(*older)
    first = connection.scalar(query.order_by(aged.time).limit(1))
    last = connection.scalar(query.order_by(aged.time.desc()).limit(1))
    return Amount(max(rows, (last or 0) - (first or 0) + 1), exact=False)


def _hits_before(connection: Connection, aged: Aged, before_ms: int) -> int:
    """Return the requests that the sums per day know of, from the oldest raw row's day on."""
    oldest = connection.scalar(select(func.min(aged.time))) or 0
    day = type_coerce(Day.day, BigInteger)
    # The day of the oldest row begins at most 25 hours before it.
    first = connection.scalar(select(func.max(day)).where(day <= oldest)) or 0
    hits = select(func.sum(Day.hits)).where(day >= first, day < before_ms)
    return int(connection.scalar(hits) or 0)
