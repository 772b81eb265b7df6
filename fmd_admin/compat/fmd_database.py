"""Reads a database of Flask-MonitoringDashboard, from version 3.0 on; never writes to it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Connection,
    Engine,
    MetaData,
    NullPool,
    Table,
    create_engine,
    func,
    inspect,
    select,
)
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from ..errors import ImportSourceError
from ..store.engine import engine_options, extra_of, with_driver

#: What every version has, and what only some have.
_NEEDED = ("Endpoint", "Request")
_OPTIONAL = (
    *("User", "Outlier", "StackLine", "CodeLine", "CustomGraph", "CustomGraphData"),
    # From 4.0 on.
    *("ExceptionOccurrence", "ExceptionType", "ExceptionMessage", "ExceptionStackLine"),
    *("ExceptionFrame", "FunctionLocation", "FunctionDefinition", "FilePath"),
)
#: Ids in one statement.
_IDS_AT_ONCE = 500
_EPOCH = datetime(1970, 1, 1)
_MS = timedelta(milliseconds=1)


@dataclass(frozen=True)
class FMDDatabase:
    """A database of Flask-MonitoringDashboard; ``tables`` are those that it has, by their names.

    ``source`` tells it apart from others, wherever it lies: it is made of its first endpoint.
    """

    engine: Engine
    prefix: str
    tables: Mapping[str, Table]
    source: str

    def count(self, name: str, above: int = 0) -> int:
        """Return how many rows of a table have a higher id than ``above``; 0 without the table."""
        if name not in self.tables:
            return 0
        table = self.tables[name]
        counted = select(func.count()).select_from(table)
        if above:
            counted = counted.where(table.c.id > above)
        with self.engine.connect() as connection:
            return int(connection.scalar(counted) or 0)

    def last_id(self, name: str) -> int:
        """Return the highest id of a table, 0 where there is none."""
        if name not in self.tables:
            return 0
        with self.engine.connect() as connection:
            return int(connection.scalar(select(func.max(self.tables[name].c.id))) or 0)

    def rows(self, name: str, *columns: str) -> list[Any]:
        """Return all rows of a small table, by its first column."""
        if name not in self.tables:
            return []
        wanted = [self.tables[name].c[column] for column in columns]
        with self.engine.connect() as connection:
            return list(connection.execute(select(*wanted).order_by(wanted[0])))

    def requested_endpoints(self) -> set[int]:
        """Return the ids of the endpoints that have requests."""
        ids = self.tables["Request"].c.endpoint_id
        with self.engine.connect() as connection:
            return set(connection.scalars(select(ids).distinct()))

    def chunks(
        self, name: str, columns: Sequence[str], above: int, size: int
    ) -> Iterator[Sequence[Any]]:
        """Yield the rows with a higher id than ``above`` in its order, ``size`` at a time.

        ``id`` must be the first of ``columns``. Each chunk is a transaction of its own, so that
        nobody waits for us.
        """
        if name not in self.tables:
            return
        table = self.tables[name]
        wanted = select(*[table.c[column] for column in columns]).order_by(table.c.id).limit(size)
        with self.engine.connect() as connection:
            while True:
                with connection.begin():
                    found = connection.execute(wanted.where(table.c.id > above)).all()
                if not found:
                    return
                yield found
                above = found[-1][0]

    def between(self, name: str, columns: Sequence[str], above: int, to: int) -> Sequence[Any]:
        """Return what belongs to the requests with ids in (``above``, ``to``], by these."""
        if name not in self.tables:
            return []
        table = self.tables[name]
        owner = table.c.request_id
        query = select(*[table.c[column] for column in columns]).where(owner > above, owner <= to)
        query = query.order_by(*[table.c[column] for column in columns[:2]])
        with self.engine.connect() as connection:
            return connection.execute(query).all()

    def by_ids(
        self,
        name: str,
        columns: Sequence[str],
        ids: Iterable[int],
        order: Sequence[str] = ("id",),
    ) -> Iterator[Any]:
        """Yield rows by the ids in the first column of ``order``, in its order."""
        wanted = sorted(set(ids))
        if not wanted or name not in self.tables:
            return
        table = self.tables[name]
        query = select(*[table.c[column] for column in columns])
        query = query.order_by(*[table.c[column] for column in order])
        for start in range(0, len(wanted), _IDS_AT_ONCE):
            some = query.where(table.c[order[0]].in_(wanted[start : start + _IDS_AT_ONCE]))
            with self.engine.connect() as connection:
                found = connection.execute(some).all()
            yield from found

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def open_fmd(url: str, prefix: str | None = None) -> FMDDatabase:
    """Open a database. ``prefix`` is its TABLE_PREFIX, found out where there is one only.

    Raises ImportSourceError where there is no such database.
    """
    parsed = _parsed(url)
    shown = parsed.render_as_string(hide_password=True)
    try:
        # Without a pool no file or connection stays open between two looks.
        options: dict[str, Any] = {**engine_options(parsed), "poolclass": NullPool}
        for name in ("pool_pre_ping", "pool_recycle", "pool_size", "max_overflow"):
            options.pop(name, None)
        engine = create_engine(_read_only(parsed), **options)
        with engine.connect() as connection:
            return _found(connection, engine, prefix, shown)
    except (ImportError, NoSuchModuleError) as error:
        extra = extra_of(parsed)
        mend = f"Run: pip install 'fmd_admin[{extra}]'" if extra else str(error)
        raise ImportSourceError(
            f"{shown} cannot be opened: its driver is missing. {mend}"
        ) from error
    except DBAPIError as error:
        raise ImportSourceError(f"{shown} cannot be read: {error.orig}") from error


def to_millis(moment: datetime | None) -> int | None:
    """Return one of its times, which are UTC without a zone, as UTC ms; None stays None."""
    if moment is None:
        return None
    if moment.tzinfo is not None:
        moment = moment.astimezone(timezone.utc).replace(tzinfo=None)
    return (moment - _EPOCH) // _MS


def _parsed(url: str) -> URL:
    try:
        parsed = with_driver(make_url(url))
    except ArgumentError:
        raise ImportSourceError(
            f"{url!r} is no database URL. Give DATABASE of the old config.cfg, for example: "
            "sqlite:////var/lib/app/flask_monitoringdashboard.db"
        ) from None
    if parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").is_file():
        raise ImportSourceError(
            f"There is no file {parsed.database}. Give DATABASE of the old config.cfg; with four "
            "slashes the path begins at the root, with three in this folder."
        )
    return parsed


def _read_only(url: URL) -> URL:
    if url.get_backend_name() != "sqlite":
        return url
    # Question marks and the like belong to the file's name.
    path = Path(url.database or "").absolute().as_uri()
    return url.set(database=path, query={"mode": "ro", "uri": "true"})


def _found(connection: Connection, engine: Engine, prefix: str | None, shown: str) -> FMDDatabase:
    names = inspect(connection).get_table_names()
    # Some servers turn names into small letters.
    by_lower = {name.lower(): name for name in names}
    prefix = _prefix(by_lower, prefix, shown)
    wanted = {
        name: by_lower[f"{prefix}{name}".lower()]
        for name in (*_NEEDED, *_OPTIONAL)
        if f"{prefix}{name}".lower() in by_lower
    }
    metadata = MetaData()
    metadata.reflect(connection, only=sorted(wanted.values()), resolve_fks=False)
    tables = {name: metadata.tables[found] for name, found in wanted.items()}
    if "status_code" not in tables["Request"].c:
        raise ImportSourceError(
            f"{shown} is of Flask-MonitoringDashboard 2 or older. Bring it to version 3 first: its "
            "documentation has a script for that under Migration."
        )
    return FMDDatabase(engine, prefix, tables, _source_of(connection, tables))


def _prefix(by_lower: Mapping[str, str], wanted: str | None, shown: str) -> str:
    endings = [name.lower() for name in _NEEDED]
    prefixes = [
        by_lower[name][: -len(endings[0])]
        for name in sorted(by_lower)
        if name.endswith(endings[0])
        # "fmd_endpoint" is ours; it stands there once the new panel has been started on it.
        and name != "fmd_endpoint"
        and name.removesuffix(endings[0]) + endings[1] in by_lower
    ]
    if wanted is not None:
        if wanted.lower() in {prefix.lower() for prefix in prefixes}:
            return wanted
        raise ImportSourceError(
            f"{shown} has no tables {wanted}Endpoint and {wanted}Request. Prefixes of such tables "
            f"there: {', '.join(repr(prefix) for prefix in prefixes) or 'none'}."
        )
    if not prefixes:
        raise ImportSourceError(
            f"{shown} has no tables Endpoint and Request, with or without a prefix: it is no "
            "database of Flask-MonitoringDashboard. Give DATABASE of the old config.cfg."
        )
    if len(prefixes) > 1:
        raise ImportSourceError(
            f"{shown} has tables of Flask-MonitoringDashboard with several prefixes: "
            f"{', '.join(repr(prefix) for prefix in prefixes)}. Choose one with --table-prefix."
        )
    return prefixes[0]


def _source_of(connection: Connection, tables: Mapping[str, Table]) -> str:
    endpoint = tables["Endpoint"]
    columns = (endpoint.c.id, endpoint.c.name, endpoint.c.time_added)
    first = connection.execute(select(*columns).order_by(endpoint.c.id).limit(1)).one_or_none()
    if first is None:
        return "empty"
    # Whole seconds: MySQL keeps no more, and the database may have been moved there.
    seconds = (to_millis(first.time_added) or 0) // 1000
    text = f"{first.id}\0{first.name}\0{seconds}"
    return hashlib.sha256(text.encode()).hexdigest()
