"""The database is locked, away, full or newer: the host does not notice, and nothing is lost."""

from __future__ import annotations

import http.client
import json
import os
import resource
import signal
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from .load import Load, assert_once, spools, stored, wait_for, write_app
from .panel_session import PanelSession
from .servers import IMPORTED, Server, command_server, free_port, gunicorn

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("warm_servers")]

#: How long a fault lasts; ``FAULT_S=30`` for a long one.
FAULT_S = float(os.environ.get("FAULT_S", "6"))
OPTIONS = ["-w", "2", "-k", "gthread", "--threads", "4", *IMPORTED]
LONG = "n" * 200
ONE = ["-w", "1", *OPTIONS[2:]]


def state(port: int) -> dict[str, Any]:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    client.request("GET", "/state")
    found: dict[str, Any] = json.loads(client.getresponse().read())
    client.close()
    return found


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the database's write lock, as a foreign process does."""
    connection = sqlite3.connect(folder / "fmd.db", isolation_level=None, timeout=30)
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield
    finally:
        connection.close()


def last(seconds: float) -> None:
    """Let a fault last: what is tested is that nothing happens meanwhile."""
    time.sleep(seconds)


def test_a_foreign_process_holds_the_write_lock(tmp_path: Path) -> None:
    write_app(tmp_path)
    with gunicorn("loaded:app", tmp_path, *OPTIONS) as server:
        with Load(server.port, connections=4) as load:
            load.wait_for_more(50)
            with locked(tmp_path):
                before = len(load.times_s)
                last(FAULT_S)
                load.wait_for_more(50)
                during = load.times_s[before:]
            load.wait_for_more(50)
        # None of them waited for the lock.
        assert max(during) < FAULT_S / 2
        assert_once(tmp_path, load.answered)
        assert server.stop() == 0
    assert spools(tmp_path) == []


def test_it_ends_while_the_database_is_locked(tmp_path: Path) -> None:
    """SIGTERM does not wait for the database: the spool has everything for the next start."""
    write_app(tmp_path, spool_mib=1)
    options = [*OPTIONS, "--graceful-timeout", "3"]
    with (
        gunicorn("loaded:app", tmp_path, *options) as server,
        Load(server.port, connections=2) as load,
    ):
        # The start on a new database is over then.
        load.wait_for_more(50)
        with locked(tmp_path):
            load.wait_for_more(100)
            load.end.set()
            server.stop()
    assert spools(tmp_path)
    with gunicorn("loaded:app", tmp_path, *OPTIONS) as server:
        with Load(server.port, connections=1, prefix="later") as later:
            later.wait_for_more(1)
        assert_once(tmp_path, [*load.answered, *later.answered])


@pytest.mark.parametrize("server_command", ["flask", "waitress"])
def test_servers_that_die_of_sigterm_while_it_is_locked(
    tmp_path: Path, server_command: str
) -> None:
    write_app(tmp_path)
    port = free_port()
    if server_command == "flask":
        command = ["-m", "flask", "--app", "loaded", "run", "--port", str(port)]
    else:
        command = ["-m", "waitress", "--port", str(port), "--host", "127.0.0.1", "loaded:app"]
    with (
        command_server([sys.executable, *command], tmp_path, port) as server,
        Load(port, connections=2) as load,
    ):
        load.wait_for_more(20)
        with locked(tmp_path):
            load.wait_for_more(20)
            load.end.set()
            server.process.send_signal(signal.SIGTERM)
            wait_for(lambda: server.process.poll() is not None, "its end", 45)
    with command_server([sys.executable, *command], tmp_path, port):
        with Load(port, connections=1, prefix="later") as later:
            later.wait_for_more(1)
        assert_once(tmp_path, [*load.answered, *later.answered])


def test_the_database_is_away_at_the_start_and_comes(tmp_path: Path) -> None:
    """More requests than memory takes: the rest is read from the spool."""
    write_app(tmp_path, buffer_size=100)
    (tmp_path / "fmd.db").mkdir()
    with gunicorn("loaded:app", tmp_path, *ONE) as server:
        with Load(server.port, connections=4) as load:
            load.wait_for_more(1_000)
            found = state(server.port)
            assert found["dropped"] == 0
            assert found["waiting"] > 100
            assert found["faults"] > 0
            (tmp_path / "fmd.db").rmdir()
            wait_for(lambda: state(server.port)["stored"] > 0, "it is noticed")
        assert_once(tmp_path, load.answered)
        assert server.log.count("writing to the store") <= 2  # Logged once a kind, not each time.


def limit_files(server: Server, size: int) -> None:
    """Let its processes write no file beyond ``size``, as on a full disk."""
    for worker in psutil.Process(server.process.pid).children():
        _soft, hard = worker.rlimit(resource.RLIMIT_FSIZE)
        worker.rlimit(resource.RLIMIT_FSIZE, (size, hard))


def test_the_disk_of_the_database_is_full(tmp_path: Path) -> None:
    write_app(tmp_path)
    with gunicorn("loaded:app", tmp_path, *ONE) as server:
        with Load(server.port, connections=4) as load:
            load.wait_for_more(100)
            assert len(spools(tmp_path)) == 1
            limit_files(server, 4_096)
            load.wait_for_more(200)
            wait_for(lambda: state(server.port)["faults"] > 0, "it is noticed")
            limit_files(server, resource.RLIM_INFINITY)
            load.wait_for_more(50)
        assert_once(tmp_path, load.answered)
        assert state(server.port)["dropped"] == 0


def test_no_room_for_a_spool(tmp_path: Path) -> None:
    """It goes on in memory, and says so."""
    write_app(tmp_path)
    with gunicorn("loaded:app", tmp_path, *OPTIONS) as server:
        wait_for(lambda: len(psutil.Process(server.process.pid).children()) == 2, "two workers")
        limit_files(server, 8 << 20)
        with Load(server.port, connections=4) as load:
            load.wait_for_more(100)
        found: dict[str, Any] = {}

        def is_tried() -> bool:
            # A worker that had no request yet has not tried.
            found.update(state(server.port)["spool"])
            return found["on"] is not None

        wait_for(is_tried, "a spool is tried")
        assert found["on"] is False
        assert "No spool of 16 MiB can be made" in found["why"]
        assert spools(tmp_path) == []
        assert_once(tmp_path, load.answered)


def test_the_spool_is_full(tmp_path: Path) -> None:
    """The oldest are dropped and counted; stored and dropped are all that was answered."""
    write_app(tmp_path, spool_mib=1, buffer_size=100)
    (tmp_path / "fmd.db").mkdir()
    with gunicorn("loaded:app", tmp_path, *ONE) as server:
        # With long names there is room for few.
        with Load(server.port, connections=4, prefix=LONG) as load:
            wait_for(lambda: state(server.port)["dropped"] > 0, "the first is dropped", 120)
            load.wait_for_more(100)
            (tmp_path / "fmd.db").rmdir()
        wait_for(lambda: state(server.port)["stored"] > 0, "it is stored again")
        # Requests for the state count too, but are not answered under a name.
        names = set(load.answered)
        wait_for(lambda: state(server.port)["waiting"] < 5, "nothing waits")
        found = state(server.port)
        hits = stored(tmp_path)
        assert set(hits.values()) == {1}
        missing = names - hits.keys()
        assert 0 < len(missing) <= found["dropped"] <= len(missing) + 500
        # One stretch of them is gone. The batch that was being written is older, and in memory.
        gone = [int(name.removeprefix(LONG)) for name in missing]
        kept = [int(name.removeprefix(LONG)) for name in names & hits.keys()]
        assert max(gone) < max(kept)
        # Names are given in the order of sending. Of the four that are under way at either end of
        # the stretch each may be late, and overtaken by any number of others.
        first = sorted(gone)[4]
        late = [name for name in kept if first < name < max(gone)]
        assert len(late) <= 4, (sorted(gone), late)


def test_an_upgrade_is_rolled_back_while_others_run(tmp_path: Path) -> None:
    """Who starts on newer tables answers and keeps its requests; the newer ones store them."""
    write_app(tmp_path)
    with gunicorn("loaded:app", tmp_path, *ONE) as newer:
        with Load(newer.port, connections=2, prefix="newer") as to_newer:
            to_newer.wait_for_more(50)
            with sqlite3.connect(tmp_path / "fmd.db", timeout=30) as connection:
                connection.execute("UPDATE fmd_alembic_version SET version_num = '9999'")
            connection.close()
            with gunicorn("loaded:app", tmp_path, *ONE) as older:
                with Load(older.port, connections=2, prefix="older") as to_older:
                    to_older.wait_for_more(100)
                    to_newer.wait_for_more(50)
                found = state(older.port)
                assert (found["stored"], found["dropped"]) == (0, 0)
                page = PanelSession(older.port).get("/login")
                assert page.status == 503
                assert "revision 9999, which is newer" in page.text
                assert older.stop() == 0
            assert "Upgrade it with: pip install --upgrade fmd_admin" in older.log
            assert "in the spool" in older.log
        assert_once(tmp_path, [*to_newer.answered, *to_older.answered])
        assert newer.stop() == 0
        assert "Traceback" not in newer.log
    assert spools(tmp_path) == []


def test_tables_of_a_newer_version_and_back(tmp_path: Path) -> None:
    """As when an upgrade is rolled back: it waits until the tables are right again."""
    write_app(tmp_path)
    with gunicorn("loaded:app", tmp_path, *OPTIONS) as server:
        with Load(server.port, connections=2) as load:
            load.wait_for_more(50)
            with sqlite3.connect(tmp_path / "fmd.db", timeout=30) as connection:
                connection.execute("ALTER TABLE fmd_request RENAME TO fmd_request_new")
            connection.close()
            load.wait_for_more(50)
            wait_for(lambda: state(server.port)["faults"] > 0, "it is noticed")
            with sqlite3.connect(tmp_path / "fmd.db", timeout=30) as connection:
                connection.execute("ALTER TABLE fmd_request_new RENAME TO fmd_request")
            connection.close()
            load.wait_for_more(50)
        assert_once(tmp_path, load.answered)
        assert state(server.port)["dropped"] == 0
