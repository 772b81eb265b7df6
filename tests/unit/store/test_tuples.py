from __future__ import annotations

import pytest
from sqlalchemy import select

from fmd_admin.store import tuples
from fmd_admin.store.models import Version
from fmd_admin.store.store import Store


@pytest.mark.parametrize("number", [0, 1, 49, 50, 51, 150, 237])
def test_any_number_of_rows_is_inserted_in_order(store: Store, number: int) -> None:
    rows = [(f"version {place}", 1_000 + place) for place in range(number)]
    sql = tuples.insert_sql(store.engine.dialect, Version.__table__, ("name", "first_seen"))
    with store.write() as connection:
        tuples.insert(connection, sql, rows)
    with store.read() as connection:
        names = connection.scalars(select(Version.name).order_by(Version.id)).all()
    assert names == [name for name, _first_seen in rows]
