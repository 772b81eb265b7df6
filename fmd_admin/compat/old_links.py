"""Addresses of Flask-MonitoringDashboard outside of its prefix, and names of its views."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import ref

from flask import Flask, request
from werkzeug.exceptions import HTTPException, NotFound

from ..admin.mount import Mount

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

#: Where its oldest versions had their pages; its documentation still names it.
OLD_PREFIX = "measurements"


def lead_old_links(app: Flask, mount: Mount | None, blueprint_name: str) -> None:
    """Lead ``/measurements/…`` to the panel where the host has no such rule, and ``url_for``.

    ``url_for("dashboard.overview")`` in the host's own pages gives the panel's address.
    """
    if mount is None:
        return
    host = ref(app)

    def is_free(environ: WSGIEnvironment) -> bool:
        found = host()
        return found is not None and _has_no_rule(found, environ)

    mount.lead(OLD_PREFIX, is_free)
    prefix, start = mount.prefix, f"{blueprint_name}."

    def address(error: Exception, endpoint: str, values: dict[str, Any]) -> str:  # noqa: ARG001
        if not endpoint.startswith(start):
            raise error
        view = endpoint.removeprefix(start)
        page = "/login" if view == "login" else "/"
        return (request.script_root if request else "") + prefix + page

    app.url_build_error_handlers.append(address)


def _has_no_rule(app: Flask, environ: WSGIEnvironment) -> bool:
    adapter = app.create_url_adapter(app.request_class(environ, populate_request=False))
    if adapter is None:
        return False
    try:
        adapter.match()
    except NotFound:
        return True
    except HTTPException:
        return False
    return False
