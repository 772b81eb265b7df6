"""The page Reporting: what changed between two intervals, endpoint by endpoint."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from . import sentences
from .buckets import Buckets, first_hour
from .catalog import endpoint_names
from .comparison import Comparison, Kind, Significance, compare
from .figures import relative
from .intervals import Intervals
from .table import Column, Table

#: The groups of the page in their order, with their titles.
GROUPS: dict[Kind, str] = {
    "slower": "Slower",
    "more_errors": "More errors",
    "faster": "Faster",
    "fewer_errors": "Fewer errors",
    "new": "New",
    "gone": "Gone",
    "busier": "Busier",
    "quieter": "Quieter",
    "too_little": "Too little data to tell",
    "unchanged": "Unchanged",
}
COLUMNS = (
    Column("endpoint", "Endpoint"),
    Column("verdict", "Verdict"),
    Column("hits_before", "Requests before", "count"),
    Column("hits_after", "Requests after", "count"),
    Column("load_before", "An hour before", "rate"),
    Column("load_after", "An hour after", "rate"),
    Column("load_change", "Load", "change"),
    Column("median_before_ms", "Median before", "ms"),
    Column("median_after_ms", "Median after", "ms"),
    Column("median_change", "Median", "change"),
    Column("times_p", "p of times", "p"),
    Column("p95_before_ms", "p95 before", "ms"),
    Column("p95_after_ms", "p95 after", "ms"),
    Column("p95_change", "p95", "change"),
    Column("p95_p", "p of p95", "p"),
    Column("errors_before", "Errors before", "percent"),
    Column("errors_after", "Errors after", "percent"),
    Column("errors_p", "p of errors", "p"),
    Column("mean_before_ms", "Mean before", "ms"),
    Column("mean_after_ms", "Mean after", "ms"),
    Column("stake_ms", "Time at stake (ms)", "count"),
)


@dataclass(frozen=True, slots=True)
class Said:
    """One verdict in words; ``text`` goes on after the endpoint's name."""

    kind: Kind
    text: str


@dataclass(frozen=True, slots=True)
class Row:
    """One endpoint that was requested in one of the intervals."""

    endpoint_id: int
    name: str
    comparison: Comparison
    said: tuple[Said, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """Rows by the time that is at stake, most of it first. p are corrected for all tests.

    ``unmeasured`` says that measuring began after the first interval: then nothing is new.
    """

    intervals: Intervals
    rows: list[Row]
    unmeasured: bool

    @property
    def groups(self) -> dict[Kind, list[tuple[Row, Said]]]:
        """What was said, by kind, in the order of the page; kinds without endpoints left out.

        An endpoint stands in each group that something was said in.
        """
        found: dict[Kind, list[tuple[Row, Said]]] = {kind: [] for kind in GROUPS}
        for row in self.rows:
            for said in row.said:
                found[said.kind].append((row, said))
        return {kind: entries for kind, entries in found.items() if entries}

    @property
    def hits(self) -> tuple[int, int]:
        """The requests of both intervals."""
        sides = [(row.comparison.before.hits, row.comparison.after.hits) for row in self.rows]
        return sum(before for before, _ in sides), sum(after for _, after in sides)

    def table(self) -> Table:
        """Return a row for each endpoint."""
        return Table("reporting", COLUMNS, [_cells(row) for row in self.rows])


def report(connection: Connection, intervals: Intervals) -> Report:
    """Return the report; ``connection`` must be in one read transaction for both intervals."""
    names = endpoint_names(connection)
    before = Buckets(connection, intervals.before).totals()
    after = Buckets(connection, intervals.after).totals()
    began_ms = first_hour(connection) or 0
    found = compare(before, after, *intervals.hours(began_ms))
    unmeasured = began_ms >= intervals.before.end_ms
    rows = [
        Row(key, names[key], comparison, _said(comparison, intervals.than, unmeasured))
        for key, comparison in found.items()
    ]
    rows.sort(key=lambda row: (-abs(row.comparison.stake_ms), row.name))
    return Report(intervals, rows, unmeasured)


def _said(comparison: Comparison, than: str, unmeasured: bool) -> tuple[Said, ...]:
    return tuple(
        Said("too_little", sentences.unmeasured(comparison, than))
        if unmeasured and verdict.kind == "new"
        else Said(verdict.kind, sentences.sentence(verdict, comparison, than))
        for verdict in comparison.verdicts
    )


def _cells(row: Row) -> tuple[object, ...]:
    comparison = row.comparison
    before, after = comparison.before, comparison.after
    return (
        row.name,
        ", ".join(GROUPS[said.kind].lower() for said in row.said),
        before.hits,
        after.hits,
        before.per_hour,
        after.per_hour,
        relative(after.per_hour, before.per_hour),
        before.median_ms,
        after.median_ms,
        relative(after.median_ms, before.median_ms),
        _p(comparison.times),
        before.p95_ms,
        after.p95_ms,
        relative(after.p95_ms, before.p95_ms),
        _p(comparison.tail),
        before.error_share,
        after.error_share,
        _p(comparison.errors),
        before.mean_ms,
        after.mean_ms,
        round(comparison.stake_ms),
    )


def _p(test: Significance | None) -> float | None:
    return None if test is None else test.corrected
