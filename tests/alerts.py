"""Rules, targets and a log of alerts, as they are stored."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import insert

from fmd_admin.store import configured_alerts
from fmd_admin.store.alert_models import Alert, AlertDelivery, AlertRule, AlertTarget
from fmd_admin.store.store import Store

#: A rule as an admin fills it in.
RULE_FORM: dict[str, Any] = {
    "name": "errors",
    "kind": "error_share",
    "scope": "app",
    "endpoint": "",
    "threshold": "5",
    "window_h": "1",
    "cooldown_min": "60",
    "severity": "warning",
    "targets": "1",
    "active": "y",
}
#: (title, severity, minutes ago, state, tries, repeats, error)
LOG: tuple[tuple[str, str, int, str, int, int, str | None], ...] = (
    ("New exception: shop.BasketEmpty in shop.basket.total", "critical", 300, "sent", 1, 0, None),
    ("Error share of all endpoints: 7.7 %", "warning", 200, "sent", 3, 1, None),
    (
        "95th percentile of shop.search: 1,612.0 ms",
        "info",
        90,
        "failed",
        10,
        0,
        "The webhook cannot be reached: ConnectionRefusedError.",
    ),
    ("No requests to report.monthly", "warning", 5, "waiting", 2, 0, "It answered with 503."),
)


def store_alerts(store: Store) -> None:
    """Targets of each kind, rules of some, and deliveries in each state; nothing of it is due."""
    now_ms = time.time_ns() // 1_000_000
    with store.write() as connection:
        for name, kind, hint, active in (
            ("Hook of the on-call team", "webhook", "env:FMD_HOOK_OF_NOBODY", True),
            ("Mail", "apprise", "mailto://…", False),
        ):
            values = {"name": name, "kind": kind, "secret": "env:FMD_HOOK_OF_NOBODY"}
            connection.execute(insert(AlertTarget).values(**values, hint=hint, active=active))
        for name, kind, scope, threshold, severity, active in (
            ("New kinds of exceptions", "new_exception", "app", 0.0, "critical", True),
            ("Errors", "error_share", "each", 99.9, "warning", True),
            ("Slow searches", "p95", "app", 1500.0, "info", False),
        ):
            rule: dict[str, Any] = {"name": name, "kind": kind, "scope": scope}
            rule |= {"threshold": threshold, "window_h": 1, "cooldown_min": 60}
            rule |= {"severity": severity, "targets": "1,2", "active": active, "since": now_ms}
            connection.execute(insert(AlertRule).values(**rule))
        configured_alerts.keep(
            connection,
            {"email": "anna@example.org by mail.example.org"},
            "apprise",
            now_ms,
            rule_kind="new_exception",
        )
        for title, severity, minutes, state, tries, repeats, error in LOG:
            at_ms = now_ms - minutes * 60_000
            alert = {"rule_id": 9, "rule": "Errors", "kind": "error_share", "severity": severity}
            texts = {"subject": title, "quiet": title, "title": title, "body": "…"}
            made = connection.execute(insert(Alert).values(**alert, **texts, fired_at=at_ms))
            [alert_id] = made.inserted_primary_key or (0,)
            delivery = {"alert_id": alert_id, "target_id": 1, "target": "Hook of the on-call team"}
            delivery |= {"state": state, "attempts": tries, "repeats": repeats, "error": error}
            times = {"fired_at": at_ms, "next_at": now_ms + 86_400_000, "sent_at": at_ms}
            connection.execute(insert(AlertDelivery).values(**delivery, **times))
