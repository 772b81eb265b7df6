"""Signs of life beside batches: cheap, and never in the way of exactly-once."""

from __future__ import annotations

import time
from typing import Any

import pytest
from sqlalchemy import func, select, text

from fmd_admin.records import Batch, Row
from fmd_admin.store.models import Request, Writer
from fmd_admin.store.presence import EVERY_S, Presence, processes
from fmd_admin.store.store import Store
from fmd_admin.store.writer import BatchWriter


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def batch(sequence: int) -> Batch:
    row = Row(time.time_ns() // 1_000_000, "index", 5.0, 200, "GET", None, None)
    return Batch("w", sequence, "1", [row])


def said(**more: Any) -> dict[str, Any]:
    return {"pid": 7, "host": "here", "dropped": 0, "faults": 0, **more}


def last_seq(store: Store) -> int | None:
    with store.read() as connection:
        return connection.scalar(select(Writer.last_seq).where(Writer.writer == "w"))


def stored(store: Store) -> int:
    with store.read() as connection:
        return connection.scalar(select(func.count()).select_from(Request)) or 0


def test_an_idle_process_is_seen_before_its_first_batch(store: Store, clock: Clock) -> None:
    Presence(store, clock).beat("w", 0, lambda: said(stored=3), None)
    with store.read() as connection:
        (one,) = processes(connection, 0)
    assert (one.writer, one.status) == ("w", said(stored=3))
    assert abs(one.seen_at.timestamp() - time.time()) < 60
    writer = BatchWriter(store, lambda: 1)
    writer.write(batch(1))
    writer.write(batch(1))
    assert (stored(store), last_seq(store)) == (1, 1)


def test_it_writes_once_in_ten_seconds(store: Store, clock: Clock) -> None:
    presence = Presence(store, clock)
    asked = []

    def status() -> dict[str, Any]:
        asked.append(clock.now)
        return said()

    for _ in range(60):
        presence.beat("w", 0, status, None)
        clock.now += 1
    assert len(asked) == 60 / EVERY_S
    presence.beat("w", 0, status, "the jobs run here now")
    presence.beat("w", 0, status, "the jobs run here now")
    assert len(asked) == 60 / EVERY_S + 1


def test_a_row_that_was_pruned_comes_back_with_its_mark(store: Store, clock: Clock) -> None:
    writer, presence = BatchWriter(store, lambda: 1), Presence(store, clock)
    for sequence in (1, 2, 3):
        writer.write(batch(sequence))
    with store.write() as connection:
        connection.execute(text("DELETE FROM fmd_writer"))
    presence.beat("w", 3, said, None)
    assert last_seq(store) == 3
    writer.write(batch(3))  # An answer that was lost: it is stored already.
    writer.write(batch(4))
    assert (stored(store), last_seq(store)) == (4, 4)


def test_a_beat_leaves_the_mark_alone(store: Store, clock: Clock) -> None:
    writer = BatchWriter(store, lambda: 1)
    writer.write(batch(1))
    Presence(store, clock).beat("w", 0, lambda: said(faults=2, dropped=5), None)
    assert last_seq(store) == 1
    with store.read() as connection:
        (one,) = processes(connection, 0)
        assert (one.dropped, one.faults) == (5, 2)
        assert processes(connection, time.time_ns() // 1_000_000 + 60_000) == []


def test_it_says_when_requests_were_dropped_last(store: Store, clock: Clock) -> None:
    presence, found = Presence(store, clock), []
    for mark, dropped in enumerate((0, 3, 3, 8)):
        time.sleep(0.005)
        presence.beat("w", 0, lambda dropped=dropped: said(dropped=dropped), mark)  # type: ignore[misc]
        with store.read() as connection:
            (one,) = processes(connection, 0)
        found.append(one.status.get("dropped_at_ms"))
    assert found[0] is None
    assert found[1] == found[2] < found[3]
