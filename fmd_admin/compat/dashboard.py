"""Flask-MonitoringDashboard's module-level face: ``import fmd_admin as dashboard``.

A thin layer over :class:`FMDAdmin`. ``config`` only collects what the host sets before
``bind(app)``; nothing happens until then.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Flask

from ..extension import FMDAdmin, capture_in, of_context
from .config import DashboardConfig
from .old_links import lead_old_links

#: What the host sets before it binds.
config = DashboardConfig()
#: For hosts that exempt it from their CSRF protection. It is never registered, and need not be
#: exempt: the panel lies below the host, with a protection of its own.
blueprint = Blueprint("dashboard", __name__)


def bind(app: Flask, schedule: bool = True, include_dashboard: bool = True) -> FMDAdmin:
    """Bind the panel to ``app`` with what :data:`config` holds.

    Without ``schedule`` this process runs no custom graphs and no pruning schedules. Without
    ``include_dashboard`` it only measures. Raises BindError if it is bound already, and
    SettingsError for what is not allowed.
    """
    extension = config.extension(schedule=schedule, panel=include_dashboard)
    monitor = extension.init_app(app)
    config.remember(app)
    if not schedule:
        warnings.warn(
            "bind(schedule=False): custom graphs and pruning schedules do not run in this process. "
            "fmd_admin runs each of them in one process of all, so leave schedule=False out unless "
            "none shall run them.",
            stacklevel=2,
        )
    lead_old_links(app, monitor.mount, config.blueprint_name)
    return extension


def add_graph(
    title: str, func: Callable[[], Any], trigger: Any = "interval", **schedule: Any
) -> None:
    """Keep the number that ``func`` gives over time: see :meth:`FMDAdmin.add_graph`.

    May be called before or after :func:`bind`.
    """
    config.add_graph(title, func, trigger, **schedule)


def capture(error: BaseException) -> None:
    """Record an exception that the app handles: see :meth:`FMDAdmin.capture`."""
    monitor = of_context()
    if monitor is None and config.bound is not None:
        config.bound.capture(error)
    else:
        capture_in(monitor, error)


#: Its name in Flask-MonitoringDashboard's documentation; in its code it is ``capture``.
capture_exception = capture


def add_database_pruning_schedule(
    weeks_to_keep: int, delete_custom_graph_data: bool = False, **schedule: Any
) -> None:
    """Delete old data on a schedule: :meth:`FMDAdmin.add_database_pruning_schedule`.

    May be called before or after ``bind``.
    """
    config.when_bound(
        lambda extension: extension.add_database_pruning_schedule(
            weeks_to_keep, delete_custom_graph_data, **schedule
        )
    )
