"""Alerts, for admins: rules, targets, and the log of what was sent and what failed."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import urlsplit

from flask import abort, flash, make_response, redirect, request, url_for
from flask_admin import expose
from flask_login import current_user
from sqlalchemy import Connection, func, insert, select, update
from werkzeug.wrappers import Response

from ...errors import AlertError
from ...jobs.senders import WEBHOOK
from ...read import catalog
from ...read.alert_preview import DAYS, preview
from ...read.alert_rules import KINDS, Rule, rule_of, rules
from ...store import alerts as rows
from ...store.alert_models import Alert, AlertDelivery, AlertRule, AlertTarget
from ...store.configured_alerts import is_configured
from ...store.sealing import seal
from .. import format
from ..alert_forms import SCOPES, TARGET_KINDS, RuleForm, TargetForm, rule_form
from ..forms import submitted
from .pages import MAX_ID, Page, is_admin

#: Deliveries that the log shows.
LOGGED = 100


class AlertsPage(Page):
    """Rules, targets and the log."""

    def __init__(self) -> None:
        super().__init__("Alerts", "alerts", category="Administration")

    def is_accessible(self) -> bool:
        return is_admin()

    @expose("/alerts")
    def index(self) -> str:
        """Show everything."""
        with self.panel.store.read() as connection:
            found = rules(connection)
            targets = connection.execute(
                select(AlertTarget.__table__).order_by(AlertTarget.name)
            ).all()
            names = catalog.endpoint_names(connection)
            log = _log(connection)
        page: str = self.render(
            "fmd_admin/alerts.html",
            page_title="Alerts",
            rules=found,
            targets=targets,
            target_names={row.id: row.name for row in targets},
            kinds=KINDS,
            scopes=SCOPES,
            target_kinds=TARGET_KINDS,
            names=names,
            log=log,
            logged=LOGGED,
            is_configured=is_configured,
            fmt=format,
            zone=self.panel.store.timezone,
        )
        return page

    @expose("/alerts/rules/new", methods=("GET", "POST"))
    @expose("/alerts/rules/<int:rule_id>", methods=("GET", "POST"))
    def rule(self, rule_id: int | None = None) -> Response:
        """Show a rule's form, say how often it would have fired, or save it."""
        with self.panel.store.read() as connection:
            old = self._find_rule(connection, rule_id) if rule_id is not None else None
            endpoints = sorted(catalog.endpoint_names(connection).items(), key=lambda one: one[1])
            query = select(AlertTarget.id, AlertTarget.name).order_by(AlertTarget.name)
            targets = [(row.id, row.name) for row in connection.execute(query)]
        self._own(old)
        form = rule_form(endpoints, targets, old)
        options = {"endpoints": endpoints, "targets": targets, "old": old}
        if request.method != "POST":
            return self._show_rule(form, options, 200)
        now_ms = _now_ms()
        if not form.validate():
            return self._show_rule(form, options, 400)
        made = form.rule(old.id if old else 0, now_ms)
        if "preview" in request.form:
            with self.panel.store.read() as connection:
                times = preview(connection, made, now_ms, self.panel.store.timezone)
            return self._show_rule(form, options, 200, said=_said(made, times))

        def save(connection: Connection) -> bool:
            if rows.name_is_taken(connection, AlertRule, made.name, rule_id):
                return False
            _save_rule(connection, made, rule_id, now_ms, old)
            return True

        if not self.panel.store.transact(save):
            form.name.errors = [*form.name.errors, "There is a rule of this name already."]
            return self._show_rule(form, options, 400)
        flash(f"Rule {made.name} is saved.", "ok")
        return redirect(url_for("alerts.index"), 303)

    def _show_rule(
        self, form: RuleForm, options: dict[str, Any], status: int, said: str | None = None
    ) -> Response:
        old: Rule | None = options["old"]
        page = self.render(
            "fmd_admin/alert_rule.html",
            page_title="New rule" if old is None else f"Rule {old.name}",
            form=form,
            said=said,
            kinds=KINDS,
            scopes=SCOPES,
            **options,
        )
        return make_response(page, status)

    @expose("/alerts/rules/<int:rule_id>/delete", methods=("GET", "POST"))
    def delete_rule(self, rule_id: int) -> Response | str:
        """Ask whether a rule shall go; delete it once that is confirmed."""
        if request.method != "POST":
            with self.panel.store.read() as connection:
                found = self._find_rule(connection, rule_id)
            self._own(found, but_idle=True)
            action = url_for("alerts.delete_rule", rule_id=rule_id)
            return self._confirm("rule", found.name, "What it sent stays in the log.", action)

        def delete(connection: Connection) -> Rule:
            found = self._find_rule(connection, rule_id)
            self._own(found, but_idle=True)
            rows.delete_rule(connection, rule_id)
            return found

        found = self.panel.store.transact(delete)
        flash(f"Rule {found.name} is deleted. What it sent stays in the log.", "ok")
        return redirect(url_for("alerts.index"), 303)

    @expose("/alerts/targets/new", methods=("GET", "POST"))
    @expose("/alerts/targets/<int:target_id>", methods=("GET", "POST"))
    def target(self, target_id: int | None = None) -> Response:
        """Show a target's form without its address, or save it."""
        with self.panel.store.read() as connection:
            old = self._find_target(connection, target_id) if target_id is not None else None
        self._own(old)
        data = {} if old is None else {"name": old.name, "kind": old.kind, "active": old.active}
        form = TargetForm(submitted(), data=data)
        form.is_new = old is None
        message = None
        if request.method == "POST" and form.validate():
            try:
                if self._save_target(form, target_id):
                    flash(f"Target {form.name.data} is saved. Send a test to try it.", "ok")
                    return redirect(url_for("alerts.index"), 303)
            except AlertError as error:
                message = str(error)
        page = self.render(
            "fmd_admin/alert_target.html",
            page_title="New target" if old is None else f"Target {old.name}",
            form=form,
            old=old,
            message=message,
            target_kinds=TARGET_KINDS,
        )
        return make_response(page, 400 if form.errors or message else 200)

    def _save_target(self, form: TargetForm, target_id: int | None) -> bool:
        values: dict[str, Any] = {
            "name": (form.name.data or "").strip(),
            "kind": form.kind.data,
            "active": bool(form.active.data),
        }
        secret = form.secret()
        if secret:
            values["secret"] = seal(secret, self.panel.secret())
            values["hint"] = hint_of(form.kind.data, secret)

        def save(connection: Connection) -> bool:
            if rows.name_is_taken(connection, AlertTarget, values["name"], target_id):
                return False
            if target_id is None:
                connection.execute(insert(AlertTarget).values(**values))
            else:
                connection.execute(
                    update(AlertTarget).where(AlertTarget.id == target_id).values(**values)
                )
            return True

        if not self.panel.store.transact(save):
            form.name.errors = [*form.name.errors, "There is a target of this name already."]
            return False
        return True

    @expose("/alerts/targets/<int:target_id>/delete", methods=("GET", "POST"))
    def delete_target(self, target_id: int) -> Response | str:
        """Ask whether a target shall go; delete it once that is confirmed."""
        if request.method != "POST":
            with self.panel.store.read() as connection:
                found = self._find_target(connection, target_id)
            self._own(found, but_idle=True)
            note = "Its address is forgotten, and what still waits for it is not sent."
            action = url_for("alerts.delete_target", target_id=target_id)
            return self._confirm("target", found.name, note, action)

        def delete(connection: Connection) -> Any:
            found = self._find_target(connection, target_id)
            self._own(found, but_idle=True)
            rows.delete_target(connection, target_id)
            return found

        found = self.panel.store.transact(delete)
        flash(f"Target {found.name} is deleted.", "ok")
        return redirect(url_for("alerts.index"), 303)

    @expose("/alerts/targets/<int:target_id>/test", methods=("POST",))
    def test(self, target_id: int) -> Response:
        """Have a test alert sent on the way of all others."""
        alert = {
            "rule_id": 0,
            "rule": "Test",
            "kind": "test",
            "severity": "info",
            "subject": "",
            "quiet": "",
            "title": f"Test of {self.panel.config.values.brand_name}",
            "body": f"{current_user.username} asked for it in the panel.",
        }

        def add(connection: Connection) -> bool:
            active = bool(self._find_target(connection, target_id).active)
            if active:
                rows.add(connection, alert, [target_id], _now_ms())
            return active

        if not self.panel.store.transact(add):
            flash("This target is not active: nothing is sent to it.", "error")
            return redirect(url_for("alerts.index"), 303)
        flash("A test is on its way. The log below says within seconds what became of it.", "ok")
        return redirect(url_for("alerts.index"), 303)

    def _confirm(self, noun: str, name: str, note: str, action: str) -> str:
        page: str = self.render(
            "fmd_admin/confirm.html",
            page_title=f"Delete this {noun}?",
            note=note,
            ids=[],
            names=[name],
            hidden=0,
            action=action,
            back=url_for("alerts.index"),
            back_path="",
            button=f"Delete {noun}",
        )
        return page

    def _own(self, found: Any, *, but_idle: bool = False) -> None:
        """Answer with 403 for what comes from the configuration.

        With ``but_idle`` not for what is no longer in it.
        """
        if found is not None and is_configured(found.name) and (found.active or not but_idle):
            abort(
                403,
                f"{found.name} comes from the app's configuration (its ALERT_… settings, or "
                "[alerting] of its file). Change it there, and start the app again.",
            )

    def _find_rule(self, connection: Connection, rule_id: int) -> Rule:
        query = select(AlertRule.__table__).where(AlertRule.id == rule_id)
        found = connection.execute(query).one_or_none() if rule_id <= MAX_ID else None
        if found is None:
            abort(404, "There is no such rule (any more).")
        return rule_of(found)  # type: ignore[arg-type]

    def _find_target(self, connection: Connection, target_id: int) -> Any:
        query = select(AlertTarget.__table__).where(AlertTarget.id == target_id)
        found = connection.execute(query).one_or_none() if target_id <= MAX_ID else None
        if found is None:
            abort(404, "There is no such target (any more).")
        return found


def hint_of(kind: str, secret: str) -> str:
    """Return what may be shown of an address: host of a webhook, word of an Apprise URL."""
    if secret.startswith("env:"):
        return secret
    parts = urlsplit(secret.split(" ")[0])
    if kind == WEBHOOK:
        return f"{parts.scheme}://{parts.hostname or ''}/…"[:255]
    return f"{parts.scheme}://…"[:255]


def _save_rule(
    connection: Connection, rule: Rule, rule_id: int | None, now_ms: int, old: Rule | None
) -> None:
    values = {
        "name": rule.name,
        "kind": rule.kind,
        "scope": rule.scope,
        "endpoint_id": rule.endpoint_id,
        "threshold": rule.threshold,
        "window_h": rule.window_h,
        "cooldown_min": rule.cooldown_min,
        "severity": rule.severity,
        "targets": ",".join(map(str, rule.targets)),
        "active": rule.active,
    }
    if rule_id is None:
        connection.execute(insert(AlertRule).values(**values, since=now_ms))
        return
    # What happened while it looked for something else, or for nothing, is no news.
    if old is None or old.kind != rule.kind or (rule.active and not old.active):
        values["since"] = now_ms
    connection.execute(update(AlertRule).where(AlertRule.id == rule_id).values(**values))


def _said(rule: Rule, times: int | None) -> str:
    if times is None:
        return "Nobody can tell how often it would have fired: this is not kept."
    looked = ""
    if KINDS[rule.kind].windowed:
        looked = ", looked at at the end of each hour"
    elif rule.kind == "regression":
        looked = ", looked at at the end of each day"
    often = "once" if times == 1 else f"{format.count(times)} times"
    return f"In the last {DAYS} days it would have fired {often}{looked}."


def _log(connection: Connection) -> list[Any]:
    query = (
        select(
            AlertDelivery.id,
            AlertDelivery.target,
            AlertDelivery.state,
            AlertDelivery.attempts,
            AlertDelivery.repeats,
            AlertDelivery.next_at,
            AlertDelivery.sent_at,
            AlertDelivery.error,
            Alert.fired_at,
            Alert.rule,
            Alert.severity,
            Alert.title,
        )
        .select_from(Alert)
        .outerjoin(AlertDelivery, AlertDelivery.alert_id == Alert.id)
        .order_by(Alert.id.desc(), func.coalesce(AlertDelivery.id, 0).desc())
        .limit(LOGGED)
    )
    return list(connection.execute(query))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
