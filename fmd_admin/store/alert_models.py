"""The tables of alerts: rules, where they are sent, what was sent and what failed."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Double, ForeignKey, Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from .models import BigKey, Endpoint, Name, db
from .types import UTCMillis


class AlertTarget(db.Model):  # type: ignore[name-defined,misc]
    """Where alerts are sent. ``secret`` is its address, sealed, or ``env:NAME``; never shown.

    ``hint`` is what may be shown of it.
    """

    __tablename__ = "fmd_alert_target"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str] = mapped_column(Name, unique=True)
    kind: Mapped[str] = mapped_column(String(16))
    secret: Mapped[str] = mapped_column(Text)
    hint: Mapped[str] = mapped_column(String(255))
    active: Mapped[bool]


class AlertRule(db.Model):  # type: ignore[name-defined,misc]
    """When to alert. ``scope`` is "app" (all endpoints together), "each", or "one" endpoint.

    ``targets`` are ids with commas between. Events before ``since`` do not count.
    """

    __tablename__ = "fmd_alert_rule"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str] = mapped_column(Name, unique=True)
    kind: Mapped[str] = mapped_column(String(32))
    scope: Mapped[str] = mapped_column(String(8))
    endpoint_id: Mapped[int | None] = mapped_column(ForeignKey(Endpoint.id))
    threshold: Mapped[float] = mapped_column(Double)
    window_h: Mapped[int] = mapped_column(Integer)
    cooldown_min: Mapped[int] = mapped_column(Integer)
    severity: Mapped[str] = mapped_column(String(16))
    targets: Mapped[str] = mapped_column(String(1000))
    active: Mapped[bool]
    since: Mapped[datetime] = mapped_column(UTCMillis)


class Alert(db.Model):  # type: ignore[name-defined,misc]
    """An alert that was decided on. ``subject`` is what it is about, and comes once if it must.

    ``quiet`` is what the cool-down of its rule counts for. ``rule_id`` is 0 for a test.
    """

    __tablename__ = "fmd_alert"
    __table_args__ = (
        Index("fmd_alert_rule_subject", "rule_id", "subject"),
        Index("fmd_alert_rule_quiet", "rule_id", "quiet", "fired_at"),
        Index("fmd_alert_fired", "fired_at"),
    )
    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    rule_id: Mapped[int] = mapped_column(Integer)
    rule: Mapped[str] = mapped_column(Name)
    kind: Mapped[str] = mapped_column(String(32))
    severity: Mapped[str] = mapped_column(String(16))
    subject: Mapped[str] = mapped_column(String(120))
    quiet: Mapped[str] = mapped_column(String(120))
    title: Mapped[str] = mapped_column(String(500))
    body: Mapped[str] = mapped_column(Text)
    fired_at: Mapped[datetime] = mapped_column(UTCMillis)


class AlertDelivery(db.Model):  # type: ignore[name-defined,misc]
    """An alert on its way to one target: "waiting", "sending", "sent" or "failed".

    ``next_at`` is when it is tried (again), or while it is sent when that counts as broken off.
    ``repeats`` counts tries of which nobody knows whether the one before got through.
    """

    __tablename__ = "fmd_alert_delivery"
    __table_args__ = (
        Index("fmd_alert_delivery_due", "state", "next_at"),
        Index("fmd_alert_delivery_alert", "alert_id"),
        Index("fmd_alert_delivery_fired", "fired_at"),
    )
    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    alert_id: Mapped[int] = mapped_column(ForeignKey(Alert.id))
    target_id: Mapped[int] = mapped_column(Integer)
    target: Mapped[str] = mapped_column(Name)
    state: Mapped[str] = mapped_column(String(16))
    attempts: Mapped[int] = mapped_column(Integer)
    repeats: Mapped[int] = mapped_column(Integer)
    fired_at: Mapped[datetime] = mapped_column(UTCMillis)
    next_at: Mapped[datetime] = mapped_column(UTCMillis)
    sent_at: Mapped[datetime | None] = mapped_column(UTCMillis)
    error: Mapped[str | None] = mapped_column(String(1000))
