"""The jobs that one process runs for all: an APScheduler that lives as long as the lease."""

from __future__ import annotations

import logging
import math
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from functools import partial
from typing import Any

from apscheduler.executors.base import BaseExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.schedulers.base import STATE_STOPPED
from apscheduler.triggers.interval import IntervalTrigger
from sqlalchemy import Connection, func, select

from ..errors import LeaseLostError
from ..fmd_alerting import addresses, hints
from ..settings import TABLE, Loaded
from ..store import exceptions, graph_sums, visitor_rebuild, visitor_weeks, visitors
from ..store.calendar import Calendar
from ..store.lease import Lease
from ..store.models import RollupDelta
from ..store.rollups import merge_deltas
from ..store.store import Store
from .alerts import EVERY_S as ALERTS_S
from .alerts import Alerts, Configured
from .graph_runs import EXECUTOR, LAST_RUN_S, GraphRuns
from .pruning import EVERY_S, WORK_S, Pruning, PruningSchedule, pruning_schedule

LEASE_NAME = "jobs"
#: Deltas that one transaction merges: writers wait for it.
MERGE_AT_ONCE = 5_000
#: In a process without threads a request pays for the deletion: one short transaction of it.
_INLINE_WORK_S = 0.0
#: How often the days of visitors are looked after, and for how long at most.
UPKEEP_EVERY_S = 60.0
UPKEEP_S = 5.0


class Jobs:
    """Runs the jobs in this process while it holds the lease.

    ``owner`` is unique to the process. ``report`` is called inside an except block with the name
    of what failed. ``loaded`` gives the settings in force, ``graphs`` are the host's custom
    graphs, if it may have any. Nothing runs before the first :meth:`tick`.
    """

    def __init__(
        self,
        store: Store,
        owner: str,
        *,
        report: Callable[[str], None],
        loaded: Callable[[], Loaded] | None = None,
        clock: Callable[[], float] = time.monotonic,
        graphs: GraphRuns | None = None,
        secret: Callable[[], bytes] | None = None,
    ) -> None:
        self._graphs = graphs
        self._store = store
        self._report = report
        self._clock = clock
        self._lease = self._new_lease(owner)
        self._scheduler: BackgroundScheduler | None = None
        self._ending = threading.Event()
        self._began_ms: int | None = None
        started = Loaded(store.settings, dict.fromkeys(TABLE, "default"))
        self.pruning = Pruning(
            store,
            fence=lambda connection: self._lease.fence(connection),
            loaded=loaded or (lambda: started),
            clock=clock,
        )
        self._kept_at = self._alerted_at = -math.inf
        self.alerts: Alerts | None = None
        if secret is not None:
            self.alerts = Alerts(
                store,
                fence=lambda connection: self._lease.fence(connection),
                secret=secret,
                report=report,
                configured=Configured(addresses(store.settings), hints(store.settings)),
            )

    def _new_lease(self, owner: str) -> Lease:
        return Lease(self._store, LEASE_NAME, owner, self._store.settings.lease_ttl_s, self._clock)

    @property
    def running(self) -> bool:
        """Whether the jobs run in this process."""
        return self._scheduler is not None

    @property
    def began_ms(self) -> int | None:
        """Since when (UTC ms) this process holds the lease, None if it does not."""
        return self._began_ms

    def tick(self, *, threads: bool = True) -> None:
        """Keep the lease or try to get it; start and stop the jobs with it.

        To be called about once a second by one thread. In a process without threads the jobs run
        here and now. Raises what the database raises.
        """
        if self._lease.tick():
            if self._began_ms is None:
                self._began_ms = time.time_ns() // 1_000_000
                self.pruning.begin()
            if not threads:
                if self._graphs is not None:
                    self._graphs.without_threads()
                self._guarded("merging the rollups", self.merge_rollups)()
                self._guarded("deleting old rows", self._prune_inline)()
                if self.alerts is not None and self._clock() - self._alerted_at >= ALERTS_S:
                    self._alerted_at = self._clock()
                    self._guarded("alerts", partial(self.alerts.step, threads=False))()
                if self._clock() - self._kept_at >= UPKEEP_EVERY_S:
                    self._kept_at = self._clock()
                    self._guarded("keeping the visitors", self.keep_visitors)()
                    self._guarded("summing values of graphs", self.sum_graphs)()
                    self._guarded("merging exceptions", self.tidy_exceptions)()
            elif self._scheduler is None:
                self._start_scheduler()
            elif self._graphs is not None:
                self._graphs.look_after()
        else:
            self._began_ms = None
            self._stop_scheduler()

    def add_pruning_schedule(
        self, weeks: int, with_graph_values: bool, cron: Mapping[str, Any]
    ) -> None:
        """Delete old rows on a schedule, wherever the jobs run; see ``pruning_schedule``."""
        made = pruning_schedule(weeks, with_graph_values, cron, self._store.timezone)
        self.pruning.schedules.append(made)
        if self._scheduler is not None:
            self._add_pruning_schedule(self._scheduler, made)

    def stop(self, *, answers: bool = True) -> None:
        """End the jobs and give the lease back. A running job is waited for.

        The function of a custom graph is given a moment only: it is not ours, and may hang. Where
        ``answers`` says that the store does not, nothing is waited for: a job in it could take
        longer than a process may take to end, and others take over after the lease's time to live.
        """
        if not answers:
            self._abandon_scheduler()
            return
        self._stop_scheduler(LAST_RUN_S)
        try:
            self._lease.release()
        except Exception:  # noqa: BLE001 - the process ends; others take over after the TTL
            self._report("giving the jobs' lease back")

    def after_fork(self) -> None:
        """Forget the parent's jobs: its thread is not here, and its lease is the parent's."""
        self._scheduler = None
        self._began_ms = None
        self._ending = threading.Event()
        self._lease = self._new_lease(secrets.token_hex(16))
        if self._graphs is not None:
            self._graphs.after_fork()
        if self.alerts is not None:
            self.alerts.after_fork()

    def merge_rollups(self) -> None:
        """Move what batches added into the rollups, until nothing waits."""
        with self._store.read() as connection:
            waiting = connection.scalar(select(func.count()).select_from(RollupDelta)) or 0
        while waiting > 0:
            merged = self._store.transact(self._merge_some)
            # What came in meanwhile is for the next time: a job must come to an end.
            waiting = waiting - merged if merged else 0
        visitors.tend(self._store, self._lease.fence)

    def keep_visitors(self) -> None:
        """Merge and sum what is over; count visitors of what was stored before an upgrade."""
        begun, now_ms = self._clock(), time.time_ns() // 1_000_000
        visitors.tend_old(self._store, self._lease.fence, now_ms)
        with self._store.read() as connection:
            cells = visitors.unsummed(connection, now_ms)
            more = visitor_rebuild.backfilling(connection)
        while cells and self._clock() - begun < UPKEEP_S:
            self._store.transact(partial(self._sum_visitors, cells.pop()))
        if not cells:
            self._sum_weeks(begun, now_ms)
        while more and self._clock() - begun < UPKEEP_S:
            more = visitor_rebuild.backfill(
                self._store, self._store.timezone, now_ms, self._lease.fence
            )

    def _sum_weeks(self, begun: float, now_ms: int) -> None:
        calendar = Calendar(self._store.timezone)
        with self._store.read() as connection:
            weeks = visitor_weeks.unsummed(connection, calendar, now_ms)

        def sum_week(connection: Connection) -> None:
            self._lease.fence(connection)
            visitor_weeks.sum_days(connection, calendar, weeks[-1])

        while weeks and self._clock() - begun < UPKEEP_S:
            self._store.transact(sum_week)
            weeks.pop()

    def sum_graphs(self) -> None:
        """Sum the values of custom graphs that are complete."""
        graph_sums.tend(self._store, self._lease.fence)

    def tidy_exceptions(self) -> None:
        """Merge the counts of exceptions, and delete those of which there are enough."""
        exceptions.tidy(self._store, self._lease.fence)

    def _merge_some(self, connection: Connection) -> int:
        self._lease.fence(connection)
        return merge_deltas(connection, self._store.timezone, limit=MERGE_AT_ONCE)

    def _sum_visitors(self, cell: visitors.Cell, connection: Connection) -> None:
        self._lease.fence(connection)
        visitors.sum_endpoints(connection, cell)

    def _prune(self) -> None:
        # The event goes with the scheduler: its thread ends, even if another one begins.
        self.pruning.step(WORK_S, self._ending.wait)

    def _prune_inline(self) -> None:
        self.pruning.step(_INLINE_WORK_S, lambda _pause_s: True)

    def _add_pruning_schedule(self, scheduler: BackgroundScheduler, made: PruningSchedule) -> None:
        ask = self._guarded(
            "asking for the scheduled deletion", partial(self.pruning.ask_scheduled, made)
        )
        scheduler.add_job(ask, made.trigger)

    def _start_scheduler(self) -> None:
        self._ending.clear()
        scheduler = BackgroundScheduler(
            # Its thread is the third and last of ours in the process; functions of custom graphs,
            # which may take as long as they like, run in others.
            executors={"default": _SameThread(), EXECUTOR: _AtTick()},
            job_defaults={"coalesce": True, "max_instances": 1},
            timezone=timezone.utc,
            logger=logging.getLogger("fmd_admin.jobs"),
        )
        scheduler.add_job(
            self._guarded("merging the rollups", self.merge_rollups),
            IntervalTrigger(seconds=self._store.settings.rollup_interval_s, timezone=timezone.utc),
            id="merge_rollups",
            next_run_time=datetime.now(timezone.utc),
        )
        scheduler.add_job(
            self._guarded("keeping the visitors", self.keep_visitors),
            IntervalTrigger(seconds=UPKEEP_EVERY_S, timezone=timezone.utc),
            id="keep_visitors",
            next_run_time=datetime.now(timezone.utc),
        )
        scheduler.add_job(
            self._guarded("summing values of graphs", self.sum_graphs),
            IntervalTrigger(seconds=UPKEEP_EVERY_S, timezone=timezone.utc),
            id="sum_graphs",
            next_run_time=datetime.now(timezone.utc),
        )
        scheduler.add_job(
            self._guarded("merging exceptions", self.tidy_exceptions),
            IntervalTrigger(seconds=UPKEEP_EVERY_S, timezone=timezone.utc),
            id="tidy_exceptions",
            next_run_time=datetime.now(timezone.utc),
        )
        scheduler.add_job(
            self._guarded("deleting old rows", self._prune),
            IntervalTrigger(seconds=EVERY_S, timezone=timezone.utc),
            id="prune",
        )
        if self.alerts is not None:
            scheduler.add_job(
                self._guarded("alerts", self.alerts.step),
                IntervalTrigger(seconds=ALERTS_S, timezone=timezone.utc),
                id="alerts",
            )
        for made in self.pruning.schedules:
            self._add_pruning_schedule(scheduler, made)
        self._guarded("making up for the scheduled deletion", self.pruning.catch_up)()
        if self._graphs is not None:
            self._graphs.start(scheduler, self._lease)
        scheduler.start()
        self._scheduler = scheduler

    def _stop_scheduler(self, wait_s: float = 0.0) -> None:
        scheduler, self._scheduler = self._scheduler, None
        if scheduler is not None:
            self._ending.set()
            scheduler.shutdown()
            if self.alerts is not None:
                self.alerts.stop(wait_s)
            if self._graphs is not None:
                self._graphs.stop(wait_s)

    def _abandon_scheduler(self) -> None:
        """Let the scheduler's thread end by itself, after the job that it is at."""
        scheduler, self._scheduler = self._scheduler, None
        if scheduler is not None:
            self._ending.set()
            # Its shutdown() takes a lock that it holds as long as the job runs.
            scheduler.state = STATE_STOPPED
            scheduler.wakeup()
            if self._graphs is not None:
                self._graphs.stop(0.0)

    def _guarded(self, name: str, job: Callable[[], None]) -> Callable[[], None]:
        """Return ``job`` with its faults reported, so that its next run comes all the same."""

        def run() -> None:
            try:
                job()
            except LeaseLostError:
                return  # Nothing was changed, and the next tick ends the jobs here.
            except Exception:  # noqa: BLE001 - counted and logged by report
                self._report(name)

        return run


class _SameThread(BaseExecutor):  # type: ignore[misc]
    """Runs jobs in the scheduler's thread.

    As APScheduler's DebugExecutor, but without a line in the host's log for each run.
    """

    def _do_submit_job(self, job: Any, run_times: list[datetime]) -> None:  # noqa: ARG002
        job.func(*job.args, **job.kwargs)
        self._run_job_success(job.id, [])


class _AtTick(BaseExecutor):  # type: ignore[misc]
    """Calls jobs with the time they were scheduled for, the newest of several; they only begin."""

    def _do_submit_job(self, job: Any, run_times: list[datetime]) -> None:
        job.func(*job.args, run_times[-1])
        self._run_job_success(job.id, [])
