"""What travels from collect through the recorder to the store."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

#: Longest stored name of an endpoint, version, group or client; longer ones are cut.
MAX_NAME = 255
#: Name of the one bucket for requests that no rule matched (404 without a rule, 405).
UNMATCHED = "(unmatched)"


class RequestRecord(NamedTuple):
    """One measured request on its way to the flusher.

    ``start_ns`` and ``end_ns`` are readings of :func:`time.perf_counter_ns`; the flusher turns
    them into wall time, so that a request pays for two clock reads only. ``status`` is the status
    line as it went over the wire, empty if the host's app raised before it sent one.
    """

    start_ns: int
    end_ns: int
    endpoint: str
    method: str
    status: str
    group: str | None
    ip: str | None


@dataclass(slots=True)
class Row:
    """One stored request. Times are UTC milliseconds since the epoch, durations ms."""

    time_ms: int
    endpoint: str
    duration_ms: float
    status: int
    method: str
    group: str | None
    ip: str | None


@dataclass(slots=True)
class Batch:
    """What one process hands to the store at once, in strict order of ``sequence``.

    ``writer`` names the process incarnation (new after a fork). ``touched`` holds the last
    request of endpoints at level 0 (endpoint → UTC ms). ``version`` is the host app's. ``dropped``
    and ``faults`` count over the life of the process.
    """

    writer: str
    sequence: int
    version: str
    rows: list[Row] = field(default_factory=list)
    touched: dict[str, int] = field(default_factory=dict)
    dropped: int = 0
    faults: int = 0
