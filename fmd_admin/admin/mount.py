"""Puts the panel below a prefix of the host's URLs, as a WSGI wrapper around the host."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from werkzeug.utils import redirect

from ..errors import BindError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication

#: Where the host's SCRIPT_NAME and PATH_INFO of a request of the panel are kept.
HOST_PATHS = "fmd_admin.host_paths"


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
        #: As it stands in addresses, with the slash at its start.
        self.prefix = path
        # WSGI carries the bytes of a path as latin-1 text.
        self._prefix = path.encode().decode("latin-1")
        #: What all paths begin with that are not simply the host's.
        self._starts: str | tuple[str, ...] = self._prefix
        self._old_prefix = self._prefix
        self._is_free: Callable[[dict[str, Any]], bool] | None = None
        self._panel_app = panel_app

    def lead(self, prefix: str, is_free: Callable[[dict[str, Any]], bool]) -> None:
        """Redirect what lies below another prefix to the panel, where ``is_free`` says so."""
        self._old_prefix = f"/{prefix}"
        self._starts = (self._prefix, self._old_prefix)
        self._is_free = is_free

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path.startswith(self._starts):
            rest = _below(self._prefix, path)
            if rest is not None:
                return self._panel_app(self._moved(environ, rest), start_response)
            rest = _below(self._old_prefix, path)
            if rest is not None and self._leads(environ):
                return redirect(self._address(environ, rest))(environ, start_response)
        return self.wsgi_app(environ, start_response)

    def _leads(self, environ: dict[str, Any]) -> bool:
        if self._is_free is None or environ["REQUEST_METHOD"] not in {"GET", "HEAD"}:
            return False
        return self._is_free(environ)

    def _address(self, environ: dict[str, Any], rest: str) -> str:
        path = environ.get("SCRIPT_NAME", "") + self._prefix + "/" + rest.lstrip("/")
        query = environ.get("QUERY_STRING")
        address = quote(("/" + path.lstrip("/")).encode("latin-1"))
        return f"{address}?{query}" if query else address

    def _moved(self, environ: dict[str, Any], rest: str) -> dict[str, Any]:
        inner = environ.copy()
        script = environ.get("SCRIPT_NAME", "") + self._prefix
        # Two slashes would make a host of the first segment in our redirects.
        inner["SCRIPT_NAME"] = "/" + script.lstrip("/")
        inner["PATH_INFO"] = rest
        inner[HOST_PATHS] = (environ.get("SCRIPT_NAME", ""), environ.get("PATH_INFO", ""))
        # The host's request object must not be taken for the panel's.
        inner.pop("werkzeug.request", None)
        return inner


def _below(prefix: str, path: str) -> str | None:
    """Return what of ``path`` is below ``prefix``; None if it is not at or below it."""
    if not path.startswith(prefix):
        return None
    rest = path[len(prefix) :]
    return rest if not rest or rest[0] == "/" else None
