"""Flask-MonitoringDashboard's config.cfg: what its keys are called here, and which have no use."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import SettingsError


@dataclass(frozen=True)
class Dropped:
    """A key without a counterpart: its default there, and what to do instead of setting it."""

    default: object
    instead: str


#: Keys that have another name here.
ALIASES: Mapping[str, str] = {"CUSTOM_LINK": "LINK"}
#: Those of the section [alerting]; its other keys are called the same.
ALERTING: Mapping[str, str] = {"ENABLED": "ALERT_ENABLED", "TYPE": "ALERT_TYPE"}
#: Keys without a counterpart. Nothing is lost, and nothing said, where one has its default.
DROPPED: Mapping[str, Dropped] = {
    "BLUEPRINT_NAME": Dropped("dashboard", "link to the panel's address; it is no blueprint"),
    "ENABLE_LOGGING": Dropped(False, "configure the logger 'fmd_admin' with logging"),
    "SHOW_LOGIN_BANNER": Dropped(True, "nothing: the login page has no banner"),
    "SHOW_LOGIN_FOOTER": Dropped(True, "nothing: the login page has no link to documentation"),
    "SECURITY_TOKEN": Dropped(
        "cc83733cb0af8b884ff6577086b87909",
        "log in: each page has its data as JSON and CSV, and none of it is open to a shared token",
    ),
    "GUEST_USERNAME": Dropped("", "make a viewer on the page Users or with flask fmd create-user"),
    "GUEST_PASSWORD": Dropped("", "make a viewer on the page Users or with flask fmd create-user"),
    "TABLE_PREFIX": Dropped(
        "", "nothing: all tables begin with fmd_; flask fmd import-fmd reads the old ones"
    ),
    "COLORS": Dropped("{}", "nothing: colours follow the theme"),
}
#: Both give the time between two samples in ms: one is documented, the other is read.
SAMPLING = ("SAMPLING_PERIOD", "SAMPLING_RATE")
_SHORTEST_PERIOD_MS = 1.0


@dataclass(frozen=True)
class ConfigLine:
    """A line of a config file: its section, key and text, and the file it stands in."""

    path: Path
    section: str
    key: str
    text: str

    @property
    def source(self) -> str:
        """Where the line stands, as errors name it."""
        return f"{self.path} [{self.section}]"


def translated(line: ConfigLine) -> tuple[str, object] | None:
    """Return the name and value of a setting, or None where the line says nothing to us.

    What is left out is warned of. Raises SettingsError for a prefix under which the old tables
    would be taken for ours.
    """
    name = ALIASES.get(line.key, line.key)
    if line.section.lower() == "alerting":
        name = ALERTING.get(line.key, line.key)
    if name == "TABLE_PREFIX":
        check_table_prefix(line.text, line.source)
    if name in SAMPLING:
        return "SAMPLING_PERIOD_MS", sampling_period_ms(line.text, f"{name} in {line.source}")
    if name == "GIT" and line.text:
        return _git(line)
    if name in DROPPED:
        warn_dropped(name, line.text, f"{name} in {line.source}")
        return None
    return name, line.text


def warn_dropped(name: str, value: object, place: str) -> None:
    """Warn of a key that has no use here, unless it has the value it has anyway."""
    dropped = DROPPED[name]
    if str(value) != str(dropped.default):
        warnings.warn(
            f"{place} is not used by fmd_admin. Instead: {dropped.instead}.", stacklevel=3
        )


def check_table_prefix(prefix: str, place: str) -> None:
    """Raise SettingsError for a prefix that makes the old tables' names those of ours."""
    if prefix.strip().lower() == "fmd_":
        raise SettingsError(
            f"TABLE_PREFIX from {place} is {prefix!r}: with it Flask-MonitoringDashboard's tables "
            "have the names of fmd_admin's where a database ignores case. Set DATABASE to a new "
            "one, leave TABLE_PREFIX out, and bring the old data over with flask fmd import-fmd."
        )


def sampling_period_ms(value: object, place: str) -> object:
    """Return the setting for a time between samples in ms; not shorter than we can."""
    try:
        period_ms = float(str(value))
    except ValueError:
        return value  # The table of settings refuses it, and says what is allowed.
    if period_ms < _SHORTEST_PERIOD_MS:
        warnings.warn(
            f"{place} is {period_ms:g} ms. fmd_admin samples every {_SHORTEST_PERIOD_MS:g} ms at "
            "most.",
            stacklevel=3,
        )
        return _SHORTEST_PERIOD_MS
    return period_ms


def _git(line: ConfigLine) -> tuple[str, object] | None:
    """The folder is relative to the file, or to where the process runs."""
    beside = line.path.parent / line.text
    if beside.exists():
        return "GIT", str(beside)
    if Path(line.text).exists() or line.section.lower() != "dashboard":
        return "GIT", line.text
    warnings.warn(
        f"GIT in {line.source} is {line.text!r}, which does not exist, so that APP_VERSION counts. "
        "Mend the path, or leave it out.",
        stacklevel=2,
    )
    return None
