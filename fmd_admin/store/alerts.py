"""Alerts in the store: what was decided, and what became of each delivery.

Everything that changes something is called inside the transaction of whoever runs the jobs, so
that an alert is decided on once however many processes there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Connection, delete, insert, select, type_coerce, update

from .alert_models import Alert, AlertDelivery, AlertRule, AlertTarget

WAITING, SENDING, SENT, FAILED = "waiting", "sending", "sent", "failed"
#: A try that nobody finished within this time was broken off, as by the end of its process.
BROKEN_OFF_MS = 120_000
#: Tries in all, and the pause before the second one; each next pause is twice as long.
MAX_ATTEMPTS = 10
FIRST_PAUSE_MS = 10_000
LONGEST_PAUSE_MS = 3_600_000
UNKNOWN = "The process that sent it ended before it could note whether it got through."


@dataclass(frozen=True, slots=True)
class Due:
    """A delivery that is to be tried now. ``secret`` is sealed; None: the target is gone."""

    id: int
    attempts: int
    is_repeat: bool
    alert_id: int
    rule: str
    kind: str
    severity: str
    title: str
    body: str
    fired_at: datetime
    target: str
    target_kind: str | None
    secret: str | None


def _ms(column: Any) -> Any:
    return type_coerce(column, BigInteger)


def is_known(connection: Connection, rule_id: int, subject: str) -> bool:
    """Whether a rule has alerted on a subject before."""
    query = select(Alert.id).where(Alert.rule_id == rule_id, Alert.subject == subject)
    return connection.scalar(query.limit(1)) is not None


def is_quiet(connection: Connection, rule_id: int, quiet: str, since_ms: int) -> bool:
    """Whether a rule has alerted since ``since_ms`` (UTC), so that it keeps quiet."""
    query = select(Alert.id).where(
        Alert.rule_id == rule_id, Alert.quiet == quiet, _ms(Alert.fired_at) > since_ms
    )
    return connection.scalar(query.limit(1)) is not None


def add(
    connection: Connection, alert: dict[str, Any], target_ids: Sequence[int], now_ms: int
) -> int:
    """Store an alert with a delivery for each active target; return its id."""
    made = connection.execute(insert(Alert).values(**alert, fired_at=now_ms))
    [alert_id] = made.inserted_primary_key or (0,)
    targets = connection.execute(
        select(AlertTarget.id, AlertTarget.name).where(
            AlertTarget.id.in_(target_ids), AlertTarget.active
        )
    ).all()
    rows = [
        {
            "alert_id": alert_id,
            "target_id": target.id,
            "target": target.name,
            "state": WAITING,
            "attempts": 0,
            "repeats": 0,
            "fired_at": now_ms,
            "next_at": now_ms,
        }
        for target in targets
    ]
    if rows:
        connection.execute(insert(AlertDelivery), rows)
    return int(alert_id)


def is_due(connection: Connection, now_ms: int) -> bool:
    """Whether a delivery waits."""
    return connection.scalar(_due(now_ms).limit(1)) is not None


def _due(now_ms: int) -> Any:
    return select(AlertDelivery.id).where(
        AlertDelivery.state.in_((WAITING, SENDING)), _ms(AlertDelivery.next_at) <= now_ms
    )


def claim(connection: Connection, now_ms: int) -> Due | None:
    """Take the delivery that is due for longest, and note that it is being sent.

    One whose sender was ended in the middle is sent again once, and says so; after a second such
    end it is given up.
    """
    order = (AlertDelivery.next_at, AlertDelivery.id)
    found = connection.scalar(_due(now_ms).order_by(*order).limit(1))
    if found is None:
        return None
    mine = AlertDelivery.id == found
    state, attempts, repeats = connection.execute(
        select(AlertDelivery.state, AlertDelivery.attempts, AlertDelivery.repeats).where(mine)
    ).one()
    if state == SENDING and repeats:
        connection.execute(update(AlertDelivery).where(mine).values(state=FAILED, error=UNKNOWN))
        return claim(connection, now_ms)
    repeats += state == SENDING
    connection.execute(
        update(AlertDelivery)
        .where(mine)
        .values(
            state=SENDING,
            attempts=attempts + 1,
            repeats=repeats,
            next_at=now_ms + BROKEN_OFF_MS,
        )
    )
    columns: list[Any] = [
        *(Alert.id, Alert.rule, Alert.kind, Alert.severity, Alert.title, Alert.body),
        *(Alert.fired_at, AlertDelivery.target, AlertTarget.kind, AlertTarget.secret),
    ]
    row = connection.execute(
        select(*columns)
        .select_from(AlertDelivery)
        .join(Alert, Alert.id == AlertDelivery.alert_id)
        .outerjoin(AlertTarget, AlertTarget.id == AlertDelivery.target_id)
        .where(mine)
    ).one()
    return Due(found, attempts + 1, repeats > 0, *row)


def is_done(connection: Connection, delivery_id: int, now_ms: int) -> None:
    """Note that a delivery got through."""
    connection.execute(
        update(AlertDelivery)
        .where(AlertDelivery.id == delivery_id)
        .values(state=SENT, sent_at=now_ms, error=None)
    )


def has_failed(connection: Connection, due: Due, error: str, now_ms: int) -> None:
    """Note that a try failed: the next one comes later, until there were enough."""
    values: dict[str, Any] = {"error": error[:1000], "state": WAITING}
    if due.attempts >= MAX_ATTEMPTS or due.secret is None:
        values["state"] = FAILED
    else:
        pause_ms = min(FIRST_PAUSE_MS * 2 ** (due.attempts - 1), LONGEST_PAUSE_MS)
        values["next_at"] = now_ms + pause_ms
    connection.execute(update(AlertDelivery).where(AlertDelivery.id == due.id).values(**values))


def delete_rule(connection: Connection, rule_id: int) -> int:
    """Delete a rule; what it sent stays in the log."""
    return connection.execute(delete(AlertRule).where(AlertRule.id == rule_id)).rowcount


def delete_target(connection: Connection, target_id: int) -> int:
    """Delete a target; what still waits for it fails."""
    return connection.execute(delete(AlertTarget).where(AlertTarget.id == target_id)).rowcount


def name_is_taken(connection: Connection, model: Any, name: str, but: int | None) -> bool:
    """Whether another rule or target has this name."""
    query = select(model.id).where(model.name == name, model.id != (but or 0))
    return connection.scalar(query.limit(1)) is not None
