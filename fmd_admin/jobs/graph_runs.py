"""Runs custom graphs on their schedules in the process that holds the lease."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any, TypeVar

from flask import Flask
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from ..errors import GraphError, LeaseLostError
from ..store import graphs as rows
from ..store.lease import Lease
from ..store.store import Store
from ..store.types import from_millis
from .graphs import Graph, Graphs, error_text, now_ms, number
from .schedules import Trigger, last_tick
from .workers import Workers

logger = logging.getLogger("fmd_admin")
T = TypeVar("T")

#: The executor of the scheduler that hands the scheduled time over.
EXECUTOR = "graphs"
#: A run that nobody made because processes ended is made up for within this time.
CATCH_UP_S = 60.0
#: What a running function gets at the end of the process.
LAST_RUN_S = 1.0


@dataclass(eq=False)
class Running:
    """A graph on its schedule in this process. ``busy`` is the tick that runs or waits."""

    graph: Graph
    trigger: Trigger
    id: int
    busy: int | None = None
    skipping: bool = False


class GraphRuns:
    """The custom graphs of one host app, run between :meth:`start` and :meth:`stop`.

    ``host`` gives the app whose context the functions run in, ``report`` is called inside an
    except block with the name of what failed. Each run is first claimed in the store by its
    scheduled time, so that no other process makes it again, and its value is kept under that
    time. Functions run in threads of their own (:class:`Workers`), one run of a graph at a time.
    """

    def __init__(
        self,
        store: Store,
        graphs: Graphs,
        host: Callable[[], Flask | None],
        report: Callable[[str], None],
    ) -> None:
        self._store = store
        self._graphs = graphs
        self._host = host
        self._report = report
        self._forget()
        graphs.tell(self)

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._scheduler: Any = None
        self._lease: Lease | None = None
        self._workers = Workers()
        self._running: dict[str, Running] = {}
        self._swept = False
        self._warned = False

    after_fork = _forget

    def start(self, scheduler: Any, lease: Lease) -> None:
        """Put every graph on ``scheduler``, whose executor EXECUTOR calls ``job(tick)``.

        Never raises: what fails is reported and tried again in :meth:`look_after`, so that the
        other jobs go on.
        """
        with self._lock:
            self._scheduler, self._lease = scheduler, lease
            self._workers = Workers()
            self._swept = False
        # From here on who adds a graph schedules it, too; twice does no harm.
        self._schedule_missing()

    def added(self, graph: Graph) -> None:
        """Take up a graph that was added, or replaced, while the jobs run."""
        with self._lock:
            if self._scheduler is None:
                return
            self._running.pop(graph.title, None)
        self._schedule_missing()

    def look_after(self) -> None:
        """Help graphs that wait for one that hangs; to be called about once a second."""
        self._schedule_missing()
        self._workers.relieve()

    def _schedule_missing(self) -> None:
        graphs = list(self._graphs)
        if not self._swept:
            self._swept = self._tried(partial(self._sweep, {graph.title for graph in graphs}))
        for graph in graphs:
            if graph.title not in self._running:
                self._tried(partial(self._schedule, graph))

    def _tried(self, what: Callable[[], None]) -> bool:
        """Do it; return whether it was done. A graph that cannot be scheduled stops no other."""
        try:
            what()
        except LeaseLostError:
            return False  # The process that has it now has these graphs as well.
        except Exception:  # noqa: BLE001 - tried again in a second
            self._report("scheduling custom graphs (tried again until it works)")
            return False
        return True

    def _sweep(self, titles: set[str]) -> None:
        """Mark the graphs that the host does not add any more."""
        with self._store.read() as connection:
            known = rows.known(connection)
        gone = [title for title, words in known.items() if words and title not in titles]
        if gone:
            self._change(lambda connection: rows.forget_schedules(connection, gone))

    def without_threads(self) -> None:
        """Say once that there are graphs which cannot run in this process."""
        if self._warned or not list(self._graphs):
            return
        self._warned = True
        logger.warning(
            "fmd_admin: custom graphs do not run, because this server runs without threads. "
            "With uWSGI, set enable-threads."
        )

    def stop(self, wait_s: float = 0.0) -> None:
        """Take the graphs off; a function that runs gets ``wait_s`` to end."""
        with self._lock:
            self._scheduler = None
            self._running = {}
        self._workers.stop(wait_s)

    # One graph

    def _schedule(self, graph: Graph) -> None:
        zone = self._store.timezone
        trigger = graph.schedule.trigger(zone)
        now = datetime.now(timezone.utc)
        first = trigger.get_next_fire_time(None, now)
        words = graph.schedule.words(zone)
        row = self._change(
            lambda connection: rows.register(
                connection, graph.title, words, now_ms(), _millis(first)
            )
        )
        running = Running(graph, trigger, row.id)
        with self._lock:
            scheduler = self._scheduler
            if scheduler is None:
                return
        scheduler.add_job(
            self._due,
            trigger,
            (running,),
            id=f"graph {graph.title}",
            replace_existing=True,
            executor=EXECUTOR,
            # Late is better than never, and only the newest of those that are late counts.
            misfire_grace_time=None,
            coalesce=True,
            next_run_time=first,
        )
        with self._lock:
            if self._scheduler is scheduler:
                self._running[graph.title] = running
        missed = self._missed(trigger, row, now)
        if missed is not None:
            self._due(running, missed)

    def _missed(self, trigger: Trigger, row: rows.Registered, now: datetime) -> datetime | None:
        """Return the newest tick that came while no process ran the jobs."""
        if getattr(trigger, "jitter", None):
            return None
        known = max(row.first_seen_ms, row.last_run_ms or 0)
        after = max(now - timedelta(seconds=CATCH_UP_S), from_millis(known))
        return last_tick(trigger, after, now)

    def _due(self, running: Running, tick: datetime | None = None) -> None:
        """Hand a run to the workers; called in the scheduler's thread, which gives the tick."""
        tick_ms = _millis(tick)
        if tick is None or tick_ms is None:
            return
        with self._lock:
            if self._running.get(running.graph.title, running) is not running:
                return  # It was replaced.
            before, running.busy = running.busy, running.busy or tick_ms
        if before is None:
            running.skipping = False
            self._workers.submit(partial(self._run, running, tick))
        elif not running.skipping:
            running.skipping = True
            self._skip(running, before, tick_ms)

    def _run(self, running: Running, tick: datetime) -> None:
        tick_ms = _millis(tick) or 0
        try:
            if self._claim(running, tick, tick_ms):
                value = self._call(running, tick_ms)
                if value is not None:
                    keep = partial(rows.keep_value, graph_id=running.id, tick_ms=tick_ms)
                    self._change(partial(keep, value=value), repeatable=True)
        except (LeaseLostError, IntegrityError):
            pass  # Another process has the lease, or has the run already.
        except Exception:  # noqa: BLE001 - counted and logged by report
            self._report("storing a run of a custom graph")
        finally:
            running.busy = None

    def _claim(self, running: Running, tick: datetime, tick_ms: int) -> bool:
        next_ms = _millis(running.trigger.get_next_fire_time(tick, tick))

        def claim(connection: Connection) -> bool:
            if rows.claim(connection, running.id, tick_ms, next_ms):
                return True
            if rows.exists(connection, running.id):
                return False
            # An admin deleted it, and its code is still there: it begins anew.
            words = running.graph.schedule.words(self._store.timezone)
            row = rows.register(connection, running.graph.title, words, now_ms(), next_ms)
            running.id = row.id
            return rows.claim(connection, running.id, tick_ms, next_ms)

        # Not again where it may count already: it would be taken for another process's.
        return self._change(claim)

    def _call(self, running: Running, tick_ms: int) -> float | None:
        """Return the function's value; None if there is none, which its page then says."""
        host = self._host()
        if host is None:
            return None
        try:
            with host.app_context():
                return number(host.ensure_sync(running.graph.func)())
        except BaseException as error:  # noqa: BLE001 - SystemExit too is only the function's
            self._report(f"the custom graph {running.graph.title!r}")
            text = error_text(error)
        self._keep_error(running, tick_ms, text)
        return None

    def _skip(self, running: Running, before_ms: int, tick_ms: int) -> None:
        began = from_millis(before_ms).astimezone(self._store.timezone)
        try:
            raise GraphError(
                f"The run of {began:%H:%M:%S} had not ended when the next one was due, so that one "
                "was left out. If this goes on: make the function quicker, or run it less often."
            )
        except GraphError as error:
            self._report(f"the custom graph {running.graph.title!r}")
            text = str(error)
        try:
            self._keep_error(running, tick_ms, text)
        except LeaseLostError:
            pass
        except Exception:  # noqa: BLE001 - the scheduler goes on
            self._report("storing a run of a custom graph")

    def _keep_error(self, running: Running, tick_ms: int, text: str) -> None:
        keep = partial(rows.keep_error, graph_id=running.id, tick_ms=tick_ms, text=text)
        self._change(keep, repeatable=True)

    def _change(self, work: Callable[[Connection], T], *, repeatable: bool = False) -> T:
        def fenced(connection: Connection) -> T:
            self._fence(connection)
            return work(connection)

        return self._store.transact(fenced, repeatable=repeatable)

    def _fence(self, connection: Connection) -> None:
        if self._lease is None:
            raise LeaseLostError("The jobs do not run in this process any more.")
        self._lease.fence(connection)


def _millis(moment: datetime | None) -> int | None:
    """Return a time as UTC milliseconds, rounded: triggers count in floating point."""
    return None if moment is None else round(moment.timestamp() * 1000)
