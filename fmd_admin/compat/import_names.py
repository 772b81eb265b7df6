"""Brings over what has names: users, endpoints with their levels, and custom graphs."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from sqlalchemy import BigInteger, Connection, insert, select, type_coerce, update
from werkzeug.security import check_password_hash

from ..recorder.batching import storable
from ..store import imports, live
from ..store.accounts import ADMIN, VIEWER
from ..store.dimensions import insert_unless_there
from ..store.job_models import CustomGraph, CustomGraphValue
from ..store.models import Endpoint, User
from ..store.passwords import username_problem
from ..store.store import Store
from .fmd_database import FMDDatabase, to_millis
from .import_report import TAKEN, ImportReport

#: What the old product and its documentation have as passwords; and the name itself is tried.
_KNOWN_PASSWORDS = ("admin", "password", "guest", "dashboardguest!", "second_pw!")
#: What werkzeug can check. Databases of old versions may have others.
_HASHES = ("scrypt:", "pbkdf2:")
_VALUES = 5_000


def import_users(old: FMDDatabase, store: Store, above: int, report: ImportReport) -> None:
    """Make accounts with the hashes that they have there, each in a transaction of its own."""
    for user in old.rows("User", "id", "username", "password_hash", "is_admin"):
        if user.id <= above:
            continue
        problem = _problem(user)
        if problem is None:
            problem = store.transact(partial(_add_user, user, old.source, above))
        else:
            store.transact(partial(_pass_user, user, old.source, above))
        above = user.id
        if problem is None:
            report.imported["users"] += 1
        else:
            report.leave_out("users", f"{user.username}: {problem}")


def _problem(user: Any) -> str | None:
    problem = username_problem(user.username)
    if problem:
        return problem
    hashed = user.password_hash or ""
    if not hashed.startswith(_HASHES) or len(hashed) > 255:
        return "the password is kept in a way that cannot be checked any more"
    for guess in (user.username, *_KNOWN_PASSWORDS):
        if check_password_hash(hashed, guess):
            return "the password is one of those that are tried first; make the account anew"
    return None


def _pass_user(user: Any, source: str, above: int, connection: Connection) -> None:
    imports.move(connection, source, "last_user", above, user.id)


def _add_user(user: Any, source: str, above: int, connection: Connection) -> str | None:
    if not imports.move(connection, source, "last_user", above, user.id):
        return "another import took it over"
    taken = connection.scalars(select(User.username)).all()
    if user.username.casefold() in {name.casefold() for name in taken}:
        return "there is an account of that name already, which stays as it is"
    connection.execute(
        insert(User).values(
            username=user.username,
            password_hash=user.password_hash,
            role=ADMIN if user.is_admin else VIEWER,
            active=True,
            session_key=secrets.token_hex(16),
            created_at=time.time_ns() // 1_000_000,
        )
    )
    return None


def import_endpoints(
    old: FMDDatabase,
    store: Store,
    default_level: int,
    known: Mapping[int, int],
    report: ImportReport,
) -> dict[int, str]:
    """Make the endpoints that were ever requested; return their names by the ids there.

    An endpoint that is here already takes over the old level once, unless it has been changed.
    """
    found = old.rows("Endpoint", "id", "name", "monitor_level", "time_added", "last_requested")
    with_requests = old.requested_endpoints() - known.keys()
    rows = [
        row for row in found if row.id in known or row.last_requested or row.id in with_requests
    ]
    never = [row for row in found if row not in rows]
    if never:
        report.leave_out("endpoints", "never requested; they begin when they are", len(never))

    def store_all(connection: Connection) -> int:
        ids = dict(known)
        new = [row for row in rows if row.id not in known]
        for row in new:
            ids[row.id] = _add_endpoint(connection, row, default_level)
        if new:
            imports.keep_endpoints(connection, old.source, ids)
            live.bump(connection)
        return len(new)

    report.imported["endpoints"] += store.transact(store_all)
    return {row.id: storable(row.name) for row in rows}


def _add_endpoint(connection: Connection, row: Any, default_level: int) -> int:
    name = storable(row.name)
    first = to_millis(row.time_added) or to_millis(row.last_requested) or 0
    last = to_millis(row.last_requested) or first
    level = row.monitor_level if row.monitor_level in range(4) else default_level
    columns = (
        Endpoint.id,
        Endpoint.level,
        type_coerce(Endpoint.first_seen, BigInteger),
        type_coerce(Endpoint.last_requested, BigInteger),
    )
    query = select(*columns).where(Endpoint.name == name)
    there = connection.execute(query).one_or_none()
    if there is None:
        values = {"name": name, "level": level, "first_seen": first, "last_requested": last}
        connection.execute(insert_unless_there(connection, Endpoint), values)
        return int(connection.execute(query).one()[0])
    changed = there[1] != default_level
    connection.execute(
        update(Endpoint)
        .where(Endpoint.id == there[0])
        .values(
            level=there[1] if changed else level,
            first_seen=min(first, there[2]),
            last_requested=max(last, there[3]),
        )
    )
    return int(there[0])


def import_graphs(old: FMDDatabase, store: Store, above: int, report: ImportReport) -> None:
    """Make custom graphs with their values."""
    graphs = old.rows("CustomGraph", "graph_id", "title", "time_added")
    ids: dict[int, int] = {}

    def make(connection: Connection) -> int:
        made = 0
        for graph in graphs:
            ids[graph.graph_id], new = _graph(connection, graph)
            made += new
        return made

    report.imported["custom graphs"] += store.transact(make)
    columns = ("id", "graph_id", "time", "value")
    for rows in old.chunks("CustomGraphData", columns, above, _VALUES):
        to = rows[-1][0]
        before = report.state()
        values = _values(rows, ids, report)
        stored: list[int] = []
        store.transact(partial(_add_values, values, old.source, above, to, stored))
        if stored:
            report.imported["custom graph values"] += stored[-1]
            report.leave_out(
                "custom graph values",
                "their graph has one of that moment",
                len(values) - stored[-1],
            )
        else:
            report.go_back(before)
            report.leave_out("custom graph values", TAKEN, len(rows))
        above = to


def _graph(connection: Connection, graph: Any) -> tuple[int, int]:
    """Return the id of a graph's row, and 1 if it was made now."""
    title = storable(graph.title)
    query = select(CustomGraph.id).where(CustomGraph.title == title)
    there = connection.scalar(query)
    if there is not None:
        return there, 0
    first = to_millis(graph.time_added) or time.time_ns() // 1_000_000
    connection.execute(
        insert_unless_there(connection, CustomGraph), {"title": title, "first_seen": first}
    )
    return int(connection.scalar(query) or 0), 1


def _values(
    rows: Sequence[Any], ids: Mapping[int, int], report: ImportReport
) -> list[dict[str, Any]]:
    values = []
    for _id, graph_id, moment, value in rows:
        time_ms = to_millis(moment)
        if graph_id not in ids or time_ms is None:
            report.leave_out("custom graph values", "their graph or their time is not there")
        elif value is None or not math.isfinite(value):
            report.leave_out("custom graph values", "they are no numbers")
        else:
            values.append({"graph_id": ids[graph_id], "time": time_ms, "value": float(value)})
    return values


def _add_values(
    values: list[dict[str, Any]],
    source: str,
    above: int,
    to: int,
    stored: list[int],
    connection: Connection,
) -> None:
    """Add values, and their number to ``stored``: nothing where another import has done it."""
    if not imports.move(connection, source, "last_value", above, to):
        return
    if not values:
        stored.append(0)
        return
    moment = type_coerce(CustomGraphValue.time, BigInteger)
    times = [value["time"] for value in values]
    there = connection.execute(
        select(CustomGraphValue.graph_id, moment).where(moment.between(min(times), max(times)))
    )
    known = {(row[0], row[1]) for row in there}
    new = {(value["graph_id"], value["time"]): value for value in reversed(values)}
    rows = [value for key, value in new.items() if key not in known]
    if rows:
        connection.execute(insert(CustomGraphValue), rows[::-1])
    stored.append(len(rows))
