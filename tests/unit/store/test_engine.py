from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest
from sqlalchemy import Connection, make_url, select, update

from fmd_admin.errors import StoreError
from fmd_admin.store import hosts
from fmd_admin.store.engine import with_driver
from fmd_admin.store.models import Endpoint
from fmd_admin.store.store import Store

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
