"""Who the host says its current user is, so that nobody has to log in twice."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any
from weakref import ReferenceType

from flask import Flask
from flask_login import UserMixin

from ..errors import SettingsError
from ..store.accounts import ROLES, Account
from .mount import HOST_PATHS

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

#: What belongs to a body, which the host must not read.
_OF_BODY = ("CONTENT_TYPE", "CONTENT_LENGTH", "HTTP_TRANSFER_ENCODING", "werkzeug.request")


class HostUser(UserMixin):
    """A user of the host's who may enter the panel; has no account here."""

    by_host = True

    def __init__(self, username: str, role: str) -> None:
        now = datetime.now(timezone.utc)
        self.account = Account(0, username, role, True, "", now, None)
        self.username = username
        self.role = role
        self.is_admin = self.account.is_admin

    def get_id(self) -> str:
        return "0"


class Refused:
    """A user of the host's who may not enter the panel."""


class HostUsers:
    """Asks the host's ``auth`` within a request context of the host. A fault of it denies."""

    def __init__(
        self,
        host: ReferenceType[Flask],
        auth: Callable[[], Any],
        report: Callable[[str], None],
    ) -> None:
        self._host = host
        self._auth = auth
        self._report = report

    def find(self, environ: WSGIEnvironment) -> HostUser | Refused | None:
        """Return who the host says sends this request of the panel; None for nobody."""
        host = self._host()
        if host is None:
            return Refused()
        try:
            with host.request_context(_of_host(environ)):
                return _user(self._auth())
        except Exception:  # noqa: BLE001 - counted, and logged once
            self._report("auth")
            return Refused()


def _of_host(environ: WSGIEnvironment) -> WSGIEnvironment:
    """Return the environment as the host would see it: a GET without a body."""
    copy = dict(environ)
    for name in _OF_BODY:
        copy.pop(name, None)
    script, path = copy.pop(HOST_PATHS, (copy.get("SCRIPT_NAME", ""), copy.get("PATH_INFO", "")))
    copy.update(SCRIPT_NAME=script, PATH_INFO=path, REQUEST_METHOD="GET")
    copy["wsgi.input"] = io.BytesIO()
    return copy


def _user(answer: Any) -> HostUser | Refused | None:
    if answer is None:
        return None
    if answer is False:
        return Refused()
    name, role = answer if isinstance(answer, tuple) else ("", answer)
    if role not in ROLES or not isinstance(name, str):
        raise SettingsError(
            f"auth returned {answer!r}; allowed: None, False, 'viewer', 'admin', or a pair of the "
            "user's name and one of these roles."
        )
    return HostUser(name or f"{role} of the application", role)
