"""Leads from the addresses of Flask-MonitoringDashboard's pages to ours."""

from __future__ import annotations

from collections.abc import Callable

from flask import Flask, current_app, redirect
from werkzeug.wrappers import Response

from ..store.imports import endpoint_of
from .context import current_panel
from .links import panel_url

#: Its page → our views, the first that there is.
_PAGES = {
    "hourly_load": ("hourly.index",),
    "multi_version": ("multi_version.index",),
    "daily_utilization": ("daily.index",),
    "api_performance": ("performance.index",),
    "exception_overview": ("exceptions.index", "overview.index"),
    "exceptions": ("exceptions.index", "overview.index"),
    "configuration": ("settings.index",),
    "alerting_settings": ("alerts.index", "settings.index"),
    "database_management": ("system.index",),
}
_OF_ENDPOINT = {
    "hourly_load": ("hourly.index",),
    "version_user": ("user_versions.index",),
    "version_ip": ("ip_versions.index",),
    "status_code_distribution": ("status_codes.index",),
    "exceptions": ("exceptions.index", "summary.index"),
}


def init_old_pages(app: Flask) -> None:
    """Register the old addresses that no page of ours has. To be called after all pages."""
    taken = {rule.rule for rule in app.url_map.iter_rules()}
    rules = {f"/{page}": views for page, views in _PAGES.items()}
    rules |= {f"/endpoint/<int:endpoint_id>/{page}": views for page, views in _OF_ENDPOINT.items()}
    for number, (rule, views) in enumerate(rules.items()):
        if rule not in taken:
            app.add_url_rule(rule, f"old_page_{number}", _leader(views), methods=["GET"])


def _leader(views: tuple[str, ...]) -> Callable[..., Response]:
    def lead(endpoint_id: int | None = None) -> Response:
        return _lead(views, endpoint_id)

    return lead


def _lead(views: tuple[str, ...], endpoint_id: int | None) -> Response:
    view = next(view for view in views if view in current_app.view_functions)
    if endpoint_id is None:
        return redirect(panel_url(view))
    # In an old address the number is an old one, if any was brought over.
    with current_panel().store.read() as connection:
        known = endpoint_of(connection, endpoint_id)
    return redirect(panel_url(view, endpoint_id=endpoint_id if known is None else known))
