"""Ids of endpoints, versions, groups and clients, kept in the process that writes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, Insert, insert, select
from sqlalchemy.dialects import mysql, sqlite

from .live import config_version
from .models import Client, Endpoint, Group, Version
from .store import Store

#: Ids asked for in one statement; SQLite takes 999 parameters on old builds.
CHUNK = 500
#: A process that sees more names than this starts its cache anew instead of growing for ever.
_MAX_CACHED = 200_000

Table = type[Endpoint] | type[Version] | type[Group] | type[Client]
#: Gives the other columns of a new name.
Extra = Callable[[Table, str], Mapping[str, Any]]


class StaleDimensions(Exception):
    """Something was deleted since the ids were read: read them again."""


class Dimensions:
    """Finds and makes the ids of names; one object a process, used by its writer only.

    The cache is valid as long as the configuration version does not move: deleting an endpoint
    moves it, and :meth:`check` is asked inside the transaction that uses the ids.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._cache: dict[Table, dict[str, int]] = {}
        self._version = -1
        self.forget()

    @property
    def version(self) -> int:
        """The version of the configuration that the known ids are of."""
        return self._version

    def forget(self) -> None:
        """Drop all known ids."""
        self._cache = {Endpoint: {}, Version: {}, Group: {}, Client: {}}
        self._version = -1

    def check(self, connection: Connection) -> None:
        """Raise StaleDimensions if ids may have been deleted since they were read."""
        if config_version(connection) != self._version:
            self.forget()
            raise StaleDimensions

    def resolve(
        self, wanted: Mapping[Table, Iterable[str]], extra: Extra
    ) -> dict[Table, dict[str, int]]:
        """Return name → id for every wanted name; unknown ones are made with ``extra(name)``.

        Runs a transaction of its own if something is missing, before the batch's: two processes
        that make the same name then wait for each other for a moment only.
        """
        while True:
            missing = {
                # Not set minus keys(): that goes through all keys there are.
                table: sorted(set(names).difference(self._cache[table]))
                for table, names in wanted.items()
            }
            if self._version >= 0 and not any(missing.values()):
                return self._cache
            if sum(map(len, self._cache.values())) > _MAX_CACHED:
                self.forget()
            else:
                self._load(missing, extra)

    def _load(self, missing: Mapping[Table, list[str]], extra: Extra) -> None:
        def find(connection: Connection) -> tuple[dict[Table, dict[str, int]], int]:
            ids = {
                table: self._find_or_make(connection, table, names, extra)
                for table, names in missing.items()
            }
            return ids, config_version(connection)

        found, version = self._store.transact(find)
        if self._version not in (-1, version):
            self.forget()  # What was cached before may be gone; only the new ids are sure.
        self._version = version
        for table, ids in found.items():
            self._cache[table].update(ids)

    def _find_or_make(
        self, connection: Connection, table: Table, names: list[str], extra: Extra
    ) -> dict[str, int]:
        found: dict[str, int] = {}
        for start in range(0, len(names), CHUNK):
            chunk = names[start : start + CHUNK]
            query = select(table.name, table.id).where(table.name.in_(chunk))
            found.update((row.name, row.id) for row in connection.execute(query))
            new = [{"name": name, **extra(table, name)} for name in chunk if name not in found]
            if new:
                connection.execute(insert_unless_there(connection, table), new)
                found.update((row.name, row.id) for row in connection.execute(query))
        return found


def insert_unless_there(connection: Connection, table: Any) -> Insert:
    """Return an INSERT that leaves a row alone which another process made meanwhile."""
    name = connection.dialect.name
    if name == "sqlite":
        return sqlite.insert(table).on_conflict_do_nothing()
    if name == "postgresql":
        # Of a server that is used: to import it takes 50 ms.
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table).on_conflict_do_nothing()
    if name in {"mysql", "mariadb"}:
        return mysql.insert(table).prefix_with("IGNORE")
    return insert(table)
