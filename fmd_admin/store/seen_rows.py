"""Rows that many others refer to, stored once each and found by a digest of what is in them."""

from __future__ import annotations

import hashlib
import time
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, Row, update

from .dimensions import CHUNK, insert_unless_there
from .store import Store
from .tuples import find_sql

Key = TypeVar("Key")
#: A process that sees more than this starts its cache anew instead of growing for ever.
_MAX_CACHED = 200_000
#: How often a process marks the rows that it meets.
SEEN_EVERY_MS = 24 * 60 * 60_000


def clean(text: str, length: int) -> str:
    """Return ``text`` as every database takes it: no NUL, no half characters, cut to length."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()[:length]


class SeenRows(Generic[Key]):
    """Finds and makes the ids of rows; one object a process, used by its writer only.

    Each day it looks all rows up again that it meets, and marks them as seen. A row that nobody
    marked for longer than those are kept which refer to it is in none of them, and may be deleted.
    """

    #: The table: ``id``, ``digest``, ``seen_at``, and what :meth:`columns` gives.
    model: Any

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock
        self._ids: dict[Key, int] = {}
        self._looked_up_ms = 0

    @abstractmethod
    def columns(self, key: Key) -> tuple[Mapping[str, Any], str]:
        """Return the columns of a row, and the text that its digest is made of."""

    def forget(self) -> None:
        """Drop all known ids."""
        self._ids = {}

    def resolve(self, keys: Iterable[Key]) -> Mapping[Key, int]:
        """Return the ids of all ``keys``.

        Runs a transaction of its own if one is new, before the batch's: two processes that store
        the same row then wait for each other for a moment only.
        """
        wanted = set(keys)
        now_ms = int(self._clock() * 1000)
        if not 0 <= now_ms - self._looked_up_ms < SEEN_EVERY_MS:
            self._ids = {}
            self._looked_up_ms = now_ms
        if wanted - self._ids.keys():
            if len(self._ids) > _MAX_CACHED:
                self._ids = {}
            self._load(wanted - self._ids.keys())
        return self._ids

    def _load(self, keys: Iterable[Key]) -> None:
        digests: dict[Key, str] = {}
        values: dict[str, dict[str, object]] = {}
        for key in sorted(keys):  # type: ignore[type-var]
            columns, text = self.columns(key)
            digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
            digests[key] = digest
            values[digest] = {"digest": digest, **columns}
        ids = self._store.transact(lambda connection: self._find_or_make(connection, values))
        self._ids.update((key, ids[digest]) for key, digest in digests.items())

    def _find_or_make(
        self, connection: Connection, values: Mapping[str, dict[str, object]]
    ) -> dict[str, int]:
        found: dict[str, int] = {}
        digests = sorted(values)
        for start in range(0, len(digests), CHUNK):
            chunk = digests[start : start + CHUNK]
            rows = self._find(connection, chunk)
            if any(row.seen_at < self._looked_up_ms for row in rows):
                self._mark_as_seen(connection, chunk)
                # A row that is marked is not deleted any more; another one may be gone by now.
                rows = self._find(connection, chunk)
            found.update((row.digest, row.id) for row in rows)
            seen = {"seen_at": self._looked_up_ms}
            new = [{**values[digest], **seen} for digest in chunk if digest not in found]
            if new:
                connection.execute(insert_unless_there(connection, self.model), new)
                made = self._find(connection, [one["digest"] for one in new])
                found.update((row.digest, row.id) for row in made)
        return found

    def _find(self, connection: Connection, digests: Sequence[Any]) -> Sequence[Row[Any]]:
        # Through the driver: a line that was not seen before comes with every second batch.
        columns = ("digest", "id", "seen_at")
        table = self.model.__table__
        sql = find_sql(connection.dialect, table, columns, "digest", len(digests))
        return connection.exec_driver_sql(sql, tuple(digests)).all()

    def _mark_as_seen(self, connection: Connection, digests: list[str]) -> None:
        connection.execute(
            update(self.model)
            .where(self.model.digest.in_(digests), self.model.seen_at < self._looked_up_ms)
            .values(seen_at=self._looked_up_ms)
        )
