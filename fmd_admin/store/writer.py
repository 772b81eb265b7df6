"""Stores batches: append-only, one transaction each, exactly once."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, cached_property, partial
from itertools import chain
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection, Update, bindparam, insert, select, update
from sqlalchemy.exc import DataError, IntegrityError, ProgrammingError

from ..errors import BatchRefusedError, PartlyStoredError, StoreError
from ..records import Batch, Block, ExceptionKey, Frame, Row
from . import exceptions, profiles, tuples, visitor_deltas
from .aggregate import Aggregate, Calendar
from .code_lines import CodeLines, SourceOf, source_line
from .dimensions import Dimensions, StaleDimensions
from .dimensions import Table as DimensionTable
from .engine import error_code
from .models import Client, Endpoint, Group, Request, RollupDelta, Version, Writer
from .presence import ALIVE_MS
from .sampling import Sampling
from .schema import check_schema
from .store import Store
from .types import METHOD_CODES
from .visitor_models import VisitorDelta

K = TypeVar("K")
#: Endpoint id and hour (UTC ms).
Place = tuple[int, int]
#: The columns of a request, in the order of ``profiles.REQUEST``.
Columns = tuple[Any, ...]
#: Deletions between reading ids and using them are rare; a second try nearly always does.
_TRIES = 5


#: SQLSTATEs of values of a wrong type: the rows' fault, unlike a right that was taken away.
_WRONG_TYPES = frozenset({"42804", "42846", "42883", "42P18"})


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
                if not _by_rows(error):
                    raise
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
                rows = self._insert(connection, batch, found.ids)
                self._insert_details(connection, batch, rows, found)

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
        values = {
            "last_seq": batch.sequence,
            "dropped": batch.dropped,
            "of_writer": batch.writer,
            "first_seq": _first(batch),
        }
        if not batch.left_over:
            # What is shipped for a dead process is no sign of its life.
            values |= {"seen_at": _now_ms(), "faults": batch.faults}
        claimed = connection.execute(_claim_batch(), values)
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
    ) -> Sequence[Columns]:
        """Insert the requests of a batch and their sums; return the columns of all of them."""
        version_id = ids[Version][batch.version]
        rows = list(map(_request_columns(ids, version_id), batch.rows))
        keeps, kept = self._sampling.keeps, rows
        if keeps is not None:
            kept = [found for found, row in zip(rows, batch.rows, strict=True) if keeps(row)]
        if kept:
            tuples.insert(connection, self._request_sql, kept)
        self._insert_sums(connection, rows, self._touches(batch, ids[Endpoint]), version_id)
        self._insert_visits(connection, rows, version_id)
        return rows

    def _touches(self, batch: Batch, endpoints: Mapping[str, int]) -> Iterator[tuple[Place, int]]:
        for name, time_ms in batch.touched.items():
            yield (endpoints[name], self._calendar.hour_start(time_ms)), time_ms

    def _insert_sums(
        self,
        connection: Connection,
        rows: Sequence[Columns],
        touches: Iterable[tuple[Place, int]],
        version_id: int,
    ) -> None:
        """Add the rows of a batch up, by column: that takes half as long as one by one."""
        sums: dict[Place, Aggregate] = {}
        for hour, some in _cut(rows, self._calendar.hour_start, self._calendar.next_hour):
            by_endpoint: defaultdict[int, list[Columns]] = defaultdict(list)
            for row in some:
                by_endpoint[row[1]].append(row)
            for endpoint_id, found in by_endpoint.items():
                times, _, _, _, _, durations, statuses, _ = zip(*found, strict=True)
                total = sums[endpoint_id, hour] = Aggregate()
                total.add_many(durations, statuses, max(times))
        for place, time_ms in touches:
            sums.setdefault(place, Aggregate()).touch(time_ms)
        if sums:
            deltas = [
                tuple(total.as_delta_row(hour, endpoint_id, version_id).values())
                for (endpoint_id, hour), total in sums.items()
            ]
            connection.exec_driver_sql(self._delta_sql, deltas)

    def _insert_visits(
        self, connection: Connection, rows: Sequence[Columns], version_id: int
    ) -> None:
        """Add what a batch has of groups and clients to what waits."""
        found = [row for row in rows if row[3] or row[4]]
        days: list[int] = []
        visits: list[Columns] = []
        for day, some in _cut(found, self._calendar.day_start, self._calendar.next_day):
            days += [day] * len(some)
            visits += some
        if not visits:
            return
        _, endpoints, _, groups, clients, durations, _, _ = zip(*visits, strict=True)
        columns = (
            endpoints,
            [group or 0 for group in groups],
            [client or 0 for client in clients],
            list(map(visitor_deltas.to_ns, durations)),
        )
        payload = visitor_deltas.encode_columns(days, columns)
        connection.exec_driver_sql(self._visitor_sql, (version_id, len(visits), payload))

    def _insert_details(
        self,
        connection: Connection,
        batch: Batch,
        rows: Sequence[Columns],
        found: Found,
    ) -> None:
        ids = found.ids
        version_id = ids[Version][batch.version]
        columns = _request_columns(ids, version_id)
        profiles.insert(connection, batch, rows, columns, found.lines, self._source)
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
        return tuples.insert_sql(self._store.engine.dialect, Request.__table__, profiles.REQUEST)

    @cached_property
    def _delta_sql(self) -> str:
        columns = Aggregate().as_delta_row(0, 0, 0).keys()
        return tuples.insert_sql(self._store.engine.dialect, RollupDelta.__table__, list(columns))

    @cached_property
    def _visitor_sql(self) -> str:
        columns = ("version_id", "requests", "payload")
        return tuples.insert_sql(self._store.engine.dialect, VisitorDelta.__table__, columns)


@cache
def _claim_batch() -> Update:
    # Built once; what it sets are the other parameters.
    key = (Writer.writer == bindparam("of_writer"), Writer.last_seq < bindparam("first_seq"))
    return update(Writer).where(*key)


def _cut(
    rows: Sequence[Columns], start_of: Callable[[int], int], next_of: Callable[[int], int]
) -> Iterator[tuple[int, Sequence[Columns]]]:
    """Cut rows into hours or days: yields the beginning of each, and its rows in order."""
    if not rows:
        return
    times = [row[0] for row in rows]
    first = min(times)
    if max(times) < next_of(first):
        yield start_of(first), rows  # Nearly always: all of them are of the last second.
        return
    parts: defaultdict[int, list[Columns]] = defaultdict(list)
    for row in rows:
        parts[start_of(row[0])].append(row)
    yield from parts.items()


def _request_columns(
    ids: Mapping[DimensionTable, Mapping[str, int]], version_id: int
) -> Callable[[Row], Columns]:
    """Return what turns a row into a request's columns, in the order of ``profiles.REQUEST``."""
    endpoints, groups, clients = ids[Endpoint], ids[Group], ids[Client]

    def columns(row: Row) -> Columns:
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


def _by_rows(error: Exception) -> bool:
    """Whether other rows might be stored, so that those after these need not wait."""
    if not isinstance(error, ProgrammingError):
        return True
    # Without a code it is the driver's own, which knows no such value.
    code = error_code(error.orig)
    return code is None or code in _WRONG_TYPES
