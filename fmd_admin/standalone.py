"""The panel as a WSGI app of its own, on the database of an app that runs elsewhere.

It only looks, and changes levels and settings. It runs no jobs: merging rollups, deleting by age
and custom graphs need the app's own settings, schedules and functions. While no process of the app
runs nothing new comes in, and pages add what is not merged yet, so that nothing is missing.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import secrets
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from flask import abort, request
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from . import lifecycle, opening
from . import settings as settings_table
from .admin.context import Panel
from .errors import SettingsError
from .faults import Faults
from .jobs.pruning import Pruning
from .recorder.vitals import fault_rows, identity
from .store.live import LiveConfig, kept_timezone
from .store.store import Store
from .version import __version__

if TYPE_CHECKING:
    from .admin.site import PanelApp

logger = logging.getLogger("fmd_admin")
EXTENSION = "fmd_standalone"


def create_panel(
    *,
    settings: Mapping[str, Any] | None = None,
    config_file: str | os.PathLike[str] | None = None,
) -> PanelApp:
    """Return the panel as its own WSGI app, on the database of an app that runs elsewhere.

    ``settings`` and ``config_file`` (or the environment's FMD_CONFIG) are as for FMDAdmin. They
    must name the app's DATABASE. The panel answers at the root of where it is served. Raises
    SettingsError for what is not allowed, and SchemaError for tables of another version.
    """
    loaded = settings_table.load(
        file=config_file or os.environ.get("FMD_CONFIG"), code=dict(settings or {})
    )
    _check_database(loaded)
    return panel_app(loaded)


def panel_app(loaded: settings_table.Loaded, folder: str | None = None) -> PanelApp:
    """Return the app for settings that are found already.

    ``folder`` is where a relative SQLite file lies.
    """
    # Flask-Admin is not imported by apps that only measure.
    from .admin.site import new_panel_app

    app = new_panel_app()
    app.extensions[EXTENSION] = Standalone(app, loaded, folder)
    return app


class Standalone:
    """What a panel of its own consists of: ``app.extensions["fmd_standalone"]``.

    It has no thread. What changed in the store is looked up with each request.
    """

    def __init__(self, app: PanelApp, loaded: settings_table.Loaded, folder: str | None) -> None:
        from .admin.site import build_site

        self.faults = Faults()
        self.config = LiveConfig(loaded)
        self.store = Store(app, loaded.values, folder)
        self._began_ms = time.time_ns() // 1_000_000
        self._ready = False
        self._lock = threading.Lock()
        self._kept_secret: bytes | None = None
        self._stopgap = secrets.token_bytes(32)
        self._warned = False
        panel = Panel(
            store=self.store,
            config=self.config,
            vitals=self.vitals,
            pruning=Pruning(
                self.store, fence=lambda _connection: None, loaded=lambda: self.config.loaded
            ),
            started=self._look,
            secret=self._secret,
            version=__version__,
        )
        try:
            self._prepare()
        except DBAPIError:
            # Panels and databases start at the same time in many places.
            self.faults.report("opening the store (tried again until it answers)")
        build_site(app, panel)
        # No connection may be open when a server forks.
        self.store.close()
        lifecycle.watch(self)

    def _prepare(self) -> None:
        with self._lock:
            if not self._ready and not opening.migrating():
                opening.prepare(self.store, self.config, login="the panel's /login")
                self._take_timezone()
                self._secret()
                self._ready = True

    def _look(self) -> None:
        """Take over what changed; called with each request of the panel."""
        try:
            if not self._ready:
                self._prepare()
            elif self._lock.acquire(blocking=False):
                try:
                    with self.store.read() as connection:
                        changed = self.config.refresh(connection)
                    if changed:
                        self._take_timezone()
                finally:
                    self._lock.release()
        except DBAPIError:
            self.faults.report("looking for levels and settings")
            if not self._ready and not (request.endpoint or "").endswith("static"):
                abort(503)

    def _take_timezone(self) -> None:
        """Show the hours and days that the app counted, whatever TIMEZONE is here."""
        with self.store.read() as connection:
            name = kept_timezone(connection)
        loaded = self.config.loaded
        if name is None or name == loaded.values.timezone:
            return
        if loaded.sources["TIMEZONE"] != "default" and not self._warned:
            self._warned = True
            logger.warning(
                "fmd_admin: TIMEZONE=%s of this panel is not used: the app counts hours and days "
                "in %s. Leave it out, or set it in the app.",
                loaded.values.timezone,
                name,
            )
        self.store.timezone = ZoneInfo(name)
        self.config.loaded = settings_table.Loaded(
            dataclasses.replace(loaded.values, timezone=name), loaded.sources
        )

    def _secret(self) -> bytes:
        if self._kept_secret is None:
            try:
                self._kept_secret = opening.kept_secret(self.store)
            except DBAPIError:
                # There must be a session for the page that says that the store does not answer.
                return self._stopgap
        return self._kept_secret

    def counters(self) -> Mapping[str, int]:
        """Return this process's counts; it measures nothing."""
        return {"faults": self.faults.total()}

    def vitals(self) -> dict[str, Any]:
        """Return what the system page shows of this process."""
        return {
            **identity(),
            **self.counters(),
            "began_at": self._began_ms,
            "standalone": True,
            "fault_rows": fault_rows(self.faults),
        }

    @property
    def idle(self) -> bool:
        """It measures nothing."""
        return True

    def close(self) -> None:
        """Close the connections. Called at the end of the process."""
        self.store.close()

    def before_fork(self) -> None:
        """Have nothing under way that a child could not go on with."""
        self.store.before_fork()

    def after_fork_in_parent(self) -> None:
        """Go on as before."""
        self.store.after_fork_in_parent()

    def after_fork(self) -> None:
        """Begin anew in a child process, with connections of its own."""
        self.store.after_fork()
        self._began_ms = time.time_ns() // 1_000_000
        self._lock = threading.Lock()
        self.faults.after_fork()
        self.config.forget()


def _check_database(loaded: settings_table.Loaded) -> None:
    """Refuse a file that would be another one than the app's, and empty."""
    try:
        url = make_url(loaded.values.database)
    except ArgumentError:
        return  # The store says what is wrong with it.
    name = url.database or ""
    if url.get_backend_name() != "sqlite" or name.startswith("file:") or Path(name).is_absolute():
        return
    raise SettingsError(
        "create_panel() needs to know the database of the app that is measured: set DATABASE to "
        "the whole path of its file, such as sqlite:////var/www/shop/instance/fmd_admin.db (for "
        "the app a relative path is below its instance folder), or to the server's URL."
    )
