"""The tables of the jobs: who runs them, custom graphs with their values, and deletions."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    Double,
    ForeignKey,
    Index,
    Integer,
    String,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from .models import BigKey, Name, db
from .types import UTCMillis


class Lease(db.Model):  # type: ignore[name-defined,misc]
    """Who runs the jobs. ``beat`` goes up while the owner lives, ``term`` with each take-over."""

    __tablename__ = "fmd_lease"
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    owner: Mapped[str] = mapped_column(String(64))
    term: Mapped[int] = mapped_column(BigInteger)
    beat: Mapped[int] = mapped_column(BigInteger)


class CustomGraph(db.Model):  # type: ignore[name-defined,misc]
    """A custom graph that was ever scheduled.

    ``schedule`` is in words, None once the host's code does not add the graph any more.
    ``last_run`` is the scheduled time of the newest run: a later one must lie after it. ``error``
    is the newest fault of a run or value, with the scheduled time of that run. ``summed_until`` is
    up to where CustomGraphQuarter has its values.
    """

    __tablename__ = "fmd_graph"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    title: Mapped[str] = mapped_column(Name, unique=True)
    first_seen: Mapped[datetime] = mapped_column(UTCMillis)
    schedule: Mapped[str | None] = mapped_column(String(255))
    last_run: Mapped[datetime | None] = mapped_column(UTCMillis)
    next_run: Mapped[datetime | None] = mapped_column(UTCMillis)
    error: Mapped[str | None] = mapped_column(String(1000))
    error_at: Mapped[datetime | None] = mapped_column(UTCMillis)
    summed_until: Mapped[datetime] = mapped_column(UTCMillis, server_default="0")

    def __str__(self) -> str:
        return self.title


class CustomGraphValue(db.Model):  # type: ignore[name-defined,misc]
    """What a custom graph's function gave; ``time`` is when the run was scheduled."""

    __tablename__ = "fmd_graph_value"
    __table_args__ = (
        UniqueConstraint("graph_id", "time"),
        Index("fmd_graph_value_time", "time"),
    )
    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    graph_id: Mapped[int] = mapped_column(ForeignKey(CustomGraph.id))
    time: Mapped[datetime] = mapped_column(UTCMillis)
    # MySQL's FLOAT has seven digits.
    value: Mapped[float] = mapped_column(Double)

    graph: Mapped[CustomGraph] = relationship()


class CustomGraphQuarter(db.Model):  # type: ignore[name-defined,misc]
    """The values of a graph in a quarter of an hour that begins at ``quarter``."""

    __tablename__ = "fmd_graph_quarter"
    __table_args__ = (
        Index("fmd_graph_quarter_quarter", "quarter"),
        {"sqlite_with_rowid": False},
    )
    graph_id: Mapped[int] = mapped_column(
        ForeignKey(CustomGraph.id), primary_key=True, autoincrement=False
    )
    quarter: Mapped[datetime] = mapped_column(UTCMillis, primary_key=True, autoincrement=False)
    values_count: Mapped[int] = mapped_column(Integer)
    sum: Mapped[float] = mapped_column(Double)
    low: Mapped[float] = mapped_column(Double)
    high: Mapped[float] = mapped_column(Double)


class Prune(db.Model):  # type: ignore[name-defined,misc]
    """A run of the deletion of old rows: asked for, going on, or done.

    ``plan`` and ``deleted`` are JSON: kind → before when (UTC ms), and kind → rows deleted so far.
    """

    __tablename__ = "fmd_prune"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    reason: Mapped[str] = mapped_column(Name)
    plan: Mapped[str] = mapped_column(String(4000))
    deleted: Mapped[str] = mapped_column(String(4000))
    asked_at: Mapped[datetime] = mapped_column(UTCMillis)
    finished_at: Mapped[datetime | None] = mapped_column(UTCMillis)
