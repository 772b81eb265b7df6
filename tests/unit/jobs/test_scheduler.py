from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import delete, func, select, text

from fmd_admin.jobs import scheduler
from fmd_admin.jobs.scheduler import Jobs
from fmd_admin.records import Batch, Row
from fmd_admin.store import schema
from fmd_admin.store.job_models import Lease as LeaseRow
from fmd_admin.store.models import Hour, RollupDelta
from fmd_admin.store.store import Store
from fmd_admin.store.writer import BatchWriter

from ...prepared import EmptyDatabase
from ...support import new_store

TTL_S = 5.0


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Faults:
    """Keeps what is reported, with the exception that was being handled."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, BaseException | None]] = []

    def report(self, place: str) -> None:
        self.seen.append((place, sys.exc_info()[1]))


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def quick(tmp_path: Path, empty_database: EmptyDatabase) -> Iterator[Store]:
    """A store whose rollups are merged five times a second."""
    empty_database.copy_to(tmp_path)
    store = new_store(tmp_path, rollup_interval_s=0.2, lease_ttl_s=TTL_S)
    schema.migrate(store)
    yield store
    store.close()


@pytest.fixture
def jobs(quick: Store, faults: Faults, clock: Clock) -> Iterator[Callable[[str], Jobs]]:
    made: list[Jobs] = []

    def make(owner: str) -> Jobs:
        made.append(Jobs(quick, owner, report=faults.report, clock=clock))
        return made[-1]

    yield make
    for one in made:
        one.stop()


class Feeder:
    def __init__(self, store: Store) -> None:
        self._writer = BatchWriter(store, lambda: 1)
        self._sequence = 0

    def write(self, rows: int = 10) -> None:
        self._sequence += 1
        now_ms = int(time.time() * 1000)
        row = Row(now_ms, "index", 5.0, 200, "GET", None, None)
        self._writer.write(Batch("w", self._sequence, "1.0", [row] * rows))


def waiting(store: Store) -> int:
    with store.read() as connection:
        return connection.scalar(select(func.count()).select_from(RollupDelta)) or 0


def merged_hits(store: Store) -> int:
    with store.read() as connection:
        return int(connection.scalar(select(func.sum(Hour.hits))) or 0)


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


def test_nothing_runs_before_the_first_tick(jobs: Callable[[str], Jobs]) -> None:
    threads = threading.active_count()
    assert not jobs("a").running
    assert threading.active_count() == threads


def test_the_holder_merges_again_and_again(
    quick: Store, jobs: Callable[[str], Jobs], faults: Faults
) -> None:
    feeder = Feeder(quick)
    feeder.write()
    one = jobs("a")
    threads = threading.active_count()
    one.tick()
    assert one.running
    assert threading.active_count() == threads + 1
    assert eventually(lambda: merged_hits(quick) == 10)
    feeder.write()
    assert eventually(lambda: merged_hits(quick) == 20)
    assert waiting(quick) == 0
    assert faults.seen == []


def test_only_one_process_runs_them(jobs: Callable[[str], Jobs]) -> None:
    first, second = jobs("a"), jobs("b")
    first.tick()
    second.tick()
    assert (first.running, second.running) == (True, False)


def test_another_takes_over_at_once_after_a_clean_end(jobs: Callable[[str], Jobs]) -> None:
    first, second = jobs("a"), jobs("b")
    first.tick()
    first.stop()
    assert not first.running
    second.tick()
    assert second.running


def test_they_end_where_the_lease_is_lost(
    jobs: Callable[[str], Jobs], clock: Clock, faults: Faults
) -> None:
    first, second = jobs("a"), jobs("b")
    first.tick()
    # The first one's job beats, too: keep it still, as a frozen process would.
    first._scheduler.pause()  # type: ignore[union-attr]
    second.tick()
    clock.now += TTL_S
    second.tick()
    assert second.running
    first.tick()
    assert not first.running
    assert faults.seen == []


def test_a_job_that_lost_the_lease_changes_nothing_and_is_no_fault(
    quick: Store, jobs: Callable[[str], Jobs], faults: Faults
) -> None:
    stale = jobs("a")
    jobs("b").tick()
    assert eventually(lambda: waiting(quick) == 0)
    with quick.write() as connection:
        connection.execute(text("UPDATE fmd_lease SET owner = 'c'"))
    Feeder(quick).write()
    before = merged_hits(quick)
    stale._guarded("merging the rollups", stale.merge_rollups)()
    assert merged_hits(quick) == before
    assert waiting(quick) == 1
    assert faults.seen == []


def test_a_fault_is_reported_and_the_next_run_comes(
    quick: Store, jobs: Callable[[str], Jobs], faults: Faults
) -> None:
    feeder = Feeder(quick)
    feeder.write()
    with quick.write() as connection:
        connection.execute(text("UPDATE fmd_rollup_delta SET statuses = 'nonsense'"))
    one = jobs("a")
    one.tick()
    assert eventually(lambda: len(faults.seen) >= 2)
    place, error = faults.seen[0]
    assert place == "merging the rollups"
    assert isinstance(error, ValueError)
    with quick.write() as connection:
        connection.execute(delete(RollupDelta))
    feeder.write()
    assert eventually(lambda: merged_hits(quick) == 10)


def test_a_backlog_is_merged_in_one_run(
    quick: Store, jobs: Callable[[str], Jobs], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler, "MERGE_AT_ONCE", 3)
    feeder = Feeder(quick)
    for _ in range(10):
        feeder.write(1)
    one = jobs("a")
    one._lease.tick()
    one.merge_rollups()
    assert waiting(quick) == 0
    assert merged_hits(quick) == 10


def test_an_idle_store_is_not_written_to(quick: Store, jobs: Callable[[str], Jobs]) -> None:
    one = jobs("a")
    one._lease.tick()
    with quick.read() as connection:
        before = connection.scalar(select(LeaseRow.beat))
    one.merge_rollups()
    with quick.read() as connection:
        assert connection.scalar(select(LeaseRow.beat)) == before


def test_a_child_after_a_fork_is_another_owner(
    quick: Store, jobs: Callable[[str], Jobs], faults: Faults, clock: Clock
) -> None:
    parent = jobs("a")
    parent.tick()
    child = jobs("a")
    child.after_fork()
    child.tick()
    assert (parent.running, child.running) == (True, False)
    child.stop()
    parent.tick()
    assert parent.running


def test_the_end_is_clean_without_a_database(quick: Store, faults: Faults, clock: Clock) -> None:
    one = Jobs(quick, "a", report=faults.report, clock=clock)
    one.tick()
    one._stop_scheduler()
    with quick.write() as connection:
        connection.execute(text("DROP TABLE fmd_lease"))
    one.stop()
    assert [place for place, _ in faults.seen] == ["giving the jobs' lease back"]


def test_the_end_does_not_wait_for_a_store_that_hangs(
    quick: Store, faults: Faults, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_work, answers = threading.Event(), threading.Event()

    def hangs(_self: Jobs) -> None:
        at_work.set()
        answers.wait(20)

    monkeypatch.setattr(Jobs, "merge_rollups", hangs)
    before = set(threading.enumerate())
    one = Jobs(quick, "a", report=faults.report, clock=clock)
    one.tick()
    assert at_work.wait(20)
    (thread,) = set(threading.enumerate()) - before
    one.stop(answers=False)
    assert not one.running
    assert thread.is_alive()  # It is still at its job.
    with quick.read() as connection:
        assert connection.scalar(select(LeaseRow.owner)) == "a"
    answers.set()
    assert eventually(lambda: not thread.is_alive())
    assert faults.seen == []


def test_the_host_s_log_is_left_alone(
    quick: Store, jobs: Callable[[str], Jobs], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    Feeder(quick).write()
    jobs("a").tick()
    assert eventually(lambda: merged_hits(quick) == 10)
    assert not [record for record in caplog.records if record.name.startswith("apscheduler")]
