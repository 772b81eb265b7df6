"""After an upgrade the visitors of what is stored already are counted, day by day."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import delete, select

from fmd_admin.jobs.scheduler import Jobs
from fmd_admin.store import migrating, schema, visitor_rebuild
from fmd_admin.store.models import SavedSetting
from fmd_admin.store.store import Store
from fmd_admin.store.visitor_models import VisitorDay, VisitorDelta

from ...support import new_store
from .test_visitors import LATER_MS, Feeder, check, count, merge


def at_revision_0002(folder: Path, rows: int) -> Store:
    """A filled store as the version before made it."""
    store = new_store(folder, timezone="Europe/Amsterdam")
    schema.migrate(store)
    if rows:
        Feeder(store).write(rows)
    config, _ = migrating.alembic()
    with store.write() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0002")
    return store


def backfill(store: Store) -> int:
    """Run the job's steps; return how many days were counted."""
    days = 0
    while visitor_rebuild.backfill(store, store.timezone, LATER_MS, bool):
        days += 1
    return days


def test_what_was_stored_before_is_counted(tmp_path: Path) -> None:
    store = at_revision_0002(tmp_path, 400)
    assert schema.migrate(store) is True
    with store.read() as connection:
        assert visitor_rebuild.backfilling(connection)
    # The app goes on meanwhile, on the same days.
    feeder = Feeder(store, seed=2)
    feeder.write(60)
    assert visitor_rebuild.backfill(store, store.timezone, LATER_MS, bool)
    merge(store)
    feeder.write(60)
    assert backfill(store) >= 4
    feeder.write(60)
    merge(store)
    check(store)
    with store.read() as connection:
        assert not visitor_rebuild.backfilling(connection)
    assert backfill(store) == 0
    store.close()


def test_an_empty_store_has_nothing_to_count(tmp_path: Path) -> None:
    store = at_revision_0002(tmp_path, 0)
    schema.migrate(store)
    with store.read() as connection:
        assert connection.scalar(select(SavedSetting).limit(1)) is None
    store.close()


def test_the_jobs_do_it_and_sum_the_days(tmp_path: Path) -> None:
    store = at_revision_0002(tmp_path, 300)
    schema.migrate(store)
    faults: list[str] = []
    jobs = Jobs(store, "a", report=faults.append)
    jobs._lease.tick()
    jobs.keep_visitors()
    jobs.keep_visitors()
    jobs.stop()
    assert faults == []
    assert count(store, VisitorDelta) == 0
    with store.read() as connection:
        assert not visitor_rebuild.backfilling(connection)
    check(store)
    store.close()


def test_a_job_that_lost_the_lease_counts_nothing(tmp_path: Path) -> None:
    store = at_revision_0002(tmp_path, 100)
    schema.migrate(store)

    def lost(_connection: object) -> None:
        raise RuntimeError("lost")

    with pytest.raises(RuntimeError):
        visitor_rebuild.backfill(store, store.timezone, LATER_MS, lost)
    assert count(store, VisitorDay) == 0
    with store.write() as connection:
        connection.execute(delete(SavedSetting))
    store.close()
