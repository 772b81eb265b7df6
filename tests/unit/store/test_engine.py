from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing, suppress
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pymysql
import pytest
from sqlalchemy import Connection, event, make_url, select, text, update
from sqlalchemy.exc import DBAPIError, OperationalError

from fmd_admin.errors import StoreError
from fmd_admin.store import engine, hosts
from fmd_admin.store.engine import is_conflict, with_driver
from fmd_admin.store.models import Endpoint
from fmd_admin.store.store import Store

from ...cuts import conflicts
from ...support import new_store


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("postgres://a@b/c", "postgresql+psycopg"),
        ("postgresql://a@b/c", "postgresql+psycopg"),
        ("postgresql+psycopg2://a@b/c", "postgresql+psycopg2"),
        ("mysql://a@b/c", "mysql+pymysql"),
        ("mariadb://a@b/c", "mariadb+pymysql"),
        ("mysql+mysqldb://a@b/c", "mysql+mysqldb"),
        ("sqlite:///x", "sqlite"),
    ],
)
def test_a_url_gets_the_driver_of_the_extras(url: str, driver: str) -> None:
    assert with_driver(make_url(url)).drivername == driver


@pytest.mark.sqlite_only
@pytest.mark.parametrize(
    ("url", "module", "extra"),
    [("postgresql://a@b/c", "psycopg", "postgres"), ("mysql://a@b/c", "pymysql", "mysql")],
)
def test_a_missing_driver_names_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, module: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(StoreError, match=rf"pip install 'fmd_admin\[{extra}\]'"):
        new_store(tmp_path, database=url)


def test_hosts_are_taken_out_of_a_url() -> None:
    url, found = hosts.split(make_url("mysql+pymysql://a:b@/c?host=x:1&host=y"))
    assert list(found) == [("x", 1), ("y", 3306)]
    assert (url.host, url.port, dict(url.query)) == ("x", 1, {})
    one = make_url("postgresql+psycopg://a@/c?host=x:1&host=y:2")
    assert hosts.split(one) == (one, ())
    with pytest.raises(StoreError, match="port is no number"):
        hosts.split(make_url("mysql+pymysql://a:b@/c?host=x:y"))


@pytest.mark.parametrize(
    ("error", "code", "conflict", "lost"),
    [
        (pymysql.err.OperationalError(1047, "no quorum", sqlstate="08S01"), 1047, False, True),
        (pymysql.err.OperationalError(1290, "read-only", sqlstate="HY000"), 1290, False, True),
        (pymysql.err.OperationalError(1205, "waited", sqlstate="HY000"), 1205, True, False),
        (pymysql.err.OperationalError(1213, "deadlock", sqlstate="40001"), 1213, True, False),
        (pymysql.err.OperationalError(1050, "is there", sqlstate="42S01"), 1050, False, False),
        (pymysql.err.OperationalError(2013, "lost"), 2013, False, True),
        (pymysql.err.InterfaceError(0, ""), 0, False, True),
        (psycopg.errors.DeadlockDetected("deadlock"), "40P01", True, False),
        (psycopg.errors.ReadOnlySqlTransaction("read-only"), "25006", False, True),
        (psycopg.OperationalError("consuming input failed"), None, False, False),
    ],
)
def test_what_an_error_of_a_server_means(
    error: Exception, code: object, conflict: bool, lost: bool
) -> None:
    assert engine.error_code(error) == code
    assert is_conflict(OperationalError("SELECT 1", {}, error)) is conflict
    context: Any = SimpleNamespace(
        original_exception=error,
        dialect=SimpleNamespace(name="mysql" if isinstance(code, int) else "postgresql"),
        is_disconnect=False,
    )
    engine._find_disconnects(context)
    assert context.is_disconnect is lost


@pytest.mark.servers_only("postgresql")
def test_postgresql_sends_what_is_read_in_binary_and_takes_text_else(store: Store) -> None:
    sent: list[int] = []

    def note(_connection: Connection, cursor: Any, *_of_statement: Any) -> None:
        sent.append(cursor.pgresult.fformat(0))

    event.listen(store.engine, "after_cursor_execute", note)
    query = text("SELECT 1::bigint, 1.5::float8, 'é'::text, 2.5::numeric, '\\x00ff'::bytea")
    expected = (1, 1.5, "é", Decimal("2.5"), b"\x00\xff")
    with store.read() as connection:
        assert tuple(connection.execute(query).one()) == expected
    for snapshot in (False, True):
        with store.write(snapshot=snapshot) as connection:
            assert tuple(connection.execute(query).one()) == expected
    assert sent == [1, 0, 0]


@pytest.mark.every_engine
def test_of_two_transactions_that_lock_each_other_out_both_get_through(store: Store) -> None:
    with store.write() as connection:
        for name in ("a", "b"):
            values = {"name": name, "level": 0, "first_seen": 1, "last_requested": 1}
            connection.execute(Endpoint.__table__.insert().values(**values))
    # SQLite's transactions come one after the other.
    meet = threading.Barrier(1 if store.engine.dialect.name == "sqlite" else 2)
    tries: list[str] = []

    def change(names: str) -> None:
        first = True

        def work(connection: Connection) -> None:
            nonlocal first
            tries.append(names)
            for number, name in enumerate(names):
                row = update(Endpoint).where(Endpoint.name == name)
                connection.execute(row.values(level=Endpoint.level + 1))
                if number == 0 and first:
                    first = False
                    meet.wait(30)

        store.transact(work)

    threads = [threading.Thread(target=change, args=(names,)) for names in ("ab", "ba")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with store.read() as connection:
        assert list(connection.scalars(select(Endpoint.level))) == [2, 2]
    if store.engine.dialect.name != "sqlite":
        assert len(tries) > 2


WRITER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("begun", flush=True)
sys.stdin.read()
connection.close()
"""


def open_files(name: str) -> list[str]:
    found = []
    for number in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # The folder's own.
            found.append(os.readlink(f"/proc/self/fd/{number}"))
    return [path for path in found if name in path]


@pytest.mark.sqlite_only
def test_two_that_open_a_new_file_wait_for_each_other(tmp_path: Path) -> None:
    """SQLite refuses at once to switch to WAL while another connection is about to write."""
    store = new_store(tmp_path)
    other = sqlite3.connect(
        tmp_path / "fmd.db", isolation_level=None, timeout=0, check_same_thread=False
    )
    with closing(other):
        other.execute("BEGIN IMMEDIATE")
        ending = threading.Timer(0.3, other.execute, ["COMMIT"])
        ending.start()
        with store.read() as connection:
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        ending.join()
    store.close()


@pytest.mark.sqlite_only
def test_a_connection_that_cannot_be_used_is_closed_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its error may live on for a while: a server that forks then would share the connection."""
    monkeypatch.setattr(engine, "BUSY_TIMEOUT_S", 0)
    store = new_store(tmp_path)
    # Another process: in one, SQLite closes a file only with the last lock on it.
    command = [sys.executable, "-c", WRITER, str(tmp_path / "fmd.db")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"begun\n"
        with pytest.raises(OperationalError, match="locked"), store.read():
            pass
        assert open_files("fmd.db") == []
        writer.communicate()
    store.close()


@pytest.mark.every_engine
def test_a_read_whose_connection_is_gone_at_its_end_has_read_all(store: Store) -> None:
    def cut(connection: Connection) -> None:
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.close()

    def fail_after_cut(connection: Connection) -> None:
        cut(connection)
        raise AssertionError("the view's own")

    with store.read() as connection:
        assert connection.scalars(select(Endpoint.level)).all() == []
        cut(connection)
    with pytest.raises(AssertionError, match="the view's"), store.read() as connection:
        fail_after_cut(connection)
    with pytest.raises(DBAPIError), store.write() as connection:
        cut(connection)
    with store.read() as connection:
        assert connection.scalars(select(Endpoint.level)).all() == []


@pytest.mark.sqlite_only
def test_a_host_that_seeded_random_gets_what_it_expects(store: Store) -> None:
    random.seed(1)
    before = random.getstate()
    with conflicts(store, "UPDATE fmd_config") as done:
        store.transact(
            lambda connection: connection.exec_driver_sql("UPDATE fmd_config SET version = 9")
        )
    assert done
    assert random.getstate() == before
