"""Days of the rollups by endpoint or version, summed by the week and kept in the process.

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
from ..store.calendar import Calendar
from ..store.kept import kept_of
from ..store.models import Day, Hour

# Of the same length in all time zones: not to be shown, only to keep some days together.
_WEEK_MS = 7 * 24 * 3_600_000
#: What a sum takes with its objects, besides its histogram and its numbers; and a number.
_SUM_BYTES, _NUMBER_BYTES = 100, 8
#: As plain integers; see buckets.
_DAY = type_coerce(Day.day, BigInteger)
_HOUR = type_coerce(Hour.hour, BigInteger)

DayKey = Literal["endpoint_id", "version_id"]


class DaySum(NamedTuple):
    """What was measured on some days of one endpoint or version, ``key``. Durations in ms."""

    key: int
    hits: int
    errors: int
    sum_ms: float
    min_ms: float
    max_ms: float
    histogram: bytes


@dataclass(frozen=True, slots=True)
class _Week:
    """Sums of a week's days, and the hits of each of these: by day, then as the sums are."""

    sums: list[DaySum]
    days: list[int]
    hits: array[int]


class KeptDays:
    """The days that lie in a span and match conditions; read in one read transaction."""

    def __init__(
        self,
        connection: Connection,
        by: DayKey,
        span: tuple[int, int],
        conditions: Sequence[ColumnElement[bool]],
        wanted: Hashable,
    ) -> None:
        """``wanted`` tells ``conditions`` from others."""
        self._connection = connection
        self._key: ColumnElement[int] = type_coerce(getattr(Day, by), BigInteger)
        self._where = [inside(_DAY, *span), *conditions]
        marks = _marks(connection, self._where, self._key)
        keys = [("days", by, wanted, week, mark.tobytes()) for week, mark in marks.items()]
        weeks = list(marks)
        self._weeks = kept_of(connection).find_all(
            keys, lambda missing: self._read([weeks[index] for index in missing]), _size
        )

    def sums(self) -> Iterator[DaySum]:
        """Yield the sums of each week; the same key comes once a week."""
        for week in self._weeks:
            yield from week.sums

    def hits(self) -> Iterator[tuple[int, int, int]]:
        """Yield (day, key, hits) where there are any."""
        for week in self._weeks:
            keys = [found.key for found in week.sums]
            for number, day in enumerate(week.days):
                first = number * len(keys)
                for key, hits in zip(keys, week.hits[first : first + len(keys)], strict=True):
                    if hits:
                        yield day, key, hits

    def _read(self, weeks: Sequence[int]) -> list[_Week]:
        spans = _joined((week * _WEEK_MS, (week + 1) * _WEEK_MS) for week in weeks)
        columns = (Day.hits, Day.errors, Day.sum_ms, Day.min_ms, Day.max_ms, Day.histogram)
        query = (
            select(self._key, _DAY, *columns)
            .where(*self._where, or_(*(inside(_DAY, *span) for span in spans)))
            .order_by(_DAY, Day.endpoint_id, Day.version_id)
        )
        found: dict[int, list[Sequence[Any]]] = {week: [] for week in weeks}
        for row in self._connection.execute(query).all():
            found[row[1] // _WEEK_MS].append(row)
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
    marks = _marks(connection, [inside(_DAY, *span), *conditions(Day)])
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
    where: Sequence[ColumnElement[bool]],
    key: ColumnElement[int] | None = None,
) -> dict[int, array[float]]:
    """Return what tells the days of each week from what they were before, oldest first.

    With ``key`` also what tells the days of each key from those of others.
    """
    week = (_DAY // literal(_WEEK_MS, BigInteger)).label("week")
    groups: list[ColumnElement[int]] = [week] if key is None else [week, key]
    query = (
        select(
            *groups,
            func.count(),
            # PostgreSQL adds up big integers as decimal numbers.
            cast(func.sum(Day.hits), Double),
            cast(func.sum(Day.errors), Double),
            func.sum(Day.sum_ms),
            func.min(Day.min_ms),
            func.max(Day.max_ms),
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


def _summed(rows: Sequence[Sequence[Any]]) -> _Week:
    """Return what rows of (key, day, figures of a sum) add up to; they are in the order of days."""
    by_key: dict[int, list[Sequence[Any]]] = {}
    for row in rows:
        by_key.setdefault(row[0], []).append(row)
    sums = []
    for key, of_it in sorted(by_key.items()):
        _, _, hits, errors, sums_ms, mins_ms, maxs_ms, histograms = zip(*of_it, strict=True)
        sums.append(
            DaySum(
                key,
                sum(hits),
                sum(errors),
                sum(sums_ms),
                min(mins_ms),
                max(maxs_ms),
                histogram.merge(histograms),
            )
        )
    days = sorted({row[1] for row in rows})
    places = {(day, key): 0 for day in days for key in sorted(by_key)}
    for row in rows:
        places[row[1], row[0]] += row[2]
    return _Week(sums, days, array("q", places.values()))


def _size(week: _Week) -> int:
    # The key has eight numbers for each sum.
    numbers = len(week.hits) + 14 * len(week.sums)
    bytes = sum(_SUM_BYTES + len(found.histogram) for found in week.sums)
    return _SUM_BYTES + _NUMBER_BYTES * numbers + bytes


def _size_of_hours(hours: list[tuple[int, int]]) -> int:
    return _SUM_BYTES * (1 + len(hours))
