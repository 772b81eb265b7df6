"""The tables. Every name begins with ``fmd_``; times are UTC milliseconds, durations ms.

``db`` holds no state of its own: engines and sessions belong to the Flask app it is bound to.
"""

from __future__ import annotations

from datetime import datetime

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import (
    BigInteger,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Text,
    text,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from .types import Method, UTCMillis, exact


class Base(DeclarativeBase):
    """Declarative base of all tables. Constraints have names, so that they can be changed."""

    metadata = MetaData(
        naming_convention={
            "ix": "%(table_name)s_%(column_0_N_name)s",
            "uq": "%(table_name)s_%(column_0_N_name)s_key",
            "fk": "%(table_name)s_%(column_0_name)s_fkey",
            "pk": "%(table_name)s_pkey",
        }
    )


db = SQLAlchemy(model_class=Base)

# SQLite gives row ids only to INTEGER keys; servers need more than 31 bits.
BigKey = BigInteger().with_variant(Integer(), "sqlite")
# Names are exact, as endpoints are.
Name = exact(255)
# Histograms of busy hours: a few hundred bytes, never above 64 KiB.
Blob = LargeBinary()
# Trees and details of single requests: some kB, without a limit that MySQL's BLOB would have.
BigBlob = LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")
# Paths and source lines are exact too.
Path = exact(500)
Source = exact(1000)


class Endpoint(db.Model):  # type: ignore[name-defined,misc]
    """An endpoint of the host app that was requested at least once."""

    __tablename__ = "fmd_endpoint"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str] = mapped_column(Name, unique=True)
    level: Mapped[int] = mapped_column(SmallInteger)
    first_seen: Mapped[datetime] = mapped_column(UTCMillis)
    last_requested: Mapped[datetime] = mapped_column(UTCMillis)

    def __str__(self) -> str:
        return self.name


class Version(db.Model):  # type: ignore[name-defined,misc]
    """A version of the host app."""

    __tablename__ = "fmd_version"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str] = mapped_column(Name, unique=True)
    first_seen: Mapped[datetime] = mapped_column(UTCMillis)

    def __str__(self) -> str:
        return self.name


class Group(db.Model):  # type: ignore[name-defined,misc]
    """A value of the host's group_by, mostly a user."""

    __tablename__ = "fmd_group"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str] = mapped_column(Name, unique=True)

    def __str__(self) -> str:
        return self.name


class Client(db.Model):  # type: ignore[name-defined,misc]
    """A client address as the setting IP lets it be stored."""

    __tablename__ = "fmd_client"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str] = mapped_column(Name, unique=True)

    def __str__(self) -> str:
        return self.name


def _index_of_errors(name: str, *columns: str) -> Index:
    where = text("status >= 400")
    index = Index(name, *columns, sqlite_where=where, postgresql_where=where)
    return index.ddl_if(dialect=("sqlite", "postgresql"))  # type: ignore[arg-type]


class Request(db.Model):  # type: ignore[name-defined,misc]
    """One measured request (level 1 and above)."""

    __tablename__ = "fmd_request"
    __table_args__ = (
        Index("fmd_request_time", "time"),
        # Lists of errors need no other row. It holds what they are filtered by, and "id" for the
        # order: without it SQLite takes fmd_request_time. MySQL knows no partial index.
        _index_of_errors("fmd_request_errors", "time", "id", "endpoint_id", "version_id", "status"),
        # Those of one endpoint, which may be few among many.
        _index_of_errors(
            "fmd_request_errors_endpoint", "endpoint_id", "time", "id", "version_id", "status"
        ),
    )
    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    time: Mapped[datetime] = mapped_column(UTCMillis)
    endpoint_id: Mapped[int] = mapped_column(ForeignKey(Endpoint.id))
    version_id: Mapped[int] = mapped_column(ForeignKey(Version.id))
    group_id: Mapped[int | None] = mapped_column(ForeignKey(Group.id))
    client_id: Mapped[int | None] = mapped_column(ForeignKey(Client.id))
    duration_ms: Mapped[float] = mapped_column(Double)
    status: Mapped[int] = mapped_column(SmallInteger)
    method: Mapped[str] = mapped_column(Method)

    endpoint: Mapped[Endpoint] = relationship()
    version: Mapped[Version] = relationship()
    group: Mapped[Group | None] = relationship()
    client: Mapped[Client | None] = relationship()


class RollupMixin:
    """What is kept of the requests of one endpoint and version in a span of time.

    ``errors`` are the hits with a status of 400 and above. ``histogram`` holds
    :mod:`fmd_admin.store.histogram` bytes.
    """

    hits: Mapped[int] = mapped_column(BigInteger)
    errors: Mapped[int] = mapped_column(BigInteger)
    # Double throughout: MySQL's FLOAT has seven digits.
    sum_ms: Mapped[float] = mapped_column(Double)
    sum_squares: Mapped[float] = mapped_column(Double)
    min_ms: Mapped[float] = mapped_column(Double)
    max_ms: Mapped[float] = mapped_column(Double)
    histogram: Mapped[bytes] = mapped_column(Blob)


class Hour(RollupMixin, db.Model):  # type: ignore[name-defined,misc]
    """Requests per hour; ``hour`` is where the hour begins in the configured time zone."""

    __tablename__ = "fmd_hour"
    __table_args__ = (
        Index("fmd_hour_endpoint", "endpoint_id", "hour"),
        {"sqlite_with_rowid": False},
    )
    hour: Mapped[datetime] = mapped_column(UTCMillis, primary_key=True)
    endpoint_id: Mapped[int] = mapped_column(
        ForeignKey(Endpoint.id), primary_key=True, autoincrement=False
    )
    version_id: Mapped[int] = mapped_column(
        ForeignKey(Version.id), primary_key=True, autoincrement=False
    )


class Day(RollupMixin, db.Model):  # type: ignore[name-defined,misc]
    """Requests per day; ``day`` is midnight in the configured time zone."""

    __tablename__ = "fmd_day"
    __table_args__ = ({"sqlite_with_rowid": False},)
    day: Mapped[datetime] = mapped_column(UTCMillis, primary_key=True)
    endpoint_id: Mapped[int] = mapped_column(
        ForeignKey(Endpoint.id), primary_key=True, autoincrement=False
    )
    version_id: Mapped[int] = mapped_column(
        ForeignKey(Version.id), primary_key=True, autoincrement=False
    )


class HourStatus(db.Model):  # type: ignore[name-defined,misc]
    """Requests per hour and status code."""

    __tablename__ = "fmd_status"
    __table_args__ = ({"sqlite_with_rowid": False},)
    hour: Mapped[datetime] = mapped_column(UTCMillis, primary_key=True)
    endpoint_id: Mapped[int] = mapped_column(
        ForeignKey(Endpoint.id), primary_key=True, autoincrement=False
    )
    version_id: Mapped[int] = mapped_column(
        ForeignKey(Version.id), primary_key=True, autoincrement=False
    )
    status: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    hits: Mapped[int] = mapped_column(BigInteger)


class DayStatus(db.Model):  # type: ignore[name-defined,misc]
    """Requests per day and status code; 90 days of hours would take too long to add up."""

    __tablename__ = "fmd_day_status"
    __table_args__ = ({"sqlite_with_rowid": False},)
    day: Mapped[datetime] = mapped_column(UTCMillis, primary_key=True)
    endpoint_id: Mapped[int] = mapped_column(
        ForeignKey(Endpoint.id), primary_key=True, autoincrement=False
    )
    version_id: Mapped[int] = mapped_column(
        ForeignKey(Version.id), primary_key=True, autoincrement=False
    )
    status: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    hits: Mapped[int] = mapped_column(BigInteger)


class RollupDelta(RollupMixin, db.Model):  # type: ignore[name-defined,misc]
    """What one batch adds to the rollups; written with its rows, merged by the lease's holder.

    ``hits`` is 0 where only the time of the last request is known (level 0). ``statuses`` counts
    hits per status code as text: ``"200:12 404:1"``.
    """

    __tablename__ = "fmd_rollup_delta"
    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    hour: Mapped[datetime] = mapped_column(UTCMillis)
    endpoint_id: Mapped[int] = mapped_column(ForeignKey(Endpoint.id))
    version_id: Mapped[int] = mapped_column(ForeignKey(Version.id))
    last_requested: Mapped[datetime] = mapped_column(UTCMillis)
    statuses: Mapped[str] = mapped_column(String(4000))


class Writer(db.Model):  # type: ignore[name-defined,misc]
    """The high-water mark of one process incarnation: batches up to ``last_seq`` are stored.

    ``dropped`` and ``faults`` count over the life of the process. ``seen_at`` moves with each
    batch and with each sign of life; ``status`` is what the process last said of itself, as the
    JSON that :mod:`fmd_admin.store.presence` writes and reads.
    """

    __tablename__ = "fmd_writer"
    writer: Mapped[str] = mapped_column(String(64), primary_key=True)
    last_seq: Mapped[int] = mapped_column(BigInteger)
    seen_at: Mapped[datetime] = mapped_column(UTCMillis)
    dropped: Mapped[int] = mapped_column(BigInteger)
    faults: Mapped[int] = mapped_column(BigInteger)
    status: Mapped[str | None] = mapped_column(Text)


class Config(db.Model):  # type: ignore[name-defined,misc]
    """One row (id 1): its version goes up when a level or setting changes, or names are deleted."""

    __tablename__ = "fmd_config"
    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    version: Mapped[int] = mapped_column(BigInteger)


class SavedSetting(db.Model):  # type: ignore[name-defined,misc]
    """A run-time setting as an admin saved it in the panel, or an internal value (``_name``)."""

    __tablename__ = "fmd_setting"
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[str] = mapped_column(String(4000))
    changed_at: Mapped[datetime] = mapped_column(UTCMillis)
    changed_by: Mapped[str] = mapped_column(Name)


class User(db.Model):  # type: ignore[name-defined,misc]
    """An account of the panel. ``session_key`` changes whenever its sessions must end."""

    __tablename__ = "fmd_user"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    username: Mapped[str] = mapped_column(Name, unique=True)
    password_hash: Mapped[str] = mapped_column(String(255))
    role: Mapped[str] = mapped_column(String(16))
    active: Mapped[bool]
    session_key: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(UTCMillis)
    last_login: Mapped[datetime | None] = mapped_column(UTCMillis)

    def __str__(self) -> str:
        return self.username


class LoginFailure(db.Model):  # type: ignore[name-defined,misc]
    """Failed logins per username or address, shared by all processes."""

    __tablename__ = "fmd_login_failure"
    subject: Mapped[str] = mapped_column(Name, primary_key=True)
    failures: Mapped[int] = mapped_column(Integer)
    last_at: Mapped[datetime] = mapped_column(UTCMillis)


class CodeLine(db.Model):  # type: ignore[name-defined,misc]
    """A line of code that was seen on a stack, with its text at that time.

    ``digest`` is the SHA-1 of file, line, function and source as hex: a line whose text changed
    is another one. ``seen_at`` is when a process last met it, true to within a day.
    """

    __tablename__ = "fmd_code_line"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    digest: Mapped[str] = mapped_column(String(40), unique=True)
    file: Mapped[str] = mapped_column(Path)
    line: Mapped[int] = mapped_column(Integer)
    function: Mapped[str] = mapped_column(Name)
    source: Mapped[str] = mapped_column(Source)
    own: Mapped[bool]
    seen_at: Mapped[datetime] = mapped_column(UTCMillis, server_default="0")


class Profile(db.Model):  # type: ignore[name-defined,misc]
    """The execution tree of one request (level 3); ``tree`` holds trees.encode() bytes."""

    __tablename__ = "fmd_profile"
    __table_args__ = (
        Index("fmd_profile_endpoint", "endpoint_id", "time"),
        Index("fmd_profile_time", "time"),
    )
    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    time: Mapped[datetime] = mapped_column(UTCMillis)
    endpoint_id: Mapped[int] = mapped_column(ForeignKey(Endpoint.id))
    version_id: Mapped[int] = mapped_column(ForeignKey(Version.id))
    group_id: Mapped[int | None] = mapped_column(ForeignKey(Group.id))
    client_id: Mapped[int | None] = mapped_column(ForeignKey(Client.id))
    duration_ms: Mapped[float] = mapped_column(Double)
    status: Mapped[int] = mapped_column(SmallInteger)
    method: Mapped[str] = mapped_column(Method)
    samples: Mapped[int] = mapped_column(Integer)
    period_ms: Mapped[float] = mapped_column(Double)
    tree: Mapped[bytes] = mapped_column(BigBlob, deferred=True)

    endpoint: Mapped[Endpoint] = relationship()
    version: Mapped[Version] = relationship()
    group: Mapped[Group | None] = relationship()
    client: Mapped[Client | None] = relationship()


class Outlier(db.Model):  # type: ignore[name-defined,misc]
    """A request that took too long (level 2 and above); ``detail`` is what else is known of it.

    ``detail`` holds the bytes that :mod:`fmd_admin.store.outlier_detail` makes.
    """

    __tablename__ = "fmd_outlier"
    __table_args__ = (
        Index("fmd_outlier_endpoint", "endpoint_id", "time"),
        Index("fmd_outlier_time", "time"),
    )
    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    time: Mapped[datetime] = mapped_column(UTCMillis)
    endpoint_id: Mapped[int] = mapped_column(ForeignKey(Endpoint.id))
    version_id: Mapped[int] = mapped_column(ForeignKey(Version.id))
    group_id: Mapped[int | None] = mapped_column(ForeignKey(Group.id))
    client_id: Mapped[int | None] = mapped_column(ForeignKey(Client.id))
    duration_ms: Mapped[float] = mapped_column(Double)
    status: Mapped[int] = mapped_column(SmallInteger)
    method: Mapped[str] = mapped_column(Method)
    limit_ms: Mapped[float] = mapped_column(Double)
    detail: Mapped[bytes] = mapped_column(BigBlob, deferred=True)

    endpoint: Mapped[Endpoint] = relationship()
    version: Mapped[Version] = relationship()
    group: Mapped[Group | None] = relationship()
    client: Mapped[Client | None] = relationship()


class OutlierSkipped(db.Model):  # type: ignore[name-defined,misc]
    """Outliers over the cap of their minute, which are counted only; appended a batch."""

    __tablename__ = "fmd_outlier_skipped"
    __table_args__ = (
        Index("fmd_outlier_skipped_endpoint", "endpoint_id", "time"),
        Index("fmd_outlier_skipped_time", "time"),
    )
    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    time: Mapped[datetime] = mapped_column(UTCMillis)
    endpoint_id: Mapped[int] = mapped_column(ForeignKey(Endpoint.id))
    version_id: Mapped[int] = mapped_column(ForeignKey(Version.id))
    hits: Mapped[int] = mapped_column(Integer)
