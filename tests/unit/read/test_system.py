"""Sizes and rows of the System page, against what is really there."""

from __future__ import annotations

import json
import time
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import Connection, func, insert, select, text

from fmd_admin import resources
from fmd_admin.read import sizes
from fmd_admin.read.sizes import rows_per_table, storage
from fmd_admin.read.system import system
from fmd_admin.store.models import Day, Endpoint, Hour, HourStatus, Request, Version, Writer, db
from fmd_admin.store.rollups import merge_deltas
from fmd_admin.store.store import Store

from .conftest import MakeWorld


def true_rows(connection: Connection) -> dict[str, int]:
    return {
        name: connection.scalar(select(func.count()).select_from(table)) or 0
        for name, table in db.metadata.tables.items()
    }


def test_small_tables_are_counted(world_in: MakeWorld) -> None:
    store = world_in("UTC", datetime(2026, 11, 22, 15)).store
    with store.read() as connection:
        found = dict(rows_per_table(connection))
        assert {name: amount.rows for name, amount in found.items()} == true_rows(connection)
    assert all(amount.exact for amount in found.values())


def test_big_tables_are_estimated(world_in: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    store = world_in("Asia/Kolkata", datetime(2026, 11, 22, 15), hits=6000).store
    with store.write() as connection:
        merge_deltas(connection, store.timezone)
        # As after a year of deletion: ids do not begin with 1.
        oldest = connection.scalars(select(Request.id).order_by(Request.id).limit(2000)).all()
        connection.execute(Request.__table__.delete().where(Request.id.in_(oldest)))
    monkeypatch.setattr(sizes, "_COUNTED", 50)
    with store.read() as connection:
        found = dict(rows_per_table(connection))
        true = true_rows(connection)
    assert (found["fmd_request"].rows, found["fmd_request"].exact) == (4000, False)
    for table in (Hour, HourStatus, Day):
        about = found[table.__tablename__]
        assert not about.exact
        # Most of these requests are of the last days; what is even comes out far better.
        assert 0.2 < about.rows / true[table.__tablename__] < 5


def test_even_sums_are_estimated_well(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """60 days with hits by day only: eight hours of nothing each night."""
    figures = {
        "version_id": 1,
        "hits": 1,
        "errors": 0,
        "sum_ms": 1.0,
        "sum_squares": 1.0,
        "min_ms": 1.0,
        "max_ms": 1.0,
        "histogram": b"",
    }
    with store.write() as connection:
        connection.execute(insert(Version).values(name="1", first_seen=0))
        for number in range(1, 11):
            seen = {"first_seen": 0, "last_requested": 0}
            connection.execute(insert(Endpoint).values(name=f"e{number}", level=1, **seen))
        rows = [
            {"hour": hour * 3_600_000, "endpoint_id": number, **figures}
            for hour in range(60 * 24)
            if hour % 24 >= 8
            for number in range(1, 11)
        ]
        connection.execute(insert(Hour), rows)
    monkeypatch.setattr(sizes, "_COUNTED", 50)
    with store.read() as connection:
        about = dict(rows_per_table(connection))["fmd_hour"]
    assert abs(about.rows / len(rows) - 1) < 0.15
    assert str(about) == f"about {about.rows:,}"


@pytest.mark.sqlite_only
def test_the_file_and_what_is_free_in_it(store: Store, tmp_path: Path) -> None:
    with store.write() as connection:
        connection.execute(text("CREATE TABLE fill (data BLOB)"))
        connection.execute(text("INSERT INTO fill VALUES (zeroblob(3000000))"))
    with store.write() as connection:
        connection.execute(text("DROP TABLE fill"))
    with store.read() as connection:
        found = storage(store.engine, connection)
    assert found.kind == "SQLite"
    assert found.url == f"sqlite:///{tmp_path}/fmd.db"
    assert found.free_bytes is not None
    assert found.size_bytes is not None
    assert 3_000_000 <= found.free_bytes <= found.size_bytes
    assert found.log_bytes == (tmp_path / "fmd.db-wal").stat().st_size


def test_who_lives_and_who_leads(store: Store) -> None:
    now_ms = time.time_ns() // 1_000_000
    said = {
        "old": (now_ms - 60_000, {"waiting": 500, "jobs_since": 5, "pid": 1}),
        "idle": (now_ms - 9_000, {"waiting": 2, "jobs_since": None, "pid": 2}),
        "lead": (now_ms - 5_000, {"waiting": 3, "jobs_since": 7, "pid": 3}),
        "silent": (now_ms - 1_000, None),
        "gone": (now_ms - 2 * 86_400_000, {"pid": 4}),
    }
    with store.write() as connection:
        for writer, (seen_ms, status) in said.items():
            connection.execute(
                insert(Writer).values(
                    writer=writer,
                    last_seq=0,
                    seen_at=seen_ms,
                    dropped=1,
                    faults=2,
                    status=None if status is None else json.dumps(status),
                )
            )
    with store.read() as connection:
        found = system(connection, store.engine, {"requests": now_ms}, now_ms)
    assert [worker.process.writer for worker in found.workers] == ["silent", "lead", "idle", "old"]
    assert [worker.process.writer for worker in found.alive] == ["silent", "lead", "idle"]
    assert found.leader is not None
    assert found.leader.process.writer == "lead"
    assert found.waiting == 5
    assert found.health.dropped == 5
    kinds = {state.kind.name: state for state in found.kinds}
    assert kinds["requests"].before_ms == now_ms
    assert kinds["profiles"].before_ms is None
    newest = max(path.name for path in (resources.folder("migrations") / "versions").glob("0*.py"))
    assert found.revision == newest[:4]
