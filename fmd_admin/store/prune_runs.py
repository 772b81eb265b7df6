"""The runs of the deletion of old rows: asked for by anybody, worked off by the lease's holder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    delete,
    insert,
    select,
    type_coerce,
    update,
)

from .job_models import Prune

#: The reason of the runs that come by themselves.
HOURLY = "hourly"
#: Runs that are remembered.
KEPT = 50


@dataclass(frozen=True)
class Run:
    """A run: why, before when each kind goes (UTC ms), and how many rows went so far."""

    id: int
    reason: str
    plan: dict[str, int]
    asked_at: datetime
    finished_at: datetime | None = None
    deleted: dict[str, int] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """All rows that went."""
        return sum(self.deleted.values())


def ask(connection: Connection, reason: str, plan: Mapping[str, int], now_ms: int) -> int:
    """Ask for a run; return its id."""
    made = connection.execute(
        insert(Prune).values(
            reason=reason, plan=json.dumps(plan), deleted="{}", asked_at=now_ms, finished_at=None
        )
    )
    key = made.inserted_primary_key
    return 0 if key is None else int(key[0])


def was_asked(connection: Connection, reason: str, since_ms: int) -> bool:
    """Whether a run was asked for with this reason from ``since_ms`` (UTC) on."""
    asked_at = type_coerce(Prune.asked_at, BigInteger)
    query = select(Prune.id).where(Prune.reason == reason, asked_at >= since_ms)
    return connection.scalar(query.limit(1)) is not None


def next_open(connection: Connection) -> Run | None:
    """Return the oldest run that is not done."""
    return _first(connection, Prune.finished_at.is_(None), newest=False)


def last_done(connection: Connection) -> Run | None:
    """Return the run that was done last."""
    return _first(connection, Prune.finished_at.is_not(None), newest=True)


def recent(connection: Connection, limit: int) -> list[Run]:
    """Return the newest runs, the newest first."""
    rows = connection.execute(_COLUMNS.order_by(Prune.id.desc()).limit(limit))
    return [_run(row) for row in rows]


def count(connection: Connection, run_id: int, deleted: Mapping[str, int]) -> None:
    """Note how many rows went so far, in the transaction that deletes them."""
    connection.execute(
        update(Prune).where(Prune.id == run_id).values(deleted=json.dumps(dict(deleted)))
    )


def finish(connection: Connection, run: Run, now_ms: int) -> None:
    """Note that a run is done, and forget old ones.

    Of the hourly runs that found nothing only the last one is kept.
    """
    connection.execute(update(Prune).where(Prune.id == run.id).values(finished_at=now_ms))
    empty = [Prune.reason == HOURLY, Prune.deleted == "{}", Prune.finished_at.is_not(None)]
    connection.execute(delete(Prune).where(*empty, Prune.id < run.id))
    connection.execute(delete(Prune).where(Prune.id <= run.id - KEPT))


_COLUMNS = select(
    Prune.id, Prune.reason, Prune.plan, Prune.deleted, Prune.asked_at, Prune.finished_at
)


def _first(connection: Connection, condition: ColumnElement[bool], *, newest: bool) -> Run | None:
    order = Prune.id.desc() if newest else Prune.id.asc()
    query = _COLUMNS.where(condition).order_by(order).limit(1)
    row = connection.execute(query).one_or_none()
    return None if row is None else _run(row)


def _run(row: Any) -> Run:
    return Run(
        id=row.id,
        reason=row.reason,
        plan=json.loads(row.plan),
        asked_at=row.asked_at,
        finished_at=row.finished_at,
        deleted=json.loads(row.deleted),
    )
