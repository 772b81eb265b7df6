"""What levels 2 and 3 add inside a request: it is entered at its start and left at its end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from sys import _getframe, exc_info
from threading import get_ident
from time import perf_counter_ns
from types import CodeType
from typing import TYPE_CHECKING, Any, cast

from ..faults import Faults
from ..records import Batch, RequestRecord, Row
from .exchange import Exchange
from .frames import Frames
from .means import Means
from .outliers import ENDED_FIRST, NOT_ON_A_THREAD, Cap, Facts, collect_facts, to_outlier
from .stacks import Stacks
from .tracing import Ended, Rules, Trace
from .watcher import Watcher

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

    from .collector import Collector

#: What an outlier weighs without the texts of its request, in nodes of a tree.
_OUTLIER = 100


class Watch:
    """Everything that levels 2 and 3 have for one host app.

    ``append_heavy`` takes records with a detail that takes memory; it must be fast and must not
    raise. ``leave_out`` counts an outlier of an endpoint that is not stored.
    """

    def __init__(
        self,
        *,
        append_heavy: Callable[[RequestRecord], None],
        leave_out: Callable[[str], None],
        faults: Faults,
        call: CodeType,
        import_name: str | None = None,
    ) -> None:
        self.append_heavy = append_heavy
        self._leave_out = leave_out
        self._faults = faults
        self.rules = Rules()
        self.frames = Frames(import_name)
        self.means = Means()
        self.limits_ns = self.means.limits_ns
        self._cap = Cap()
        stacks = Stacks(
            self.frames,
            call=call,
            send=WatchedExchange._send.__code__,
            close=WatchedExchange.close.__code__,
        )
        self.host_part = stacks.host_part
        self.unseen = Unseen(self)
        self.watcher = Watcher(
            stacks=stacks,
            means=self.means,
            cap=self._cap,
            faults=faults,
        )

    @property
    def is_on(self) -> bool:
        """Tell whether any endpoint is at level 2 or 3."""
        return self.rules.highest >= 2

    def apply(
        self, rules: Rules, *, constant: float, min_ms: float, outliers_per_minute: int
    ) -> None:
        """Take over levels and settings; requests that run keep the rules they began with."""
        self.rules = rules
        self.unseen = Unseen(self)
        self.means.apply(constant, min_ms)
        self._cap.per_minute = outliers_per_minute
        self.watcher.period_ns = int(rules.period_ms * 1e6) if rules.highest >= 3 else 0
        self.watcher.retire(not self.is_on)

    def learn(self, rows: Iterable[Row]) -> None:
        """Take finished requests into account for the means."""
        if self.is_on:
            self.means.learn(rows)

    def keep_up(self) -> None:
        """Read the machine's counters about once a second, for the load at an outlier."""
        if self.is_on and not self.watcher.unavailable:
            self.watcher.keep_up()

    def seed(self, means: Mapping[str, tuple[int, float]]) -> None:
        """Begin with the stored hits and mean in ms per endpoint."""
        self.means.seed(means)

    def detail(
        self, exchange: WatchedExchange, endpoint: str, end_ns: int
    ) -> Detail | Unseen | None:
        """Return what is kept of a request that has ended, besides its record."""
        rules = exchange.rules
        level = rules.levels.get(endpoint, rules.default)
        if level < 2:
            return None
        trace = exchange.trace
        limit_ns = self.limits_ns.get(endpoint) if trace is None else trace.limit_ns
        facts = None
        if limit_ns is not None and end_ns - exchange.start_ns > limit_ns:
            if self._cap.take(endpoint):
                facts = self._facts(exchange)
            else:
                self._leave_out(endpoint)
        elif trace is None and level >= 3 and end_ns < self.watcher.rhythm.due_ns:
            return self.unseen
        profiled = level >= 3 and not self.watcher.unavailable
        if facts is None and not profiled:
            return None
        detail = Detail(exchange, self, profiled=profiled, limit_ns=limit_ns or 0, facts=facts)
        if profiled and end_ns >= self.watcher.rhythm.due_ns:
            self.watcher.ended.append(Ended(exchange.start_ns, end_ns, detail.late_trace))
        return detail

    def _facts(self, exchange: WatchedExchange) -> Facts:
        rules = exchange.rules
        # A request object of the host's that raises must not take all the rest with it.
        for request in (exchange.request, None):
            try:
                return collect_facts(
                    exchange.environ,
                    request,
                    words=rules.words,
                    ip=rules.ip,
                    with_json=rules.with_json,
                )
            except Exception:  # noqa: BLE001 - counted, and logged once
                self._faults.report("reading what came with an outlier")
        return Facts()

    def close(self) -> None:
        """End the thread."""
        self.watcher.close()

    def after_fork(self) -> None:
        """Begin anew in a child process; what was learnt stays."""
        self._cap.after_fork()
        self.watcher.after_fork()


class WatchedExchange(Exchange):
    """An exchange that the watcher knows of."""

    __slots__ = ("_watch", "border", "request", "rules", "trace")

    def __init__(
        self,
        collector: Collector,
        environ: WSGIEnvironment,
        start_response: StartResponse,
        watch: Watch,
    ) -> None:
        self._watch = watch
        #: The identity of the frame below which everything belongs to this request: the one that
        #: makes this object, and later those of :meth:`_send` and :meth:`close`. Only the identity,
        #: as a frame that is held outlives its time.
        self.border = id(_getframe(1))
        #: Those in force at the start count until the end.
        self.rules: Rules = watch.rules
        #: The watcher's notes; None until it has seen the request.
        self.trace: Trace | None = None
        #: The host's request object, once its answer has started.
        self.request: Any = None
        # As Exchange does; calling it would cost every request.
        self._collector = collector
        self.environ = environ
        self._start_response = start_response
        self.endpoint = None
        self.status = ""
        #: Its stack ends at another border while it is sent.
        self.body = None
        watcher = watch.watcher
        self.start_ns = perf_counter_ns()
        watcher.active[self] = get_ident()
        if watcher.asleep:
            watcher.wake()

    def start(self, status: str, headers: Any, exc_info: Any = None) -> Any:
        """The start_response that the host calls."""
        # Flask takes it out of the environment before the body is sent.
        self.request = self.environ.get("werkzeug.request")
        self.status = status
        if self.endpoint is None:
            self._collector.identify(self)
        if exc_info is None:
            return self._start_response(status, headers)
        return self._start_response(status, headers, exc_info)

    def __iter__(self) -> Iterator[bytes]:
        chunks: Any = self._send()
        self.border = id(chunks.gi_frame)
        return cast("Iterator[bytes]", chunks)

    def _send(self) -> Iterator[bytes]:
        # Not "yield from": that would close the host's body when the server gives up.
        for chunk in cast("Iterable[bytes]", self.body):  # noqa: UP028
            yield chunk

    def close(self) -> None:
        """Close the host's body, then take the time."""
        self.border = id(_getframe())
        error = exc_info()[1]
        if error is not None:
            self._collector.raised.while_sent(self, error)
        try:
            try:
                close = self.body.close  # type: ignore[union-attr]
            except AttributeError:
                close = None
            if close is not None:
                close()
        finally:
            self.end(self.ticket)

    def end(self, ticket: int = 0) -> None:
        """Take the time of the end and hand over what was seen; later calls do nothing."""
        end_ns = perf_counter_ns()
        watch, collector = self._watch, self._collector
        watch.watcher.active.pop(self, None)
        endpoint = self.endpoint
        if endpoint is None:
            endpoint = self.identify_late()
        self.endpoint = ""
        append = put = collector.sink.put
        if collector.raised:
            append = collector.raised.appender(self, put)
        if not endpoint:
            return
        texts = (endpoint, self.environ["REQUEST_METHOD"], self.status, self.group, self.ip)
        limit_ns = watch.limits_ns.get(endpoint)
        start_ns = self.start_ns
        # Nothing is called for most requests: they end within their limit and without a look.
        if (
            self.trace is not None
            or (limit_ns is not None and end_ns - start_ns > limit_ns)
            or self.rules.profiles
        ):
            detail = watch.detail(self, endpoint, end_ns)
            if detail is not None and detail.weight and append is put:
                append = watch.append_heavy
            append((texts, start_ns, end_ns, detail, ticket))
        else:
            append((texts, start_ns, end_ns, None, ticket))


class Unseen:
    """The profile of any request that no look has met; see :class:`fmd_admin.records.Detail`."""

    __slots__ = ("_period_ms", "_watch", "weight")

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._period_ms = watch.rules.period_ms
        self.weight = 0

    def add_to(self, batch: Batch, row: Row) -> None:  # noqa: ARG002 - as others do
        """Make a profile without samples. Runs in the flusher."""
        if not self._watch.watcher.unavailable:
            batch.unsampled.append((len(batch.rows) - 1, self._period_ms))


class Detail:
    """What was seen of one request; see :class:`fmd_admin.records.Detail`."""

    __slots__ = (
        "_facts",
        "_limit_ns",
        "_period_ms",
        "_profiled",
        "_start_ns",
        "_trace",
        "_watch",
        "weight",
    )

    def __init__(
        self,
        exchange: WatchedExchange,
        watch: Watch,
        *,
        profiled: bool,
        limit_ns: int,
        facts: Facts | None,
    ) -> None:
        self._watch = watch
        self._trace = exchange.trace
        self._start_ns = exchange.start_ns
        self._period_ms = exchange.rules.period_ms
        self._profiled = profiled
        self._limit_ns = limit_ns
        self._facts = facts
        trace = self._trace
        #: Nodes of the tree and what waits to be folded into it, and what an outlier counts for.
        self.weight = 0
        if trace is not None:
            self.weight = trace.waiting
            if trace.tree is not None:
                self.weight += trace.tree.nodes
        if facts is not None:
            self.weight += _OUTLIER + facts.weight

    def late_trace(self) -> Trace:
        """Return the notes for a look that was due before the end. Called by the watcher."""
        if self._trace is None:
            self._trace = Trace("", 3, None)
        return self._trace

    def add_to(self, batch: Batch, row: Row) -> None:
        """Make records of it. Runs in the flusher."""
        watch, trace = self._watch, self._trace
        if trace is not None:
            # A look that began before the request ended may still be writing.
            watch.watcher.settle()
        if self._profiled:
            if trace is None:
                batch.unsampled.append((len(batch.rows) - 1, self._period_ms))
            else:
                profile = trace.profile(row, self._period_ms, watch.frames, watch.host_part)
                batch.profiles.append(profile)
        if self._facts is not None:
            note = watch.watcher.unavailable or (
                NOT_ON_A_THREAD if trace is not None and trace.missed else ENDED_FIRST
            )
            stuck = None if trace is None else trace.stuck
            batch.outliers.append(
                to_outlier(
                    row, self._limit_ns, self._start_ns, self._facts, stuck, note, watch.frames
                )
            )
