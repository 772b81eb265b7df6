from __future__ import annotations

import time

import pytest

from fmd_admin.errors import ScopeError
from fmd_admin.read.measured import Asked
from fmd_admin.read.outliers import counts, outlier, outliers
from fmd_admin.store.store import Store

from ... import profiles as made
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
