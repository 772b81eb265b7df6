"""Deleting endpoints and versions piece by piece, while others write."""

from __future__ import annotations

import time

import pytest
from sqlalchemy import event, func, select

from fmd_admin.records import Batch, Row
from fmd_admin.store import emptying, live
from fmd_admin.store.emptying import Emptying
from fmd_admin.store.models import (
    Endpoint,
    Outlier,
    OutlierSkipped,
    Profile,
    Request,
    RollupDelta,
    Version,
)
from fmd_admin.store.store import Store
from fmd_admin.store.writer import BatchWriter

from ...profiles import outlier, profile, store_batch

pytestmark = pytest.mark.every_engine


def write(store: Store, number: int, names: list[str], version: str = "1.0") -> None:
    """Store a request of each of ``names``, in this order."""
    now_ms = int(time.time() * 1000)
    rows = [Row(now_ms, name, 5.0, 200, "GET", None, None) for name in names]
    BatchWriter(store, lambda: 1).write(Batch(f"w{number}", 1, version, rows))


def ids(store: Store, model: type[Endpoint] | type[Version]) -> dict[str, int]:
    with store.read() as connection:
        return {row.name: row.id for row in connection.execute(select(model.name, model.id))}


def requests(store: Store) -> dict[str, int]:
    """The number of stored requests by the name of their endpoint."""
    with store.read() as connection:
        query = select(Endpoint.name, func.count()).join(
            Request, Request.endpoint_id == Endpoint.id
        )
        rows = connection.execute(query.group_by(Endpoint.name))
        return {row[0]: row[1] for row in rows}


def number(store: Store, model: type) -> int:
    with store.read() as connection:
        return connection.scalar(select(func.count()).select_from(model)) or 0


def finish(store: Store, work: Emptying, gone: list[int]) -> int:
    return store.transact(lambda connection: live.delete_endpoints(connection, gone, work.above))


def test_rows_go_in_short_transactions_and_the_totals_at_the_end(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emptying, "_FIRST_ROWS", 4)
    monkeypatch.setattr(emptying, "_MOST_ROWS", 16)
    write(store, 1, ["old", "kept", "kept"] * 30)
    before = number(store, RollupDelta)
    deleted: list[int] = []

    def note(_connection: object, cursor: object, statement: str, *_more: object) -> None:
        if statement.startswith("DELETE"):
            deleted.append(cursor.rowcount)  # type: ignore[attr-defined]

    gone = [ids(store, Endpoint)["old"]]
    work = Emptying(store, "endpoint_id", gone)
    event.listen(store.engine, "after_cursor_execute", note)
    assert work.work(60)
    assert sum(deleted) == work.deleted == 30
    assert max(deleted) <= 16
    assert requests(store) == {"kept": 60}
    # Figures and lists of endpoints still say what was measured.
    assert number(store, RollupDelta) == before
    assert finish(store, work, gone) == 1
    assert number(store, RollupDelta) == before / 2
    assert ids(store, Endpoint).keys() == {"kept"}


def test_it_goes_on_where_the_time_was_up(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emptying, "_FIRST_ROWS", 4)
    write(store, 1, ["old"] * 20)
    gone = [ids(store, Endpoint)["old"]]
    first = Emptying(store, "endpoint_id", gone)
    assert not first.work(0)
    assert 0 < first.deleted < 20
    second = Emptying(store, "endpoint_id", gone)
    assert second.work(60)
    assert first.deleted + second.deleted == 20


@pytest.mark.parametrize("last", ["old", "kept"])
def test_what_comes_in_meanwhile_goes_too(
    store: Store, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    """With ``last`` the rows at SQLite's end are deleted, and their ids given again."""
    monkeypatch.setattr(emptying, "_SPARE_IDS", 0)
    write(store, 1, ["kept"] * 3 + ["old"] * 50 + [last])
    kept = requests(store)["kept"]
    gone = [ids(store, Endpoint)["old"]]
    work = Emptying(store, "endpoint_id", gone)
    assert work.work(60)
    write(store, 2, ["old", "kept", "old"])
    assert requests(store) == {"old": 2, "kept": kept + 1}
    assert finish(store, work, gone) == 1
    assert requests(store) == {"kept": kept + 1}
    assert number(store, Request) == kept + 1


def test_all_that_hangs_on_a_version(store: Store) -> None:
    made = {"profiles": [profile()], "outliers": [outlier()], "left_out": {"shop.search": 1}}
    store_batch(store, **made)
    store_batch(store, "w2", version="3.0", **made)
    write(store, 3, ["shop.search"] * 5, "3.0")
    version = ids(store, Version)["3.0"]
    work = Emptying(store, "version_id", [version])
    assert work.work(60)
    assert [number(store, table) for table in (Profile, Outlier, OutlierSkipped)] == [1, 1, 2]
    store.transact(lambda connection: live.delete_versions(connection, [version], work.above))
    assert number(store, OutlierSkipped) == 1
    assert "3.0" not in ids(store, Version)
