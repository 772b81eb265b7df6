"""Headers that every response of the panel carries."""

from __future__ import annotations

from flask import Flask, Response, request

from ..settings import Settings
from .access import STATIC
from .charts import asset_origin

_YEAR_S = 365 * 24 * 3600


def content_security_policy(settings: Settings) -> str:
    """Return the policy: our own files, and scripts from where the charts are loaded."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' {asset_origin(settings)}".rstrip(),
            "style-src 'self'",
            "connect-src 'self'",
            "img-src 'self' data:",
            "font-src 'self'",
            "form-action 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
        )
    )


def init_headers(app: Flask, settings: Settings) -> None:
    """Set the security headers and the caching on every response."""
    policy = content_security_policy(settings)

    def secure(response: Response) -> Response:
        headers = response.headers
        headers["Content-Security-Policy"] = policy
        # No-referrer would break Flask-WTF's check of the origin on https.
        headers["Referrer-Policy"] = "same-origin"
        headers["X-Content-Type-Options"] = "nosniff"
        headers["X-Frame-Options"] = "DENY"
        headers["Cache-Control"] = _caching(response)
        return response

    app.after_request(secure)


def _caching(response: Response) -> str:
    if request.endpoint not in STATIC or response.status_code not in {200, 206, 304}:
        return "no-store"
    if "v" in request.args:
        return f"private, max-age={_YEAR_S}, immutable"
    return "private, no-cache"
