"""Days of the rollups by endpoint or version, summed by the week and kept in the process.

Hours are summed six at a time: those of the days that lie in a range in part.

A page of 90 days has some thousand of them, and to read and to add up their histograms takes most
of its time. So the database only adds up their figures, which tell whether a week is still the
same: whatever changes a histogram changes with it how many requests there were, or their times.
They tell as much of the hours of these days, of which there are 20 times as many: both change
together.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any, Literal, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Double,
    and_,
    cast,
    func,
    literal,
    or_,
    select,
    type_coerce,
)

from ..store import histogram
from ..store.calendar import HOUR_MS, Calendar
from ..store.kept import kept_of
from ..store.models import Day, Hour

# Of the same length in all time zones: not to be shown, only to keep some rows together.
_WEEK_MS = 7 * 24 * HOUR_MS
RollupTable = type[Day] | type[Hour]
RollupKey = Literal["endpoint_id", "version_id"]
#: What a sum takes with its objects, besides its histogram and its numbers; and a number.
_SUM_BYTES, _NUMBER_BYTES = 100, 8
#: As plain integers; see buckets.
_DAY = type_coerce(Day.day, BigInteger)
_HOUR = type_coerce(Hour.hour, BigInteger)
#: Of each table, when its rows begin, and how much of it is kept together.
_TABLES: dict[RollupTable, tuple[ColumnElement[int], int]] = {
    Day: (_DAY, _WEEK_MS),
    Hour: (_HOUR, 6 * HOUR_MS),
}


class Sum(NamedTuple):
    """What was measured in some days or hours of the endpoint or version ``key``; times in ms."""

    key: int
    hits: int
    errors: int
    sum_ms: float
    min_ms: float
    max_ms: float
    histogram: bytes


@dataclass(frozen=True, slots=True)
class _Portion:
    """Sums of a week's days, and the hits of each of these: by day, then as the sums are.

    Or of some hours.
    """

    sums: list[Sum]
    moments: list[int]
    hits: array[int]


class KeptRows:
    """The days or hours in a span that match conditions; read in one read transaction."""

    def __init__(
        self,
        connection: Connection,
        table: RollupTable,
        by: RollupKey,
        span: tuple[int, int],
        conditions: Sequence[ColumnElement[bool]],
        wanted: Hashable,
    ) -> None:
        """``wanted`` tells ``conditions`` from others."""
        self._connection = connection
        self._table = table
        self._moment, self._width_ms = _TABLES[table]
        self._key: ColumnElement[int] = type_coerce(getattr(table, by), BigInteger)
        self._where = [inside(self._moment, *span), *conditions]
        marks = _marks(connection, table, self._where, self._key)
        name = table.__tablename__
        keys = [(name, by, wanted, number, mark.tobytes()) for number, mark in marks.items()]
        numbers = list(marks)
        self._portions = kept_of(connection).find_all(
            keys, lambda missing: self._read([numbers[index] for index in missing]), _size
        )

    def sums(self) -> Iterator[Sum]:
        """Yield the sums of each portion; the same key comes once in each."""
        for portion in self._portions:
            yield from portion.sums

    def hits(self) -> Iterator[tuple[int, int, int]]:
        """Yield (day or hour, key, hits) where there are any."""
        for portion in self._portions:
            keys = [found.key for found in portion.sums]
            for number, moment in enumerate(portion.moments):
                first = number * len(keys)
                for key, hits in zip(keys, portion.hits[first : first + len(keys)], strict=True):
                    if hits:
                        yield moment, key, hits

    def _read(self, numbers: Sequence[int]) -> list[_Portion]:
        table, moment, width_ms = self._table, self._moment, self._width_ms
        spans = _joined((number * width_ms, (number + 1) * width_ms) for number in numbers)
        columns = (
            *(table.hits, table.errors, table.sum_ms),
            *(table.min_ms, table.max_ms, table.histogram),
        )
        query = (
            select(self._key, moment, *columns)
            .where(*self._where, or_(*(inside(moment, *span) for span in spans)))
            .order_by(moment, table.endpoint_id, table.version_id)
        )
        found: dict[int, list[Sequence[Any]]] = {number: [] for number in numbers}
        for row in self._connection.execute(query).all():
            found[row[1] // width_ms].append(row)
        return [_summed(rows) for rows in found.values()]


def hits_by_hour(
    connection: Connection,
    calendar: Calendar,
    span: tuple[int, int],
    conditions: Callable[[Any], Sequence[ColumnElement[bool]]],
    wanted: Hashable,
) -> list[tuple[int, int]]:
    """Return (beginning of an hour, hits) of the hours in ``span``, which is whole days.

    ``conditions`` gives those of a table.
    """
    marks = _marks(connection, Day, [inside(_DAY, *span), *conditions(Day)])
    starts: dict[int, int] = {}
    day, end_ms = span
    while day < end_ms:
        starts.setdefault(day // _WEEK_MS, day)
        day = calendar.next_day(day)
    spans = dict(zip(starts, pairwise([*starts.values(), end_ms]), strict=True))
    keys = [("hours", wanted, *spans[week], mark.tobytes()) for week, mark in marks.items()]
    all_spans = [spans[week] for week in marks]

    def read(missing: list[int]) -> list[list[tuple[int, int]]]:
        asked = [all_spans[number] for number in missing]
        query = (
            select(_HOUR, cast(func.sum(Hour.hits), BigInteger))
            .where(or_(*(inside(_HOUR, *span) for span in _joined(asked))), *conditions(Hour))
            .group_by(Hour.hour)
        )
        found: list[list[tuple[int, int]]] = [[] for _ in asked]
        firsts = [start for start, _ in asked]
        for hour, hits in connection.execute(query).all():
            found[bisect_right(firsts, hour) - 1].append((hour, hits))
        return found

    weeks = kept_of(connection).find_all(keys, read, _size_of_hours)
    return list(chain.from_iterable(weeks))


def _marks(
    connection: Connection,
    table: RollupTable,
    where: Sequence[ColumnElement[bool]],
    key: ColumnElement[int] | None = None,
) -> dict[int, array[float]]:
    """Return what tells the rows of each portion from what they were before, oldest first.

    With ``key`` also what tells the rows of each key from those of others.
    """
    moment, width_ms = _TABLES[table]
    portion = (moment // literal(width_ms, BigInteger)).label("place")
    groups: list[ColumnElement[int]] = [portion] if key is None else [portion, key]
    query = (
        select(
            *groups,
            func.count(),
            # PostgreSQL adds up big integers as decimal numbers.
            cast(func.sum(table.hits), Double),
            cast(func.sum(table.errors), Double),
            func.sum(table.sum_ms),
            func.min(table.min_ms),
            func.max(table.max_ms),
        )
        .where(*where)
        .group_by(*groups)
        .order_by(*groups)
    )
    found: dict[int, array[float]] = {}
    for number, *mark in connection.execute(query).all():
        if number not in found:
            found[number] = array("d")
        found[number].extend(mark)
    return found


def inside(moment: ColumnElement[int], start_ms: int, end_ms: int) -> ColumnElement[bool]:
    """Return the condition that ``moment`` lies there; the end is exclusive."""
    return and_(moment >= start_ms, moment < end_ms)


def _joined(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return ascending spans with those as one of which one ends where the next begins."""
    found: list[tuple[int, int]] = []
    for start_ms, end_ms in spans:
        if found and found[-1][1] == start_ms:
            found[-1] = (found[-1][0], end_ms)
        else:
            found.append((start_ms, end_ms))
    return found


def _summed(rows: Sequence[Sequence[Any]]) -> _Portion:
    """Return what rows of (key, moment, figures of a sum) add up to, in the order of moments."""
    by_key: dict[int, list[Sequence[Any]]] = {}
    for row in rows:
        by_key.setdefault(row[0], []).append(row)
    sums = []
    for key, of_it in sorted(by_key.items()):
        _, _, hits, errors, sums_ms, mins_ms, maxs_ms, histograms = zip(*of_it, strict=True)
        sums.append(
            Sum(
                key,
                sum(hits),
                sum(errors),
                sum(sums_ms),
                min(mins_ms),
                max(maxs_ms),
                histogram.merge(histograms),
            )
        )
    moments = sorted({row[1] for row in rows})
    places = {(moment, key): 0 for moment in moments for key in sorted(by_key)}
    for row in rows:
        places[row[1], row[0]] += row[2]
    return _Portion(sums, moments, array("q", places.values()))


def _size(portion: _Portion) -> int:
    # The key has eight numbers for each sum.
    numbers = len(portion.hits) + 14 * len(portion.sums)
    bytes = sum(_SUM_BYTES + len(found.histogram) for found in portion.sums)
    return _SUM_BYTES + _NUMBER_BYTES * numbers + bytes


def _size_of_hours(hours: list[tuple[int, int]]) -> int:
    return _SUM_BYTES * (1 + len(hours))
