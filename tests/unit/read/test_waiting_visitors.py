from __future__ import annotations

from collections import Counter
from datetime import datetime
from itertools import product
from typing import Any

import pytest
from sqlalchemy import select

from fmd_admin.read import waiting_visitors as module
from fmd_admin.read.scope import Scope
from fmd_admin.read.visitors import whole_days
from fmd_admin.read.waiting_visitors import WaitingVisitors
from fmd_admin.records import Batch, Row
from fmd_admin.store import visitor_deltas, visitors
from fmd_admin.store.kept import Kept
from fmd_admin.store.visitor_models import Kind, VisitorDelta
from fmd_admin.store.visitor_parts import counted
from fmd_admin.store.writer import BatchWriter

from .conftest import MakeWorld
from .data import World


def scopes(world: World) -> list[Scope]:
    words: list[dict[str, Any]] = [
        {"range": "30d"},
        {"range": "24h"},
        {"range": "30d", "version": ["2.0"]},
        {"range": "30d", "endpoint_id": 1},
    ]
    return [whole_days(world.scope(**words_)) for words_ in words]


def expected(world: World, scope: Scope, kind: Kind) -> Counter[tuple[int, int, int]]:
    """How often (version id, visitor's id, duration) waits in the scope, row by row."""
    with world.store.read() as connection:
        rows = connection.execute(select(VisitorDelta.version_id, VisitorDelta.payload)).all()
    return Counter(
        (version_id, visit[2 if kind == Kind.GROUP else 3], visit[4])
        for version_id, payload in rows
        for visit in visitor_deltas.decode(payload)
        if visit[2 if kind == Kind.GROUP else 3]
        and scope.start_ms <= visit[0] < scope.end_ms
        and scope.endpoint_id in {None, visit[1]}
        and (scope.version_ids is None or version_id in scope.version_ids)
    )


def check(world: World) -> None:
    for scope, kind in product(scopes(world), Kind):
        with world.store.read() as connection:
            read = WaitingVisitors(connection, scope, kind)
            found = Counter(
                (waiting.version_id, id, duration)
                for waiting in read
                for id in dict.fromkeys(waiting.ids)
                for duration in waiting.of(id)
            )
            counts = read.counts()
            assert not any(waiting.of(2**40) for waiting in read)
        assert found == expected(world, scope, kind)
        assert counts == counted({}, [key[2] for key in found.elements()])


@pytest.mark.every_engine
def test_what_is_kept_of_a_portion_is_never_of_another(
    world_in: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PORTION", 20)
    world = world_in("Europe/Amsterdam", datetime(2026, 11, 22, 15), hits=400)
    assert len(expected(world, scopes(world)[0], Kind.GROUP)) > 40
    check(world)
    writer = BatchWriter(world.store, lambda: 1)
    rows = [
        Row(world.now_ms - hour * 3_600_000, "shop.item", 7.0 + hour, 200, "GET", "new", "10.0.0.1")
        for hour in range(60)
    ]
    writer.write(Batch("late", 1, "2.0", rows))
    check(world)
    with world.store.write() as connection:
        # Rows stay under their ids, with fewer requests in them.
        visitor_deltas.drop(connection, lambda visit: visit[4] % 2 == 0)
    check(world)
    visitors.tend(world.store, bool, join_at=1)
    check(world)


def test_new_requests_are_all_that_is_read_anew(
    world_in: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PORTION", 20)
    world = world_in("UTC", datetime(2026, 11, 22, 15), hits=400)
    made: list[object] = []
    find = Kept.find

    def watched(kept: Kept, key: Any, make: Any, size: Any) -> Any:
        return find(kept, key, lambda: (made.append(key), make())[1], size)

    monkeypatch.setattr(Kept, "find", watched)

    def portions_read() -> int:
        made.clear()
        with world.store.read() as connection:
            assert list(WaitingVisitors(connection, scopes(world)[0], Kind.CLIENT))
        return len(made)

    first = portions_read()
    assert first > 2
    assert portions_read() == 0
    row = Row(world.now_ms - 1, "shop.item", 7.0, 200, "GET", "new", "10.0.0.1")
    BatchWriter(world.store, lambda: 1).write(Batch("late", 1, "2.0", [row]))
    assert portions_read() == 1
