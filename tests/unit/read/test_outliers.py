from __future__ import annotations

import time

import pytest

from fmd_admin.errors import ScopeError
from fmd_admin.read import measured
from fmd_admin.read.measured import Asked
from fmd_admin.read.outliers import counts, outlier, outliers
from fmd_admin.store.store import Store

from ... import profiles as made
from ...counting import counted_sql
from ...profiles import DO_EXECUTE, EXECUTE, store_batch
from .test_profiler import NOW_MS, scope


def test_list_says_where_requests_hung(store: Store) -> None:
    store_batch(
        store,
        outliers=[
            made.outlier(time_ms=NOW_MS - 1),
            made.outlier(time_ms=NOW_MS - 2, stack=[EXECUTE, DO_EXECUTE]),
            made.outlier(time_ms=NOW_MS - 3, stack=[], note="No threads."),
            made.outlier(time_ms=NOW_MS - 4, endpoint="zzz"),
        ],
        left_out={"shop.search": 5, "zzz": 2},
    )
    with store.read() as connection:
        found = outliers(connection, scope(store, None), Asked())
        assert [row.stuck and row.stuck.function for row in found.rows] == [
            "find_items",
            "DefaultDialect.do_execute",
            None,
            "find_items",
        ]
        assert found.rows[2].note == "No threads."
        assert (found.total, found.pages) == (4, 1)
        one = outliers(connection, scope(store, 1), Asked("duration_ms"))
        assert {row.request.endpoint for row in one.rows} == {"shop.search"}
        assert found.rows[0].values()[4] == "find_items (shop/catalog.py:41)"
        with pytest.raises(ScopeError):
            outliers(connection, scope(store, None), Asked("detail"))


@pytest.mark.every_engine
def test_counts_have_those_that_were_left_out(store: Store) -> None:
    now_ms = int(time.time() * 1000)
    store_batch(
        store,
        outliers=[made.outlier(), made.outlier(), made.outlier(endpoint="zzz")],
        left_out={"shop.search": 5, "zzz": 2},
    )
    now = scope(store, None, now_ms)
    with store.read() as connection:
        found = counts(connection, now)
        assert (found.stored, found.left_out, found.total) == ({1: 2, 2: 1}, 7, 10)
        assert outliers(connection, now, Asked()).left_out == 7
        assert outliers(connection, scope(store, 2, now_ms), Asked()).left_out == 2
        assert found.by_endpoint == {1: 7, 2: 3}
        long_ago = counts(connection, scope(store, None))
    assert (long_ago.stored, long_ago.total) == ({}, 0)


def test_one_outlier_and_none_of_another_endpoint(store: Store) -> None:
    store_batch(store, outliers=[made.outlier(), made.outlier(endpoint="zzz")])
    with store.read() as connection:
        found = outlier(connection, 1, 1)
        assert found is not None
        assert found.limit_ms == 400.0
        assert found.detail.values["q"] == ["it's"]
        assert outlier(connection, 2, 1) is None
        assert outlier(connection, 1, 2) is None
        assert outlier(connection, 1, 99) is None


@pytest.mark.every_engine
def test_more_than_can_be_counted(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    made_of = [
        made.outlier(time_ms=NOW_MS - n, duration_ms=500.0 + n, endpoint=f"e{n % 3}")
        for n in range(12)
    ]
    store_batch(store, outliers=made_of)
    monkeypatch.setattr(measured, "COUNTED", 10)
    with store.read() as connection:
        for sort, descending, expected in (
            ("time", True, [0, 1, 2, 3]),
            # Of the ten newest.
            ("duration_ms", True, [9, 8, 7, 6]),
            ("duration_ms", False, [0, 1, 2, 3]),
            ("endpoint", True, [2, 5, 8, 1]),
            ("endpoint", False, [9, 6, 3, 0]),
        ):
            asked = Asked(sort, descending, page_size=4)
            found = outliers(connection, scope(store, None), asked)
            assert [row.request.duration_ms - 500 for row in found.rows] == expected, asked
            assert (found.total, found.more, found.pages) == (10, True, 3)
        one = outliers(connection, scope(store, 1), Asked("duration_ms"))
        assert (one.total, one.more) == (4, False)


@pytest.mark.sqlite_only  # It counts what SQLite does.
def test_no_outlier_is_read_to_be_counted_or_sorted_out(store: Store) -> None:
    moments = range(NOW_MS - 1_500, NOW_MS)
    store_batch(store, outliers=[made.outlier(time_ms=moment) for moment in moments])
    with counted_sql(store.engine) as sql, store.read() as connection:
        assert counts(connection, scope(store, None)).stored == {1: 1_500}
        outliers(connection, scope(store, None), Asked("duration_ms"))
    assert sql.statements
    with store.engine.connect() as connection:
        plans = [
            str(row[3])
            for statement, values in sql.statements
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
        ]
    counting = "SEARCH fmd_outlier USING COVERING INDEX fmd_outlier_endpoint"
    assert any(plan.startswith(counting) for plan in plans), plans
    for statement, _ in sql.statements:
        # Details are read with the rows of the page, by their keys.
        assert "detail" not in statement or "fmd_outlier.id IN" in statement
