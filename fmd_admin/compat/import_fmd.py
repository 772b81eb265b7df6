"""Brings a database of Flask-MonitoringDashboard over; may be interrupted and started again."""

from __future__ import annotations

import secrets
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from sqlalchemy import Connection, func, select

from ..collect.address import anonymized
from ..collect.frames import Frames
from ..collect.redaction import Redactor, words_of
from ..jobs.scheduler import LEASE_NAME, MERGE_AT_ONCE
from ..recorder.batching import storable
from ..records import Batch, Frame, Row
from ..settings import Settings
from ..store import exceptions, imports, visitors
from ..store.calendar import Calendar
from ..store.lease import Lease
from ..store.models import RollupDelta
from ..store.rollups import merge_deltas
from ..store.store import Store
from .fmd_database import FMDDatabase, to_millis
from .fmd_texts import SourcedFrame, method_of, to_outlier
from .fmd_trees import code_frame, to_profile
from .import_exceptions import ImportExceptions, Owner
from .import_names import import_endpoints, import_graphs, import_users
from .import_report import TAKEN, ImportReport
from .import_writer import ImportWriter

#: Requests that are stored in one transaction, for which other writers wait.
CHUNK = 5_000
#: Rows of rollups that wait before they are merged.
_MERGE_EVERY_S = 2.0
_LIBRARIES = ("/site-packages/", "/dist-packages/")
_REQUEST = (
    *("id", "endpoint_id", "duration", "time_requested", "version_requested"),
    *("group_by", "ip", "status_code"),
)
_OUTLIER = (
    *("id", "request_id", "request_header", "request_environment", "request_url"),
    *("cpu_percent", "memory", "stacktrace"),
)
_STACK_LINE = ("request_id", "position", "indent", "duration", "code_id")
_CODE_LINE = ("id", "filename", "line_number", "function_name", "code")
NO_GROUP = "None"
_GONE = "their request is not there, or was left out"

#: Told how many requests are done, and of how many.
Progress = Callable[[int, int], None]


def import_fmd(
    old: FMDDatabase,
    store: Store,
    values: Settings,
    *,
    progress: Progress = lambda _done, _total: None,
    import_name: str | None = None,
) -> ImportReport:
    """Bring everything over that is not there yet, and say what was done and what left out.

    ``values`` are the settings in force: secrets are hidden and addresses cut as they say.
    ``import_name`` is the host app's, whose package is its own code. The tables must be there.
    """
    report = ImportReport()
    mark = store.transact(lambda connection: imports.begin(connection, old.source))
    import_users(old, store, mark.last_user, report)
    names = import_endpoints(old, store, values.monitor_level, mark.endpoints, report)
    import_graphs(old, store, mark.last_value, report)
    merger = _Merger(store)
    try:
        _Requests(old, store, values, names, report, Frames(import_name)).run(
            mark.last_request, progress, merger.tend
        )
        merger.finish()
    finally:
        merger.close()
    return report


class _Requests:
    """Brings requests over, each with its outlier, its tree and its exceptions."""

    def __init__(
        self,
        old: FMDDatabase,
        store: Store,
        values: Settings,
        names: Mapping[int, str],
        report: ImportReport,
        frames: Frames,
    ) -> None:
        self._old = old
        self._names = names
        self._report = report
        self._frames = frames
        self._words = words_of(values.redact)
        self._ip = values.ip
        self._addresses: dict[str, str | None] = {}
        self._groups: dict[str | None, str | None] = {None: None, NO_GROUP: None, "": None}
        self._writer = ImportWriter(store, values.monitor_level, Redactor(self._words))
        self._exceptions = ImportExceptions(
            old, Calendar(store.timezone), values, self._place, report
        )
        self._codes: dict[int, SourcedFrame] = {}
        self._outliers: dict[int, int] = {}

    def run(self, above: int, progress: Progress, between: Callable[[], None]) -> None:
        old = self._old
        self._codes = {
            row.id: code_frame(row, self._frame) for row in old.rows("CodeLine", *_CODE_LINE)
        }
        outliers = old.rows("Outlier", "request_id", "id")
        last = old.last_id("Request")
        self._outliers = {
            request: id for request, id in outliers if request is not None and request > above
        }
        missing = sum(1 for request, _ in outliers if request is None or request > last)
        self._report.leave_out("outliers", _GONE, missing)
        self._exceptions.count_missing(last)
        total, done = old.count("Request", above), 0
        progress(done, total)
        for rows in old.chunks("Request", _REQUEST, above, CHUNK):
            to = rows[-1][0]
            before = self._report.state()
            batches = self._batches(rows, above, to)
            if self._writer.write_chunk(old.source, above, to, batches):
                for batch in batches:
                    self._report.imported["requests"] += len(batch.rows)
                    self._report.imported["outliers"] += len(batch.outliers)
                    self._report.imported["profiles"] += len(batch.profiles)
            else:
                self._report.go_back(before)
                self._report.leave_out("requests", TAKEN, len(rows))
            above, done = to, done + len(rows)
            progress(done, max(total, done))
            between()

    def _batches(self, rows: Sequence[Any], above: int, to: int) -> list[Batch]:
        """Return a batch for each version among ``rows``, with what belongs to them."""
        lines: dict[int, list[Any]] = defaultdict(list)
        for line in self._old.between("StackLine", _STACK_LINE, above, to):
            lines[line.request_id].append(line)
        ids = [self._outliers[row[0]] for row in rows if row[0] in self._outliers]
        outliers = {found.request_id: found for found in self._old.by_ids("Outlier", _OUTLIER, ids)}
        batches: dict[str, Batch] = {}
        owners: dict[int, Owner] = {}
        for found in rows:
            row = self._row(found)
            if row is None:
                self._lose(found[0], lines, outliers)
                continue
            version = found[4] or ""
            batch = batches.get(version)
            if batch is None:
                batch = batches[version] = Batch(self._old.source, to, storable(version))
            batch.rows.append(row)
            owners[found[0]] = batch, row, outliers.get(found[0])
            if found[0] in outliers:
                self._add_outlier(batch, row, outliers[found[0]])
            if found[0] in lines:
                batch.profiles.append(to_profile(row, lines[found[0]], self._codes))
        self._exceptions.add(owners, above, to)
        return list(batches.values())

    def _row(self, found: Any) -> Row | None:
        _id, endpoint_id, duration, moment, _version, group, ip, status = found
        endpoint = self._names.get(endpoint_id)
        if endpoint is None:
            self._report.leave_out("requests", "their endpoint is not there")
            return None
        time_ms = to_millis(moment)
        if time_ms is None or duration is None:
            self._report.leave_out("requests", "they have no time or duration")
            return None
        if group not in self._groups:
            self._groups[group] = storable(group)
        if ip not in self._addresses:
            self._addresses[ip] = self._address(ip)
        return Row(
            time_ms,
            endpoint,
            max(duration, 0.0),
            # Below 100 is none; what is not known stands under "other".
            status if status is not None and 100 <= status < 1000 else 0,
            "",
            self._groups[group],
            self._addresses[ip],
        )

    def _lose(self, id: int, lines: Mapping[int, Any], outliers: Mapping[int, Any]) -> None:
        self._report.leave_out("outliers", _GONE, int(id in outliers))
        self._report.leave_out("profiles", _GONE, int(id in lines))

    def _add_outlier(self, batch: Batch, row: Row, found: Any) -> None:
        # The only place where the method of a request is kept.
        row.method = method_of(found)
        batch.outliers.append(to_outlier(row, found, self._frame, words=self._words, ip=self._ip))

    def _address(self, ip: str | None) -> str | None:
        if self._ip == "off" or not ip:
            return None
        return storable(anonymized(ip) if self._ip == "anonymized" else ip)

    def _frame(self, file: str, line: int, function: str, source: str) -> SourcedFrame:
        return SourcedFrame(self._place(file, line, function), source)

    def _place(self, file: str, line: int, function: str) -> Frame:
        slashed = file.replace("\\", "/")
        for folder in _LIBRARIES:
            if folder in slashed:
                name, own = slashed.rpartition(folder)[2], False
                break
        else:
            name, own = self._frames.file_of(file)
        return Frame(name, line, function, own)


class _Merger:
    """Merges what was imported into the rollups, unless a process of the app does it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        ttl_s = store.settings.lease_ttl_s
        self._lease = Lease(store, LEASE_NAME, secrets.token_hex(16), ttl_s)
        self._patience_s = ttl_s + 2.0
        self._due = 0.0

    def tend(self) -> None:
        """Merge, if it is time for it."""
        if not self._lease.tick() or time.monotonic() < self._due:
            return
        self._merge(visitors.MERGE_AT)
        self._due = time.monotonic() + _MERGE_EVERY_S

    def finish(self) -> None:
        """Merge all that is left. A running app may hold the lease: then it merges."""
        deadline = time.monotonic() + self._patience_s
        while not self._lease.tick():
            if not self._waiting() or time.monotonic() > deadline:
                return
            time.sleep(0.2)
        self._merge(1)

    def close(self) -> None:
        """Give the lease back."""
        self._lease.release()

    def _waiting(self) -> bool:
        with self._store.read() as connection:
            return bool(connection.scalar(select(func.count()).select_from(RollupDelta)))

    def _merge(self, visitors_at: int) -> None:
        while self._store.transact(self._merge_some):
            pass
        exceptions.tidy(self._store, self._lease.fence)
        visitors.tend(self._store, self._lease.fence, at=visitors_at)
        if visitors_at > 1:
            return
        with self._store.read() as connection:
            cells = visitors.unsummed(connection, time.time_ns() // 1_000_000)
        for cell in cells:
            self._store.transact(partial(self._sum, cell))

    def _merge_some(self, connection: Connection) -> int:
        self._lease.fence(connection)
        return merge_deltas(connection, self._store.timezone, limit=MERGE_AT_ONCE)

    def _sum(self, cell: visitors.Cell, connection: Connection) -> None:
        self._lease.fence(connection)
        visitors.sum_endpoints(connection, cell)
