"""Exceptions on their way into the store, and what keeps their tables small."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from sqlalchemy import func, select, update

from fmd_admin.records import Batch, Block, Frame, Link, Occurrence, RaisedCount, RaisedFrame
from fmd_admin.store import exceptions, live, retention
from fmd_admin.store.exception_models import (
    ExceptionDay,
    ExceptionGroup,
    ExceptionRow,
    SourceBlock,
)
from fmd_admin.store.models import Endpoint, Version
from fmd_admin.store.pruner import Pruner
from fmd_admin.store.store import Store
from fmd_admin.store.writer import BatchWriter

from ...exceptions import sources, stored_groups

pytestmark = pytest.mark.every_engine

T0 = 1_764_000_000_000
DAY_MS = 86_400_000
KEY = (("ValueError", "shop.basket", "total"), ("KeyError", "shop.basket", "price"))
OTHER = (("TypeError", "shop.order", "send"),)
BLOCK = Block("shop/basket.py", "total", "def total():\n    return price()")
FRAME = RaisedFrame(Frame("shop/basket.py", 12, "total", True), BLOCK, 11)


def occurrence(time_ms: int = T0, endpoint: str = "basket", **more: object) -> Occurrence:
    made = Occurrence(
        time_ms=time_ms,
        endpoint=endpoint,
        duration_ms=12.5,
        status=500,
        method="GET",
        group="anna",
        ip="192.0.2.7",
        key=KEY,
        handled=False,
        links=[
            Link("ValueError", "no \N{GREEK SMALL LETTER PI}\0\ud800", "", [FRAME], 3),
            Link("KeyError", "'x'", "cause", [FRAME]),
        ],
        url="http://shop/basket",
        values={"q": ["1", "2"]},
        headers=[("Host", "shop")],
    )
    return replace(made, **more)  # type: ignore[arg-type]


def raised(hits: int, time_ms: int = T0, endpoint: str = "basket", key: object = KEY) -> dict:  # type: ignore[type-arg]
    return {(key, endpoint, time_ms): RaisedCount(hits, time_ms, time_ms + 1000)}


def write(store: Store, *batches: Batch, writer: BatchWriter | None = None) -> None:
    writer = writer or BatchWriter(store, lambda: 1)
    for batch in batches:
        writer.write(batch)


def count(store: Store, table: type) -> int:
    with store.read() as connection:
        return connection.scalar(select(func.count()).select_from(table)) or 0


def tidy(store: Store) -> None:
    exceptions.tidy(store, lambda _connection: None)


def test_an_exception_keeps_everything(store: Store) -> None:
    made = occurrence()
    write(store, Batch("w", 1, "2.0", exceptions=[made], raised=raised(7)))
    [found] = stored_groups(store).values()
    assert (found.type, found.module, found.function, found.behind) == (
        "ValueError",
        "shop.basket",
        "total",
        "KeyError",
    )
    assert found.counts == {("basket", "2.0"): 7}
    [row] = found.rows
    assert (row.endpoint, row.version, row.method, row.status) == ("basket", "2.0", "GET", 500)
    assert row.message == "no \N{GREEK SMALL LETTER PI}?"
    detail = row.detail
    assert (detail.url, detail.values, detail.headers) == (made.url, made.values, made.headers)
    assert [(link.type, link.link, link.cut) for link in detail.links] == [
        ("ValueError", "", 3),
        ("KeyError", "cause", 0),
    ]
    frame = detail.links[0].frames[0]
    assert frame[:4] == ("shop/basket.py", 12, "total", True)
    assert frame.first_line == 11
    assert sources(store) == {frame.source_id: BLOCK.text}
    with store.read() as connection:
        first, last = connection.execute(select(ExceptionDay.first_at, ExceptionDay.last_at)).one()
    assert (first.timestamp(), last.timestamp()) == (T0 / 1000, T0 / 1000 + 1)


def test_a_batch_with_exceptions_only_is_stored_once(store: Store) -> None:
    for _ in range(3):
        write(store, Batch("w", 1, "2.0", exceptions=[occurrence()], raised=raised(7)))
    [found] = stored_groups(store).values()
    assert (found.hits, len(found.rows)) == (7, 1)


def test_outside_of_requests_there_is_no_endpoint(store: Store) -> None:
    loose = occurrence(endpoint="", method="", status=0, duration_ms=0.0, group=None, ip=None)
    write(store, Batch("w", 1, "2.0", exceptions=[loose], raised=raised(1, endpoint="")))
    [found] = stored_groups(store).values()
    assert found.counts == {(None, "2.0"): 1}
    assert found.rows[0].endpoint is None
    assert count(store, Endpoint) == 0


def test_secrets_are_taken_out_of_source_by_the_writer(store: Store) -> None:
    writer = BatchWriter(store, lambda: 1, clean_source=lambda text: text.replace("price", "***"))
    write(store, Batch("w", 1, "2.0", exceptions=[occurrence()]), writer=writer)
    assert list(sources(store).values()) == ["def total():\n    return ***()"]


def test_counts_of_batches_are_merged_and_none_is_lost(store: Store) -> None:
    writer = BatchWriter(store, lambda: 1)
    for number in range(30):
        moment = T0 + number * 1000 + (number % 2) * DAY_MS
        batch = Batch("w", number + 1, "2.0", raised=raised(number, moment))
        batch.raised |= raised(1, T0, endpoint="")
        batch.raised |= raised(2, T0, key=OTHER)
        writer.write(batch)
    before = {name: one.counts for name, one in stored_groups(store).items()}
    assert count(store, ExceptionDay) == 120 - 30
    tidy(store)
    assert count(store, ExceptionDay) == 4
    assert {name: one.counts for name, one in stored_groups(store).items()} == before
    assert before["ValueError total"] == {("basket", "2.0"): sum(range(30)), (None, "2.0"): 30}
    with store.read() as connection:
        spans = connection.execute(
            select(func.min(ExceptionDay.first_at), func.max(ExceptionDay.last_at))
        ).one()
    assert spans[0].timestamp() * 1000 == T0
    assert spans[1].timestamp() * 1000 == T0 + 29_000 + DAY_MS + 1000


def test_only_the_newest_of_a_day_are_kept(store: Store) -> None:
    rows = [occurrence(T0 + number) for number in range(exceptions.KEPT_A_DAY + 15)]
    rows += [occurrence(T0 + DAY_MS), occurrence(T0 + DAY_MS, key=OTHER)]
    write(store, Batch("w", 1, "2.0", exceptions=rows, raised=raised(len(rows))))
    tidy(store)
    with store.read() as connection:
        times = connection.scalars(select(ExceptionRow.time).order_by(ExceptionRow.time)).all()
    kept = [round(moment.timestamp() * 1000) for moment in times]
    assert kept[:-2] == [T0 + number for number in range(15, exceptions.KEPT_A_DAY + 15)]
    assert stored_groups(store)["ValueError total"].hits == len(rows)


def test_a_deleted_group_begins_anew_in_every_process(store: Store) -> None:
    writer = BatchWriter(store, lambda: 1)
    write(store, Batch("w", 1, "2.0", exceptions=[occurrence()], raised=raised(7)), writer=writer)
    [found] = stored_groups(store).values()
    with store.write() as connection:
        assert exceptions.delete_groups(connection, [found.id]) == 1
    assert stored_groups(store) == {}
    write(store, Batch("w", 2, "2.0", exceptions=[occurrence()], raised=raised(3)), writer=writer)
    [again] = stored_groups(store).values()
    assert (again.hits, len(again.rows)) == (3, 1)


def test_exceptions_go_with_their_endpoint_and_version(store: Store) -> None:
    write(
        store,
        Batch("a", 1, "1.0", exceptions=[occurrence()], raised=raised(7)),
        Batch("b", 1, "2.0", exceptions=[occurrence(endpoint="x")], raised=raised(5, endpoint="x")),
    )
    with store.write() as connection:
        [one] = connection.scalars(select(Endpoint.id).where(Endpoint.name == "basket")).all()
        live.delete_endpoints(connection, [one])
    [found] = stored_groups(store).values()
    assert (found.counts, len(found.rows)) == ({("x", "2.0"): 5}, 1)
    with store.write() as connection:
        live.delete_versions(connection, list(connection.scalars(select(Version.id))))
    [found] = stored_groups(store).values()
    assert (found.counts, found.rows) == ({}, [])


def test_they_are_deleted_by_age_with_what_they_refer_to(store: Store) -> None:
    now_ms = int(time.time() * 1000)
    old_ms, new_ms = now_ms - 40 * DAY_MS, now_ms - DAY_MS
    write(
        store,
        Batch("a", 1, "1.0", exceptions=[occurrence(old_ms)], raised=raised(7, old_ms)),
        Batch("a", 2, "1.0", exceptions=[occurrence(new_ms, key=OTHER)]),
    )
    with store.write() as connection:
        group = ExceptionGroup
        connection.execute(update(group).where(group.type == "ValueError").values(seen_at=old_ms))

    def prune(**days: int) -> None:
        settings = replace(store.settings, **days)
        plan = retention.plan(settings, store.timezone, now_ms)
        pruner = Pruner(store, plan, fence=lambda _: None, record=lambda *_: None)
        assert pruner.work(60, lambda _: False)

    prune(keep_exceptions_days=30, keep_rollups_days=730)
    found = stored_groups(store)
    assert {name: (one.hits, len(one.rows)) for name, one in found.items()} == {
        "ValueError total": (7, 0),
        "TypeError send": (0, 1),
    }
    prune(keep_exceptions_days=30, keep_rollups_days=30)
    assert set(stored_groups(store)) == {"TypeError send"}
    assert count(store, SourceBlock) == 1
    with store.write() as connection:
        connection.execute(update(SourceBlock).values(seen_at=old_ms))
        connection.execute(update(group).values(seen_at=old_ms))
        connection.execute(update(ExceptionRow).values(time=old_ms))
    prune(keep_exceptions_days=0, keep_rollups_days=30)
    assert (count(store, ExceptionRow), count(store, SourceBlock)) == (1, 1)
    prune(keep_exceptions_days=30, keep_rollups_days=30)
    assert (count(store, ExceptionRow), count(store, SourceBlock)) == (0, 0)
    assert stored_groups(store) == {}
