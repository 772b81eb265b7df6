"""The bounded buffer of one process and the one thread that empties it into the store.

The buffer is the spool, a file that outlives the process, or memory where there can be none.
"""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Callable
from os import getpid
from threading import Event, Lock, RLock, Thread
from time import monotonic

from ..errors import BatchRefusedError
from ..faults import Faults
from ..lifecycle import threads_available
from ..records import Batch, RequestRecord
from .batching import clock_offset_ns, fill, storable, weight_of
from .left_overs import SpoolFolder
from .pace import Pace
from .spool import Spool, Taken
from .spool_file import leave
from .take_over import TakeOver
from .tallies import Tallies
from .vitals import WriteTimes

#: What may wait of execution trees and outliers, in nodes of about 0.3 KiB.
MAX_WEIGHT = 60_000
#: Pause between two ticks (levels, settings, lease), at least; they come after a write.
TICK_S = 0.9
#: Longest pause between two tries while the store does not answer.
MAX_RETRY_S = 5.0


class Recorder:
    """Takes records from requests and writes them in batches, in strict order.

    ``write`` stores one batch or raises; a batch that raised is tried again as it was, so it must
    be exactly-once by its writer and sequence. BatchRefusedError means that it can never be
    stored. ``tick`` is called about once a second in the flusher's thread. The thread starts with
    the first record or :meth:`start`, so that none exists before a server forks. Where threads
    are not available, requests flush at their end. ``forked`` is called in a child that was
    forked past Python's hooks, and must call :meth:`after_fork`.

    With a ``folder`` each record goes into a spool there, and what dead processes left in theirs
    is stored too. Details (profiles, outliers) are in memory only.
    """

    def __init__(
        self,
        write: Callable[[Batch], None],
        *,
        version: str,
        limit: int,
        interval_s: float,
        faults: Faults,
        tick: Callable[[], None],
        clean_ip: Callable[[str], str | None],
        forked: Callable[[], None] | None = None,
        folder: SpoolFolder | None = None,
    ) -> None:
        self._write = write
        self._folder = folder
        #: The spool of this process, once it has one.
        self.spool: Spool | None = None
        self._version = version
        self._limit = limit
        self._interval_s = interval_s
        self._faults = faults
        self._tick = tick
        self._clean_ip = clean_ip
        self._forked = forked or self.after_fork
        self._fork_lock = Lock()
        self.touched: dict[str, int] = {}
        self.take_over: TakeOver | None = None
        self.write_times = WriteTimes()
        self._reset()

    def _reset(self) -> None:
        self._pid = getpid()
        self._buffer: deque[RequestRecord] = deque()
        #: What takes the next record; see :class:`fmd_admin.records.Sink`.
        self.put: Callable[[RequestRecord], None] = self.append
        if self.spool is not None:
            self.spool.abandon()
        self.spool = None
        #: Why there is no spool; None as long as nobody tried.
        self.unspooled: str | None = "It is switched off." if self._folder is None else None
        self.take_over = None
        if self._folder is not None:
            self.take_over = TakeOver(self._folder, self._write, self._clean_ip, self._faults)
        self._taken: Taken | None = None
        self._failing = False
        self.touched.clear()
        self.write_times.clear()
        self._pending: Batch | None = None
        self._writer = uuid.uuid4().hex
        self._sequence = 0
        self._running = self._closed = self._inline = False
        self._thread: Thread | None = None
        self._wake = Event()
        self._pace = Pace(self._wake)
        self._start_lock = Lock()
        # Re-entrant: inline mode flushes under it.
        self._flush_lock = RLock()
        self._drop_lock = Lock()
        self.tallies = Tallies()
        self._weight = self._pending_weight = self._dropped = 0
        self.details_dropped = self.stored = 0
        self._next_inline = self._next_tick = 0.0

    def append(self, record: RequestRecord) -> None:
        """Keep one finished record. A full memory drops the newest, a full spool the oldest."""
        spool = self.spool
        if spool is not None:
            spool.append(record)
        elif self.unspooled is None:
            self._open_spool()
            self.append(record)
            return
        elif len(self._buffer) < self._limit:
            self._buffer.append(record)
        else:
            self._lose(1)
        if not self._running:
            self.start()
        elif spool is not None:
            # From now on there is nothing for us to do but to be called.
            self.put = spool.append

    def _not_spooled(self) -> None:
        self._lose(1)
        self._faults.report("spooling a request (it is dropped)")

    def hold(self, record: RequestRecord) -> int:
        """Note a request whose answer is about to be sent; return the ticket for its record."""
        spool = self.spool
        if spool is None:
            if self.unspooled is not None:
                return 0
            self._open_spool()
            return self.hold(record)
        try:
            return spool.hold(record)
        except Exception:  # noqa: BLE001 - counted, and logged once
            self._faults.report("spooling a request whose answer is being sent")
            return 0

    def _open_spool(self) -> None:
        if self._pid != getpid():
            self._see_fork()
        with self._start_lock:
            if self._folder is None or self.spool is not None or self.unspooled is not None:
                return
            try:
                self.spool = self._folder.open(
                    self._writer, self._version, self._clean_ip, self._limit
                )
                self.spool.failed = self._not_spooled
            except Exception as error:  # noqa: BLE001 - counted, and logged once
                self._faults.report("opening the spool (a killed process may lose requests)")
                self.unspooled = str(error)

    def forget_texts(self) -> None:
        """Ask again how addresses are stored: the setting has changed."""
        if self.spool is not None:
            self.spool.forget_texts()

    def _lose(self, records: int) -> None:
        with self._drop_lock:
            self._dropped += records

    @property
    def dropped(self) -> int:
        """How many requests of this process will never be stored."""
        return self._dropped + (0 if self.spool is None else self.spool.dropped)

    def append_heavy(self, record: RequestRecord) -> None:
        """Keep a record with its detail, or without where too much of that waits already."""
        weight = weight_of((record,))
        with self._drop_lock:
            fits = self._weight + weight <= MAX_WEIGHT and len(self._buffer) < self._limit
            if fits:
                self._weight += weight
            else:
                self.details_dropped += 1
        self.append(record if fits else (*record[:3], None, record[4]))

    def leave_out(self, endpoint: str) -> None:
        """Count an outlier that is not stored."""
        self.tallies.leave_out(endpoint)

    def start(self) -> None:
        """Start the flusher if it does not run yet."""
        if self._pid != getpid():
            self._see_fork()
        if self._inline:
            self._flush_inline()
            return
        with self._start_lock:
            if self._running or self._closed:
                return
            try:
                if not threads_available():
                    raise RuntimeError("this server runs without threads")
                self._thread = Thread(target=self._run, name="fmd_admin-flusher", daemon=True)
                self._thread.start()
            except RuntimeError:
                self._faults.report("starting the flusher (requests flush at their end instead)")
                self._inline = True
            else:
                self._running = True

    def _see_fork(self) -> None:
        """Begin anew in a child whose server left Python's hooks after a fork out."""
        with self._fork_lock:
            if self._pid != getpid():
                # Its own first requests: where the parent had some, it had started the thread.
                measured = self._buffer
                self._forked()
                self._buffer.extend(measured)

    @property
    def inline(self) -> bool:
        """Whether this process has no threads, so that requests flush at their end."""
        return self._inline

    @property
    def version(self) -> str:
        """The version of the host app that requests are counted under."""
        return self._version

    @property
    def mark(self) -> tuple[str, int]:
        """The writer of this process and the sequence of its last batch."""
        return self._writer, self._sequence

    @property
    def depth(self) -> int:
        """How many records wait for the store."""
        if self.spool is not None:
            return self.spool.waiting
        return len(self._buffer) + (len(self._pending.rows) if self._pending else 0)

    def _run(self) -> None:
        wake, pause = self._wake, self._interval_s
        while not wake.wait(pause):
            pause = self._interval_s if self._work() else min(pause * 2, MAX_RETRY_S)
        if self.spool is not None and not self._failing:
            # Here, so that who ends the process need not wait for a store that hangs.
            self._failing = not self._last_flush(safe=True)

    def _work(self) -> bool:
        """Write everything and tick; return whether the store answered."""
        place = "writing to the store (tried again until it answers)"
        try:
            self.flush()
            if self.take_over is not None:
                self.take_over.tend(self._wake.is_set)
            if monotonic() >= self._next_tick and not self._wake.is_set():
                place = "the look at levels, settings and jobs each second"
                self._next_tick = monotonic() + TICK_S
                self._tick()
        except Exception:  # noqa: BLE001 - tried again, and counted
            self._failing = True
            self._faults.report(place)
            return False
        self._failing = False
        return True

    def _flush_inline(self) -> None:
        now = monotonic()
        if now < self._next_inline or not self._flush_lock.acquire(blocking=False):
            return
        try:
            self._next_inline = now + self._interval_s
            self._work()
        finally:
            self._flush_lock.release()

    def flush(self) -> None:
        """Write everything that is in the buffer now. Raises what the store raises."""
        with self._flush_lock:
            # What comes in meanwhile is for the next time: under load the buffer may never be
            # empty, and levels, settings and jobs wait for us.
            batches = self._pace.begin(self._unread, failing=self._failing, hurry=self._inline)
            while self._pending is not None or (
                batches and (self._unread or self.touched or self.tallies)
            ):
                if self._pending is None:
                    batches -= 1
                    self._pending = self._next_batch()
                rows = len(self._pending.rows)
                began = monotonic()
                try:
                    self._write(self._pending)
                    self.stored += rows
                    self.write_times.add(monotonic() - began)
                except BatchRefusedError:
                    # The same rows would be refused for ever, and all that come after wait.
                    self._lose(rows)
                    self._faults.report("storing a batch (its requests are dropped)")
                self._pending = None
                freed, self._pending_weight = self._pending_weight, 0
                if self.spool is not None and self._taken is not None:
                    freed += self.spool.done(self._taken)
                    self._taken = None
                with self._drop_lock:
                    self._weight -= freed
                self._pace.wrote(monotonic() - began)

    @property
    def _unread(self) -> int:
        """How many records are in no batch yet."""
        spool = self.spool
        if spool is None:
            return len(self._buffer)
        return spool.waiting - (0 if self._taken is None else len(self._taken.records))

    def _take(self, offset_ns: int) -> Taken:
        # Batches and records are numbered differently: never both under one writer.
        self._open_spool()
        if self.spool is not None:
            taken = self._taken = self.spool.take(self._pace.most, offset_ns, self._dropped)
            return taken
        buffer = self._buffer
        records = [buffer.popleft() for _ in range(min(len(buffer), self._pace.most))]
        return Taken(self._sequence + 1, self._sequence + 1, records, 0)

    def _next_batch(self) -> Batch:
        offset_ns = clock_offset_ns()
        found = self._take(offset_ns)
        # popitem is atomic: requests go on writing while we take.
        touched: dict[str, int] = {}
        while self.touched:
            endpoint, start_ns = self.touched.popitem()
            touched[endpoint] = start_ns
        self._sequence = found.last
        batch = Batch(
            writer=self._writer,
            sequence=found.last,
            first=found.first,
            version=self._version,
            touched={storable(name): (ns + offset_ns) // 1_000_000 for name, ns in touched.items()},
            dropped=self.dropped,
            faults=self._faults.total(),
        )
        self.tallies.take_into(batch, self._faults.report)
        try:
            self._pending_weight = fill(
                batch, found.records, offset_ns, self._clean_ip, self._faults.report
            )
        except Exception:  # noqa: BLE001 - counted, and logged once
            batch.rows, batch.profiles, batch.unsampled = [], [], []
            batch.outliers, batch.exceptions = [], []
            self._pending_weight = weight_of(found.records)
            self._lose(len(found.records))
            self._faults.report("reading measured requests (they are dropped)")
        return batch

    def close(self) -> bool:
        """End: write what the store takes, leave the rest in the spool; return if it answered."""
        with self._start_lock:
            self._closed = True
            thread, self._thread = self._thread, None
            self._running = True  # Nothing starts any more.
        self._wake.set()
        if thread is not None and thread.is_alive():
            thread.join(timeout=MAX_RETRY_S)
        # A server that ends has seconds only: what is safe need not wait for the store.
        safe = self.spool is not None
        answers = not (self._failing or (thread is not None and thread.is_alive()))
        if answers or not safe:
            answers = self._last_flush(safe)
        self._close_spool()
        return answers

    def _last_flush(self, safe: bool) -> bool:
        try:
            self.flush()
        except Exception:  # noqa: BLE001 - the process ends; there is no later try
            lost = 0 if safe else self.depth
            self._lose(lost)
            kept = "the spool keeps the requests" if safe else f"{lost} requests are lost"
            self._faults.report(f"the last write before the end ({kept})")
            return False
        return True

    def _close_spool(self) -> None:
        self.put = self.append
        spool, self.spool = self.spool, None
        if spool is not None:
            self._dropped += spool.dropped
            self.unspooled = "The process has ended."
            leave(spool)

    def after_fork(self) -> None:
        """Begin anew in a child: the parent's records, thread, spool and writer are its own."""
        self._reset()
