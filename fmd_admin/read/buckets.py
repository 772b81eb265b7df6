"""The rollups inside a scope, as every page reads them.

Whole days come from fmd_day, the hours before and after them from fmd_hour (status codes from
fmd_day_status and fmd_status), and what the merge has not reached yet from fmd_rollup_delta. All
of it has to be read in one read transaction: then it is exact, whatever is written and merged
meanwhile.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property, partial
from typing import Any, Literal, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Executable,
    cast,
    func,
    literal,
    select,
    type_coerce,
)

from ..store import histogram
from ..store.aggregate import parse_statuses
from ..store.calendar import Calendar
from ..store.kept import kept_of
from ..store.models import Day, DayStatus, Hour, HourStatus, RollupDelta
from .kept_rows import KeptRows, RollupKey, RollupTable, hits_by_hour, inside
from .scope import Scope

# As plain integers: turning each of 100,000 into a datetime would take longer than the query.
_DAY = type_coerce(Day.day, BigInteger)
_HOUR = type_coerce(Hour.hour, BigInteger)
_DAY_STATUS = type_coerce(DayStatus.day, BigInteger)
_HOUR_STATUS = type_coerce(HourStatus.hour, BigInteger)
_DELTA_HOUR = type_coerce(RollupDelta.hour, BigInteger)
#: More than there are status codes: a small integer each.
_STATUSES = 1 << 16
#: Days or hours whose sums by endpoint or version are kept as one: a week changes seldom.
_KEPT_TOGETHER = 7

#: What figures may be added up by; ``moment`` is the beginning of a day or hour.
By = Literal["endpoint_id", "version_id", "moment"]


class _Delta(NamedTuple):
    hour: int
    endpoint_id: int
    version_id: int
    hits: int
    errors: int
    sum_ms: float
    min_ms: float
    max_ms: float
    histogram: bytes
    statuses: str

    @property
    def moment(self) -> int:
        """The beginning of its hour."""
        return self.hour


class Spans(NamedTuple):
    """A range cut in two kinds: whole days (beginning, end) or None, and the hours around them.

    UTC milliseconds, ends are exclusive.
    """

    days: tuple[int, int] | None
    hours: list[tuple[int, int]]


def cut(calendar: Calendar, start_ms: int, end_ms: int) -> Spans:
    """Return which part of a range is whole days, and what is left of it."""
    first = start_ms
    if calendar.day_start(start_ms) != start_ms:
        first = calendar.next_day(start_ms)
    last = calendar.day_start(end_ms)
    if first >= last:
        return Spans(None, [(start_ms, end_ms)])
    edges = [(start_ms, first), (last, end_ms)]
    return Spans((first, last), [(start, end) for start, end in edges if start < end])


class Total:
    """What was measured of one endpoint, or of several. Durations in ms."""

    __slots__ = ("_counts", "errors", "hits", "max_ms", "min_ms", "parts", "sum_ms")

    def __init__(self) -> None:
        self.hits = 0
        self.errors = 0
        self.sum_ms = 0.0
        self.min_ms = math.inf
        self.max_ms = 0.0
        #: Stored histograms; not to be added to once ``counts`` was asked for.
        self.parts: list[bytes] = []
        self._counts: dict[int, int] | None = None

    @property
    def counts(self) -> dict[int, int]:
        """Requests by histogram bucket, in the order of the buckets."""
        if self._counts is None:
            self._counts = histogram.add(self.parts)
        return self._counts

    @counts.setter
    def counts(self, ordered: dict[int, int]) -> None:
        self._counts = ordered

    def add(self, other: Total) -> None:
        """Add what ``other`` holds; before ``counts`` was asked for of either."""
        self.hits += other.hits
        self.errors += other.errors
        self.sum_ms += other.sum_ms
        self.min_ms = min(self.min_ms, other.min_ms)
        self.max_ms = max(self.max_ms, other.max_ms)
        self.parts += other.parts

    def quantiles(self, qs: Sequence[float]) -> list[float]:
        """Return quantiles in ms, never outside of what was measured; [] without hits."""
        return [self.within(value) for value in histogram.quantiles_of(self.counts, qs)]

    def within(self, value_ms: float) -> float:
        """Return ``value_ms``, or the shortest or longest duration if it lies beyond."""
        return min(max(value_ms, self.min_ms), self.max_ms)


def together(totals: Iterable[Total]) -> Total:
    """Return one total of all."""
    result = Total()
    counts: dict[int, int] = {}
    for total in totals:
        result.hits += total.hits
        result.errors += total.errors
        result.sum_ms += total.sum_ms
        result.min_ms = min(result.min_ms, total.min_ms)
        result.max_ms = max(result.max_ms, total.max_ms)
        for number, hits in total.counts.items():
            counts[number] = counts.get(number, 0) + hits
    result.counts = dict(sorted(counts.items()))
    return result


class Buckets:
    """Reads the rollups of ``scope``; for one page, in one read transaction."""

    def __init__(self, connection: Connection, scope: Scope) -> None:
        self.scope = scope
        self.calendar = Calendar(scope.zone)
        self._connection = connection
        self._spans = cut(self.calendar, scope.start_ms, scope.end_ms)
        #: Tells the filters from others.
        self._wanted = (scope.endpoint_id, scope.version_ids)
        self._kept: dict[tuple[RollupTable, RollupKey, tuple[int, int]], KeptRows] = {}

    def totals(
        self, by: By = "endpoint_id", *, hourly: bool = False, keep: bool = True
    ) -> dict[int, Total]:
        """Return what was measured in the range, by endpoint, version or moment; only with hits.

        Moments are whole days where the range has these, and hours else; only hours if ``hourly``.
        With ``keep`` the process keeps sums, unless by moment: for ranges that are asked for again.
        """
        found: dict[int, Total] = {}
        for rows in self._figures(by, hourly=hourly, keep=keep):
            for key, hits, errors, sum_ms, min_ms, max_ms, stored in rows:
                total = found.get(key)
                if total is None:
                    total = found[key] = Total()
                total.hits += hits
                total.errors += errors
                total.sum_ms += sum_ms
                if min_ms < total.min_ms:
                    total.min_ms = min_ms
                if max_ms > total.max_ms:
                    total.max_ms = max_ms
                total.parts.append(stored)
        return found

    def _figures(self, by: By, *, hourly: bool, keep: bool) -> Iterator[Sequence[Sequence[Any]]]:
        for table, moment, span in self._tables(Day, _DAY, Hour, _HOUR, hourly=hourly):
            if keep and by != "moment":
                yield list(self._kept_rows(table, by, span).sums())
            else:
                yield self._rows(by, table, moment, span)
        yield [
            (
                getattr(delta, by),
                delta.hits,
                delta.errors,
                delta.sum_ms,
                delta.min_ms,
                delta.max_ms,
                delta.histogram,
            )
            for delta in self._waiting_inside(self.scope.start_ms, self.scope.end_ms)
        ]

    def _rows(
        self, by: By, table: Any, moment: ColumnElement[int], span: tuple[int, int]
    ) -> Sequence[Sequence[Any]]:
        columns = (
            moment if by == "moment" else getattr(table, by),
            table.hits,
            table.errors,
            table.sum_ms,
            table.min_ms,
            table.max_ms,
            table.histogram,
        )
        return self._all(select(*columns).where(inside(moment, *span), *self._filters(table)))

    def _kept_rows(self, table: RollupTable, by: RollupKey, span: tuple[int, int]) -> KeptRows:
        found = self._kept.get((table, by, span))
        if found is None:
            filters = self._filters(table)
            found = KeptRows(self._connection, table, by, span, filters, self._wanted)
            self._kept[table, by, span] = found
        return found

    def hits_by_hour(self) -> list[tuple[int, int]]:
        """Return (beginning of an hour, hits) in the range; an hour may come several times."""
        found: list[tuple[int, int]] = []
        if self._spans.days is not None:
            found = hits_by_hour(
                self._connection, self.calendar, self._spans.days, self._filters, self._wanted
            )
        for span in self._spans.hours:
            query = select(_HOUR, cast(func.sum(Hour.hits), BigInteger)).where(*self._hours(*span))
            found += map(tuple, self._all(query.group_by(Hour.hour)))
        waiting = self._waiting_inside(self.scope.start_ms, self.scope.end_ms)
        return found + [(delta.hour, delta.hits) for delta in waiting]

    def endpoint_hits_by_hour(self, start_ms: int, end_ms: int) -> list[tuple[int, int, int]]:
        """Return (beginning of an hour, endpoint id, hits) from ``start_ms`` to ``end_ms``.

        The same hour and endpoint may come several times.
        """
        rows: Sequence[Any] = self._all(
            # PostgreSQL adds up big integers as decimal numbers.
            select(_HOUR, Hour.endpoint_id, cast(func.sum(Hour.hits), BigInteger))
            .where(*self._hours(start_ms, end_ms))
            .group_by(Hour.hour, Hour.endpoint_id)
        )
        waiting = self._waiting_inside(start_ms, end_ms)
        return list(rows) + [(delta.hour, delta.endpoint_id, delta.hits) for delta in waiting]

    def endpoint_hits_by_day(self, start_ms: int, end_ms: int) -> list[tuple[int, int, int]]:
        """Return (a moment of a day, endpoint id, hits) from ``start_ms`` to ``end_ms``.

        The same day and endpoint may come several times.
        """
        found: list[tuple[int, int, int]] = []
        spans = cut(self.calendar, start_ms, end_ms)
        if spans.days is not None:
            found += self._kept_rows(Day, "endpoint_id", spans.days).hits()
            waiting = self._waiting_inside(*spans.days)
            found += [(delta.hour, delta.endpoint_id, delta.hits) for delta in waiting]
        for span in spans.hours:
            found += self.endpoint_hits_by_hour(*span)
        return found

    def hits_of_pairs(self) -> dict[tuple[int, int], int]:
        """Return hits in the range by (endpoint id, version id)."""
        found: dict[tuple[int, int], int] = {}
        sources: list[Iterable[Sequence[Any]]] = [
            self._all(
                select(table.endpoint_id, table.version_id, func.sum(table.hits))
                .where(inside(moment, *span), *self._filters(table))
                .group_by(table.endpoint_id, table.version_id)
            )
            for table, moment, span in self._tables(Day, _DAY, Hour, _HOUR, hourly=False)
        ]
        waiting = self._waiting_inside(self.scope.start_ms, self.scope.end_ms)
        sources.append((delta.endpoint_id, delta.version_id, delta.hits) for delta in waiting)
        for rows in sources:
            for endpoint_id, version_id, hits in rows:
                pair = (endpoint_id, version_id)
                found[pair] = found.get(pair, 0) + int(hits)
        return found

    def statuses(self, by: By, *, hourly: bool = False) -> dict[int, dict[int, int]]:
        """Return hits by status code, by endpoint, version or moment, as :meth:`totals`."""
        found: dict[int, dict[int, int]] = {}
        tables = (DayStatus, _DAY_STATUS, HourStatus, _HOUR_STATUS)
        for table, moment, span in self._tables(*tables, hourly=hourly):
            where = [inside(moment, *span), *self._filters(table)]
            key = moment if by == "moment" else getattr(table, by)
            for number, hits in self._sums_by_status(key, table, moment, where):
                group, status = divmod(number, _STATUSES)
                counts = found.setdefault(group, {})
                counts[status] = counts.get(status, 0) + int(hits)
        for delta in self._waiting_inside(self.scope.start_ms, self.scope.end_ms):
            counts = found.setdefault(getattr(delta, by), {})
            for status, hits in parse_statuses([delta.statuses]).items():
                counts[status] = counts.get(status, 0) + hits
        return found

    def _sums_by_status(
        self, key: Any, table: Any, moment: ColumnElement[int], where: list[ColumnElement[bool]]
    ) -> Iterable[Sequence[Any]]:
        """Yield (key and status in one number, hits); the same number may come several times."""
        if self._connection.dialect.name == "sqlite":
            return self._kept_sums(key, table, moment, where)
        both = (key * literal(_STATUSES, BigInteger) + table.status).label("both")
        return self._all(select(both, func.sum(table.hits)).where(*where).group_by(both))

    def _kept_sums(
        self, key: Any, table: Any, moment: ColumnElement[int], where: list[ColumnElement[bool]]
    ) -> Iterator[tuple[int, int]]:
        # To add up by anything but the moment, which the rows are in the order of, SQLite sorts
        # them all: longer than it takes to read them. So it gives the rows of each moment as two
        # texts, and what these add up to is kept in the process.
        number = table.status
        if key is not moment:
            number = key * literal(_STATUSES, BigInteger) + table.status
        query = (
            select(moment, func.group_concat(number), func.group_concat(table.hits))
            .where(*where)
            .group_by(moment)
        )
        rows = self._all(query)
        kept = kept_of(self._connection)
        size = 1 if key is moment else _KEPT_TOGETHER
        for first in range(0, len(rows), size):
            texts = tuple(text for row in rows[first : first + size] for text in row[1:])
            sums = kept.find(("statuses", texts), partial(_sums, texts), partial(_size, texts))
            offset = rows[first][0] * _STATUSES if key is moment else 0
            for own, hits in sums.items():
                yield offset + own, hits

    def _tables(
        self, days: Any, day: Any, hours: Any, hour: Any, *, hourly: bool
    ) -> Iterator[tuple[Any, ColumnElement[int], tuple[int, int]]]:
        spans = self._spans
        if hourly:
            spans = Spans(None, [(self.scope.start_ms, self.scope.end_ms)])
        if spans.days is not None:
            yield days, day, spans.days
        for span in spans.hours:
            yield hours, hour, span

    def _all(self, query: Executable) -> Sequence[Sequence[Any]]:
        # Fetched at once: row by row takes twice as long.
        return self._connection.execute(query).all()

    def _hours(self, start_ms: int, end_ms: int) -> list[ColumnElement[bool]]:
        return [inside(_HOUR, start_ms, end_ms), *self._filters(Hour)]

    def _filters(self, table: Any) -> list[ColumnElement[bool]]:
        conditions: list[ColumnElement[bool]] = []
        if self.scope.version_ids is not None:
            conditions.append(table.version_id.in_(self.scope.version_ids))
        if self.scope.endpoint_id is not None:
            conditions.append(table.endpoint_id == self.scope.endpoint_id)
        return conditions

    @cached_property
    def _waiting(self) -> list[_Delta]:
        """Deltas with hits that match the filters, of any hour. There are never many."""
        columns = [getattr(RollupDelta, name) for name in _Delta._fields[1:]]
        rows = self._connection.execute(
            select(_DELTA_HOUR, *columns).where(RollupDelta.hits > 0, *self._filters(RollupDelta))
        )
        return [_Delta(*row) for row in rows]

    def _waiting_inside(self, start_ms: int, end_ms: int) -> Iterator[_Delta]:
        return (delta for delta in self._waiting if start_ms <= delta.hour < end_ms)


def _sums(texts: Sequence[str]) -> dict[int, int]:
    """Return hits by number, of texts of numbers and of their hits in turns."""
    sums: dict[int, int] = {}
    for numbers, hits in zip(texts[::2], texts[1::2], strict=True):
        pairs = zip(numbers.split(","), hits.split(","), strict=True)
        for number, more in pairs:
            key = int(number)
            sums[key] = sums.get(key, 0) + int(more)
    return sums


def _size(texts: Sequence[str], sums: dict[int, int]) -> int:
    return sum(map(len, texts)) + 100 * (len(texts) + len(sums))


def first_hour(connection: Connection) -> int | None:
    """Return the beginning of the first hour that anything is known of (UTC ms)."""
    queries = (
        select(func.min(_HOUR)),
        select(func.min(_DELTA_HOUR)).where(RollupDelta.hits > 0),
    )
    found = [connection.scalar(query) for query in queries]
    return min((hour for hour in found if hour is not None), default=None)
