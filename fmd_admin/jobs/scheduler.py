"""The jobs that one process runs for all: an APScheduler that lives as long as the lease."""

from __future__ import annotations

import logging
import math
import secrets
import time
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

from apscheduler.executors.base import BaseExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger
from sqlalchemy import func, select

from ..errors import LeaseLostError
from ..store import visitor_rebuild, visitors
from ..store.lease import Lease
from ..store.models import RollupDelta
from ..store.rollups import merge_deltas
from ..store.store import Store

LEASE_NAME = "jobs"
#: Deltas that one transaction merges: writers wait for it.
MERGE_AT_ONCE = 5_000
#: How often the days of visitors are looked after, and for how long at most.
UPKEEP_EVERY_S = 60.0
UPKEEP_S = 5.0


class Jobs:
    """Runs the jobs in this process while it holds the lease.

    ``owner`` is unique to the process. ``report`` is called inside an except block with the name
    of what failed. Nothing runs before the first :meth:`tick`.
    """

    def __init__(
        self,
        store: Store,
        owner: str,
        *,
        report: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._report = report
        self._clock = clock
        self._lease = self._new_lease(owner)
        self._scheduler: BackgroundScheduler | None = None
        self._kept_at = -math.inf

    def _new_lease(self, owner: str) -> Lease:
        return Lease(self._store, LEASE_NAME, owner, self._store.settings.lease_ttl_s, self._clock)

    @property
    def running(self) -> bool:
        """Whether the jobs run in this process."""
        return self._scheduler is not None

    def tick(self, *, threads: bool = True) -> None:
        """Keep the lease or try to get it; start and stop the jobs with it.

        To be called about once a second by one thread. In a process without threads the jobs run
        here and now. Raises what the database raises.
        """
        if self._lease.tick():
            if not threads:
                self._guarded("merging the rollups", self.merge_rollups)()
                if self._clock() - self._kept_at >= UPKEEP_EVERY_S:
                    self._kept_at = self._clock()
                    self._guarded("keeping the visitors", self.keep_visitors)()
            elif self._scheduler is None:
                self._start_scheduler()
        else:
            self._stop_scheduler()

    def stop(self) -> None:
        """End the jobs and give the lease back. A running job is waited for."""
        self._stop_scheduler()
        try:
            self._lease.release()
        except Exception:  # noqa: BLE001 - the process ends; others take over after the TTL
            self._report("giving the jobs' lease back")

    def after_fork(self) -> None:
        """Forget the parent's jobs: its thread is not here, and its lease is the parent's."""
        self._scheduler = None
        self._lease = self._new_lease(secrets.token_hex(16))

    def merge_rollups(self) -> None:
        """Move what batches added into the rollups, until nothing waits."""
        with self._store.read() as connection:
            waiting = connection.scalar(select(func.count()).select_from(RollupDelta)) or 0
        while waiting > 0:
            with self._store.write() as connection:
                self._lease.fence(connection)
                merged = merge_deltas(connection, self._store.timezone, limit=MERGE_AT_ONCE)
            # What came in meanwhile is for the next time: a job must come to an end.
            waiting = waiting - merged if merged else 0
        visitors.tend(self._store, self._lease.fence)

    def keep_visitors(self) -> None:
        """Sum days that are over; count visitors of what was stored before an upgrade."""
        begun, now_ms = self._clock(), time.time_ns() // 1_000_000
        with self._store.read() as connection:
            cells = visitors.unsummed(connection, now_ms)
            more = visitor_rebuild.backfilling(connection)
        while cells and self._clock() - begun < UPKEEP_S:
            with self._store.write() as connection:
                self._lease.fence(connection)
                visitors.sum_endpoints(connection, cells.pop())
        while more and self._clock() - begun < UPKEEP_S:
            more = visitor_rebuild.backfill(
                self._store, self._store.timezone, now_ms, self._lease.fence
            )

    def _start_scheduler(self) -> None:
        scheduler = BackgroundScheduler(
            # Its thread is the third and last of ours in the process.
            executors={"default": _SameThread()},
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
        scheduler.start()
        self._scheduler = scheduler

    def _stop_scheduler(self) -> None:
        scheduler, self._scheduler = self._scheduler, None
        if scheduler is not None:
            scheduler.shutdown()

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
