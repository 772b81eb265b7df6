"""FMDAdmin: binds a monitor to a host app, and is what the host talks to."""

from __future__ import annotations

import logging
import os
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from flask import Flask, current_app, has_app_context

from . import settings as settings_table
from .errors import BindError
from .jobs.graphs import Graphs
from .jobs.pruning import pruning_schedule
from .monitor import Monitor
from .store.store import Store

if TYPE_CHECKING:
    from flask_admin import Admin

logger = logging.getLogger("fmd_admin")

EXTENSION = "fmd_admin"
_Function = TypeVar("_Function", bound=Callable[[], Any])


class FMDAdmin:
    """Binds the admin panel to a Flask app: ``FMDAdmin(app)``, or ``init_app(app)`` later.

    ``settings`` maps names of the settings table to values and wins over file, environment and
    ``app.config``. ``group_by`` is what requests are grouped under, mostly a function that gives
    the current user's name; ``get_ip`` replaces REMOTE_ADDR. ``config_file`` (or the environment's
    FMD_CONFIG) is an INI file of settings. ``auth`` says who the host's current user is, in a
    request of the host's: None for nobody, who is asked to log in to the panel, False for a user
    who may not enter, "viewer", "admin", or a pair of a name and a role. Raises SettingsError for
    what is not allowed.
    """

    def __init__(
        self,
        app: Flask | None = None,
        *,
        settings: Mapping[str, Any] | None = None,
        group_by: Any = None,
        get_ip: Callable[[], str | None] | None = None,
        config_file: str | os.PathLike[str] | None = None,
        auth: Callable[[], Any] | None = None,
    ) -> None:
        self.settings = dict(settings or {})
        self.group_by = group_by
        self.get_ip = get_ip
        self.auth = auth
        self.config_file = config_file
        #: Variables of the environment whose names only look like those of settings.
        self.no_settings: tuple[str, ...] = ()
        #: The custom graphs; those of another FMDAdmin may take their place before init_app.
        self.graphs = Graphs()
        self._monitors: weakref.WeakKeyDictionary[Flask, Monitor] = weakref.WeakKeyDictionary()
        self._pruning: list[tuple[int, bool, dict[str, Any]]] = []
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> Monitor:
        """Bind to ``app``; may be called for several apps, which stay apart."""
        if EXTENSION in app.extensions:
            raise BindError(
                f"fmd_admin is bound to {app.name!r} already. Bind it once: either FMDAdmin(app) "
                "or init_app(app)."
            )
        loaded = settings_table.load(
            file=self.config_file or os.environ.get("FMD_CONFIG"),
            app_config=app.config,
            code=self.settings,
            no_settings=self.no_settings,
        )
        monitor = Monitor(
            app,
            loaded,
            group_by=self.group_by,
            get_ip=self.get_ip,
            graphs=self.graphs,
            auth=self.auth,
        )
        app.extensions[EXTENSION] = monitor
        self._monitors[app] = monitor
        for weeks, with_graph_values, cron in self._pruning:
            monitor.jobs.add_pruning_schedule(weeks, with_graph_values, cron)
        return monitor

    def add_graph(
        self, title: str, func: Callable[[], Any], trigger: Any = "interval", **schedule: Any
    ) -> None:
        """Keep the number that ``func`` gives over time, and show it under Custom graphs.

        ``trigger`` is "cron" with singular fields (``minute=0``), "interval" with plural ones
        (``minutes=5``), or an APScheduler trigger object. May be called before or after
        ``init_app``, and counts for every app that is bound. ``func`` is called without
        arguments in the app's context, outside of any request, in one process of all. Raises
        GraphError for a schedule, title or function that cannot be.
        """
        self.graphs.add(title, func, trigger, schedule)

    def graph(
        self, title: str, trigger: Any = "interval", **schedule: Any
    ) -> Callable[[_Function], _Function]:
        """Return the decorator of :meth:`add_graph`: ``@fmd.graph("Users", minutes=5)``."""

        def decorate(func: _Function) -> _Function:
            self.add_graph(title, func, trigger, **schedule)
            return func

        return decorate

    def add_database_pruning_schedule(
        self, weeks_to_keep: int, delete_custom_graph_data: bool = False, **cron: Any
    ) -> None:
        """Delete requests, profiles, outliers and exceptions of so many weeks ago, on a schedule.

        ``cron`` are the fields of APScheduler's cron trigger, such as ``day_of_week="sun",
        hour=3``, in the time zone of the settings. ``delete_custom_graph_data`` takes the values
        of custom graphs too. It runs once, however many processes there are. What a schedule
        deletes is left to it, unless its KEEP setting is set as well. Raises ScheduleError.
        """
        pruning_schedule(weeks_to_keep, delete_custom_graph_data, cron)
        self._pruning.append((weeks_to_keep, delete_custom_graph_data, cron))
        for monitor in self._monitors.values():
            monitor.jobs.add_pruning_schedule(weeks_to_keep, delete_custom_graph_data, cron)

    def capture(self, error: BaseException) -> None:
        """Record an exception that the app handles, with the request it happened in.

        ``error`` is what ``except … as error`` gives. To be called in the app's context, or
        anywhere if this is bound to one app only. It never raises.
        """
        monitor = of_context()
        if monitor is None and len(self._monitors) == 1:
            monitor = next(iter(self._monitors.values()))
        capture_in(monitor, error)

    @property
    def admin(self) -> Admin:
        """The panel's ``flask_admin.Admin``: any Flask-Admin view can be added to it."""
        monitors = list(self._monitors.values())
        if len(monitors) != 1:
            raise BindError(
                "This FMDAdmin is bound to no app yet; call init_app(app) first."
                if not monitors
                else "This FMDAdmin is bound to several apps; use "
                'app.extensions["fmd_admin"].admin of the one you mean.'
            )
        return monitors[0].admin


def of(app: Flask) -> Monitor:
    """Return what is bound to ``app``; raise BindError if nothing is."""
    monitor = app.extensions.get(EXTENSION)
    if not isinstance(monitor, Monitor):
        raise BindError(f"fmd_admin is not bound to {app.name!r}. Bind it with: FMDAdmin(app)")
    return monitor


def of_context() -> Monitor | None:
    """Return what is bound to the app in whose context this runs, if there is one."""
    app: Any = current_app._get_current_object() if has_app_context() else None  # type: ignore[attr-defined]
    found = None if app is None else app.extensions.get(EXTENSION)
    return found if isinstance(found, Monitor) else None


def capture_in(monitor: Monitor | None, error: object) -> None:
    """Record ``error`` in ``monitor``; say in the log where there is nothing to record it in."""
    if not isinstance(error, BaseException):
        logger.error(
            "fmd_admin: capture() was given %r, which is no exception. Call it as capture(error) "
            "in 'except Exception as error:'.",
            type(error).__name__,
        )
    elif monitor is None:
        logger.error(
            "fmd_admin: capture() found no app, and %s is not recorded. Call it while a request "
            "is handled, or in 'with app.app_context():'.",
            type(error).__name__,
        )
    else:
        # The host's frame is two calls above: the one of its capture, and this one.
        monitor.exceptions.capture(error, depth=3)


def open_store(values: settings_table.Settings, folder: Path | str | None = None) -> Store:
    """Open the store without a host app, for the command line."""
    return Store(Flask("fmd_admin"), values, folder=None if folder is None else str(folder))
