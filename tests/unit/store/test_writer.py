from __future__ import annotations

import time
from pathlib import Path

import psycopg
import pymysql
import pytest
from sqlalchemy import delete, event, func, select, text
from sqlalchemy.exc import ProgrammingError

from fmd_admin.errors import BatchRefusedError
from fmd_admin.records import Batch, Row
from fmd_admin.store import live
from fmd_admin.store.models import Endpoint, Request, RollupDelta, Version, Writer
from fmd_admin.store.store import Store
from fmd_admin.store.writer import BatchWriter

from ...cuts import fails
from ...support import new_store, stored_rows

pytestmark = pytest.mark.every_engine

NOW_MS = int(time.time() * 1000)


def row(endpoint: str = "shop.index", **fields: object) -> Row:
    values: dict[str, object] = {
        "time_ms": NOW_MS,
        "duration_ms": 12.5,
        "status": 200,
        "method": "GET",
        "group": "anna",
        "ip": "192.0.2.1",
    }
    return Row(endpoint=endpoint, **{**values, **fields})  # type: ignore[arg-type]


def batch(sequence: int, rows: list[Row], writer: str = "w1", **fields: object) -> Batch:
    return Batch(writer=writer, sequence=sequence, version="1.0", rows=rows, **fields)  # type: ignore[arg-type]


@pytest.fixture
def writer(store: Store) -> BatchWriter:
    return BatchWriter(store, lambda: 1)


def count(store: Store, table: type) -> int:
    with store.read() as connection:
        return connection.scalar(select(func.count()).select_from(table)) or 0


def test_a_row_keeps_everything(store: Store, writer: BatchWriter) -> None:
    writer.write(batch(1, [row(method="PATCH", status=404), row(group=None, ip=None)]))
    first, second = stored_rows(store)
    assert (first.endpoint, first.version, first.group, first.ip) == (
        "shop.index",
        "1.0",
        "anna",
        "192.0.2.1",
    )
    assert (first.time_ms, first.duration_ms, first.status, first.method) == (
        NOW_MS,
        12.5,
        404,
        "PATCH",
    )
    assert (second.group, second.ip) == (None, None)


def test_a_batch_is_stored_once_however_often_it_is_tried(
    store: Store, writer: BatchWriter
) -> None:
    for _ in range(3):
        writer.write(batch(1, [row(), row()]))
    # The same process after a lost answer to its first INSERT, with an empty memory.
    BatchWriter(store, lambda: 1).write(batch(1, [row(), row()]))
    writer.write(batch(2, [row()]))
    assert count(store, Request) == 3


def test_deltas_agree_with_the_rows(store: Store, writer: BatchWriter) -> None:
    hour_ms = 3_600_000
    rows = [row(time_ms=NOW_MS - hour_ms * (i % 3), duration_ms=i) for i in range(1, 31)]
    writer.write(batch(1, rows))
    with store.read() as connection:
        hits, total, deltas = connection.execute(
            select(func.sum(RollupDelta.hits), func.sum(RollupDelta.sum_ms), func.count())
        ).one()
    assert (hits, total, deltas) == (30, sum(range(1, 31)), 3)


def test_level_0_stores_no_row(store: Store, writer: BatchWriter) -> None:
    writer.write(batch(1, [], touched={"quiet": NOW_MS}))
    assert count(store, Request) == 0
    with store.read() as connection:
        delta = connection.execute(select(RollupDelta.hits, RollupDelta.last_requested)).one()
        assert connection.scalar(select(Endpoint.name)) == "quiet"
    assert delta.hits == 0
    assert int(delta.last_requested.timestamp() * 1000) == NOW_MS


def test_first_seen_is_the_first_request_of_each(store: Store, writer: BatchWriter) -> None:
    times = {"a": NOW_MS - 5_000, "b": NOW_MS - 3_000}
    rows = [row(name, time_ms=ms + late) for name, ms in times.items() for late in (900, 0)]
    writer.write(batch(1, rows, touched={"c": NOW_MS - 1_000}))
    with store.read() as connection:
        seen = connection.execute(select(Endpoint.name, Endpoint.first_seen)).all()
        version = connection.scalar(select(Version.first_seen))
    assert {name: int(t.timestamp() * 1000) for name, t in seen} == {**times, "c": NOW_MS - 1_000}
    assert version is not None
    assert int(version.timestamp() * 1000) == NOW_MS - 5_000


def test_new_endpoints_get_the_default_level(store: Store) -> None:
    BatchWriter(store, lambda: 3).write(batch(1, [row()]))
    with store.read() as connection:
        assert connection.scalar(select(Endpoint.level)) == 3


def test_an_endpoint_that_was_deleted_is_made_anew(store: Store, writer: BatchWriter) -> None:
    writer.write(batch(1, [row()]))
    with store.write() as connection:
        [old] = connection.scalars(select(Endpoint.id)).all()
        assert live.delete_endpoints(connection, [old]) == 1
    assert count(store, Request) == 0
    writer.write(batch(2, [row()]))
    assert [r.endpoint for r in stored_rows(store)] == ["shop.index"]


def test_two_writers_share_names(store: Store, tmp_path: Path) -> None:
    other = new_store(tmp_path)
    first, second = BatchWriter(store, lambda: 1), BatchWriter(other, lambda: 1)
    for sequence in range(1, 6):
        first.write(batch(sequence, [row(f"e{sequence}")], writer="w1"))
        second.write(batch(sequence, [row(f"e{sequence}")], writer="w2"))
    assert count(store, Request) == 10
    assert count(store, Endpoint) == 5
    assert count(store, Version) == 1
    other.close()


@pytest.mark.sqlite_only
def test_a_locked_database_is_waited_for_not_refused(store: Store, writer: BatchWriter) -> None:
    writer.write(batch(1, [row()]))
    store.close()
    event.listen(store.engine, "connect", lambda c, _: c.execute("PRAGMA busy_timeout = 50"))
    with store.write() as connection:
        connection.execute(text("UPDATE fmd_config SET version = version"))
        with pytest.raises(Exception, match="locked"):
            writer.write(batch(2, [row()]))
    writer.write(batch(2, [row()]))
    assert count(store, Request) == 2


def test_rows_that_the_database_refuses(store: Store, writer: BatchWriter) -> None:
    with pytest.raises(BatchRefusedError):
        writer.write(batch(1, [row(duration_ms=None)]))
    writer.write(batch(2, [row()]))
    assert count(store, Request) == 1
    with store.read() as connection:
        assert connection.scalar(select(Writer.last_seq)) == 2


@pytest.mark.parametrize(
    ("error", "refused"),
    [
        (psycopg.errors.InsufficientPrivilege("INSERT was revoked"), False),
        (psycopg.errors.DatatypeMismatch("text for a number"), True),
        (psycopg.ProgrammingError("no way to adapt it"), True),
        (pymysql.err.ProgrammingError(1064, "syntax", sqlstate="42000"), False),
    ],
)
def test_only_what_rows_can_cause_costs_them(
    store: Store, writer: BatchWriter, error: Exception, refused: bool
) -> None:
    """All else is tried again, and waits in the spool."""
    writer.write(batch(1, [row()]))
    fault = ProgrammingError("INSERT", {}, error)
    with fails(store, "INTO fmd_request ", fault) as done, pytest.raises(Exception) as found:  # noqa: PT011
        writer.write(batch(2, [row()]))
    assert done
    assert isinstance(found.value, BatchRefusedError) is refused
    assert refused or found.value is fault
    writer.write(batch(2, [row()]))
    assert count(store, Request) == 2


def test_missing_tables_are_no_fault_of_the_rows(tmp_path: Path) -> None:
    bare = new_store(tmp_path)
    with pytest.raises(Exception, match=r"no such table|does not exist|doesn't exist"):
        BatchWriter(bare, lambda: 1).write(batch(1, [row()]))
    bare.close()


def test_names_that_differ_in_case_only_stay_apart(store: Store, writer: BatchWriter) -> None:
    writer.write(batch(1, [row("Shop"), row("shop")]))
    assert [r.endpoint for r in stored_rows(store)] == ["Shop", "shop"]


def test_a_writer_that_nobody_registered_again(store: Store, writer: BatchWriter) -> None:
    writer.write(batch(1, [row()]))
    with store.write() as connection:
        connection.execute(delete(Writer))
    # Pruned while it was idle: nothing may be lost silently.
    writer.write(batch(2, [row()]))
    assert count(store, Request) == 2
