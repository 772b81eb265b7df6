"""Brings the exceptions of requests over: all are counted, and the newest of each day are kept."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from ..collect.redaction import Redactor, words_of
from ..records import Batch, ExceptionKey, Link, Occurrence, RaisedCount, Row
from ..settings import Settings
from ..store.calendar import Calendar
from ..store.exceptions import KEPT_A_DAY
from .fmd_database import FMDDatabase
from .fmd_exceptions import FMDExceptions, MakeFrame, Raised
from .fmd_texts import facts_of
from .import_report import ImportReport

_GONE = "their request is not there, or was left out"
_KEPT = (
    f"Of exceptions of one kind and day the {KEPT_A_DAY} newest are kept with message and stack; "
    "all of them are counted."
)

#: A request's batch and row, and what is kept of it as an outlier.
Owner = tuple[Batch, Row, Any]


class ImportExceptions:
    """Adds exceptions to the batches that their requests are in."""

    def __init__(
        self,
        old: FMDDatabase,
        calendar: Calendar,
        values: Settings,
        frame: MakeFrame,
        report: ImportReport,
    ) -> None:
        self._found = FMDExceptions(old, frame)
        self._words = words_of(values.redact)
        self._ip = values.ip
        self._calendar = calendar
        self._report = report

    def count_missing(self, last: int) -> None:
        """Report those of no request; ``last`` is the highest id of one."""
        self._report.leave_out("exceptions", _GONE, self._found.missing(last))

    def add(self, owners: Mapping[int, Owner], above: int, to: int) -> None:
        """Add those of the requests with ids in (``above``, ``to``] to the batches of ``owners``.

        ``owners`` are found by the requests' ids.
        """
        same: dict[tuple[ExceptionKey, int], list[Raised]] = defaultdict(list)
        for raised in self._found.between(above, to):
            owner = owners.get(raised.request_id)
            if owner is None:
                self._report.leave_out("exceptions", _GONE)
                continue
            batch, row, _ = owner
            key = ((raised.type, *raised.stack.place),)
            day = self._calendar.day_start(row.time_ms)
            _count(batch, (key, row.endpoint, day), row.time_ms)
            same[key, day].append(raised)
            self._report.imported["exceptions"] += 1
        self._keep(owners, same)

    def _keep(
        self,
        owners: Mapping[int, Owner],
        same: Mapping[tuple[ExceptionKey, int], list[Raised]],
    ) -> None:
        kept: list[tuple[ExceptionKey, Raised]] = []
        for (key, _day), of_day in same.items():
            of_day.sort(key=lambda raised: owners[raised.request_id][1].time_ms)
            kept += ((key, raised) for raised in of_day[-KEPT_A_DAY:])
            if len(of_day) > KEPT_A_DAY and _KEPT not in self._report.notes:
                self._report.notes.append(_KEPT)
        messages = self._found.messages(raised.message_id for _, raised in kept)
        for key, raised in kept:
            batch, row, outlier = owners[raised.request_id]
            text = messages.get(raised.message_id, "")
            batch.exceptions.append(self._occurrence(key, raised, text, row, outlier))

    def _occurrence(
        self, key: ExceptionKey, raised: Raised, message: str, row: Row, outlier: Any
    ) -> Occurrence:
        redactor = Redactor(self._words)
        message = redactor.inside(message)
        made = Occurrence(*row.fields(), key=key, handled=raised.handled)
        if outlier is not None:
            # What came with a request is kept there of outliers only.
            facts = facts_of(outlier, redactor, self._ip)
            made.url, made.values, made.headers = facts.url, facts.values, facts.headers
        # By now all secrets of the request are known.
        message = redactor.finish(message)
        stack = raised.stack
        made.links = [Link(raised.type, message, "", stack.frames, stack.cut)]
        return made


def _count(batch: Batch, place: tuple[ExceptionKey, str, int], time_ms: int) -> None:
    count = batch.raised.get(place)
    if count is None:
        batch.raised[place] = RaisedCount(1, time_ms, time_ms)
        return
    count.hits += 1
    count.first_ms = min(count.first_ms, time_ms)
    count.last_ms = max(count.last_ms, time_ms)
