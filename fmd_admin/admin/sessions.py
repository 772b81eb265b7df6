"""The panel's own session cookie, apart from the host's in name, path and key."""

from __future__ import annotations

import hashlib

from flask import Flask, request
from flask.sessions import SecureCookieSessionInterface, SessionMixin

COOKIE = "fmd_session"


class PanelSessions(SecureCookieSessionInterface):
    """Signed cookie sessions whose path and Secure flag follow the request.

    The path is the root the panel is reached at, which a proxy may have moved, so that the
    host's other pages never receive the cookie.
    """

    salt = "fmd_admin session"
    digest_method = staticmethod(hashlib.sha256)

    def get_cookie_name(self, app: Flask) -> str:  # noqa: ARG002
        return COOKIE

    def get_cookie_path(self, app: Flask) -> str:  # noqa: ARG002
        return request.script_root or "/"

    def get_cookie_domain(self, app: Flask) -> str | None:  # noqa: ARG002
        return None

    def get_cookie_secure(self, app: Flask) -> bool:  # noqa: ARG002
        return request.is_secure

    def get_cookie_samesite(self, app: Flask) -> str:  # noqa: ARG002
        return "Lax"

    def get_cookie_httponly(self, app: Flask) -> bool:  # noqa: ARG002
        return True

    def should_set_cookie(self, app: Flask, session: SessionMixin) -> bool:
        # A session slides with each page; files that browsers keep must not carry a cookie.
        if (request.endpoint or "").endswith("static"):
            return session.modified
        return super().should_set_cookie(app, session)
