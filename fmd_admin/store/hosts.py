"""Several hosts in one database URL, as psycopg takes them, for drivers that take only one.

``mysql://user:password@/fmd?host=db1:3306&host=db2:3306``: the first host that takes writes is
used; when it is lost, the next connection is made to the next one.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import Any

from sqlalchemy import Dialect, Engine, event
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import ExceptionContext

from ..errors import StoreError

#: Hosts with their ports.
Hosts = Sequence[tuple[str, int]]
_MYSQL_PORT = 3306
#: On errors of connecting.
_CONNECTING = "fmd_connecting"
#: On errors of connecting to any of several hosts, of which one may be there again soon.
_SOON = "fmd_there_soon"
#: How long a cluster takes to find out which of its nodes are left, or a fail-over.
_REGROUPING_S = 10.0
_NO_QUORUM = 1047


def of(url: URL) -> list[str]:
    """Return the hosts that a URL names in its query."""
    found = url.query.get("host", ())
    return [found] if isinstance(found, str) else list(found)


def split(url: URL) -> tuple[URL, Hosts]:
    """Take the hosts out of a URL whose driver knows one only.

    Raises StoreError for a port that is no number.
    """
    named = of(url)
    if url.get_driver_name() != "pymysql" or not named:
        return url, ()
    found = []
    for text in named:
        host, _, port = text.rpartition(":") if ":" in text else (text, "", "")
        if port and not port.isdecimal():
            raise StoreError(
                f"Setting DATABASE has a host {text!r} whose port is no number. "
                "Example: mysql://user:password@/fmd?host=db1:3306&host=db2:3306"
            )
        found.append((host, int(port) if port else url.port or _MYSQL_PORT))
    rest = url.difference_update_query(["host"])
    return rest.set(host=found[0][0], port=found[0][1]), found


def install(engine: Engine, hosts: Hosts, patience_s: float) -> None:
    """Make connections of ``engine`` to the first host that takes writes, from the last on.

    A host that says nothing for ``patience_s`` while it is connected to or looked after is given
    up; with queries a server may take its time.
    """
    # The host of the last connection, as an index. Threads may race for it: it is a hint.
    last = [0]

    def connect(dialect: Dialect, _record: Any, arguments: list[Any], named: dict[str, Any]) -> Any:
        failure: Exception | None = None
        for index in [*range(last[0], len(hosts)), *range(last[0])]:
            host, port = hosts[index]
            # Not into ``named``: it belongs to the engine, for all threads.
            here = {**named, "host": host, "port": port, "read_timeout": patience_s}
            try:
                made = dialect.connect(*arguments, **here)
            except Exception as error:  # noqa: BLE001 - the driver's, raised if no host is left
                failure = error
                continue
            try:
                usable = _takes_writes(made)
            except Exception as error:  # noqa: BLE001 - it went away again
                failure, usable = error, False
            if usable:
                last[0] = index
                made._read_timeout = named.get("read_timeout")
                return made
            made.close()
        if failure is None:
            names = ", ".join(f"{host}:{port}" for host, port in hosts)
            failure = dialect.loaded_dbapi.OperationalError(
                2003, f"None of the hosts {names} takes writes: all are read-only or without quorum"
            )
        raise failure

    def lost(connection: Any, _record: Any, error: BaseException | None) -> None:
        # It would be asked first, and may say nothing for as long again.
        if error is not None and (connection.host, connection.port) == tuple(hosts[last[0]]):
            last[0] = (last[0] + 1) % len(hosts)

    event.listen(engine, "do_connect", connect)
    event.listen(engine, "invalidate", lost)
    _ping_soon(engine.dialect, patience_s)


def _ping_soon(dialect: Dialect, patience_s: float) -> None:
    """Give a connection up before its use where its host does not answer in ``patience_s``."""
    ping = dialect.do_ping

    def soon(connection: Any) -> bool:
        usual_s, connection._read_timeout = connection._read_timeout, patience_s
        try:
            return ping(connection)
        finally:
            connection._read_timeout = usual_s

    dialect.do_ping = soon  # type: ignore[assignment,method-assign]


def note_errors(engine: Engine, url: URL) -> None:
    """Mark errors of connecting, for :func:`was_connecting` and :func:`none_was_there`."""
    several = sum(len(text.split(",")) for text in of(url)) > 1
    # When connecting began to fail, nothing while it does not.
    began: dict[str, float] = {}

    def note(context: ExceptionContext) -> None:
        error = context.original_exception
        connecting = context.connection is None and not context.is_pre_ping
        if connecting:
            setattr(error, _CONNECTING, True)
        if several and (connecting or error.args[:1] == (_NO_QUORUM,)):
            now = monotonic()
            since = began.setdefault("s", now)
            setattr(error, _SOON, now - since < _REGROUPING_S)

    def connected(_connection: Any, _record: Any) -> None:
        began.clear()

    event.listen(engine, "handle_error", note)
    event.listen(engine, "connect", connected)


def was_connecting(error: BaseException | None) -> bool:
    """Whether a driver's error is one of connecting: nothing had answered."""
    return getattr(error, _CONNECTING, False)


def none_was_there(error: BaseException | None) -> bool:
    """Whether a driver's error means that none of several hosts could be used just then.

    So it is for a moment while a cluster finds out which of its nodes are left. Where that goes on
    for longer, it is an error like others: nobody should wait each time.
    """
    return getattr(error, _SOON, False)


def _takes_writes(connection: Any) -> bool:
    cursor = connection.cursor()
    try:
        # A node of Galera without quorum takes connections and refuses every query but these.
        clustered = _shown(cursor, "SHOW VARIABLES LIKE 'wsrep_on'") == "ON"
        if clustered and _shown(cursor, "SHOW STATUS LIKE 'wsrep_ready'") != "ON":
            return False
        return _shown(cursor, "SHOW GLOBAL VARIABLES LIKE 'read_only'") != "ON"
    finally:
        cursor.close()


def _shown(cursor: Any, statement: str) -> str | None:
    cursor.execute(statement)
    row = cursor.fetchone()
    return None if row is None else str(row[1])
