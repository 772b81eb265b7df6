"""Targets and a rule that come from the app's configuration, and not from the panel.

Their addresses are not in the database: ``config:NAME`` stands for what the configuration of the
process says that sends.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, insert, select, update

from .alert_models import AlertRule, AlertTarget

CONFIG = "config:"
#: At the end of the names of these targets and of the rule; no other name may end so.
SUFFIX = " (configuration)"
RULE = f"New exceptions{SUFFIX}"
_NAMES = {"email": "E-mail", "chat": "Chat", "issue": "GitHub issues"}


def is_configured(name: str) -> bool:
    """Tell whether a target or rule of this name comes from the configuration."""
    return name.endswith(SUFFIX)


def keep(
    connection: Connection, hints: Mapping[str, str], kind: str, since_ms: int, *, rule_kind: str
) -> bool:
    """Make targets of ``kind`` and a rule of ``rule_kind``; return whether anything changed.

    ``hints`` says what may be shown of each target's address, by its name there. Those that are
    no longer in it are kept, but not active. What happened before ``since_ms`` (UTC) is no news to
    a rule that was not active. To be called by whoever runs the jobs.
    """
    columns = (AlertTarget.id, AlertTarget.name, AlertTarget.hint, AlertTarget.active)
    found = connection.execute(select(*columns).where(AlertTarget.name.endswith(SUFFIX))).all()
    there = {row.name: row for row in found}
    wanted = {_NAMES[name] + SUFFIX: (CONFIG + name, hint) for name, hint in hints.items()}
    ids, changed = [], False
    for name, (secret, hint) in wanted.items():
        row = there.get(name)
        values: dict[str, Any] = {"hint": hint, "active": True}
        if row is None:
            made = connection.execute(
                insert(AlertTarget).values(name=name, kind=kind, secret=secret, **values)
            )
            ids.append(int((made.inserted_primary_key or (0,))[0]))
            changed = True
            continue
        ids.append(row.id)
        if (row.hint, row.active) != (hint, True):
            changed = True
            connection.execute(update(AlertTarget).where(AlertTarget.id == row.id).values(**values))
    for name, row in there.items():
        if name not in wanted and row.active:
            changed = True
            connection.execute(
                update(AlertTarget).where(AlertTarget.id == row.id).values(active=False)
            )
    return _keep_rule(connection, ids, rule_kind, since_ms) or changed


def _keep_rule(connection: Connection, targets: list[int], kind: str, since_ms: int) -> bool:
    query = select(AlertRule.id, AlertRule.targets, AlertRule.active)
    row = connection.execute(query.where(AlertRule.name == RULE)).one_or_none()
    text = ",".join(map(str, targets))
    if row is None:
        if not targets:
            return False
        connection.execute(
            insert(AlertRule).values(
                name=RULE,
                kind=kind,
                scope="app",
                threshold=0.0,
                window_h=1,
                cooldown_min=0,
                severity="warning",
                targets=text,
                active=True,
                since=since_ms,
            )
        )
        return True
    values: dict[str, Any] = {"active": bool(targets)}
    if targets:
        values["targets"] = text
        if not row.active:
            # What happened while it was turned off is no news.
            values["since"] = since_ms
    if row.active == bool(targets) and row.targets == values.get("targets", row.targets):
        return False
    connection.execute(update(AlertRule).where(AlertRule.id == row.id).values(**values))
    return True
