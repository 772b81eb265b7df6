"""Requests of visitors that are not in their days yet, by visitor.

Up to 40,000 of them wait, and every page of visitors counts them one by one. So they are read in
portions, and what was read of a portion is kept in the process: new ones only change the last.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

from sqlalchemy import Connection, select

from ..store import visitor_deltas
from ..store.kept import kept_of
from ..store.visitor_models import Kind, VisitorDelta
from ..store.visitor_parts import Entry, counted, entry_of
from .scope import Scope

#: Requests of a portion, and some more: those of a row are not taken apart.
_PORTION = 8_000
#: What an object takes besides its numbers, and a number of a key.
_OBJECT_BYTES, _NUMBER_BYTES = 200, 40


_Key = tuple[Any, ...]


class _Row(NamedTuple):
    id: int
    version_id: int
    requests: int
    payload: bytes


class Waiting(NamedTuple):
    """Requests of one version: visitors' ids, ascending, and durations in ns in the same order."""

    version_id: int
    ids: array[int]
    durations: array[int]

    def of(self, id: int) -> array[int]:
        """Return the durations of a visitor; none if nothing of it waits here."""
        first = bisect_left(self.ids, id)
        return self.durations[first : bisect_right(self.ids, id, first)]


class WaitingVisitors:
    """What waits in ``scope``, whose ends are those of days; read in one transaction with them."""

    def __init__(self, connection: Connection, scope: Scope, kind: Kind) -> None:
        self._kept = kept_of(connection)
        self._scope = scope
        self._column = 2 if kind == Kind.GROUP else 3
        self._portions = [(self._key(rows), rows) for rows in _portions(_read(connection, scope))]

    def __iter__(self) -> Iterator[Waiting]:
        for key, rows in self._portions:
            yield from self._waiting(key, rows)

    def entries(self, ids: Sequence[int]) -> Iterator[tuple[int, Entry]]:
        """Yield (id, entry with its shape) of visitors; the same one may come several times."""
        for key, rows in self._portions:
            make = partial(self._entries, key, rows, ids)
            found = self._kept.find(("waiting entries", key, *ids), make, size_of_entries)
            yield from found.items()

    def counts(self) -> dict[int, int]:
        """Return how many requests wait by histogram bucket."""
        counts: dict[int, int] = {}
        for key, rows in self._portions:
            make = partial(self._counted, key, rows)
            found = self._kept.find(("waiting counts", key), make, _room)
            for number, hits in found.items():
                counts[number] = counts.get(number, 0) + hits
        return counts

    def _waiting(self, key: _Key, rows: Sequence[_Row]) -> list[Waiting]:
        return self._kept.find(("waiting", key), partial(self._by_version, rows), _size)

    def _key(self, rows: Sequence[_Row]) -> _Key:
        # Not the payloads themselves: they would be held once for each kind and endpoint.
        marks = ((row.id, row.version_id, len(row.payload), hash(row.payload)) for row in rows)
        days = {day for row in rows for day in visitor_deltas.days_of(row.payload)}
        inside = sorted(day for day in days if self._is_inside(day))
        return (self._column, self._scope.endpoint_id, *inside, None, *chain.from_iterable(marks))

    def _is_inside(self, day_ms: int) -> bool:
        return self._scope.start_ms <= day_ms < self._scope.end_ms

    def _by_version(self, rows: Sequence[_Row]) -> list[Waiting]:
        column, endpoint_id = self._column, self._scope.endpoint_id
        found: dict[int, list[tuple[int, int]]] = {}
        for row in rows:
            found.setdefault(row.version_id, []).extend(
                (visit[column], visit[4])
                for visit in visitor_deltas.decode(row.payload)
                if visit[column]
                and (endpoint_id is None or visit[1] == endpoint_id)
                and self._is_inside(visit[0])
            )
        result = []
        for version_id, pairs in found.items():
            pairs.sort()
            ids, durations = zip(*pairs, strict=True) if pairs else ((), ())
            result.append(Waiting(version_id, array("Q", ids), array("Q", durations)))
        return result

    def _entries(self, key: _Key, rows: Sequence[_Row], ids: Sequence[int]) -> dict[int, Entry]:
        found: dict[int, list[int]] = {}
        for waiting in self._waiting(key, rows):
            for id in ids:
                durations = waiting.of(id)
                if durations:
                    found.setdefault(id, []).extend(durations)
        return {id: entry_of(durations, shaped=True) for id, durations in found.items()}

    def _counted(self, key: _Key, rows: Sequence[_Row]) -> dict[int, int]:
        counts: dict[int, int] = {}
        for waiting in self._waiting(key, rows):
            counted(counts, waiting.durations)
        return counts


def _read(connection: Connection, scope: Scope) -> list[_Row]:
    columns = [getattr(VisitorDelta, name) for name in _Row._fields]
    query = select(*columns).order_by(VisitorDelta.id)
    if scope.version_ids is not None:
        query = query.where(VisitorDelta.version_id.in_(scope.version_ids))
    return [_Row(*row) for row in connection.execute(query).all()]


def _portions(rows: Iterable[_Row]) -> Iterator[list[_Row]]:
    """Yield the rows in portions: however many come behind them, the first ones stay the same."""
    portion: list[_Row] = []
    requests = 0
    for row in rows:
        portion.append(row)
        requests += row.requests
        if requests >= _PORTION:
            yield portion
            portion, requests = [], 0
    if portion:
        yield portion


def size_of_entries(found: dict[int, Entry]) -> int:
    """Return about how many bytes entries by id take, with the ids in the key."""
    return _OBJECT_BYTES + sum([2 * _OBJECT_BYTES + len(entry[4]) for entry in found.values()])


def _size(found: list[Waiting]) -> int:
    numbers = sum([2 * len(waiting.ids) * waiting.ids.itemsize for waiting in found])
    return numbers + _OBJECT_BYTES * (1 + len(found))


def _room(counts: dict[int, int]) -> int:
    return _OBJECT_BYTES + 2 * _NUMBER_BYTES * len(counts)
