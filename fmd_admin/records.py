"""What travels from collect through the recorder to the store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

#: Longest stored name of an endpoint, version, group or client; longer ones are cut.
MAX_NAME = 255
#: Name of the one bucket for requests that no rule matched (404 without a rule, 405).
UNMATCHED = "(unmatched)"


#: Endpoint, method, status line, group and address of a request. The status is the one that went
#: over the wire, empty if the host's app raised before it sent one.
Texts = tuple[str, str, str, str | None, str | None]

#: One measured request on its way to the flusher: its texts; its start and end as readings of
#: :func:`time.perf_counter_ns`, which the flusher turns into wall time; what levels 2 and 3 saw of
#: it; what the spool gave for an answer that was still to be sent, or 0. A plain tuple: each
#: request makes one, and of a class of its own it would cost it twice as much.
RequestRecord = tuple[Texts, int, int, "Detail | None", int]


class Sink(Protocol):
    """What takes finished records; ``put`` is fast, does not raise, and may be another one soon."""

    @property
    def put(self) -> Callable[[RequestRecord], None]:
        """What takes the next record."""


class Detail(Protocol):
    """What levels 2 and 3 saw of a request, as it travels to the flusher."""

    #: How much memory it holds, in nodes of an execution tree (about 0.3 KiB each).
    weight: int

    def add_to(self, batch: Batch, row: Row) -> None:
        """Put what was seen of the request into ``batch``; its ``row`` is the last one there."""


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

    def fields(self) -> tuple[int, str, float, int, str, str | None, str | None]:
        """Return what a record of the same request begins with."""
        return (
            *(self.time_ms, self.endpoint, self.duration_ms, self.status),
            *(self.method, self.group, self.ip),
        )


class Frame(NamedTuple):
    """One line of code on a stack.

    ``file`` is a path below the host's root or below site-packages, where it is in one of them;
    ``own`` tells the host's code from libraries.
    """

    file: str
    line: int
    function: str
    own: bool


@dataclass(slots=True)
class ProfileNode:
    """A line of an execution tree. ``total_ms`` counts its children; ``hits`` are samples."""

    frame: Frame
    total_ms: float = 0.0
    hits: int = 0
    children: list[ProfileNode] = field(default_factory=list)


@dataclass(slots=True)
class Profile(Row):
    """The execution tree of one request.

    ``period_ms`` is the time between two samples that was asked for. The totals of ``roots`` add
    up to the duration at most; what is missing was spent outside of the host's code. A request
    shorter than the period may have no sample, and then no roots.
    """

    samples: int
    period_ms: float
    roots: list[ProfileNode] = field(default_factory=list)


@dataclass(slots=True)
class Outlier(Row):
    """A request that took longer than ``limit_ms``, and what was going on then.

    ``stack`` was taken ``stack_at_ms`` after the request's start, outermost frame first; it is
    empty where it could not be taken, and ``note`` says why. Machine and process figures are of
    that moment too: ``cpu_percent`` one number a core, ``process_cpu_percent`` 100 for one core
    in full use. What came with the request is redacted. ``json`` is None unless it is stored.
    """

    limit_ms: float
    stack: list[Frame] = field(default_factory=list)
    stack_at_ms: float | None = None
    note: str = ""
    cpu_percent: list[float] = field(default_factory=list)
    process_cpu_percent: float | None = None
    process_memory_mib: float | None = None
    memory_percent: float | None = None
    memory_available_mib: float | None = None
    url: str = ""
    values: dict[str, list[str]] = field(default_factory=dict)
    json: str | None = None
    headers: list[tuple[str, str]] = field(default_factory=list)
    environ: dict[str, str] = field(default_factory=dict)


class Block(NamedTuple):
    """The text of a function, or of the lines around one where it is long or no function."""

    file: str
    function: str
    text: str


class RaisedFrame(NamedTuple):
    """A line that an exception passed; ``first_line`` is the number of the block's first line."""

    frame: Frame
    block: Block
    first_line: int


@dataclass(slots=True)
class Link:
    """One exception of a chain. ``link`` is "cause" or "context", "" for the last one raised.

    ``frames`` begin with the outermost; ``cut`` more were left out between ``OUTER`` and the rest.
    The message is redacted.
    """

    type: str
    message: str
    link: str
    frames: list[RaisedFrame] = field(default_factory=list)
    cut: int = 0


#: What exceptions are grouped by: (type, module, function) of the last one raised, then of those
#: behind it.
ExceptionKey = tuple[tuple[str, str, str], ...]


@dataclass(slots=True)
class Occurrence(Row):
    """An exception in a request, with what came with it, redacted.

    Outside of any request ``endpoint`` and ``method`` are empty, and the duration is 0.
    """

    key: ExceptionKey
    handled: bool
    links: list[Link] = field(default_factory=list)
    url: str = ""
    values: dict[str, list[str]] = field(default_factory=dict)
    headers: list[tuple[str, str]] = field(default_factory=list)


@dataclass(slots=True)
class RaisedCount:
    """How often an exception came, and the first and last time (UTC ms)."""

    hits: int
    first_ms: int
    last_ms: int


@dataclass(slots=True)
class Batch:
    """What one process hands to the store at once, in strict order of ``sequence``.

    With a spool ``sequence`` is the number of the last record and ``first`` that of the first one;
    without, it counts batches and ``first`` is None. ``left_over``: of a process that is dead.
    ``writer`` names the process incarnation (new after a fork). ``unsampled`` are profiles that no
    sample met, most of those of short requests: the place in ``rows``, and the period asked for in
    ms. ``touched`` holds the last
    request of endpoints at level 0 (endpoint → UTC ms). ``version`` is the host app's. ``left_out``
    counts outliers over the cap, which are not stored (endpoint → number). ``raised`` counts all
    exceptions, also those that are not in ``exceptions``: by key, endpoint and the quarter of an
    hour (UTC ms) they fell in. ``dropped`` and ``faults`` count over the life of the process.
    """

    writer: str
    sequence: int
    version: str
    rows: list[Row] = field(default_factory=list)
    touched: dict[str, int] = field(default_factory=dict)
    profiles: list[Profile] = field(default_factory=list)
    unsampled: list[tuple[int, float]] = field(default_factory=list)
    outliers: list[Outlier] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)
    exceptions: list[Occurrence] = field(default_factory=list)
    raised: dict[tuple[ExceptionKey, str, int], RaisedCount] = field(default_factory=dict)
    dropped: int = 0
    faults: int = 0
    first: int | None = None
    left_over: bool = False
