"""The one thread of a process that looks at running requests from outside.

It takes their stacks: at level 3 once a period, at level 2 when they pass their limit. While
requests come in it stays awake, so that none has to pay for waking it; without any it sleeps.
"""

from __future__ import annotations

from collections import deque
from threading import Lock, RLock, Thread
from time import perf_counter_ns
from typing import TYPE_CHECKING

from ..faults import Faults
from ..records import UNMATCHED
from .machine import Load, Machine
from .means import Means
from .obstacles import NO_THREADS, obstacle
from .outliers import Cap, Stuck
from .rhythm import Look, Rhythm
from .stacks import Stack, Stacks
from .switching import MIN_LATE_NS, Lateness, SwitchInterval, be_punctual
from .tracing import Ended, Trace

if TYPE_CHECKING:
    from .watching import WatchedExchange

#: Time without requests after which the thread goes to sleep.
IDLE_NS = 100_000_000
#: Pauses of level 2: half of the lowest limit, within these bounds.
MIN_PAUSE_NS = 10_000_000
MAX_PAUSE_NS = 25_000_000
#: A request that is on no stack for so long was given up without closing its answer.
FORGET_NS = 60_000_000_000
#: Requests that ended while one look was late.
MAX_ENDED = 10_000
#: How often the pause is fitted to the limits.
FIT_NS = 1_000_000_000
#: How long requests that ran at the same time count as the way of this server. Of 8 threads that
#: share the interpreter often none or one is inside of the app, and the others wait for it outside:
#: at the interval of one alone they took 2 % for asking.
TOGETHER_NS = 10_000_000_000
_JOIN_S = 5.0
_READING = "reading the machine's load"


class Watcher:
    """Watches the requests in ``active`` (exchange → its thread).

    ``asleep`` tells a request that has just entered itself to call :meth:`wake`. The thread is
    started by the first one, so that none exists before a server forks. ``unavailable`` says why
    there is no thread, where there cannot be one.
    """

    def __init__(self, *, stacks: Stacks, means: Means, cap: Cap, faults: Faults) -> None:
        self._stacks = stacks
        self._means = means
        self._cap = cap
        self._faults = faults
        self.active: dict[WatchedExchange, int] = {}
        #: Those that are profiled and have ended while a look was late: it is about them too.
        self.ended: deque[Ended] = deque(maxlen=MAX_ENDED)
        #: The mean time between two samples; 0: nothing is profiled.
        self.period_ns = 0
        self.rhythm = Rhythm()
        self._interval = SwitchInterval()
        self._lateness = Lateness()
        self._reset()

    def _reset(self) -> None:
        self.active.clear()
        self.ended.clear()
        self.rhythm.reset()
        self.asleep = True
        self.unavailable = ""
        self._thread: Thread | None = None
        # Re-entrant: a signal handler may close what its own thread is waking.
        self._lock = RLock()
        self._tick_lock = Lock()
        self._closed = False
        self._retired = False
        self._machine = Machine()
        self._load: Load | None = None
        self._pause_ns = MIN_PAUSE_NS
        #: Whether some are not profiled, and have limits.
        self._others = False
        self._fitted_ns = self._busy_ns = 0
        #: When more than one request was seen last.
        self._together_ns = -TOGETHER_NS
        # Held by the thread; releasing it ends its pause.
        self._bell = Lock()
        self._bell.acquire()

    def wake(self) -> None:
        """Start the thread, or end its sleep. Called by requests while ``asleep``."""
        with self._lock:
            if not self.asleep or self._closed:
                return
            if self._thread is None and not self._start():
                return
            if self.period_ns:
                # Or the thread would get the interpreter only 5 ms into the request, or, with
                # others that calculate, after a turn of each. It shortens and restores by itself
                # from where ``asleep`` is unset.
                self._shorten()
            self.asleep = False
            self._ring()

    def _start(self) -> bool:
        try:
            self.unavailable = obstacle()
            if not self.unavailable:
                thread = Thread(target=self._run, name="fmd_admin-watcher", daemon=True)
                thread.start()
                self._thread = thread
        except Exception:  # noqa: BLE001 - counted, and logged once; the request goes on
            self._faults.report("starting the watcher (outliers have no stack, no profiles)")
            self.unavailable = NO_THREADS
        if self.unavailable:
            # No request tries again.
            self.asleep = False
        return not self.unavailable

    def _ring(self) -> None:
        if self._bell.locked():
            self._bell.release()

    def retire(self, retired: bool) -> None:
        """End the thread once no request is left, or (False) let requests start it again."""
        with self._lock:
            self._retired = retired
            if retired:
                self._ring()

    def close(self) -> None:
        """End the thread for good."""
        with self._lock:
            self._closed = True
            thread, self._thread = self._thread, None
            self.asleep = False
            self._ring()
        if thread is not None and thread.is_alive():
            thread.join(timeout=_JOIN_S)

    def after_fork(self) -> None:
        """Begin anew in a child: the parent's requests and its thread are the parent's."""
        self._interval.restore()
        self._stacks.after_fork()
        self._reset()

    def settle(self) -> None:
        """Wait until nothing is noted any more about requests that have left ``active``."""
        with self._tick_lock:
            pass

    def keep_up(self) -> None:
        """Read the machine's counters; to be called about once a second by another thread.

        Each file takes several calls that give up the interpreter: with 8 busy threads the watcher
        would wait 0.7 s for it, or 5 to 70 ms where it asked all of them for short turns.
        """
        try:
            self._machine.keep_up()
        except Exception:  # noqa: BLE001 - counted, and logged once
            self._faults.report(_READING)

    # In the thread

    def _run(self) -> None:
        try:
            self._be_punctual()
            # The flusher's first one may come a second later.
            self.keep_up()
            self._begin_anew()
            while self._pause():
                with self._tick_lock:
                    try:
                        self._tick()
                    except Exception:  # noqa: BLE001 - counted, and logged once
                        self._faults.report("watching requests")
        finally:
            self._interval.restore()

    def _be_punctual(self) -> None:
        try:
            be_punctual()
        except Exception:  # noqa: BLE001 - counted, and logged once
            self._faults.report("asking the system to wake the watcher on time")

    def _begin_anew(self) -> None:
        # What the request that woke us has chosen was for getting here.
        self._interval.restore()
        now_ns = perf_counter_ns()
        self._busy_ns = now_ns
        self.rhythm.begin_anew(now_ns, self.period_ns or MIN_PAUSE_NS)

    def _pause(self) -> bool:
        """Wait until the next look; False to end."""
        now_ns = perf_counter_ns()
        if self.active:
            self._busy_ns = now_ns
        elif self._retired or now_ns - self._busy_ns > IDLE_NS:
            if not self._sleep():
                return False
            self._begin_anew()
        if not self.period_ns:
            self._bell.acquire(True, max(self.rhythm.due_ns - perf_counter_ns(), MIN_LATE_NS) / 1e9)
            return not self._closed
        lateness = self._lateness
        self._rest(lateness.until_wake_s(self.rhythm.due_ns))
        left_s = lateness.until_due_s()
        if left_s > 0:
            self._rest(left_s)
        return not self._closed

    def _rest(self, duration_s: float) -> None:
        """Wait, and have the interpreter soon after."""
        self._shorten()
        self._bell.acquire(True, duration_s)
        # At once: who gave it to us begins to wait for it now, and as long as is said now. Else the
        # look would be cut short after 50 µs, and go on where that thread next waits.
        self._interval.restore()

    def _shorten(self) -> None:
        """Choose the interval for the server's way with requests."""
        now_ns = perf_counter_ns()
        if len(self.active) > 1:
            self._together_ns = now_ns
        self._interval.shorten(alone=now_ns - self._together_ns >= TOGETHER_NS)

    def _sleep(self) -> bool:
        """Sleep until a request wakes us; False to end."""
        with self._lock:
            if self._closed:
                return False
            self.asleep = True
            # A request that entered before it could see that enters itself first.
            if self.active:
                self.asleep = False
                return True
            if self._retired:
                self._thread = None
                return False
        while self.asleep and not self._retired and not self._closed:
            self._bell.acquire()
        with self._lock:
            # Where retire() or close() ended the sleep, no request has to.
            self.asleep = False
        return True

    def _tick(self) -> None:
        # First of all, while everything stands still: a thread that waits for the interpreter
        # gets it after a while, however far we are.
        found = self._stacks.look(self._wanted()) if self.active else []
        now_ns, rhythm = perf_counter_ns(), self.rhythm
        look = rhythm.look(now_ns, self.period_ns)
        for exchange, stack in found:
            self._note(exchange, stack, now_ns, look)
        while self.ended:
            start_ns, end_ns, trace = self.ended.popleft()
            weight_ns = look.weight_of(start_ns, end_ns)
            if weight_ns is not None:
                trace().note([], weight_ns, self._stacks.host_part)
        if self._others or not self.period_ns:
            rhythm.go_on(now_ns, self._next_look_ns(now_ns), sampled=self.period_ns > 0)
        else:
            # What is profiled is looked at in any case.
            rhythm.wait_for_sample()
        self._load = None
        if now_ns - self._fitted_ns >= FIT_NS:
            self._fit_pause(now_ns)

    def _wanted(self) -> dict[int, list[WatchedExchange]]:
        """Return the requests whose stack is needed now, by thread, the oldest first."""
        wanted: dict[int, list[WatchedExchange]] = {}
        self._others = False
        for exchange, thread in self.active.copy().items():
            trace = exchange.trace
            if trace is None:
                if not self.period_ns:
                    continue
            elif not trace.profiled:
                self._others = True
                if not _is_due(trace, perf_counter_ns() - exchange.start_ns):
                    continue
            wanted.setdefault(thread, []).append(exchange)
        return wanted

    def _next_look_ns(self, now_ns: int) -> int:
        """Begin notes on new requests; return the time until the next one passes its limit."""
        next_ns = FORGET_NS if self.period_ns else self._pause_ns
        for exchange in self.active.copy():
            trace = exchange.trace or self._begin(exchange, now_ns)
            if trace is not None and trace.look_at_ns is not None and not trace.profiled:
                left_ns = trace.look_at_ns - (now_ns - exchange.start_ns)
                if 0 < left_ns < next_ns:
                    next_ns = left_ns
        return next_ns

    def _begin(self, exchange: WatchedExchange, now_ns: int) -> Trace | None:
        """Start the notes on a request, as soon as its endpoint is known."""
        try:
            endpoint = _endpoint_of(exchange)
        except Exception:  # noqa: BLE001 - counted, and logged once
            # A request object of the host's that raises must not blind us to all others.
            self._faults.report("asking a request for its endpoint")
            self.active.pop(exchange, None)
            return None
        if endpoint is None:
            if now_ns - exchange.start_ns > FORGET_NS:
                self.active.pop(exchange, None)
            return None
        level = exchange.rules.level(endpoint)
        if level < 2:
            self.active.pop(exchange, None)
            return None
        trace = exchange.trace = Trace(endpoint, level, self._means.limits_ns.get(endpoint))
        return trace

    def _note(
        self, exchange: WatchedExchange, stack: Stack | None, now_ns: int, look: Look
    ) -> None:
        """Write down where a request was; on no stack if its server sends, or it was given up."""
        trace = exchange.trace or self._begin(exchange, now_ns)
        if trace is None:
            return
        host_part = self._stacks.host_part
        start_ns = exchange.start_ns
        age_ns = now_ns - start_ns
        if trace.profiled:
            weight_ns = look.weight_of(start_ns)
            if weight_ns is not None:
                trace.note(stack or [], weight_ns, host_part)
        if trace.look_at_ns is not None and age_ns > trace.look_at_ns:
            # Look again at twice the age: the last look is in the second half of the request.
            trace.look_at_ns = 2 * age_ns
            if stack is None:
                trace.missed = True
            elif self._cap.is_open(trace.endpoint):
                trace.stuck = Stuck(now_ns, host_part(stack), self._load_now())
        if stack is not None:
            trace.seen_ns = now_ns
        elif now_ns - max(trace.seen_ns, start_ns) > FORGET_NS:
            self.active.pop(exchange, None)

    def _load_now(self) -> Load:
        """Return how busy the machine is, read once a look; a system may hide it."""
        if self._load is None:
            # See keep_up().
            self._interval.shorten(alone=True)
            try:
                self._load = self._machine.load()
            except Exception:  # noqa: BLE001 - counted, and logged once
                self._faults.report(_READING)
                self._load = Load()
            finally:
                self._interval.restore()
        return self._load

    def _fit_pause(self, now_ns: int) -> None:
        """Fit the pause of level 2 to the limits."""
        self._fitted_ns = now_ns
        lowest_ns = min(self._means.limits_ns.copy().values(), default=0)
        self._pause_ns = min(max(lowest_ns // 2, MIN_PAUSE_NS), MAX_PAUSE_NS)


def _endpoint_of(exchange: WatchedExchange) -> str | None:
    """Return the endpoint as soon as Flask has found it."""
    request = exchange.request or exchange.environ.get("werkzeug.request")
    rule = getattr(request, "url_rule", None)
    if rule is not None:
        return str(rule.endpoint)
    return UNMATCHED if getattr(request, "routing_exception", None) is not None else None


def _is_due(trace: Trace, age_ns: int) -> bool:
    return trace.look_at_ns is not None and age_ns > trace.look_at_ns
