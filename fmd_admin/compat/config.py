"""``dashboard.config`` of Flask-MonitoringDashboard: settings as attributes, and its file."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from weakref import ReferenceType

from flask import Flask

from .. import settings
from ..errors import SettingsError
from ..extension import FMDAdmin
from ..fmd_config import (
    DROPPED,
    check_table_prefix,
    sampling_period_ms,
    warn_dropped,
)
from ..jobs.graphs import Graphs

#: Attributes of Flask-MonitoringDashboard's config under the setting they are here.
_ATTRIBUTES = {"version": "app_version", "database_name": "database"}
_PLAIN = frozenset({"group_by", "get_ip", "auth"})
#: It is in seconds there, though the file has milliseconds.
_SAMPLING = "sampling_period"
#: Lists there, texts with commas in the file and here.
_LISTS = frozenset({"alert_type", "smtp_to"})


@dataclass
class _State:
    """What was set so far. ``graphs`` are shared by all that are bound, before and after."""

    file: str | None = None
    variable: str | None = None
    from_file: dict[str, Any] = field(default_factory=dict)
    code: dict[str, Any] = field(default_factory=dict)
    unused: dict[str, Any] = field(default_factory=dict)
    graphs: FMDAdmin = field(default_factory=FMDAdmin)
    waiting: list[Callable[[FMDAdmin], None]] = field(default_factory=list)
    bound: FMDAdmin | None = None
    scheduled: bool = True
    app: ReferenceType[Flask] | None = None


class DashboardConfig:
    """Settings as attributes: ``config.monitor_level = 2``, ``config.group_by = …``.

    They are taken over by ``bind``. Names of fmd_admin's own settings work too. What has no
    counterpart is kept and warned of. Raises SettingsError for an unknown name or a bad value.
    """

    group_by: Any
    get_ip: Callable[[], str | None] | None
    #: Not of the old product: see :class:`fmd_admin.FMDAdmin`.
    auth: Callable[[], Any] | None
    _state: _State

    def __init__(self) -> None:
        self.__dict__.update(_state=_State(), group_by=None, get_ip=None, auth=None)

    @property
    def app(self) -> Flask | None:
        """The app that was bound last, None before."""
        reference = self._state.app
        return None if reference is None else reference()

    def init_from(
        self,
        file: str | os.PathLike[str] | None = None,
        envvar: str | None = None,
        log_verbose: bool = False,  # noqa: ARG002 - part of the signature users have
    ) -> None:
        """Read settings from an INI file; it replaces attributes that were set before.

        ``envvar`` names an environment variable that holds the file's path; it wins over
        ``file`` where it is set. Raises SettingsError if neither gives a path, and for what is
        wrong in the file.
        """
        path = os.environ.get(envvar) if envvar else None
        path = path or (os.fspath(file) if file else None)
        if not path:
            raise SettingsError(
                "config.init_from needs a file: "
                + (f"the environment variable {envvar} is not set. Set it, or " if envvar else "")
                + "pass file='/path/to/config.cfg'."
            )
        with warnings.catch_warnings():
            # Binding says them.
            warnings.simplefilter("ignore")
            loaded = settings.load(file=path, environ={})
        found = {name for name, source in loaded.sources.items() if source == "file"}
        state = self._state
        state.file, state.variable = path, envvar
        state.from_file = {name: getattr(loaded.values, name.lower()) for name in found}
        state.code = {name: value for name, value in state.code.items() if name not in found}

    def inject_dependencies(self, get_ip: Callable[[], str | None] | None = None) -> None:
        """Set the function that gives the address of the current request's client."""
        if get_ip:
            self.get_ip = get_ip

    def __setattr__(self, name: str, value: Any) -> None:
        source = f"dashboard.config.{name}"
        if name in _PLAIN:
            self.__dict__[name] = value
            return
        unset = name.upper() not in settings.TABLE
        if unset and name.upper() in DROPPED:
            self._keep_unused(name, value, source)
            return
        if name == _SAMPLING:
            row = settings.spec("SAMPLING_PERIOD_MS")
            value = sampling_period_ms(float(value) * 1000, source)
        else:
            row = settings.spec(_ATTRIBUTES.get(name, name), source)
        if row.name == "TIMEZONE":
            # pytz and zoneinfo have its name in an attribute.
            value = getattr(value, "zone", None) or getattr(value, "key", None) or value
        if row.name == "APP_VERSION" and isinstance(value, (int, float)):
            value = str(value)
        if value is None and row.default == "":
            value = ""
        if name in _LISTS and not isinstance(value, str):
            value = ",".join(map(str, value))
        if name == "smtp_port":
            value = str(value)
        row.parse(value, source)
        self._state.code[row.name] = value

    def _keep_unused(self, name: str, value: Any, source: str) -> None:
        if name == "table_prefix":
            check_table_prefix(str(value), source)
        warn_dropped(name.upper(), value, source)
        self._state.unused[name] = value

    def __getattr__(self, name: str) -> Any:
        state: _State = self.__dict__["_state"]
        if name == _SAMPLING:
            return self.sampling_period_ms / 1000
        key = _ATTRIBUTES.get(name, name).upper()
        if key in settings.TABLE:
            default = settings.TABLE[key].default
            value = state.code.get(key, state.from_file.get(key, default))
            return value.split(",") if name in _LISTS and value else value
        if key in DROPPED:
            return state.unused.get(name, DROPPED[key].default)
        raise AttributeError(name)

    def extension(self, *, schedule: bool = True, panel: bool = True) -> FMDAdmin:
        """Return a new extension with everything that was set so far.

        Without ``schedule`` it has no custom graphs and no pruning schedules, now or later.
        """
        state = self._state
        made = FMDAdmin(
            settings=state.code if panel else {**state.code, "PANEL": False},
            group_by=self.group_by,
            get_ip=self.get_ip,
            config_file=state.file,
            auth=self.auth,
        )
        if state.variable:
            # Its name may begin as those of our settings do.
            made.no_settings = (state.variable,)
        made.graphs = state.graphs.graphs if schedule else Graphs()
        if schedule:
            for call in state.waiting:
                call(made)
        state.bound, state.scheduled = made, schedule
        return made

    def remember(self, app: Flask) -> None:
        """Note the app that was bound."""
        self._state.app = ReferenceType(app)

    @property
    def bound(self) -> FMDAdmin | None:
        """The extension that was bound last, if one was."""
        return self._state.bound

    def add_graph(
        self, title: str, func: Callable[[], Any], trigger: Any = "interval", **schedule: Any
    ) -> None:
        """Add a custom graph to everything that is or will be bound."""
        self._state.graphs.add_graph(title, func, trigger, **schedule)

    def when_bound(self, call: Callable[[FMDAdmin], None]) -> None:
        """Call with the app's extension: now if it is bound, else with all that are bound later.

        Without an app that has schedules, ``call`` is tried at once on one of nobody, so that
        faults show where they are.
        """
        state = self._state
        if state.bound is not None and state.scheduled:
            call(state.bound)
            return
        call(FMDAdmin())
        if state.bound is None:
            state.waiting.append(call)
