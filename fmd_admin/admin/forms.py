"""The forms of login, account, users and settings.

They carry no token of their own: CSRFProtect checks every request that changes something.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask import request
from wtforms import BooleanField, Field, Form, PasswordField, SelectField, StringField
from wtforms.validators import EqualTo, InputRequired, Length, Optional, ValidationError
from wtforms.widgets import NumberInput

from ..errors import SettingsError
from ..setting_specs import Spec
from ..settings import TABLE, Settings
from ..store.accounts import ROLES, VIEWER
from ..store.passwords import LONGEST_PASSWORD, LONGEST_USERNAME, SHORTEST_PASSWORD

PASSWORD_HELP = (
    f"At least {SHORTEST_PASSWORD} characters; not the user name, and none of the well-known ones."
)
_NEW = {"autocomplete": "new-password", "maxlength": LONGEST_PASSWORD}
_CURRENT = {"autocomplete": "current-password"}
_NAME = {"autocapitalize": "none", "spellcheck": "false", "maxlength": LONGEST_USERNAME}


def submitted() -> Any:
    """Return what the request sends, None if it sends no form.

    To an empty one, boxes would seem to be unchecked.
    """
    return request.form if request.method == "POST" else None


def _choices(names: Sequence[str]) -> Any:
    # As plain strings: WTForms warns of tuples, and before 3.3 it has nothing else.
    return list(names)


class LoginForm(Form):
    """User name and password; ``next`` is checked where it is used."""

    username = StringField(
        "User name",
        [
            InputRequired("Enter your user name."),
            Length(max=LONGEST_USERNAME, message="No user name is as long."),
        ],
        render_kw={**_NAME, "autocomplete": "username"},
    )
    password = PasswordField(
        "Password",
        [
            InputRequired("Enter your password."),
            Length(max=LONGEST_PASSWORD, message="No password is as long."),
        ],
        render_kw=_CURRENT,
    )


class OwnPasswordForm(Form):
    """Change of one's own password."""

    current = PasswordField(
        "Current password", [InputRequired("Enter your current password.")], render_kw=_CURRENT
    )
    password = PasswordField(
        "New password",
        [InputRequired("Enter the new password.")],
        description=PASSWORD_HELP,
        render_kw=_NEW,
    )
    again = PasswordField(
        "New password again",
        [EqualTo("password", "The two new passwords differ. Enter the same one twice.")],
        render_kw=_NEW,
    )


class NewUserForm(Form):
    """A new account."""

    username = StringField(
        "User name",
        [InputRequired("Enter a user name.")],
        render_kw={**_NAME, "autocomplete": "off"},
    )
    role = SelectField(
        "Role",
        choices=_choices(ROLES),
        default=VIEWER,
        description="Viewers look at everything; admins also change and delete.",
    )
    password = PasswordField(
        "Password",
        [InputRequired("Enter a password.")],
        description=PASSWORD_HELP,
        render_kw=_NEW,
    )


class UserForm(Form):
    """Changes of an account."""

    role = SelectField(
        "Role",
        choices=_choices(ROLES),
        description="Viewers look at everything; admins also change and delete.",
    )
    active = BooleanField(
        "Active", description="An account that is not active cannot log in; its sessions end."
    )
    password = PasswordField(
        "New password",
        [Optional()],
        description=f"Leave it empty to keep the current one. {PASSWORD_HELP}",
        render_kw=_NEW,
    )


class Allowed:
    """Accepts what a setting allows; the message names the setting and the allowed values."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec

    def __call__(self, form: Any, field: Field) -> None:  # noqa: ARG002
        try:
            self.spec.parse(field.data, "this form")
        except SettingsError as error:
            raise ValidationError(str(error)) from None


def runtime_specs() -> list[Spec]:
    """Return the settings that may change at run time, in the order of the table."""
    return [spec for spec in TABLE.values() if spec.runtime]


def settings_form(current: Settings) -> Form:
    """Return a form with a field for every run-time setting, under the setting's name.

    It shows ``current``, or what the request sends.
    """
    fields = {spec.name: _field(spec) for spec in runtime_specs()}
    form_class = type("SettingsForm", (Form,), fields)
    data = {name: getattr(current, name.lower()) for name in fields}
    form: Form = form_class(submitted(), data=data)
    return form


def as_text(value: Any) -> str:
    """Return a setting's value as it is saved: ``Spec.parse`` gives the value back."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _field(spec: Spec) -> Any:
    common: dict[str, Any] = {
        "label": spec.name,
        "validators": [Allowed(spec)],
        "description": f"{spec.help} Allowed: {spec.allowed}.",
    }
    if spec.type is bool:
        return BooleanField(**common)
    if spec.choices:
        # Allowed's message says more than that of the field itself.
        return SelectField(choices=_choices(spec.choices), validate_choice=False, **common)
    if spec.type in (int, float):
        step = 1 if spec.type is int else "any"
        return StringField(widget=NumberInput(step=step), **common)
    return StringField(**common)
