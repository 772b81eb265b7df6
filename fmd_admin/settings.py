"""The one table of settings, and how their values are found.

Sources, weakest first: default, config file, environment (``FMD_<NAME>``), the host's
``app.config["FMD_<NAME>"]``, code (``FMDAdmin(settings={…})``), and for those that may change at
run time what an admin saved in the panel. A value that is not allowed stops the start.
"""

from __future__ import annotations

import configparser
import dataclasses
import os
import warnings
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import SettingsError
from .fmd_alerting import PLATFORMS, are_types, is_port, problems
from .fmd_config import SAMPLING, ConfigLine, translated
from .patterns import is_patterns, is_rates
from .setting_specs import Spec, choice, days, free_text, is_link, is_zone, number, setting

ENV_PREFIX = "FMD_"


@dataclass(frozen=True)
class Settings:
    """Every setting with its value. Field names are the setting's name in lower case."""

    database: str = setting(
        "sqlite:///fmd_admin.db",
        "Database of the measurements, an SQLAlchemy URL. A relative SQLite file lies in the "
        "host's instance folder.",
        allowed="an SQLAlchemy URL such as sqlite:////var/lib/app/fmd.db",
        secret=True,
        check=lambda v: "://" in v,
    )
    link: str = setting(
        "dashboard",
        "Where the panel is mounted in the host app (the path without the leading slash).",
        allowed="path segments of letters, digits, dots, dashes and underscores",
        check=is_link,
    )
    panel: bool = setting(
        True,
        "Serve the panel in the host app. Off: the app only measures, and the panel runs on its "
        "own, with create_panel().",
        allowed="true or false",
    )
    monitor_level: int = number(
        1, 0, 3, "Level of endpoints that are seen for the first time.", runtime=True
    )
    app_version: str = free_text("Version of the host app that requests are counted under.")
    git: str = setting(
        "",
        "Git work tree or .git folder of the host app; its commit becomes the version. "
        "Wins over APP_VERSION.",
        allowed="an existing folder, or empty",
        check=lambda v: not v or Path(v).exists(),
    )
    ip: str = choice(
        "full",
        ("full", "anonymized", "off"),
        "How client addresses are stored: whole, cut to IPv4 /24 and IPv6 /48, or not at all.",
        runtime=True,
    )
    timezone: str = setting(
        "UTC",
        "Time zone of the pages and of the hours and days that are counted.",
        allowed="an IANA time zone such as Europe/Amsterdam",
        check=is_zone,
    )
    brand_name: str = setting(
        "fmd_admin",
        "Name at the top of the menu.",
        runtime=True,
        allowed="1 to 40 printable characters",
        check=lambda v: 1 <= len(v) <= 40 and v.isprintable(),
    )
    title_name: str = setting(
        "",
        "Name in the title of the browser's window. Empty: BRAND_NAME.",
        runtime=True,
        allowed="at most 80 printable characters",
        check=lambda v: len(v) <= 80 and (not v or v.isprintable()),
    )
    description: str = setting(
        "",
        "A line below the name on the login page.",
        runtime=True,
        allowed="at most 200 printable characters",
        check=lambda v: len(v) <= 200 and (not v or v.isprintable()),
    )
    default_range: str = choice(
        "7d", ("1h", "24h", "7d", "30d"), "Time range of a page opened without one.", runtime=True
    )
    page_size: int = number(50, 10, 500, "Rows on a page of a table.", runtime=True)
    flush_interval_s: float = number(
        0.9, 0.05, 1.0, "Pause between two writes of the buffer.", unit="seconds"
    )
    buffer_size: int = number(
        50_000,
        100,
        150_000,
        "Requests kept in memory while the database does not answer, mostly 0.3 KiB each; newer "
        "ones are in the spool only, or without one dropped and counted.",
    )
    spool: str = setting(
        "on",
        "Keep each request in a local file until it is stored, so that neither a killed process "
        "nor a database that is away loses any. A folder: the files lie there, not beside the "
        "SQLite file or in the host's instance folder.",
        allowed="on, off, or a folder on a local disk",
        check=bool,
    )
    spool_mib: int = number(
        16,
        1,
        1024,
        "Size of the spool of a process, about 9,000 requests a MiB; when it is full, the oldest "
        "are dropped and counted.",
        unit="MiB",
    )
    rollup_interval_s: float = number(
        2.0,
        0.2,
        60.0,
        "Pause between two merges of new measurements into the rollups.",
        unit="seconds",
    )
    # Beats and looks at them are up to 1.5 s apart, so a dead process is followed within 8 s. With
    # a shorter time one that is only busy loses the jobs, which costs a moment and does no harm.
    lease_ttl_s: float = number(
        5.0,
        2.0,
        300.0,
        "After this time without a sign of life another process takes the jobs over.",
        unit="seconds",
    )
    auto_migrate: bool = setting(
        True,
        "Create and upgrade the tables on start. Off: run 'flask fmd migrate'.",
        allowed="true or false",
    )
    assets_url: str = setting(
        "https://cdn.jsdelivr.net/npm/",
        "Where browsers load Chart.js and its plugins from.",
        allowed="an http(s) URL that ends in /",
        check=lambda v: v.startswith(("https://", "http://")) and v.endswith("/"),
    )
    session_hours: int = number(
        12,
        1,
        720,
        "A panel session without activity ends after this time.",
        runtime=True,
        unit="hours",
    )
    outlier_detection_constant: float = number(
        2.5,
        1.0,
        100.0,
        "A request is an outlier when it takes longer than the mean of its endpoint times this.",
        runtime=True,
    )
    outlier_min_ms: float = number(
        0.0, 0.0, 3_600_000.0, "Shorter requests are no outliers.", runtime=True, unit="ms"
    )
    outliers_per_minute: int = number(
        20,
        1,
        1000,
        "Outliers stored per endpoint and minute in each process; the rest is counted.",
        runtime=True,
    )
    outlier_json_body: bool = setting(
        False, "Store the JSON body of outliers too.", runtime=True, allowed="true or false"
    )
    sampling_period_ms: float = number(
        5.0, 1.0, 1000.0, "Mean time between two samples of the profiler.", runtime=True, unit="ms"
    )
    redact: str = setting(
        "password,passwd,secret,token,key,session,csrf,auth,credential",
        "Headers, form fields, query and JSON keys with one of these words in their name are "
        "stored without their value (commas between the words).",
        runtime=True,
        allowed="words of at most 1,000 characters in all",
        check=lambda v: len(v) <= 1000,
    )
    exclude: str = setting(
        "",
        "Endpoints that are not measured at all: regular expressions, blanks between them, each "
        "for a whole name (admin\\..*) or a whole rule of a URL (/health.*).",
        runtime=True,
        allowed="regular expressions with blanks between them",
        check=is_patterns,
    )
    sample: str = setting(
        "",
        "Endpoints of which only a part of the requests is kept one by one, as PATTERN=SHARE with "
        "blanks between: static=0.01 api\\..*=0.1. Errors are always kept, and all figures and "
        "charts count every request.",
        runtime=True,
        allowed="PATTERN=SHARE with shares from 0 to 1, blanks between them",
        check=is_rates,
    )
    keep_requests_days: int = days(30, "Raw requests (the sums per hour and day stay)")
    keep_profiles_days: int = days(14, "Profiles")
    keep_outliers_days: int = days(14, "Outliers")
    keep_exceptions_days: int = days(30, "Exceptions (their counts per day stay)")
    keep_rollups_days: int = days(730, "Sums per hour and day, which charts are made of,")
    keep_graph_values_days: int = days(730, "Values of custom graphs")
    username: str = free_text("Name of the first admin, made on a start without users.")
    password: str = setting(
        "",
        "Password of the first admin. Empty: a one-time password is printed.",
        allowed="at least 8 characters, and not a well-known one",
        secret=True,
    )
    alert_enabled: bool = setting(
        False,
        "Alert on each new kind of exception, as the settings below say. More is set up under "
        "Alerts in the panel.",
        allowed="true or false",
    )
    alert_type: str = setting(
        "", "How to alert.", allowed="email, chat and issue, commas between", check=are_types
    )
    smtp_host: str = free_text("For email: host of the mail server, which must know STARTTLS.")
    smtp_port: str = setting("", "For email: its port.", allowed="1 to 65535", check=is_port)
    smtp_user: str = free_text("For email: user of the mail server and sender of the mails.")
    smtp_password: str = free_text("For email: password. Empty: no login.", secret=True)
    smtp_to: str = free_text("For email: addresses, commas between.")
    chat_platform: str = setting(
        "", "For chat.", allowed="one of " + ", ".join(PLATFORMS), choices=("", *PLATFORMS)
    )
    chat_webhook_url: str = free_text("For chat: URL of an incoming webhook.", secret=True)
    github_token: str = free_text("For issue: a token that may write issues.", secret=True)
    repository_owner: str = free_text("For issue: owner of the repository on GitHub.")
    repository_name: str = free_text("For issue: name of the repository.")


def _specs() -> dict[str, Spec]:
    table = {}
    for item in dataclasses.fields(Settings):
        kind = type(item.default)
        table[item.name.upper()] = Spec(
            name=item.name.upper(), type=kind, default=item.default, **item.metadata
        )
    return table


#: Every setting by its name (upper case). Constant.
TABLE: Mapping[str, Spec] = _specs()


def spec(name: str, source: str = "code") -> Spec:
    """Return the row of the table for ``name``; raise SettingsError if there is none."""
    try:
        return TABLE[name.upper()]
    except KeyError:
        raise SettingsError(
            f"Unknown setting {name} from {source}. Known: {', '.join(sorted(TABLE))}."
        ) from None


@dataclass(frozen=True)
class Loaded:
    """Settings with the source each value came from ("default", "environment", …)."""

    values: Settings
    sources: Mapping[str, str]

    def with_saved(self, saved: Mapping[str, str]) -> Loaded:
        """Return a copy with what an admin saved in the panel; only run-time ones count.

        Raises SettingsError for a saved value that is no longer allowed.
        """
        changed: dict[str, Any] = {}
        sources = dict(self.sources)
        for name, text in saved.items():
            row = TABLE.get(name)
            if row is None or not row.runtime:
                continue
            changed[name.lower()] = row.parse(text, "the panel")
            sources[name] = "here"
        return Loaded(dataclasses.replace(self.values, **changed), sources)


def load(
    *,
    file: str | os.PathLike[str] | None = None,
    environ: Mapping[str, str] | None = None,
    app_config: Mapping[str, Any] | None = None,
    code: Mapping[str, Any] | None = None,
    no_settings: Collection[str] = (),
) -> Loaded:
    """Find every setting's value. Raises SettingsError for a bad value, key or missing file.

    ``no_settings`` names variables of the environment that only look like settings.
    """
    values: dict[str, Any] = {}
    sources = dict.fromkeys(TABLE, "default")
    layers: list[tuple[str, Iterator[tuple[str, object, str]]]] = []
    if file is not None:
        layers.append(("file", _from_file(Path(file))))
    variables = os.environ if environ is None else environ
    mine = {name: text for name, text in variables.items() if name not in no_settings}
    layers.append(("environment", _from_prefixed(mine, "")))
    layers.append(("app.config", _from_prefixed(app_config or {}, "app.config ")))
    layers.append(("code", ((k, v, "code") for k, v in (code or {}).items())))
    for layer, items in layers:
        for key, value, source in items:
            row = spec(key, source)
            values[row.name.lower()] = row.parse(value, source)
            sources[row.name] = layer
    found = Settings(**values)
    for problem in problems(found):
        warnings.warn(problem, stacklevel=2)
    return Loaded(found, sources)


def _from_prefixed(mapping: Mapping[str, Any], label: str) -> Iterator[tuple[str, object, str]]:
    for key in mapping:
        if key.startswith(ENV_PREFIX) and key not in _RESERVED_ENV:
            source = f"{label}{key}" if label else f"the environment ({key})"
            yield key[len(ENV_PREFIX) :], mapping[key], source


#: Names with our prefix that are not settings: the config file itself.
_RESERVED_ENV = frozenset({"FMD_CONFIG"})


def _from_file(path: Path) -> Iterator[tuple[str, object, str]]:
    if not path.is_file():
        raise SettingsError(
            f"Config file {path} does not exist. Mend the path, or leave the file out."
        )
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(path.read_text(encoding="utf-8"), source=str(path))
    except (configparser.Error, UnicodeDecodeError) as error:
        raise SettingsError(f"Config file {path} cannot be read: {error}") from error
    lines = [
        ConfigLine(path, section, key.upper(), raw.strip().strip("'\""))
        for section in parser.sections()
        for key, raw in parser.items(section)
    ]
    # Of both names for the sampling period the one counts that the old code read.
    for line in sorted(
        lines, key=lambda line: SAMPLING.index(line.key) if line.key in SAMPLING else 0
    ):
        found = translated(line)
        if found is not None:
            yield *found, line.source
