"""Deletes old rows in the process that holds the lease: each hour, on schedules, and when asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from ..errors import ScheduleError
from ..settings import Loaded
from ..store import prune_runs, retention
from ..store.prune_runs import HOURLY
from ..store.pruner import Pruner
from ..store.retention import KINDS, NAMES
from ..store.store import Store
from ..store.types import from_millis, to_millis
from ..store.unused_names import Fence
from .schedules import Trigger, last_tick, schedule

#: Pause between two looks at what is to be deleted.
EVERY_S = 2.0
#: How long one look may work: the merge of rollups waits in the same thread.
WORK_S = 1.0
#: The first run by itself comes so long after the jobs began here, the next ones each hour.
FIRST_S = 15.0
HOUR_S = 3600.0
#: A scheduled run that nobody asked for because processes ended is made up for within this time.
CATCH_UP = timedelta(minutes=10)
#: By how much the clocks of two machines may differ.
_OTHER_CLOCK = timedelta(minutes=1)
#: Pause after a fault.
_AFTER_FAULT_S = 60.0
_GRAPH_VALUES = "graph_values"


@dataclass(frozen=True)
class PruningSchedule:
    """What ``add_database_pruning_schedule`` was told: what goes at which age, and when."""

    weeks: int
    with_graph_values: bool
    trigger: Trigger

    @property
    def kinds(self) -> list[str]:
        """The kinds of data that it deletes."""
        return [
            kind.name
            for kind in KINDS
            if kind.by_schedule or (kind.name == _GRAPH_VALUES and self.with_graph_values)
        ]

    def plan(self, zone: ZoneInfo, now_ms: int) -> dict[str, int]:
        """Return what goes now: kind → before when (UTC ms)."""
        before_ms = retention.day_before(zone, now_ms, 7 * self.weeks)
        found = retention.with_lines(dict.fromkeys(self.kinds, before_ms), now_ms)
        return {**found, NAMES: 0}


def pruning_schedule(
    weeks_to_keep: int,
    delete_custom_graph_data: bool,
    cron: Mapping[str, Any],
    zone: ZoneInfo | None = None,
) -> PruningSchedule:
    """Return the schedule, or raise ScheduleError with what is wrong and what would be right.

    ``zone`` is where its hours are, UTC without.
    """
    if isinstance(weeks_to_keep, bool) or not isinstance(weeks_to_keep, int) or weeks_to_keep < 1:
        raise ScheduleError(
            f"weeks_to_keep is {weeks_to_keep!r}; allowed: a whole number of weeks from 1 on."
        )
    if not isinstance(delete_custom_graph_data, bool):
        raise ScheduleError(
            f"delete_custom_graph_data is {delete_custom_graph_data!r}; allowed: True or False."
        )
    try:
        found = schedule("cron", cron)
    except ScheduleError as error:
        raise ScheduleError(
            f"Pruning schedule: {error} Example: day_of_week='sun', hour=3"
        ) from error.__cause__
    return PruningSchedule(
        weeks_to_keep, delete_custom_graph_data, found.trigger(zone or ZoneInfo("UTC"))
    )


class Pruning:
    """Runs of the deletion, one after the other, a second at a time.

    ``fence`` keeps a process that lost the lease from changing anything. ``loaded`` gives the
    settings in force.
    """

    def __init__(
        self,
        store: Store,
        *,
        fence: Fence,
        loaded: Callable[[], Loaded],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._fence = fence
        self._loaded = loaded
        self._clock = clock
        self.schedules: list[PruningSchedule] = []
        self.begin()

    def begin(self) -> None:
        """Start anew: the jobs begin to run in this process."""
        self._due = self._clock() + FIRST_S
        self._not_before = 0.0
        self._run: prune_runs.Run | None = None
        self._pruner: Pruner | None = None
        #: Scheduled runs that could not be asked for, by schedule.
        self._unasked: dict[int, Callable[[], None]] = {}

    def plan(self) -> dict[str, int]:
        """Return what the settings let go now: kind → before when (UTC ms).

        What a schedule deletes is left to it, unless its setting was set by somebody.
        """
        loaded = self._loaded()
        now_ms = _now_ms()
        found = retention.plan(loaded.values, self._store.timezone, now_ms)
        scheduled = {name for one in self.schedules for name in one.kinds}
        for name in scheduled & found.keys():
            if loaded.sources[retention.BY_NAME[name].setting] == "default":
                del found[name]
        return {**retention.with_lines(found, now_ms), NAMES: 0}

    def everything(self) -> dict[str, int]:
        """Return what may go now: :meth:`plan`, and what the schedules delete when it is time."""
        found = self.plan()
        for one in self.schedules:
            for name, before_ms in one.plan(self._store.timezone, _now_ms()).items():
                found[name] = max(before_ms, found.get(name, before_ms))
        in_order = [kind.name for kind in KINDS if kind.name in found]
        return {**{name: found[name] for name in in_order}, NAMES: 0}

    def weeks_of(self, name: str) -> int | None:
        """Return for how many weeks schedules keep a kind, None if they leave it alone."""
        return min((one.weeks for one in self.schedules if name in one.kinds), default=None)

    def ask(self, reason: str) -> None:
        """Ask for a run of all that may go now, in whichever process runs the jobs."""

        def ask(connection: Connection) -> None:
            prune_runs.ask(connection, reason, self.everything(), _now_ms())

        self._store.transact(ask)

    def ask_scheduled(self, one: PruningSchedule, since: datetime | None = None) -> None:
        """Ask for what a schedule deletes; part of the jobs. Tried again later if that fails.

        With ``since`` only if nobody has asked for it from then on.
        """
        reason = f"schedule, {one.weeks} weeks"

        def ask(connection: Connection) -> None:
            self._fence(connection)
            if since is None or not prune_runs.was_asked(connection, reason, to_millis(since)):
                plan = one.plan(self._store.timezone, _now_ms())
                prune_runs.ask(connection, reason, plan, _now_ms())

        self._unasked[id(one)] = partial(self.ask_scheduled, one, since)
        # Twice does no harm: the second run finds nothing.
        self._store.transact(ask, repeatable=True)
        self._unasked.pop(id(one), None)

    def catch_up(self) -> None:
        """Ask for what schedules missed while nobody ran the jobs; part of the jobs."""
        now = datetime.now(timezone.utc)
        for one in self.schedules:
            tick = last_tick(one.trigger, now - CATCH_UP, now)
            if tick is not None:
                # The clock of whoever asked may be another one.
                self.ask_scheduled(one, tick - _OTHER_CLOCK)

    def step(self, budget_s: float, wait: Callable[[float], bool]) -> None:
        """Work on the oldest run for about ``budget_s``, if there is one. Part of the jobs."""
        if self._clock() < self._not_before:
            return
        try:
            self._step(budget_s, wait)
        except BaseException:
            # What was counted may not be what was committed: the store knows.
            self._run = self._pruner = None
            self._not_before = self._clock() + _AFTER_FAULT_S
            raise

    def _step(self, budget_s: float, wait: Callable[[float], bool]) -> None:
        for ask in list(self._unasked.values()):
            ask()
        if self._pruner is None:
            self._next()
        run, pruner = self._run, self._pruner
        if run is None or pruner is None or not pruner.work(budget_s, wait):
            return

        def finish(connection: Connection) -> None:
            self._fence(connection)
            prune_runs.finish(connection, run, _now_ms())

        self._store.transact(finish)
        self._run = self._pruner = None

    def _next(self) -> None:
        if self._clock() >= self._due:
            self._due = self._clock() + HOUR_S
            self._store.transact(self._ask_hourly)
        with self._store.read() as connection:
            run = prune_runs.next_open(connection)
        if run is None:
            return
        run_id = run.id

        def record(connection: Connection, deleted: Mapping[str, int]) -> None:
            prune_runs.count(connection, run_id, deleted)

        self._run = run
        self._pruner = Pruner(
            self._store,
            run.plan,
            fence=self._fence,
            record=record,
            deleted=run.deleted,
            always_names=run.reason != HOURLY,
        )

    def _ask_hourly(self, connection: Connection) -> None:
        self._fence(connection)
        prune_runs.ask(connection, HOURLY, self.plan(), _now_ms())


def prune_now(
    store: Store,
    plan: Mapping[str, int],
    reason: str,
    progress: Callable[[Mapping[str, int]], None],
) -> Mapping[str, int]:
    """Work off ``plan`` here and now, without the lease; return the rows that went per kind.

    Meant for the command line: two that delete the same rows do not harm each other.
    """
    now_ms = _now_ms()
    pruner = Pruner(
        store, plan, fence=lambda _connection: None, record=lambda _connection, _deleted: None
    )

    def wait(seconds: float) -> bool:
        time.sleep(seconds)
        return False

    while not pruner.work(1.0, wait):
        progress(pruner.deleted)

    def note(connection: Connection) -> None:
        run_id = prune_runs.ask(connection, reason, plan, now_ms)
        prune_runs.count(connection, run_id, pruner.deleted)
        done = prune_runs.Run(run_id, reason, dict(plan), from_millis(now_ms))
        prune_runs.finish(connection, done, _now_ms())

    store.transact(note)
    return pruner.deleted


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
