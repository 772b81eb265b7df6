"""Flask-MonitoringDashboard's module-level face: ``import fmd_admin as dashboard``.

A thin layer over :class:`FMDAdmin`. ``config`` only collects what the host sets before
``bind(app)``; nothing happens until then.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from flask import Flask

from ..errors import SettingsError
from ..extension import FMDAdmin, capture_in, of_context
from ..settings import TABLE, spec

#: Attributes of Flask-MonitoringDashboard's config under the setting they are here.
_ATTRIBUTES = {"version": "app_version", "database_name": "database"}
_OWN = ("group_by", "get_ip")


class DashboardConfig:
    """Settings as attributes: ``config.monitor_level = 2``, ``config.group_by = …``."""

    group_by: Any
    get_ip: Callable[[], str | None] | None
    _graphs: FMDAdmin

    def __init__(self) -> None:
        object.__setattr__(self, "_file", None)
        object.__setattr__(self, "_code", {})
        # Never bound: it keeps the graphs for all that are, whether added before or after.
        object.__setattr__(self, "_graphs", FMDAdmin())
        object.__setattr__(self, "group_by", None)
        object.__setattr__(self, "get_ip", None)
        object.__setattr__(self, "_bound", None)
        object.__setattr__(self, "_waiting", [])

    def init_from(
        self,
        file: str | os.PathLike[str] | None = None,
        envvar: str | None = None,
        log_verbose: bool = False,  # noqa: ARG002 - part of the signature users have
    ) -> None:
        """Read settings from an INI file when the app is bound.

        ``envvar`` names an environment variable that holds the file's path; it wins over
        ``file`` where it is set. Raises SettingsError if neither gives a path.
        """
        path = os.environ.get(envvar) if envvar else None
        path = path or (os.fspath(file) if file else None)
        if not path:
            raise SettingsError(
                "config.init_from needs a file: "
                + (f"the environment variable {envvar} is not set. Set it, or " if envvar else "")
                + "pass file='/path/to/config.cfg'."
            )
        object.__setattr__(self, "_file", path)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _OWN:
            object.__setattr__(self, name, value)
            return
        row = spec(_ATTRIBUTES.get(name, name), f"dashboard.config.{name}")
        row.parse(value, f"dashboard.config.{name}")
        self._code[row.name] = value

    def __getattr__(self, name: str) -> Any:
        key = _ATTRIBUTES.get(name, name).upper()
        if key not in TABLE:
            raise AttributeError(name)
        code: dict[str, Any] = self.__dict__["_code"]
        return code.get(key, TABLE[key].default)

    def extension(self) -> FMDAdmin:
        """Return a new extension with everything that was set so far."""
        made = FMDAdmin(
            settings=self._code,
            group_by=self.group_by,
            get_ip=self.get_ip,
            config_file=self._file,
        )
        made.graphs = self._graphs.graphs
        for call in self._waiting:
            call(made)
        object.__setattr__(self, "_bound", made)
        return made

    @property
    def bound(self) -> FMDAdmin | None:
        """The extension that was bound last, if one was."""
        found: FMDAdmin | None = self._bound
        return found

    def add_graph(
        self, title: str, func: Callable[[], Any], trigger: Any = "interval", **schedule: Any
    ) -> None:
        """Add a custom graph to everything that is or will be bound."""
        self._graphs.add_graph(title, func, trigger, **schedule)

    def when_bound(self, call: Callable[[FMDAdmin], None]) -> None:
        """Call with the app's extension: now if it is bound, else with all that are bound later.

        Without an app, ``call`` is tried at once on one of nobody, so that faults show where
        they are.
        """
        if self._bound is not None:
            call(self._bound)
            return
        call(FMDAdmin())
        self._waiting.append(call)


#: What the host sets before it binds.
config = DashboardConfig()


def bind(app: Flask) -> FMDAdmin:
    """Bind the panel to ``app`` with what :data:`config` holds."""
    extension = config.extension()
    extension.init_app(app)
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
