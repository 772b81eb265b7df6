"""Fixtures of all tests: a fresh app on a temporary folder, and a guard against leaks."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from flask import Flask

from fmd_admin import FMDAdmin
from fmd_admin.extension import Monitor
from fmd_admin.store import schema
from fmd_admin.store.store import Store

from .support import Bound, new_store

#: How long threads and descriptors that are being closed may take.
_SETTLE_S = 5.0


def pytest_configure() -> None:
    # A developer's own settings must not reach the tests.
    for name in [name for name in os.environ if name.startswith("FMD_")]:
        del os.environ[name]


@pytest.fixture(autouse=True)
def no_leaks() -> Iterator[None]:
    """Fail a test that leaves a thread, a child process or a file descriptor behind."""
    process = psutil.Process()
    threads = set(threading.enumerate())
    children = {child.pid for child in process.children(recursive=True)}
    descriptors = process.num_fds()
    yield

    def left() -> list[str]:
        found = [f"thread {t.name}" for t in threading.enumerate() if t not in threads]
        found += [
            f"process {child.pid}"
            for child in process.children(recursive=True)
            if child.pid not in children
        ]
        if process.num_fds() > descriptors:
            found.append(f"{process.num_fds() - descriptors} file descriptors")
        return found

    deadline = time.monotonic() + _SETTLE_S
    while left() and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.05)
    assert left() == []


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A migrated store on a file of its own."""
    made = new_store(tmp_path)
    schema.migrate(made)
    yield made
    made.close()


@pytest.fixture
def bind(tmp_path: Path) -> Iterator[Callable[..., Bound]]:
    """Bind fmd_admin to an app: ``bind(app, group_by=…, monitor_level=0)``; closed at the end."""
    monitors: list[Monitor] = []

    def bind_to(
        app: Flask | None = None,
        *,
        group_by: Any = None,
        get_ip: Any = None,
        extension: FMDAdmin | None = None,
        **settings: Any,
    ) -> Bound:
        app = app or Flask("host", instance_path=str(tmp_path))
        settings.setdefault("database", f"sqlite:///{tmp_path}/fmd.db")
        settings.setdefault("username", "anna")
        settings.setdefault("password", "correct horse")
        if extension is None:
            extension = FMDAdmin(settings=settings, group_by=group_by, get_ip=get_ip)
        else:
            extension.settings.update(settings)
        extension.init_app(app)
        monitors.append(app.extensions["fmd_admin"])
        return Bound(app, monitors[-1])

    yield bind_to
    for monitor in monitors:
        monitor.close()
