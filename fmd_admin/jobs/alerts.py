"""Decides on alerts and sends them, in the process that holds the lease.

Deciding is one transaction with what it decides, so it happens once. A delivery is noted as being
sent before, and as sent after: a process that is killed in between leaves one that is sent again,
once, and says that it may be a repeat.

Sending has a thread of its own, which begins when something is due and ends when nothing is. In the
scheduler's thread a target that does not answer would hold up all other jobs for 10 to 15 seconds a
try: rollups would wait, custom graphs would miss their minute, and the end of the process would
wait for it too.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from ..errors import AlertError, LeaseLostError
from ..read.alert_rules import KINDS, Finding, Rule, findings, rules
from ..store import alerts as rows
from ..store import configured_alerts
from ..store.configured_alerts import CONFIG
from ..store.sealing import unseal
from ..store.store import Store
from .senders import APPRISE, send

EVERY_S = 5.0
#: The report takes longer than all other rules, and its hours hardly change.
REPORT_EVERY_MS = 600_000
#: Processes of an app start within this time.
STARTING_MS = 60_000
#: Deliveries of one run; a thread must come to an end.
MOST = 100

Fence = Callable[[Connection], None]


@dataclass(frozen=True)
class Configured:
    """Targets of the app's configuration, by their names there.

    ``addresses`` hold secrets, ``hints`` are what may be shown of them.
    """

    addresses: Mapping[str, str] = field(default_factory=dict)
    hints: Mapping[str, str] = field(default_factory=dict)


class Alerts:
    """The rules and deliveries of one store.

    ``fence`` keeps a process that lost the lease from changing anything. ``secret`` gives the key
    that addresses are sealed with. ``report`` is called inside an except block with what failed.
    """

    def __init__(
        self,
        store: Store,
        *,
        fence: Fence,
        secret: Callable[[], bytes],
        report: Callable[[str], None],
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        configured: Configured | None = None,
    ) -> None:
        self._configured = configured or Configured()
        self._store = store
        self._fence = fence
        self._secret = secret
        self._report = report
        self._clock_ms = clock_ms
        self._began_ms = clock_ms()
        self.after_fork()

    def after_fork(self) -> None:
        """Begin anew: the parent's thread is not here."""
        self._reported: dict[int, int] = {}
        self._thread: threading.Thread | None = None
        self._ending = threading.Event()
        self._kept = False

    def step(self, *, threads: bool = True) -> None:
        """Decide, and start sending if something is due; to be called every few seconds."""
        self.keep_configured()
        self.decide()
        with self._store.read() as connection:
            due = rows.is_due(connection, self._clock_ms())
        if not due or (self._thread is not None and self._thread.is_alive()):
            return
        if not threads:
            # A request pays for it: one at a time.
            self.deliver(1)
            return
        self._ending = threading.Event()
        self._thread = threading.Thread(
            target=self._work, name="fmd_admin-alerts", args=(self._ending,), daemon=True
        )
        self._thread.start()

    def stop(self, wait_s: float) -> None:
        """Have the thread end after the delivery that it is at; wait for it a moment."""
        thread, self._thread = self._thread, None
        # Another process may have another configuration, until this one has the lease again.
        self._kept = False
        self._ending.set()
        if thread is not None:
            thread.join(wait_s)

    def keep_configured(self) -> None:
        """Make the targets and the rule of the configuration those of this process's, once."""
        if not self._kept:
            self._store.transact(self._keep)
            self._kept = True

    def _keep(self, connection: Connection) -> None:
        self._fence(connection)
        configured_alerts.keep(
            connection,
            self._configured.hints,
            APPRISE,
            # What happens before the jobs begin is news as well, in processes beside this one too.
            self._began_ms - STARTING_MS,
            rule_kind="new_exception",
        )

    def decide(self) -> None:
        """Evaluate every active rule, and store the alerts that come of it."""
        now_ms = self._clock_ms()
        found: list[tuple[Rule, list[Finding]]] = []
        reported: dict[int, int] = {}
        with self._store.read() as connection:
            wanted = [one for one in rules(connection) if one.active and one.targets]
        for rule in wanted:
            if rule.kind == "regression":
                if now_ms - self._reported.get(rule.id, -REPORT_EVERY_MS) < REPORT_EVERY_MS:
                    continue
                reported[rule.id] = now_ms
            fresh = self._fresh(rule, now_ms)
            if fresh:
                found.append((rule, fresh))
        if found:
            self._store.transact(partial(self._add, found, now_ms))
        self._reported.update(reported)

    def _fresh(self, rule: Rule, now_ms: int) -> list[Finding]:
        """Return what a rule finds that it has not alerted on; the other rules go on."""
        try:
            # One of its own: where a statement fails, PostgreSQL refuses all that follow.
            with self._store.read() as connection:
                wanted = findings(connection, rule, now_ms, self._store.timezone)
                return [one for one in wanted if self._is_new(connection, rule, one, now_ms)]
        except Exception as error:
            if isinstance(error, DBAPIError) and error.connection_invalidated:
                raise  # All are evaluated again in some seconds.
            self._report(f"evaluating a rule of alerts ({rule.kind})")
            return []

    def _is_new(self, connection: Connection, rule: Rule, one: Finding, now_ms: int) -> bool:
        if KINDS[rule.kind].once or rule.kind == "drops":
            if rows.is_known(connection, rule.id, one.subject):
                return False
            if KINDS[rule.kind].once:
                return True
        return not rows.is_quiet(connection, rule.id, one.quiet, now_ms - rule.quiet_ms)

    def _add(
        self, found: list[tuple[Rule, list[Finding]]], now_ms: int, connection: Connection
    ) -> None:
        self._fence(connection)
        for rule, fresh in found:
            for one in fresh:
                # Another one decided meanwhile, or two findings keep each other quiet.
                if not self._is_new(connection, rule, one, now_ms):
                    continue
                alert = {
                    "rule_id": rule.id,
                    "rule": rule.name,
                    "kind": rule.kind,
                    "severity": rule.severity,
                    "subject": one.subject,
                    "quiet": one.quiet,
                    "title": one.title,
                    "body": one.body,
                }
                rows.add(connection, alert, rule.targets, now_ms)

    def _work(self, ending: threading.Event) -> None:
        try:
            self.deliver(MOST, ending.is_set)
        except LeaseLostError:
            return  # The process that has it now goes on.
        except Exception:  # noqa: BLE001 - counted, and logged once
            self._report("sending alerts (tried again)")

    def deliver(self, most: int, ending: Callable[[], bool] = lambda: False) -> None:
        """Send what is due, ``most`` of it."""
        for _ in range(most):
            if ending():
                return
            due = self._store.transact(self._claim)
            if due is None:
                return
            try:
                self._send(due)
            except AlertError as error:
                self._store.transact(partial(self._failed, due, str(error)))
            except Exception as error:  # noqa: BLE001 - a library's; counted, and tried again
                self._report("sending an alert (tried again)")
                text = f"It cannot be sent: {type(error).__name__}."
                self._store.transact(partial(self._failed, due, text))
            else:
                self._store.transact(partial(self._done, due))

    def _claim(self, connection: Connection) -> rows.Due | None:
        self._fence(connection)
        return rows.claim(connection, self._clock_ms())

    def _send(self, due: rows.Due) -> None:
        if due.secret is None:
            raise AlertError("The target was deleted.")
        if not due.secret.startswith(CONFIG):
            send(due, unseal(due.secret, self._secret()))
            return
        address = self._configured.addresses.get(due.secret.removeprefix(CONFIG))
        if address is None:
            raise AlertError(
                "The configuration of the process that sends says no such target (any more). Start "
                "all processes with the same one."
            )
        send(due, address)

    # Not fenced: what is known of a delivery is noted whoever runs the jobs by then.
    def _failed(self, due: rows.Due, error: str, connection: Connection) -> None:
        rows.has_failed(connection, due, error, self._clock_ms())

    def _done(self, due: rows.Due, connection: Connection) -> None:
        rows.is_done(connection, due.id, self._clock_ms())
