"""Puts a WSGI wrapper directly around a Flask app, below its other middlewares.

There the client address, scheme and prefix are what the host sees (after its ProxyFix), whether
the middlewares were added before or after us.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flask import Flask

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

_MAX_LAYERS = 64


def wrap_innermost(app: Flask, wrap: Callable[[WSGIApplication], WSGIApplication]) -> bool:
    """Replace ``app``'s own WSGI callable by ``wrap(callable)``; return whether it was innermost.

    Middlewares keep the callable below in an attribute, under any name: the chain is followed
    down to the app's own. Where a layer hides it (in a closure), the outside is wrapped.
    """
    layer: Any = app
    attribute = "wsgi_app"
    for _ in range(_MAX_LAYERS):
        below = getattr(layer, attribute)
        # The host may have put another method of the app there, but not into middlewares.
        if _is_own(app, below) or (layer is app and getattr(below, "__self__", None) is app):
            setattr(layer, attribute, wrap(below))
            return True
        found = _next_layer(app, below)
        if found is None:
            break
        layer, attribute = below, found
    # mypy takes Flask.wsgi_app for a method that cannot be replaced; Flask documents it.
    app.wsgi_app = wrap(app.wsgi_app)  # type: ignore[method-assign,assignment]
    return False


def _is_own(app: Flask, candidate: Any) -> bool:
    """Tell whether it is the app's WSGI callable: middlewares keep other methods of it too."""
    if getattr(candidate, "__self__", None) is not app:
        return False
    function = getattr(candidate, "__func__", None)
    # Of a base class where an override hands that to a middleware; equal where a tracer wraps it.
    return any("wsgi_app" in vars(k) and vars(k)["wsgi_app"] == function for k in type(app).__mro__)


def _next_layer(app: Flask, layer: Any) -> str | None:
    """Return the attribute of ``layer`` that leads on: the app's own callable, or a middleware."""
    try:
        attributes: dict[str, Any] = vars(layer)
    except TypeError:
        return None
    for name, value in attributes.items():
        if _is_own(app, value):
            return name
    for name, value in attributes.items():
        if name.lstrip("_") in {"app", "wsgi_app", "application", "wrapped"} and callable(value):
            return name
    return None
