"""Fixtures of all tests: a fresh app on a temporary folder, and a guard against leaks."""

from __future__ import annotations

import gc
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from flask import Flask
from jinja2 import FileSystemBytecodeCache

from fmd_admin import FMDAdmin
from fmd_admin.extension import Monitor
from fmd_admin.store import schema
from fmd_admin.store.store import Store

from .database_servers import SERVERS, DatabaseServer
from .prepared import EmptyDatabase, keep_url_builders, make_tables
from .support import DATABASE_URL, Bound, database_url, missing, new_store
from .turns import Turns
from .warm import Warm

#: How long threads and descriptors that are being closed may take.
_SETTLE_S = 5.0


#: Tests below these folders can be run on every kind of database.
_ON_EVERY_ENGINE = ("tests/unit/store", "tests/unit/read", "tests/unit/jobs")
_ENGINES = ("sqlite", *SERVERS)
#: What begins with the tables of this version.
_BEGIN_WITH_TABLES = {"store", "bind", "world_in", "make_store", "placed", "quick"}
_EMPTY = "fmd_empty"
_TURNS = pytest.StashKey[Turns]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--engine",
        choices=(*_ENGINES, "all"),
        help="Run the tests of store, read and jobs on this kind of database. Without it: on "
        "SQLite, and those marked 'every_engine' on all. In CI it is the same.",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Repeat tests that use a database for each kind of it."""
    path = metafunc.definition.path.relative_to(metafunc.config.rootpath).as_posix()
    marks = {mark.name for mark in metafunc.definition.iter_markers()}
    here = path.startswith(_ON_EVERY_ENGINE) or marks & {"every_engine", "servers_only"}
    if not here or "tmp_path" not in metafunc.fixturenames:
        return
    chosen = metafunc.config.getoption("--engine")
    if "sqlite_only" in marks:
        engines: tuple[str, ...] = ("sqlite",) if chosen in (None, "sqlite", "all") else ()
    elif "servers_only" in marks:
        only = metafunc.definition.get_closest_marker("servers_only").args or tuple(SERVERS)
        engines = tuple(name for name in only if chosen in (None, "all", name))
    elif chosen == "all" or (chosen is None and "every_engine" in marks):
        engines = _ENGINES
    else:
        engines = (chosen or "sqlite",)
    metafunc.parametrize("engine", engines, indirect=True)


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_TURNS] = Turns(config.rootpath / ".pytest_cache" / "turns")
    # A developer's own settings must not reach the tests.
    for name in [name for name in os.environ if name.startswith("FMD_")]:
        del os.environ[name]


def pytest_collection_finish() -> None:
    # All modules and tests: no collection has to walk through them again.
    gc.collect()
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """First those that have to wait for all others, while there are none.

    Then files of browsers and servers, which mostly wait, among those that calculate.
    """
    kinds: dict[bool, dict[Path, int]] = {True: {}, False: {}}
    for item in items:
        files = kinds[_waits(item)]
        files.setdefault(item.path, len(files))

    def place(item: pytest.Item) -> tuple[bool, float]:
        files = kinds[_waits(item)]
        return not _alone(item), files[item.path] / len(files)

    items.sort(key=place)


def _waits(item: pytest.Item) -> bool:
    return item.path.parent.name in ("browser", "integration")


def _alone(item: pytest.Item | None) -> bool:
    return item is not None and item.get_closest_marker("alone") is not None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    turns = item.config.stash[_TURNS]
    with turns.turn(alone=_alone(item), next_alone=_alone(nextitem)):
        return (yield)


class DatabaseServers:
    """The servers of a test run: each is started when the first test asks for it."""

    def __init__(self) -> None:
        self._started: dict[str, DatabaseServer] = {}
        self._with_tables: set[str] = set()

    def get(self, engine: str) -> DatabaseServer:
        """The running server of an engine; skips a test (in CI: fails it) that cannot have it."""
        if engine not in self._started:
            kind = SERVERS[engine]
            if kind.missing():
                missing(f"{engine} is not installed", f"apt-get install {kind.package}")
            server = kind()
            self._started[engine] = server
            server.start()
        return self._started[engine]

    def new_database(self, engine: str, folder: Path, *, with_tables: bool) -> str:
        """Make a database for the test of ``folder``, and return its name.

        The tables are migrated once a server, and copied.
        """
        server = self.get(engine)
        name = f"fmd_{uuid.uuid4().hex}"
        if not with_tables:
            url = server.create_database(name)
        else:
            if engine not in self._with_tables:
                make_tables(folder, server.create_database(_EMPTY))
                self._with_tables.add(engine)
            url = server.copy_database(_EMPTY, name)
        (folder / DATABASE_URL).write_text(url.render_as_string(hide_password=False))
        return name

    def processes(self) -> set[int]:
        """The ids of the servers' main processes."""
        return {
            server.pid
            for server in self._started.values()
            if server.running and server.pid is not None
        }

    def remove(self) -> None:
        for server in self._started.values():
            server.remove()


@pytest.fixture(scope="session")
def database_servers() -> Iterator[DatabaseServers]:
    servers = DatabaseServers()
    yield servers
    servers.remove()


@pytest.fixture(autouse=True)
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    """The kind of database that a test is run on, which then has one of its own there."""
    name: str = getattr(request, "param", "sqlite")
    if name == "sqlite":
        yield name
        return
    servers: DatabaseServers = request.getfixturevalue("database_servers")
    folder: Path = request.getfixturevalue("tmp_path")
    with_tables = bool(_BEGIN_WITH_TABLES & set(request.fixturenames))
    database = servers.new_database(name, folder, with_tables=with_tables)
    yield name
    servers.get(name).drop_database(database)


def _children_of(parent: int) -> set[int]:
    threads = Path(f"/proc/{parent}/task")
    if not (threads / str(parent) / "children").exists():
        return {child.pid for child in psutil.Process(parent).children()}
    # psutil looks at every process of the machine for it, some times in each test.
    return {
        int(pid)
        for thread in os.listdir(threads)
        for pid in (threads / thread / "children").read_text().split()
    }


def _children(but: set[int]) -> set[int]:
    """The ids of our children and theirs, without ``but`` and what those have started."""
    found: set[int] = set()
    parents = [os.getpid()]
    while parents:
        with suppress(OSError, psutil.Error):  # It may end meanwhile.
            new = _children_of(parents.pop()) - but
            parents += new
            found |= new
    return found


def _command(pid: int) -> str:
    with suppress(psutil.Error):
        return " ".join(psutil.Process(pid).cmdline())
    return "gone"


@pytest.fixture(autouse=True)
def no_leaks(engine: str, database_servers: DatabaseServers) -> Iterator[None]:
    """Fail a test that leaves a thread, a child process or a file descriptor behind."""
    process = psutil.Process()
    threads = set(threading.enumerate())
    # Twice: where one ends while the kernel lists them, another one may be left out.
    known = database_servers.processes()
    children = _children(known) | _children(known)
    descriptors = process.num_fds()
    yield

    def left() -> list[str]:
        found = [f"thread {t.name}" for t in threading.enumerate() if t not in threads]
        more = _children(database_servers.processes()) - children
        found += [f"process {pid}, {_command(pid)}" for pid in more]
        if process.num_fds() > descriptors:
            found.append(f"{process.num_fds() - descriptors} file descriptors")
        return found

    deadline = time.monotonic() + _SETTLE_S
    while left() and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.05)
    assert left() == []


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> EmptyDatabase:
    return EmptyDatabase(tmp_path_factory.mktemp("empty"))


@pytest.fixture(scope="session", autouse=True)
def _compiled_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Each app has templates and URL rules of its own, and would compile them again."""
    cache = FileSystemBytecodeCache(str(tmp_path_factory.mktemp("templates")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Flask, "jinja_options", {"bytecode_cache": cache})
        keep_url_builders(patch)
        yield


@pytest.fixture(scope="session")
def warm() -> Iterator[Warm]:
    """A process that forks for commands and servers, with their modules."""
    made = Warm()
    yield made
    made.end()


@pytest.fixture
def store(tmp_path: Path, empty_database: EmptyDatabase) -> Iterator[Store]:
    """A migrated store on a file of its own."""
    empty_database.copy_to(tmp_path)
    made = new_store(tmp_path)
    schema.migrate(made)
    yield made
    made.close()


@pytest.fixture
def bind(tmp_path: Path, empty_database: EmptyDatabase) -> Iterator[Callable[..., Bound]]:
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
        if "database" not in settings:
            empty_database.copy_to(tmp_path)
            settings["database"] = database_url(tmp_path)
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
