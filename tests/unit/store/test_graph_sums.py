"""Sums of the values of custom graphs, held against the values one by one."""

from __future__ import annotations

import random
from collections.abc import Mapping

import pytest
from sqlalchemy import BigInteger, func, select, type_coerce

from fmd_admin.store import graph_sums, graphs
from fmd_admin.store.graph_sums import QUARTER_MS, quarter_of
from fmd_admin.store.job_models import CustomGraph, CustomGraphQuarter, CustomGraphValue
from fmd_admin.store.pruner import Pruner
from fmd_admin.store.store import Store

pytestmark = pytest.mark.every_engine

#: A quarter of an hour begins here.
BEGIN_MS = 1_760_000_400_000


def put_in(store: Store, moments: list[int], seed: int = 1) -> dict[int, float]:
    """Keep a value of graph 1 at each moment, and one of graph 2 at the first."""
    rnd = random.Random(seed)
    found = {moment: rnd.gauss(0, 50) for moment in moments}
    with store.write() as connection:
        for title in ("one", "two"):
            graphs.register(connection, title, "often", BEGIN_MS, None)
        for moment, value in found.items():
            graphs.keep_value(connection, 1, moment, value)
        graphs.keep_value(connection, 2, moments[0], -1.0)
    return found


def stored(store: Store) -> dict[int, tuple[int, float, float, float]]:
    """The sums of graph 1 by the beginning of their quarters."""
    quarter = CustomGraphQuarter
    columns = (quarter.values_count, quarter.sum, quarter.low, quarter.high)
    with store.read() as connection:
        rows = connection.execute(
            select(type_coerce(quarter.quarter, BigInteger), *columns).where(quarter.graph_id == 1)
        ).all()
    return {row[0]: (row[1], row[2], row[3], row[4]) for row in rows}


def by_hand(values: Mapping[int, float], until_ms: int) -> dict[int, object]:
    parts: dict[int, list[float]] = {}
    for moment, value in values.items():
        if moment < until_ms:
            parts.setdefault(moment // QUARTER_MS * QUARTER_MS, []).append(value)
    return {
        start: (len(part), pytest.approx(sum(part)), min(part), max(part))
        for start, part in parts.items()
    }


def until(store: Store) -> int:
    with store.read() as connection:
        found = graph_sums.summed_until(connection, 1)
    assert found is not None
    return found


def minutes(first: int, last: int) -> list[int]:
    return [BEGIN_MS + number * 60_000 for number in range(first, last)]


@pytest.mark.parametrize("at_once", [1, 40, 20_000])
def test_complete_quarters_are_summed(
    store: Store, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    assert BEGIN_MS % QUARTER_MS == 0
    monkeypatch.setattr(graph_sums, "AT_ONCE", at_once)
    # Five quarters, a gap of two hours, and two quarters of which the last is not complete.
    values = put_in(store, minutes(3, 75) + minutes(195, 220))
    # Of the other one nothing is complete, but now that is known.
    assert graph_sums.tend(store, lambda _connection: None) == 2
    assert until(store) == quarter_of(max(values)) == BEGIN_MS + 210 * 60_000
    assert stored(store) == by_hand(values, until(store))
    assert len(stored(store)) == 6
    assert graph_sums.tend(store, lambda _connection: None) == 0


def test_what_comes_late_or_goes_is_counted_anew(store: Store) -> None:
    values = put_in(store, minutes(0, 50))
    graph_sums.tend(store, lambda _connection: None)
    late = BEGIN_MS + 90_500
    with store.write() as connection:
        graphs.keep_value(connection, 1, late, 1000.0)
        graphs.keep_value(connection, 1, max(values) + 60_000, 5.0)
    values[late] = 1000.0
    assert stored(store) == by_hand(values, until(store))
    gone = [BEGIN_MS + number * 60_000 for number in (2, 20, *range(15, 19), 49)]
    with store.write() as connection:
        moment = type_coerce(CustomGraphValue.time, BigInteger)
        ids = connection.scalars(
            select(CustomGraphValue.id).where(CustomGraphValue.graph_id == 1, moment.in_(gone))
        ).all()
        assert graphs.delete_values(connection, ids) == len(gone)
    for one in gone:
        del values[one]
    assert stored(store) == by_hand(values, until(store))
    with store.write() as connection:
        graphs.delete_graphs(connection, [1])
    assert stored(store) == {}
    with store.read() as connection:
        assert connection.scalar(select(func.count()).select_from(CustomGraph)) == 1


def test_a_quarter_without_values_left_is_gone(store: Store) -> None:
    values = put_in(store, minutes(0, 40))
    graph_sums.tend(store, lambda _connection: None)
    with store.write() as connection:
        chosen = select(CustomGraphValue.id).where(CustomGraphValue.time < BEGIN_MS + QUARTER_MS)
        graphs.delete_values(connection, connection.scalars(chosen).all())
    left = {moment: value for moment, value in values.items() if moment >= BEGIN_MS + QUARTER_MS}
    assert stored(store) == by_hand(left, until(store))
    assert BEGIN_MS not in stored(store)


def test_sums_go_by_age_with_the_values(store: Store) -> None:
    put_in(store, minutes(0, 100))
    graph_sums.tend(store, lambda _connection: None)
    before = BEGIN_MS + 2 * QUARTER_MS
    pruner = Pruner(
        store, {"graph_values": before}, fence=lambda _: None, record=lambda _, __: None
    )
    while not pruner.work(1.0, lambda _seconds: False):
        pass
    assert sorted(stored(store)) == [BEGIN_MS + n * QUARTER_MS for n in range(2, 6)]


def test_nothing_is_summed_without_the_lease(store: Store) -> None:
    put_in(store, minutes(0, 100))

    def lost(_connection: object) -> None:
        raise RuntimeError("lost")

    with pytest.raises(RuntimeError, match="lost"):
        graph_sums.tend(store, lost)
    assert stored(store) == {}
    assert until(store) == 0
