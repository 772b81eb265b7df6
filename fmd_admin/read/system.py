"""What the system page shows: the store, what is deleted when, and the processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Engine

from ..store import prune_runs, retention, schema
from ..store.calendar import HOUR_MS
from ..store.presence import ALIVE_MS, Process, processes
from ..store.prune_runs import Run
from ..store.retention import KINDS, Amount, Kind
from ..store.types import to_millis
from .health import Health, health
from .sizes import Storage, rows_per_table, storage

#: Processes that are listed, the latest first.
_LISTED = 50
#: Ended processes are listed for a day.
_LISTED_MS = 24 * HOUR_MS
_RUNS = 10


@dataclass(frozen=True)
class KindState:
    """A kind of data: what would go now. ``before_ms`` is None where nothing goes by itself."""

    kind: Kind
    before_ms: int | None
    amount: Amount


@dataclass(frozen=True)
class Worker:
    """A process, and whether it gave a sign of life lately."""

    process: Process
    alive: bool

    @property
    def leads(self) -> bool:
        """Whether the jobs run in it."""
        return self.alive and self.process.status.get("jobs_since") is not None


@dataclass(frozen=True)
class System:
    """Everything of the page that the store knows."""

    storage: Storage
    tables: Sequence[tuple[str, Amount]]
    revision: str
    kinds: Sequence[KindState]
    open_run: Run | None
    last_run: Run | None
    runs: Sequence[Run]
    workers: Sequence[Worker]
    health: Health

    @property
    def alive(self) -> list[Worker]:
        """The processes that live."""
        return [worker for worker in self.workers if worker.alive]

    @property
    def leader(self) -> Worker | None:
        """The process that runs the jobs, if one said so."""
        leaders = [worker for worker in self.workers if worker.leads]
        return max(leaders, key=lambda w: int(w.process.status["jobs_since"]), default=None)

    @property
    def waiting(self) -> int:
        """Requests that wait for the store in all processes, as these said last."""
        return sum(int(worker.process.status.get("waiting", 0)) for worker in self.alive)

    @property
    def going(self) -> Amount:
        """All rows that would go now."""
        total = Amount(0)
        for state in self.kinds:
            total += state.amount
        return total


def system(connection: Connection, engine: Engine, plan: Mapping[str, int], now_ms: int) -> System:
    """Read the page; ``plan`` says before when each kind goes (UTC ms)."""
    seen = processes(connection, now_ms - _LISTED_MS)[:_LISTED]
    return System(
        storage=storage(engine, connection),
        tables=rows_per_table(connection),
        revision=schema.revision(connection),
        kinds=[_state(connection, kind, plan.get(kind.name)) for kind in _shown_kinds()],
        open_run=prune_runs.next_open(connection),
        last_run=prune_runs.last_done(connection),
        runs=prune_runs.recent(connection, _RUNS),
        workers=[Worker(one, to_millis(one.seen_at) >= now_ms - ALIVE_MS) for one in seen],
        health=health(connection, now_ms),
    )


def _shown_kinds() -> list[Kind]:
    return [kind for kind in KINDS if retention.tables_of(kind)]


def _state(connection: Connection, kind: Kind, before_ms: int | None) -> KindState:
    if before_ms is None:
        return KindState(kind, None, Amount(0))
    return KindState(kind, before_ms, retention.amount_before(connection, kind, before_ms))
