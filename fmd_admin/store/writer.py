"""Stores batches: append-only, one transaction each, exactly once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from itertools import chain
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import DataError, IntegrityError, ProgrammingError

from ..errors import BatchRefusedError, PartlyStoredError, StoreError
from ..records import Batch, Block, ExceptionKey, Frame, Row
from . import exceptions, profiles, visitor_deltas
from .aggregate import Aggregate, Calendar
from .code_lines import CodeLines, SourceOf, source_line
from .dimensions import Dimensions, StaleDimensions
from .dimensions import Table as DimensionTable
from .models import Client, Endpoint, Group, Request, RollupDelta, Version, Writer
from .presence import ALIVE_MS
from .sampling import Sampling
from .schema import check_schema
from .store import Store
from .tuples import insert_sql
from .types import METHOD_CODES
from .visitor_deltas import Visit, to_ns
from .visitor_models import VisitorDelta

K = TypeVar("K")
#: Deletions between reading ids and using them are rare; a second try nearly always does.
_TRIES = 5


class Found(NamedTuple):
    """Ids of what a batch refers to."""

    ids: dict[DimensionTable, dict[str, int]]
    lines: Mapping[Frame, int]
    groups: Mapping[ExceptionKey, int]
    blocks: Mapping[Block, int]


class BatchWriter:
    """Writes the batches of this process. Not thread-safe: the flusher is its only caller.

    A batch is stored with what it adds to the rollups in one transaction. Its writer's high-water
    mark tells whether it is there already, so that a batch may be tried again after any error.
    ``level`` gives the level of endpoints that are seen for the first time, ``source`` the text
    of a line of code. ``clean_source`` takes secrets out of the text of a function. ``sample``
    gives the setting SAMPLE: of rows that are left out by it only the rows themselves are missing,
    they count in all rollups.
    """

    def __init__(
        self,
        store: Store,
        level: Callable[[], int],
        source: SourceOf = source_line,
        clean_source: exceptions.CleanSource = str,
        *,
        sample: Callable[[], str] = lambda: "",
    ) -> None:
        self._store = store
        self._sampling = Sampling(store, sample)
        self._level = level
        self._source = source
        self._lines = CodeLines(store, source)
        self._groups = exceptions.Groups(store)
        self._blocks = exceptions.Blocks(store, clean_source)
        self._dimensions = Dimensions(store)
        self._calendar = Calendar(store.timezone)
        self._registered: str | None = None

    def after_fork(self) -> None:
        """Forget what the parent knew: the child is a writer of its own."""
        self._dimensions.forget()
        self._forget_rows()
        self._registered = None

    def _forget_rows(self) -> None:
        for rows in (self._lines, self._groups, self._blocks):
            rows.forget()

    def write(self, batch: Batch) -> None:
        """Store ``batch`` unless it is stored already. Raises what the database raises.

        PartlyStoredError: another process stored the first rows, cut into other batches.
        """
        self.write_together((batch,))

    def write_together(self, batches: Sequence[Batch]) -> None:
        """Store batches of one writer in one transaction; the first one's numbers count for all.

        They may be of several versions. Raises as :meth:`write` does.
        """
        batch = batches[0]
        for left in reversed(range(_TRIES)):
            if self._registered != batch.writer:
                self._register(batch)
            try:
                self._sampling.refresh()
                ids = self._ids(batches)
                version = self._dimensions.version
                found = Found(
                    ids,
                    self._lines.resolve(_of_all(profiles.frames, batches)),
                    self._groups.at(version).resolve(_of_all(exceptions.keys, batches)),
                    self._blocks.resolve(_of_all(exceptions.blocks, batches)),
                )
                self._store.transact(partial(self._store_once, batches, found))
                return
            except StaleDimensions:
                continue
            except (DataError, IntegrityError, ProgrammingError, ValueError, TypeError) as error:
                self._dimensions.forget()
                self._forget_rows()
                if isinstance(error, IntegrityError) and left:
                    continue  # A name may have been deleted while its id was used.
                check_schema(self._store)  # Missing tables are no fault of these rows.
                raise BatchRefusedError(f"The database refuses a batch: {error}") from error
        raise StoreError(f"The configuration moved {_TRIES} times while a batch was written.")

    def _store_once(
        self,
        batches: Sequence[Batch],
        found: Found,
        connection: Connection,
    ) -> None:
        if self._claim(connection, batches[0]):
            self._dimensions.check(connection)
            for batch in batches:
                self._insert(connection, batch, found.ids)
                self._insert_details(connection, batch, found)

    def _register(self, batch: Batch) -> None:
        seen_at = _now_ms() - (ALIVE_MS if batch.left_over else 0)
        values = {"last_seq": _first(batch) - 1, "seen_at": seen_at, "dropped": 0, "faults": 0}
        try:
            with self._store.write() as connection:
                connection.execute(insert(Writer).values(writer=batch.writer, **values))
        except IntegrityError:
            pass  # An earlier try got through though its answer was lost: its mark counts.
        self._registered = batch.writer

    def _claim(self, connection: Connection, batch: Batch) -> bool:
        """Move the writer's mark to this batch; False if it is there already."""
        values = {"last_seq": batch.sequence, "dropped": batch.dropped}
        if not batch.left_over:
            # What is shipped for a dead process is no sign of its life.
            values |= {"seen_at": _now_ms(), "faults": batch.faults}
        claimed = connection.execute(
            update(Writer)
            .where(Writer.writer == batch.writer, Writer.last_seq < _first(batch))
            .values(**values)
        )
        if claimed.rowcount > 0:
            return True
        known = connection.scalar(select(Writer.last_seq).where(Writer.writer == batch.writer))
        if known is None:
            # Pruned while this process was idle: it registers again, and the batch is new.
            self._registered = None
            raise StaleDimensions
        if known < batch.sequence:
            raise PartlyStoredError(known)
        return False

    def _ids(self, batches: Sequence[Batch]) -> dict[DimensionTable, dict[str, int]]:
        rows = [row for batch in batches for row in _all_rows(batch)]
        names = [name for batch in batches for name in _bare_names(batch)]

        def extra(table: DimensionTable, name: str) -> dict[str, Any]:
            """First seen not now, but by the rows: a batch may be late, or from elsewhere."""
            if table is Version:
                of = [batch for batch in batches if batch.version == name]
                times = [row.time_ms for batch in of for row in _all_rows(batch)]
                return {"first_seen": min(times, default=_now_ms())}
            if table is not Endpoint:
                return {}
            times = [row.time_ms for row in rows if row.endpoint == name]
            touched = [batch.touched[name] for batch in batches if name in batch.touched]
            first = min(times or touched, default=_now_ms())
            return {"level": self._level(), "first_seen": first, "last_requested": first}

        return self._dimensions.resolve(
            {
                Endpoint: {row.endpoint for row in rows}.union(names),
                Version: {batch.version for batch in batches},
                Group: {row.group for row in rows if row.group is not None},
                Client: {row.ip for row in rows if row.ip is not None},
            },
            extra,
        )

    def _insert(
        self,
        connection: Connection,
        batch: Batch,
        ids: dict[DimensionTable, dict[str, int]],
    ) -> None:
        endpoints = ids[Endpoint]
        version_id = ids[Version][batch.version]
        columns = _request_columns(ids, version_id)
        calendar = self._calendar
        keeps = self._sampling.keeps
        hour = end = day = 0
        values: list[tuple[Any, ...]] = []
        sums: dict[tuple[int, int], Aggregate] = {}
        visits: list[Visit] = []
        for row in batch.rows:
            found = columns(row)
            time_ms, endpoint_id, _, group_id, client_id, duration_ms, status, _ = found
            if not hour <= time_ms < end:
                # No day begins within an hour.
                hour, end = calendar.hour_start(time_ms), calendar.next_hour(time_ms)
                day = calendar.day_start(time_ms)
            key = (endpoint_id, hour)
            total = sums.get(key)
            if total is None:
                total = sums[key] = Aggregate()
            total.add(duration_ms, status, time_ms)
            if keeps is None or keeps(row):
                values.append(found)
            if group_id or client_id:
                duration_ns = to_ns(duration_ms)
                visits.append((day, endpoint_id, group_id or 0, client_id or 0, duration_ns))
        for name, time_ms in batch.touched.items():
            key = (endpoints[name], calendar.hour_start(time_ms))
            sums.setdefault(key, Aggregate()).touch(time_ms)
        if values:
            connection.exec_driver_sql(self._request_sql, values)
        deltas = [
            tuple(total.as_delta_row(hour, endpoint_id, version_id).values())
            for (endpoint_id, hour), total in sums.items()
        ]
        if deltas:
            connection.exec_driver_sql(self._delta_sql, deltas)
        if visits:
            row_of_visits = (version_id, len(visits), visitor_deltas.encode(visits))
            connection.exec_driver_sql(self._visitor_sql, row_of_visits)

    def _insert_details(
        self,
        connection: Connection,
        batch: Batch,
        found: Found,
    ) -> None:
        ids = found.ids
        version_id = ids[Version][batch.version]
        columns = _request_columns(ids, version_id)
        profiles.insert(connection, batch, columns, found.lines, self._source)
        exceptions.insert_all(
            connection,
            batch,
            request_columns=columns,
            endpoints=ids[Endpoint],
            version_id=version_id,
            groups=found.groups,
            sources=found.blocks,
            day_start=self._calendar.day_start,
        )
        left_out = [(ids[Endpoint][name], hits) for name, hits in batch.left_out.items()]
        profiles.insert_skipped(connection, left_out, version_id, _now_ms())

    @cached_property
    def _request_sql(self) -> str:
        return insert_sql(self._store.engine.dialect, Request.__table__, profiles.REQUEST)

    @cached_property
    def _delta_sql(self) -> str:
        columns = Aggregate().as_delta_row(0, 0, 0).keys()
        return insert_sql(self._store.engine.dialect, RollupDelta.__table__, list(columns))

    @cached_property
    def _visitor_sql(self) -> str:
        columns = ("version_id", "requests", "payload")
        return insert_sql(self._store.engine.dialect, VisitorDelta.__table__, columns)


def _request_columns(
    ids: Mapping[DimensionTable, Mapping[str, int]], version_id: int
) -> Callable[[Row], tuple[Any, ...]]:
    """Return what turns a row into a request's columns, in the order of ``profiles.REQUEST``."""
    endpoints, groups, clients = ids[Endpoint], ids[Group], ids[Client]

    def columns(row: Row) -> tuple[Any, ...]:
        return (
            row.time_ms,
            endpoints[row.endpoint] if row.endpoint else None,
            version_id,
            None if row.group is None else groups[row.group],
            None if row.ip is None else clients[row.ip],
            row.duration_ms,
            row.status,
            METHOD_CODES.get(row.method, 0),
        )

    return columns


def _all_rows(batch: Batch) -> Iterator[Row]:
    # An exception may be raised outside of any endpoint.
    raised = (row for row in batch.exceptions if row.endpoint)
    return chain(batch.rows, batch.profiles, batch.outliers, raised)


def _bare_names(batch: Batch) -> Iterator[str]:
    """Yield the endpoints of what is only counted."""
    raised = (endpoint for _key, endpoint, _start in batch.raised if endpoint)
    return chain(batch.touched, batch.left_out, raised)


def _of_all(part: Callable[[Batch], Iterable[K]], batches: Sequence[Batch]) -> Iterator[K]:
    return chain.from_iterable(map(part, batches))


def _first(batch: Batch) -> int:
    return batch.sequence if batch.first is None else batch.first


def _now_ms() -> int:
    return int(time.time() * 1000)
