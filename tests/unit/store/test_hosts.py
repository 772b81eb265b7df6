"""What is known of the hosts of a URL when connecting to them fails."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError

from fmd_admin.store import hosts
from fmd_admin.store.store import Store

from ...support import new_store

SEVERAL = "mysql+pymysql://a:b@/c?host=x&host=y"


class Clock:
    """Stands in for monotonic()."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(hosts, "monotonic", made)
    return made


@pytest.fixture
def engine() -> Iterator[Engine]:
    made = create_engine("sqlite://")
    yield made
    made.dispose()


def failure(connect: Callable[[], Any]) -> BaseException:
    with pytest.raises(DBAPIError) as found:
        connect()
    assert found.value.orig is not None
    return found.value.orig


@pytest.mark.parametrize("step", ["do_connect", "connect"])
def test_hosts_of_which_none_can_be_used_may_be_there_soon(
    engine: Engine, clock: Clock, step: str
) -> None:
    """Also where the first statement of a connection fails."""
    down = [True]

    def fail(*_arguments: Any) -> None:
        if down[0]:
            raise sqlite3.OperationalError("nobody there")

    # As the dialect's own first statements: before what we listen to.
    event.listen(engine, step, fail)
    hosts.note_errors(engine, make_url(SEVERAL))
    error = failure(engine.connect)
    assert hosts.was_connecting(error)
    assert hosts.none_was_there(error)
    clock.now += 9.9
    assert hosts.none_was_there(failure(engine.connect))
    clock.now += 0.2
    assert not hosts.none_was_there(failure(engine.connect))
    down[0] = False
    engine.connect().close()
    engine.dispose()
    down[0] = True
    assert hosts.none_was_there(failure(engine.connect))


def test_of_a_single_host_nothing_is_to_be_expected(engine: Engine) -> None:
    def fail(*_arguments: Any) -> None:
        raise sqlite3.OperationalError("nobody there")

    hosts.note_errors(engine, make_url("mysql+pymysql://a:b@x/c"))
    event.listen(engine, "do_connect", fail)
    error = failure(engine.connect)
    assert hosts.was_connecting(error)
    assert not hosts.none_was_there(error)


def test_a_statement_that_fails_is_no_error_of_connecting(engine: Engine) -> None:
    hosts.note_errors(engine, make_url(SEVERAL))
    with engine.connect() as connection:
        error = failure(lambda: connection.exec_driver_sql("nonsense"))
    assert not hosts.was_connecting(error)
    assert not hosts.none_was_there(error)


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[Callable[[str], Store]]:
    made: list[Store] = []

    def make(url: str) -> Store:
        made.append(new_store(tmp_path, database=url))
        return made[-1]

    yield make
    for store in made:
        store.close()


@pytest.mark.sqlite_only
@pytest.mark.parametrize("scheme", ["mysql", "postgresql"])
def test_every_kind_of_server_may_have_several_hosts(
    stores: Callable[[str], Store], scheme: str
) -> None:
    """Nobody listens on these ports."""

    def read(url: str) -> BaseException:
        store = stores(url)
        return failure(lambda: store.read().__enter__())

    assert hosts.none_was_there(read(f"{scheme}://a:b@/c?host=127.0.0.1:1&host=127.0.0.1:2"))
    assert not hosts.none_was_there(read(f"{scheme}://a:b@127.0.0.1:1/c"))


def test_a_try_leaves_what_belongs_to_the_engine_alone() -> None:
    engine = create_engine("mysql+pymysql://a:b@127.0.0.1:3/c")
    seen: list[int] = []

    def see(_dialect: Any, _record: Any, _arguments: Any, named: dict[str, Any]) -> None:
        seen.append(named["port"])

    event.listen(engine, "do_connect", see)
    hosts.install(engine, [("127.0.0.1", 1), ("127.0.0.1", 2)], 1.0)
    for _ in range(2):
        failure(engine.connect)
    assert seen == [3, 3]


class FakeConnection:
    """A PyMySQL connection to a host that takes writes; keeps how long each read may take."""

    def __init__(self, host: str, port: int, read_timeout: float, **_named: Any) -> None:
        self.host, self.port = host, port
        self._read_timeout = read_timeout
        self.reads: list[float] = []

    def ping(self, _reconnect: bool = False) -> None:
        self.reads.append(self._read_timeout)

    def cursor(self) -> FakeConnection:
        return self

    def execute(self, _statement: str) -> None:
        self.ping()

    def fetchone(self) -> None:
        return None

    def close(self) -> None:
        """Nothing to close."""


def test_a_host_that_says_nothing_is_given_up_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A frozen one takes connections as before: the kernel does that."""
    engine = create_engine("mysql+pymysql://a:b@/c")
    hosts.install(engine, [("x", 1), ("y", 2)], 5.0)
    dialect = engine.dialect
    monkeypatch.setattr(dialect, "connect", FakeConnection)
    [connect] = dialect.dispatch.do_connect  # type: ignore[attr-defined]

    def new() -> FakeConnection:
        made = connect(dialect, None, [], {"read_timeout": 60.0})
        assert isinstance(made, FakeConnection)
        return made

    first = new()
    assert set(first.reads) == {5.0}
    assert first._read_timeout == 60.0
    first.reads.clear()
    dialect.do_ping(first)  # type: ignore[arg-type]
    assert (first.reads, first._read_timeout) == ([5.0], 60.0)
    assert new().host == "x"
    [lost] = engine.pool.dispatch.invalidate  # type: ignore[attr-defined]
    lost(first, None, OSError("cut"))
    second = new()
    assert second.host == "y"
    # Another connection to the host that is out of use already.
    lost(first, None, OSError("cut"))
    assert new().host == "y"
    lost(second, None, None)  # It was only closed.
    assert new().host == "y"
    lost(second, None, OSError("cut"))
    assert new().host == "x"
