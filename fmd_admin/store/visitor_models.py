"""The tables of visitors: who sent how many requests, by group (mostly users) and by client."""

from __future__ import annotations

from datetime import datetime
from enum import IntEnum

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, SmallInteger
from sqlalchemy.orm import Mapped, mapped_column

from .models import BigBlob, BigKey, Blob, Endpoint, Version, db
from .types import UTCMillis


class Kind(IntEnum):
    """What visitors are told apart by; the number is stored."""

    GROUP = 1
    CLIENT = 2


#: Added to the kind of rows that sum a week, from the Monday at ``day`` on.
WEEK = 10


class VisitorDay(db.Model):  # type: ignore[name-defined,misc]
    """All visitors of one endpoint and version on one day, packed into one row.

    ``day`` is midnight in the configured time zone. ``figures`` and ``shapes`` hold the bytes of
    :mod:`fmd_admin.store.visitor_parts`, with ids of fmd_group or fmd_client by ``kind``;
    ``hits`` and ``histogram`` are of all of them together.
    Where ``endpoint_id`` is None the row is the sum of the version's rows of that day: it can be
    made from them at any time, and goes whenever one of them changes. Rows whose kind is higher by
    ``WEEK`` sum those of seven days in turn, in the same way.
    """

    __tablename__ = "fmd_visitor_day"
    __table_args__ = (
        Index("fmd_visitor_day_day", "kind", "day", "version_id", "endpoint_id"),
        Index("fmd_visitor_day_endpoint", "endpoint_id", "kind", "day"),
    )
    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    kind: Mapped[int] = mapped_column(SmallInteger)
    day: Mapped[datetime] = mapped_column(UTCMillis)
    endpoint_id: Mapped[int | None] = mapped_column(ForeignKey(Endpoint.id))
    version_id: Mapped[int] = mapped_column(ForeignKey(Version.id))
    hits: Mapped[int] = mapped_column(BigInteger)
    histogram: Mapped[bytes] = mapped_column(Blob)
    # In this order: SQLite does not read what stands behind the columns that are asked for.
    figures: Mapped[bytes] = mapped_column(BigBlob)
    shapes: Mapped[bytes] = mapped_column(BigBlob)


class VisitorDelta(db.Model):  # type: ignore[name-defined,misc]
    """The requests of one batch that have a group or a client, until they are merged.

    ``payload`` holds the bytes of :mod:`fmd_admin.store.visitor_deltas`, ``requests`` is how many
    there are in it.
    """

    __tablename__ = "fmd_visitor_delta"
    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    version_id: Mapped[int] = mapped_column(ForeignKey(Version.id))
    requests: Mapped[int] = mapped_column(Integer)
    payload: Mapped[bytes] = mapped_column(BigBlob)
