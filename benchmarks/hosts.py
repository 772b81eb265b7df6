"""The host apps that are measured: alike but for what watches them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from flask import Flask

from fmd_admin import FMDAdmin
from fmd_admin.extension import Monitor
from fmd_admin.store import rollups

from .apps import Floor, make_app

#: The watcher sleeps 0.1 s after the last request.
ASLEEP_S = 10.0


class Variant:
    """One app with what must happen until all of its requests are stored."""

    def __init__(self, name: str, app: Flask, monitor: Monitor | None = None) -> None:
        self.name = name
        self.app = app
        self.monitor = monitor

    def settle(self) -> None:
        """Store everything and merge it into the rollups."""
        if self.monitor is None:
            return
        self.monitor.recorder.flush()
        with self.monitor.store.write() as connection:
            rollups.merge_deltas(connection, self.monitor.store.timezone)

    def rest(self) -> None:
        """Wait until its watcher sleeps, so that the next one is measured alone."""
        if self.monitor is None:
            return
        deadline = time.monotonic() + ASLEEP_S
        while not self.monitor.watch.watcher.asleep:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.name}: the watcher did not go to sleep")
            time.sleep(0.01)

    def close(self) -> None:
        """End its threads."""
        if self.monitor is not None:
            self.monitor.close()


def monitored(
    folder: Path, name: str, level: int, app: Flask, group_by: Any = None, spool: str = "on"
) -> Variant:
    """Bind fmd_admin to ``app`` with every endpoint at ``level``."""
    settings = {
        "monitor_level": level,
        "database": f"sqlite:///{folder}/{name.replace(' ', '_')}.db",
        "username": "bench",
        "password": "not a secret",
        # Merged by settle(), so that the figure is complete at the end of each round.
        "rollup_interval_s": 60,
        "spool": spool,
    }
    FMDAdmin(app, settings=settings, group_by=group_by)
    return Variant(name, app, app.extensions["fmd_admin"])


def variants(folder: Path, steps_per_ms: float) -> list[Variant]:
    """Return all of ours that are compared; the first is the bare app."""

    def app(name: str) -> Flask:
        return make_app(name.replace(" ", "_"), steps_per_ms)

    floor = app("floor")
    floor.wsgi_app = Floor(floor.wsgi_app)  # type: ignore[method-assign]
    found = [Variant("bare", app("bare")), Variant("floor", floor)]
    for level in range(4):
        name = f"level {level}"
        found.append(monitored(folder, name, level, app(name)))
    name = "level 1 no spool"
    found.append(monitored(folder, name, 1, app(name), spool="off"))
    name = "level 1 + group_by"
    found.append(monitored(folder, name, 1, app(name), group_by=lambda: "anna"))
    return found
