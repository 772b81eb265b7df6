"""The tables of exceptions: groups of them, single ones, counts per day, and texts of functions."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Double, ForeignKey, Index, Integer, SmallInteger, String, Text
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Mapped, mapped_column, relationship

from .models import BigBlob, BigKey, Client, Endpoint, Group, Name, Path, Version, db
from .types import Method, UTCMillis

#: Texts of any length, MySQL's TEXT ends at 64 KiB.
LongText = Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")


class ExceptionGroup(db.Model):  # type: ignore[name-defined,misc]
    """All exceptions of one type from one place, whatever their message and line.

    ``digest`` is the SHA-1 of the key as hex. ``module`` and ``function`` are those of the host's
    innermost frame. ``behind`` holds the types of the exceptions that led to it, a line each.
    ``seen_at`` is when a process last met it, true to within a day.
    """

    __tablename__ = "fmd_exception_group"
    __table_args__ = (Index("fmd_exception_group_seen", "seen_at"),)
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    digest: Mapped[str] = mapped_column(String(40), unique=True)
    type: Mapped[str] = mapped_column(Name)
    module: Mapped[str] = mapped_column(Path)
    function: Mapped[str] = mapped_column(Name)
    behind: Mapped[str] = mapped_column(String(4000))
    first_seen: Mapped[datetime] = mapped_column(UTCMillis)
    seen_at: Mapped[datetime] = mapped_column(UTCMillis)
    resolved_at: Mapped[datetime | None] = mapped_column(UTCMillis)
    resolved_by: Mapped[str | None] = mapped_column(Name)

    def __str__(self) -> str:
        return f"{self.type} in {self.module}.{self.function}"


class ExceptionRow(db.Model):  # type: ignore[name-defined,misc]
    """One exception with its request; only some of a group and day are kept.

    ``endpoint_id`` is None outside of requests. ``detail`` holds the bytes that
    :mod:`fmd_admin.store.exception_detail` makes. ``day`` is midnight in the configured time zone.
    """

    __tablename__ = "fmd_exception"
    __table_args__ = (
        Index("fmd_exception_group_day", "group_key", "day"),
        Index("fmd_exception_time", "time"),
    )
    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    time: Mapped[datetime] = mapped_column(UTCMillis)
    endpoint_id: Mapped[int | None] = mapped_column(ForeignKey(Endpoint.id))
    version_id: Mapped[int] = mapped_column(ForeignKey(Version.id))
    group_id: Mapped[int | None] = mapped_column(ForeignKey(Group.id))
    client_id: Mapped[int | None] = mapped_column(ForeignKey(Client.id))
    duration_ms: Mapped[float] = mapped_column(Double)
    status: Mapped[int] = mapped_column(SmallInteger)
    method: Mapped[str] = mapped_column(Method)
    group_key: Mapped[int] = mapped_column(ForeignKey(ExceptionGroup.id))
    day: Mapped[datetime] = mapped_column(UTCMillis)
    handled: Mapped[bool]
    message: Mapped[str] = mapped_column(String(1000))
    detail: Mapped[bytes] = mapped_column(BigBlob, deferred=True)

    endpoint: Mapped[Endpoint | None] = relationship()
    version: Mapped[Version] = relationship()
    group: Mapped[Group | None] = relationship()
    client: Mapped[Client | None] = relationship()
    raised: Mapped[ExceptionGroup] = relationship()


class ExceptionDay(db.Model):  # type: ignore[name-defined,misc]
    """How often an exception came on a day; appended a batch, and merged later.

    There may be several rows of the same day, group, endpoint and version: readers add them up.
    """

    __tablename__ = "fmd_exception_day"
    __table_args__ = (
        Index("fmd_exception_day_day", "day"),
        # Sums of a range need no other row.
        Index(
            "fmd_exception_day_sums",
            *("day", "group_key", "endpoint_id", "version_id", "hits", "last_at"),
        ),
        Index("fmd_exception_day_group", "group_key", "day"),
    )
    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    day: Mapped[datetime] = mapped_column(UTCMillis)
    group_key: Mapped[int] = mapped_column(ForeignKey(ExceptionGroup.id))
    endpoint_id: Mapped[int | None] = mapped_column(ForeignKey(Endpoint.id))
    version_id: Mapped[int] = mapped_column(ForeignKey(Version.id))
    hits: Mapped[int] = mapped_column(BigInteger)
    first_at: Mapped[datetime] = mapped_column(UTCMillis)
    last_at: Mapped[datetime] = mapped_column(UTCMillis)


class SourceBlock(db.Model):  # type: ignore[name-defined,misc]
    """The text of a function as it was when an exception passed it, stored once.

    ``digest`` is the SHA-1 of file, function and text as hex: the same function elsewhere in its
    file is the same block. ``seen_at`` is true to within a day.
    """

    __tablename__ = "fmd_source"
    __table_args__ = (Index("fmd_source_seen", "seen_at"),)
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    digest: Mapped[str] = mapped_column(String(40), unique=True)
    file: Mapped[str] = mapped_column(Path)
    function: Mapped[str] = mapped_column(Name)
    text: Mapped[str] = mapped_column(LongText)
    seen_at: Mapped[datetime] = mapped_column(UTCMillis)
