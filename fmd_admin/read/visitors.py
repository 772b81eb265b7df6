"""Visitors in a scope, as their pages read them: users (groups) or client addresses.

Whole days, and weeks of all endpoints together, come from fmd_visitor_day, what has not been
merged yet from fmd_visitor_delta, and what is not summed over all endpoints yet from the rows of
the endpoints. All of it has to be read in one read transaction: then it is exact, whatever is
written and merged meanwhile.
"""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, func, select

from ..store import histogram
from ..store.calendar import Calendar
from ..store.kept import kept_of
from ..store.models import Client, Group
from ..store.rollup_rows import chunks
from ..store.visitor_models import WEEK, Kind, VisitorDay
from ..store.visitor_parts import OTHER, Entry, Part, histograms_of
from ..store.visitor_parts import together as one_entry
from ..store.visitor_weeks import week_of
from ..store.visitors import day_column
from .buckets import Buckets, Total, together
from .scope import Scope
from .search import holds
from .waiting_visitors import WaitingVisitors, size_of_entries

_NS_PER_MS = 1_000_000
_NAMES: dict[Kind, Any] = {Kind.GROUP: Group, Kind.CLIENT: Client}
#: What stands for the visitors over the cap of their day.
OTHER_NAME = "other"
#: Rows whose hits are kept together.
_PORTION = 64
#: What an entry of a dict takes with its numbers.
_ENTRY_BYTES = 120
#: What a key of a portion's rows takes.
_KEY_BYTES = 4 * 40 * _PORTION


def whole_days(scope: Scope) -> Scope:
    """Return ``scope`` widened to whole days: visitors are counted by the day."""
    calendar = Calendar(scope.zone)
    start_ms, end_ms = calendar.day_start(scope.start_ms), calendar.next_day(scope.end_ms - 1)
    return dataclasses.replace(
        scope, start_ms=start_ms, end_ms=end_ms, exact_start_ms=start_ms, exact_end_ms=end_ms
    )


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which visitors are asked for: those whose name holds ``search``, on ``page`` (from 1).

    ``page_size`` None asks for all of them.
    """

    search: str = ""
    page: int = 1
    page_size: int | None = 25


@dataclass(frozen=True, slots=True)
class Shown:
    """One page of visitors, those with the most hits first: ids, names by id, hits by id.

    ``total`` counts all that match. On the last page the ids end with ``OTHER`` if there were more
    visitors on a day than are told apart, unless names were searched.
    """

    ids: list[int]
    names: dict[int, str]
    hits: dict[int, int]
    total: int
    page: int
    pages: int


class _Row(NamedTuple):
    """A stored row but for its figures, which are some megabytes: read where nothing is kept.

    They change with the hits of all its visitors, or the histogram of these.
    """

    version_id: int
    id: int
    hits: int
    size: int
    histogram: bytes


_COLUMNS: tuple[Any, ...] = (
    VisitorDay.version_id,
    VisitorDay.id,
    VisitorDay.hits,
    func.length(VisitorDay.figures),
    VisitorDay.histogram,
)


class Visitors:
    """Reads the visitors of ``scope``, widened to whole days; for one page, in one transaction."""

    def __init__(self, connection: Connection, scope: Scope, kind: Kind) -> None:
        self.scope = whole_days(scope)
        self.kind = kind
        self._connection = connection
        self._calendar = Calendar(self.scope.zone)
        self._weeks: dict[int, int] = {}
        self._kept = kept_of(connection)
        self._figures: dict[int, bytes] = {}
        rows = sorted((_Row(*row) for row in self._stored()), key=lambda row: row.id)
        # What is made of rows is kept for portions of them: only that of the newest one changes.
        self._portions = [
            (tuple(chain.from_iterable(map(_mark, some))), some)
            for some in (rows[start : start + _PORTION] for start in range(0, len(rows), _PORTION))
        ]
        self._waiting = WaitingVisitors(connection, self.scope, kind)

    def shown(self, wanted: Wanted) -> Shown:
        """Return the visitors that a page shows."""
        hits = self._hits()
        other = hits.pop(OTHER, 0)
        if wanted.search:
            found = self._search(wanted.search)
            hits = {id: number for id, number in hits.items() if id in found}
            other = 0
        # Twice in C is quicker than once with a pair of both: of equals the lower id comes first.
        ranked = sorted(hits)
        ranked.sort(key=hits.__getitem__, reverse=True)
        page, pages = 1, 1
        if wanted.page_size is not None:
            pages = max(1, -(-len(ranked) // wanted.page_size))
            page = min(max(wanted.page, 1), pages)
            ranked = ranked[(page - 1) * wanted.page_size : page * wanted.page_size]
        names = self._names(ranked)
        if other and page == pages:
            ranked.append(OTHER)
            names[OTHER] = OTHER_NAME
            hits[OTHER] = other
        total = len(hits) - (1 if OTHER in hits else 0)
        return Shown(ranked, names, {id: hits[id] for id in ranked}, total, page, pages)

    def by_version(self, ids: Sequence[int]) -> dict[tuple[int, int], tuple[int, float]]:
        """Return hits and sum in ms by (visitor's id, version id) of the visitors ``ids``."""
        found: dict[tuple[int, int], tuple[int, int]] = {}

        def add(key: tuple[int, int], hits: int, sum_ns: int) -> None:
            before = found.get(key, (0, 0))
            found[key] = before[0] + hits, before[1] + sum_ns

        for key, rows in self._portions:
            kept = self._kept.find(
                ("by version", key, *ids), partial(self._by_version, rows, ids), _size_of_pairs
            )
            if not found:
                found = dict(kept)
                continue
            for pair, figures in kept.items():
                add(pair, *figures)
        for waiting in self._waiting:
            for id in ids:
                durations = waiting.of(id)
                if durations:
                    add((id, waiting.version_id), len(durations), sum(durations))
        return {key: (hits, sum_ns / _NS_PER_MS) for key, (hits, sum_ns) in found.items()}

    def _by_version(
        self, rows: Sequence[_Row], ids: Sequence[int]
    ) -> dict[tuple[int, int], tuple[int, int]]:
        """Return hits and sum in ns by (visitor's id, version id)."""
        asked = frozenset(ids)
        found: dict[tuple[int, int], tuple[int, int]] = {}
        for row, part in zip(rows, self._parts(rows), strict=True):
            for index, id in part.among(asked):
                pair = (id, row.version_id)
                hits, sum_ns = found.get(pair, (0, 0))
                found[pair] = hits + part.hits[index], sum_ns + part.sums_ns[index]
        return found

    def totals(self, ids: Sequence[int]) -> dict[int, Total]:
        """Return what was measured of the visitors ``ids``; only groups have a shape."""
        found: dict[int, list[Entry]] = {id: [] for id in ids}
        for key, rows in self._portions:
            # Figures and shapes are written together: what tells the ones tells the others.
            entries = self._kept.find(
                ("chosen", key, *ids), partial(self._chosen, rows, ids), size_of_entries
            )
            for id, entry in entries.items():
                found[id].append(entry)
        for id, entry in self._waiting.entries(ids):
            found[id].append(entry)
        return {id: _total(of_it) for id, of_it in found.items()}

    def _chosen(self, rows: Sequence[_Row], ids: Sequence[int]) -> dict[int, Entry]:
        """Return one entry with its shape of each of the visitors ``ids`` that ``rows`` have."""
        asked = frozenset(ids)
        wanted: dict[int, tuple[Part, list[tuple[int, int]]]] = {}
        for row, part in zip(rows, self._parts(rows), strict=True):
            places = part.among(asked)
            if places:
                wanted[row.id] = part, places
        entries: dict[int, list[Entry]] = {}
        for chunk in chunks(sorted(wanted)):
            query = select(VisitorDay.id, VisitorDay.shapes).where(VisitorDay.id.in_(chunk))
            for row_id, shapes in self._connection.execute(query):
                part, places = wanted.pop(row_id)
                for id, entry in part.chosen(places, shapes):
                    entries.setdefault(id, []).append(entry)
        return {id: one_entry(found, shaped=True) for id, found in entries.items()}

    def median_ms(self) -> float | None:
        """Return the median that visitors are compared with; None without requests.

        It is that of the scope's endpoint, whoever sent the requests, and for all endpoints that
        of all requests with a visitor: to add up every endpoint's days takes longer than the page.
        """
        if self.scope.endpoint_id is not None:
            total = together(Buckets(self._connection, self.scope).totals().values())
            return total.quantiles((0.5,))[0] if total.hits else None
        parts = [
            self._kept.find(("histogram", key), partial(_histogram, rows), _size_of_histogram)
            for key, rows in self._portions
        ]
        parts.append(histogram.encode(self._waiting.counts()))
        return next(iter(histogram.quantiles_of(histogram.add(parts), (0.5,))), None)

    def are_known(self) -> bool:
        """Whether any visitor was ever stored."""
        return self._connection.scalar(select(func.min(_NAMES[self.kind].id))) is not None

    def _hits(self) -> dict[int, int]:
        keys = [key for key, _ in self._portions]
        found = self._kept.find(("all hits", *keys), self._hits_of_rows, self._size_of_all)
        hits = Counter(found)
        for waiting in self._waiting:
            hits.update(waiting.ids)
        return hits

    def _hits_of_rows(self) -> dict[int, int]:
        hits: dict[int, int] = {}
        for key, rows in self._portions:
            found = self._kept.find(("hits", key), partial(self._added_up, rows), _size)
            if hits:
                for id, number in found.items():
                    hits[id] = hits.get(id, 0) + number
            else:
                hits = dict(found)
        return hits

    def _added_up(self, rows: Sequence[_Row]) -> dict[int, int]:
        return _added_up(self._parts(rows))

    def _parts(self, rows: Sequence[_Row]) -> list[Part]:
        missing = [row.id for row in rows if row.id not in self._figures]
        if missing:
            query = select(VisitorDay.id, VisitorDay.figures).where(VisitorDay.id.in_(missing))
            self._figures.update((id, figures) for id, figures in self._connection.execute(query))
        return [Part(self._figures[row.id], self._kept) for row in rows]

    def _size_of_all(self, hits: dict[int, int]) -> int:
        return _ENTRY_BYTES * len(hits) + _KEY_BYTES * len(self._portions)

    def _stored(self) -> Iterable[Sequence[Any]]:
        """Return what ``_Row`` has of the rows that make up the scope."""
        wanted = self._filters()
        if self.scope.endpoint_id is not None:
            query = select(*_COLUMNS).where(
                VisitorDay.endpoint_id == self.scope.endpoint_id, *wanted
            )
            return self._connection.execute(query).all()
        summed, weeks = self._sums()
        covered = {key for key in summed if self._week_of(key[0], key[1]) in weeks}
        ids = [*weeks.values(), *(id for key, id in summed.items() if key not in covered)]
        found: list[Sequence[Any]] = []
        for chunk in chunks(sorted(ids)):
            query = select(*_COLUMNS).where(VisitorDay.id.in_(chunk))
            found += self._connection.execute(query).all()
        of_endpoints = VisitorDay.endpoint_id.is_not(None)
        days = select(day_column, VisitorDay.version_id).where(of_endpoints, *wanted).distinct()
        missing = {(row[0], row[1]) for row in self._connection.execute(days)} - summed.keys()
        for chunk in chunks(sorted({day for day, _ in missing})):
            rows = self._connection.execute(
                select(*_COLUMNS, day_column).where(of_endpoints, day_column.in_(chunk), *wanted)
            ).all()
            found += [row[:-1] for row in rows if (row[-1], row[0]) in missing]
        return found

    def _sums(self) -> tuple[dict[tuple[int, int], int], dict[tuple[int, int], int]]:
        """Return ids of the sums over all endpoints by (beginning, version id): of days, of weeks.

        Of a week only if all of it lies in the scope.
        """
        columns = (VisitorDay.kind, day_column, VisitorDay.version_id, VisitorDay.id)
        kinds = (self.kind.value, self.kind.value + WEEK)
        rows = self._connection.execute(
            select(*columns).where(VisitorDay.endpoint_id.is_(None), *self._filters(kinds))
        ).all()
        days = {(row[1], row[2]): row[3] for row in rows if row[0] == self.kind}
        weeks = {
            (row[1], row[2]): row[3]
            for row in rows
            if row[0] != self.kind and week_of(self._calendar, row[1])[1] <= self.scope.end_ms
        }
        return days, weeks

    def _week_of(self, day_ms: int, version_id: int) -> tuple[int, int]:
        if day_ms not in self._weeks:
            self._weeks[day_ms] = week_of(self._calendar, day_ms)[0]
        return self._weeks[day_ms], version_id

    def _filters(self, kinds: Sequence[int] = ()) -> list[ColumnElement[bool]]:
        conditions: list[ColumnElement[bool]] = [
            VisitorDay.kind.in_(kinds) if kinds else VisitorDay.kind == self.kind.value,
            day_column >= self.scope.start_ms,
            day_column < self.scope.end_ms,
        ]
        if self.scope.version_ids is not None:
            conditions.append(VisitorDay.version_id.in_(self.scope.version_ids))
        return conditions

    def _search(self, text: str) -> set[int]:
        table = _NAMES[self.kind]
        matches = holds(table.name, text, self._connection.dialect.name)
        return set(self._connection.scalars(select(table.id).where(matches)))

    def _names(self, ids: Sequence[int]) -> dict[int, str]:
        table = _NAMES[self.kind]
        names: dict[int, str] = {}
        for chunk in chunks(ids):
            query = select(table.id, table.name).where(table.id.in_(chunk))
            names.update((id, name) for id, name in self._connection.execute(query))
        return {id: names.get(id, f"(deleted, {id})") for id in ids}


def _histogram(rows: Sequence[_Row]) -> bytes:
    return histogram.merge(row.histogram for row in rows)


def _mark(row: _Row) -> tuple[int, int, int, int]:
    return row.id, row.hits, row.size, hash(row.histogram)


def _size_of_pairs(found: dict[tuple[int, int], tuple[int, int]]) -> int:
    return _KEY_BYTES + 2 * _ENTRY_BYTES * len(found)


def _size_of_histogram(stored: bytes) -> int:
    return _KEY_BYTES + len(stored)


def _size(hits: dict[int, int]) -> int:
    # The key takes as much for each of its rows as an entry.
    return _ENTRY_BYTES * (len(hits) + _PORTION)


def _added_up(parts: Sequence[Part]) -> dict[int, int]:
    """Return the hits of every visitor by id."""
    highest = max((part.ids[-1] for part in parts), default=0)
    hits: list[int] | defaultdict[int, int]
    # Where ids are dense, as they mostly are, a list takes a third of the time.
    dense = highest <= sum([len(part.ids) for part in parts])
    hits = [0] * (highest + 1) if dense else defaultdict(int)
    for part in parts:
        for id, number in zip(part.ids, part.hits, strict=True):
            hits[id] += number
    found = enumerate(hits) if isinstance(hits, list) else hits.items()
    return {id: number for id, number in found if number}


def _total(entries: Sequence[Entry]) -> Total:
    hits, sums_ns, mins_ns, maxs_ns, _ = zip(*entries, strict=True)
    total = Total()
    total.hits = sum(hits)
    total.sum_ms = sum(sums_ns) / _NS_PER_MS
    total.min_ms, total.max_ms = min(mins_ns) / _NS_PER_MS, max(maxs_ns) / _NS_PER_MS
    total.parts = histograms_of(entries)
    return total
