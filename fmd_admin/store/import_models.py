"""The table of what was brought over from other products."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from .models import db
from .types import UTCMillis


class Imported(db.Model):  # type: ignore[name-defined,misc]
    """How far a database of Flask-MonitoringDashboard has been brought over.

    ``source`` tells such databases apart, wherever they lie. ``last_request``, ``last_value`` and
    ``last_user`` are the highest ids there that were dealt with; each moves in the transaction that
    stores what it stands for. ``endpoints`` is JSON: the ids there → the ids here.
    """

    __tablename__ = "fmd_import"
    source: Mapped[str] = mapped_column(String(64), primary_key=True)
    last_request: Mapped[int] = mapped_column(BigInteger)
    last_value: Mapped[int] = mapped_column(BigInteger)
    last_user: Mapped[int] = mapped_column(BigInteger)
    endpoints: Mapped[str] = mapped_column(Text)
    begun_at: Mapped[datetime] = mapped_column(UTCMillis)
