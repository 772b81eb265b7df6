"""The forms of alert rules and targets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from wtforms import (
    BooleanField,
    Field,
    FloatField,
    Form,
    IntegerField,
    PasswordField,
    SelectField,
    SelectMultipleField,
    StringField,
)
from wtforms.validators import DataRequired, InputRequired, Length, NumberRange, ValidationError

from ..jobs.senders import APPRISE, WEBHOOK
from ..read.alert_rules import APP, EACH, KINDS, ONE, Rule
from ..store.configured_alerts import SUFFIX, is_configured
from .forms import submitted

SEVERITIES = ("info", "warning", "critical")
TARGET_KINDS = {WEBHOOK: "Webhook (signed JSON)", APPRISE: "Apprise (e-mail, chats and others)"}
SCOPES = {APP: "All endpoints together", EACH: "Each endpoint by itself", ONE: "One endpoint"}
LONGEST_WINDOW_H, LONGEST_COOLDOWN_MIN = 168, 43_200
_ENV = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*")


def _not_configured(_form: Form, field: Field) -> None:
    if is_configured((field.data or "").strip()):
        raise ValidationError(f"Names ending in{SUFFIX} are for what the configuration says.")


def _printable(_form: Form, field: Field) -> None:
    if not (field.data or "").isprintable():
        raise ValidationError("A name has printable characters only.")


def _stripped(text: str | None) -> str | None:
    return text and text.strip()


_NAME: dict[str, Any] = {
    "validators": [
        DataRequired("Enter a name."),
        Length(max=100, message="A name has at most 100 characters."),
        _printable,
        _not_configured,
    ],
    "filters": [_stripped],
    "render_kw": {"maxlength": 100},
}


class RuleForm(Form):
    """A rule. ``targets`` and ``endpoint`` get their choices from the store."""

    name = StringField("Name", **_NAME)
    kind = SelectField("Alert on", choices=list(KINDS))
    scope = SelectField("Endpoints", choices=list(SCOPES))
    endpoint = SelectField("Endpoint", validate_choice=False)
    threshold = FloatField(
        "Limit", default=5.0, description="In its unit; only for what has a limit."
    )
    window_h = IntegerField(
        "Window (hours)",
        [
            InputRequired("Enter a number of hours."),
            NumberRange(1, LONGEST_WINDOW_H, f"Allowed: 1 to {LONGEST_WINDOW_H} hours."),
        ],
        default=1,
        description="The running hour, and those before it; for shares, durations, outliers "
        "and silence.",
    )
    cooldown_min = IntegerField(
        "Cool-down (minutes)",
        [
            InputRequired("Enter a number of minutes."),
            NumberRange(0, LONGEST_COOLDOWN_MIN, f"Allowed: 0 to {LONGEST_COOLDOWN_MIN} minutes."),
        ],
        default=60,
        description="After an alert it keeps quiet about the same thing for so long.",
    )
    severity = SelectField("Severity", choices=list(SEVERITIES), default="warning")
    targets = SelectMultipleField("Send to", coerce=int, validate_choice=False)
    active = BooleanField("Active", default=True)

    def validate_threshold(self, field: Field) -> None:
        """The limit lies where its kind allows it."""
        kind = KINDS.get(self.kind.data)
        if kind is None or not kind.unit:
            # Whatever stands there says nothing.
            field.errors[:] = []
            return
        if field.data is None or not kind.lowest <= field.data <= kind.highest:
            raise ValidationError(
                f"The limit of {kind.label} is {kind.lowest:g} to {kind.highest:g} {kind.unit}."
            )

    def validate_scope(self, field: Field) -> None:
        """Some kinds are about the whole app only."""
        kind = KINDS.get(self.kind.data)
        if kind is not None and not kind.scoped and field.data != APP:
            raise ValidationError(f"{kind.label} is about the whole app: {SCOPES[APP]}.")

    def validate_endpoint(self, field: Field) -> None:
        """One that exists, if one is asked for."""
        if self.scope.data == ONE and str(field.data) not in set(field.choices or ()):
            raise ValidationError("Choose one of the endpoints.")

    def validate_targets(self, field: Field) -> None:
        """At least one that exists."""
        if not field.data or not set(field.data) <= set(field.choices or ()):
            raise ValidationError("Choose at least one target.")

    def rule(self, rule_id: int, since_ms: int) -> Rule:
        """Return the rule that the form says."""
        kind = KINDS[self.kind.data]
        return Rule(
            id=rule_id,
            name=(self.name.data or "").strip(),
            kind=self.kind.data,
            scope=self.scope.data,
            endpoint_id=int(self.endpoint.data) if self.scope.data == ONE else None,
            threshold=float(self.threshold.data or 0) if kind.unit else 0.0,
            window_h=self.window_h.data or 1,
            cooldown_min=self.cooldown_min.data or 0,
            severity=self.severity.data,
            targets=tuple(self.targets.data or ()),
            active=bool(self.active.data),
            since_ms=since_ms,
        )


def rule_form(
    endpoints: Sequence[tuple[int, str]], targets: Sequence[tuple[int, str]], rule: Rule | None
) -> RuleForm:
    """Return the form of ``rule``, or of a new one, or what the request sends."""
    data: dict[str, Any] = {}
    if rule is not None:
        data = {name: getattr(rule, name) for name in _PLAIN}
        data |= {"endpoint": str(rule.endpoint_id or ""), "targets": list(rule.targets)}
    elif len(targets) == 1:
        data = {"targets": [targets[0][0]]}
    form = RuleForm(submitted(), data=data)
    # Plain values: WTForms warns of pairs. The template knows their names.
    form.endpoint.choices = [str(key) for key, _ in endpoints]
    form.targets.choices = [key for key, _ in targets]
    return form


_PLAIN = ("name", "kind", "scope", "threshold", "window_h", "cooldown_min", "severity", "active")


class TargetForm(Form):
    """A target. Its address and key are write-only: they are never shown again."""

    name = StringField("Name", **_NAME)
    kind = SelectField("Kind", choices=list(TARGET_KINDS))
    address = PasswordField(
        "Address",
        [Length(max=2_000, message="An address has at most 2,000 characters.")],
        description="https://… of a webhook, or a URL of Apprise such as "
        "mailto://user:password@example.org. It is stored encrypted and never shown. "
        "env:NAME takes it from the app's environment instead.",
        render_kw={"autocomplete": "off", "maxlength": 2_000},
    )
    key = PasswordField(
        "Key of the signature",
        [Length(max=200, message="A key has at most 200 characters.")],
        description="Webhooks only: the body is signed with it (HMAC-SHA256). Behind env:NAME the "
        "variable holds address and key with a blank between.",
        render_kw={"autocomplete": "off", "maxlength": 200},
    )
    active = BooleanField("Active", default=True)
    is_new = True

    def validate_address(self, field: Field) -> None:
        """An address of the chosen kind; an old one stays if none is entered."""
        text = (field.data or "").strip()
        if not text:
            if self.is_new:
                raise ValidationError("Enter an address.")
            return
        if text.startswith("env:"):
            if not _ENV.fullmatch(text):
                raise ValidationError("Write it as env:NAME, with the name of a variable.")
        elif any(character.isspace() for character in text):
            raise ValidationError("An address has no blanks.")
        elif self.kind.data == WEBHOOK and not text.startswith(("https://", "http://")):
            raise ValidationError("The address of a webhook begins with https:// or http://.")
        elif self.kind.data == APPRISE and "://" not in text:
            raise ValidationError("An address of Apprise begins with a word and ://.")

    def validate_key(self, field: Field) -> None:
        """A key belongs to an address that is entered with it."""
        if field.data and not (self.address.data or "").strip():
            raise ValidationError("Enter the address too: both are stored together.")
        if field.data and (self.address.data or "").startswith("env:"):
            raise ValidationError("With env:NAME the variable holds the key as well.")

    def secret(self) -> str:
        """Return what is to be sealed; empty if nothing was entered."""
        address, key = (self.address.data or "").strip(), (self.key.data or "").strip()
        return f"{address} {key}" if address and key and self.kind.data == WEBHOOK else address
