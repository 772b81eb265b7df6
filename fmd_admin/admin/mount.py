"""Puts the panel below a prefix of the host's URLs, as a WSGI wrapper around the host."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..errors import BindError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication


class Mount:
    """Hands requests at or below ``prefix`` to ``panel_app``, all others to ``wsgi_app``.

    Every request of the host passes here, so the way to it is short: one lookup and one
    comparison. The panel gets a copy of the environment, for the host's must stay as it is.
    """

    def __init__(self, wsgi_app: WSGIApplication, prefix: str, panel_app: WSGIApplication) -> None:
        """``prefix`` may have several segments ("tools/dashboard"). Raises BindError for none."""
        path = "/" + prefix.strip("/")
        if path == "/":
            raise BindError(
                "The panel cannot be mounted at the root: it would hide the host. Set LINK."
            )
        #: What lies below, under the name that middlewares use, so that others find their way.
        self.wsgi_app = wsgi_app
        # WSGI carries the bytes of a path as latin-1 text.
        self._prefix = path.encode().decode("latin-1")
        self._panel_app = panel_app

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path.startswith(self._prefix):
            rest = path[len(self._prefix) :]
            if not rest or rest[0] == "/":
                return self._panel_app(self._below(environ, rest), start_response)
        return self.wsgi_app(environ, start_response)

    def _below(self, environ: dict[str, Any], rest: str) -> dict[str, Any]:
        inner = environ.copy()
        script = environ.get("SCRIPT_NAME", "") + self._prefix
        # Two slashes would make a host of the first segment in our redirects.
        inner["SCRIPT_NAME"] = "/" + script.lstrip("/")
        inner["PATH_INFO"] = rest
        # The host's request object must not be taken for the panel's.
        inner.pop("werkzeug.request", None)
        return inner
