from __future__ import annotations

from sqlalchemy import insert

from fmd_admin.read.health import Health, health
from fmd_admin.store.models import Writer
from fmd_admin.store.store import Store

NOW_MS = 1_790_000_000_000
DAY_MS = 86_400_000


def test_nothing_was_lost_where_nobody_wrote(store: Store) -> None:
    with store.read() as connection:
        assert health(connection, NOW_MS) == Health(0, 0)


def test_counts_of_all_processes_of_the_last_30_days(store: Store) -> None:
    rows = [("a", 5, 1, 0), ("b", 7, 0, 29), ("long gone", 100, 100, 31)]
    with store.write() as connection:
        for name, dropped, faults, days in rows:
            seen = NOW_MS - days * DAY_MS
            values = {"last_seq": 1, "seen_at": seen, "dropped": dropped, "faults": faults}
            connection.execute(insert(Writer).values(writer=name, **values))
    with store.read() as connection:
        assert health(connection, NOW_MS) == Health(12, 1)
