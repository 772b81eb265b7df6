"""What may change while processes run: levels and saved settings, found by one polled number.

Every change goes through a function here, which raises ``fmd_config.version`` in the same
transaction. Processes read that one row about once a second and reload when it moved.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from ..errors import SettingsError
from ..settings import Loaded, Settings, spec
from . import visitors
from .alert_models import AlertRule
from .exception_models import ExceptionDay, ExceptionRow
from .models import (
    Config,
    Day,
    DayStatus,
    Endpoint,
    Hour,
    HourStatus,
    Outlier,
    OutlierSkipped,
    Profile,
    Request,
    RollupDelta,
    SavedSetting,
    Version,
)

CONFIG_ROW = 1
_TIMEZONE = "_timezone"
#: What is stored of an endpoint and version, and goes with them; visitors besides.
_MEASUREMENTS = (
    *(Request, Profile, Outlier, OutlierSkipped),
    *(RollupDelta, Hour, HourStatus, Day, DayStatus),
    *(ExceptionRow, ExceptionDay),
)


def config_version(connection: Connection) -> int:
    """Return the number that moves with every change of a level, setting or dimension."""
    return connection.scalar(_config_version()) or 0


@cache
def _config_version() -> Select[Any]:
    # Built once: every batch and every second ask for it.
    return select(Config.version).where(Config.id == CONFIG_ROW)


def bump(connection: Connection) -> None:
    """Tell every process that something changed. Part of the transaction that changes it."""
    connection.execute(
        update(Config).where(Config.id == CONFIG_ROW).values(version=Config.version + 1)
    )


def set_levels(connection: Connection, endpoint_ids: Sequence[int], level: int) -> int:
    """Set the monitoring level of endpoints; return how many rows changed."""
    level = spec("MONITOR_LEVEL").parse(level, "the panel")
    changed = connection.execute(
        update(Endpoint).where(Endpoint.id.in_(endpoint_ids)).values(level=level)
    )
    bump(connection)
    return changed.rowcount


def load_levels(connection: Connection) -> dict[str, int]:
    """Return the level of every known endpoint by its name."""
    rows = connection.execute(select(Endpoint.name, Endpoint.level))
    return {row.name: row.level for row in rows}


def saved_settings(connection: Connection) -> dict[str, str]:
    """Return what admins saved in the panel, by setting name; no internal values."""
    rows = connection.execute(select(SavedSetting.name, SavedSetting.value))
    return {name: value for name, value in rows if not name.startswith("_")}


def save_setting(connection: Connection, name: str, text: str, by: str) -> None:
    """Save a run-time setting. Raises SettingsError if the value is not allowed."""
    row = spec(name, "the panel")
    row.parse(text, "the panel")
    if not row.runtime:
        raise row.refusal(text, "the panel, though it may only be set before the start")
    _put(connection, row.name, text, by)
    bump(connection)


def reset_setting(connection: Connection, name: str) -> None:
    """Forget what was saved for a setting: its other sources count again."""
    connection.execute(delete(SavedSetting).where(SavedSetting.name == spec(name).name))
    bump(connection)


def known_value(connection: Connection, name: str) -> str | None:
    """Return the internal value ``name``, None if nobody made it."""
    return connection.scalar(select(SavedSetting.value).where(SavedSetting.name == name))


def internal_value(connection: Connection, name: str, make: Callable[[], str]) -> str:
    """Return the internal value ``name`` (it begins with ``_``), made once for all processes.

    To be called in a write transaction.
    """
    found = known_value(connection, name)
    if found is not None:
        return found
    value = make()
    try:
        with connection.begin_nested():
            _put(connection, name, value, "")
    except IntegrityError:  # Another process made it meanwhile.
        return internal_value(connection, name, make)
    return value


def kept_timezone(connection: Connection) -> str | None:
    """Return the time zone that hours and days are counted in, None before an app has begun."""
    return known_value(connection, _TIMEZONE)


def keep_timezone(connection: Connection, name: str) -> None:
    """Tell panels that run on their own in which time zone the app counts."""
    if kept_timezone(connection) == name:
        return
    try:
        with connection.begin_nested():
            _put(connection, _TIMEZONE, name, "")
    except IntegrityError:
        return  # Another process of the app said it at the same moment.
    bump(connection)


def _put(connection: Connection, name: str, value: str, by: str) -> None:
    now = int(time.time() * 1000)
    values = {"value": value, "changed_at": now, "changed_by": by}
    changed = connection.execute(
        update(SavedSetting).where(SavedSetting.name == name).values(**values)
    )
    if changed.rowcount == 0:
        connection.execute(insert(SavedSetting).values(name=name, **values))


#: By table: the id that all rows are above which are to go.
Above = Mapping[Any, int]


def delete_endpoints(connection: Connection, ids: Sequence[int], above: Above | None = None) -> int:
    """Delete endpoints with all their measurements; return how many endpoints there were.

    ``above`` is what :class:`~fmd_admin.store.emptying.Emptying` left of tables with many rows.
    """
    visitors.forget_endpoints(connection, ids)
    _delete_measurements(connection, "endpoint_id", ids, above or {})
    connection.execute(delete(AlertRule).where(AlertRule.endpoint_id.in_(ids)))
    gone = connection.execute(delete(Endpoint).where(Endpoint.id.in_(ids))).rowcount
    bump(connection)
    return gone


def delete_versions(connection: Connection, ids: Sequence[int], above: Above | None = None) -> int:
    """Delete versions with all their measurements; return how many versions there were.

    ``above`` is as for :func:`delete_endpoints`.
    """
    visitors.forget_versions(connection, ids)
    _delete_measurements(connection, "version_id", ids, above or {})
    gone = connection.execute(delete(Version).where(Version.id.in_(ids))).rowcount
    bump(connection)
    return gone


def _delete_measurements(
    connection: Connection, column: str, ids: Sequence[int], above: Above
) -> None:
    for table in _MEASUREMENTS:
        gone = delete(table).where(getattr(table, column).in_(ids))
        if table in above:
            gone = gone.where(table.id > above[table])
        connection.execute(gone)


def delete_requests(connection: Connection, ids: Sequence[int]) -> int:
    """Delete raw request rows; the rollups keep counting them, as with pruning."""
    return connection.execute(delete(Request).where(Request.id.in_(ids))).rowcount


def delete_profiles(connection: Connection, ids: Sequence[int]) -> int:
    """Delete profiles; the requests they belong to stay."""
    return connection.execute(delete(Profile).where(Profile.id.in_(ids))).rowcount


def delete_exceptions(connection: Connection, ids: Sequence[int]) -> int:
    """Delete stored exceptions; their counts and the requests they belong to stay."""
    return connection.execute(delete(ExceptionRow).where(ExceptionRow.id.in_(ids))).rowcount


def delete_outliers(connection: Connection, ids: Sequence[int]) -> int:
    """Delete outliers; the requests they belong to stay."""
    return connection.execute(delete(Outlier).where(Outlier.id.in_(ids))).rowcount


class LiveConfig:
    """Settings and levels as this process knows them.

    ``refresh`` reloads them when the number in the store moved; the newest state replaces the
    old one as a whole, so that readers never see half of a change.
    """

    def __init__(self, started: Loaded) -> None:
        self._started = started
        self.refused: tuple[str, ...] = ()
        self._version = -1
        self.loaded = started
        self.levels: Mapping[str, int] = {}

    @property
    def values(self) -> Settings:
        """The settings in force now."""
        return self.loaded.values

    def refresh(self, connection: Connection) -> bool:
        """Reload if something changed; return whether it did.

        A saved value that is not allowed (any more) is left out, and said in ``refused``: the
        panel must open, for it is there that it can be mended.
        """
        version = config_version(connection)
        if version == self._version:
            return False
        loaded, refused = self._started, []
        for name, text in saved_settings(connection).items():
            try:
                loaded = loaded.with_saved({name: text})
            except SettingsError as error:
                refused.append(str(error))
        levels = load_levels(connection)
        self.refused = tuple(refused)
        # Levels last: whoever sees new ones finds the settings that belong to them.
        self.loaded = loaded
        self.levels = levels
        self._version = version
        return True

    def forget(self) -> None:
        """Make the next refresh reload in any case."""
        self._version = -1
