"""Deletion in the process that holds the lease: when it comes, that it ends, and schedules."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError

from fmd_admin import settings
from fmd_admin.errors import LeaseLostError, ScheduleError
from fmd_admin.jobs.pruning import FIRST_S, HOUR_S, Pruning, prune_now, pruning_schedule
from fmd_admin.jobs.scheduler import Jobs
from fmd_admin.records import Batch, Row
from fmd_admin.store import prune_runs, pruner
from fmd_admin.store.models import Request
from fmd_admin.store.prune_runs import Run
from fmd_admin.store.store import Store
from fmd_admin.store.writer import BatchWriter

from ...cuts import cut
from .test_scheduler import Clock, Faults, eventually

DAY_MS = 86_400_000
UTC = ZoneInfo("UTC")


def never(_pause_s: float) -> bool:
    return False


def loaded(**code: Any) -> settings.Loaded:
    return settings.load(environ={}, code=code)


def fill(store: Store, old: int, new: int = 0) -> None:
    now_ms = time.time_ns() // 1_000_000
    times = [now_ms - 40 * DAY_MS] * old + [now_ms] * new
    rows = [Row(at, "index", 5.0, 200, "GET", None, None) for at in times]
    writer = BatchWriter(store, lambda: 1)
    writer.write(Batch(f"w{time.time_ns()}", 1, "1", rows))


def requests(store: Store) -> int:
    with store.read() as connection:
        return connection.scalar(select(func.count()).select_from(Request)) or 0


def runs(store: Store) -> list[Run]:
    with store.read() as connection:
        return prune_runs.recent(connection, 100)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def work(store: Store, clock: Clock) -> Pruning:
    """The deletion, with nobody else around."""
    return Pruning(store, fence=lambda _: None, loaded=loaded, clock=clock)


def test_it_comes_soon_and_then_each_hour(store: Store, work: Pruning, clock: Clock) -> None:
    fill(store, 5, 3)
    work.step(1.0, never)
    assert (requests(store), runs(store)) == (8, [])
    clock.now += FIRST_S
    work.step(1.0, never)
    assert requests(store) == 3
    assert [(run.reason, run.deleted) for run in runs(store)] == [("hourly", {"requests": 5})]
    fill(store, 2)
    clock.now += HOUR_S - 1
    work.step(1.0, never)
    assert requests(store) == 5
    clock.now += 1
    work.step(1.0, never)
    assert requests(store) == 3
    assert [run.rows for run in runs(store)] == [2, 5]


def test_an_asked_run_is_worked_off_a_little_at_a_time(
    store: Store, work: Pruning, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruner, "_FIRST_ROWS", 10)
    monkeypatch.setattr(pruner, "_TARGET_S", 0.0)  # Smaller and smaller parts, down to the least.
    monkeypatch.setattr(pruner, "_LEAST_ROWS", 5)
    fill(store, 48)
    work.ask("anna")
    left, seen = [], []
    for _ in range(100):
        work.step(0.0, never)
        left.append(requests(store))
        found = runs(store)[0]
        seen.append(found.rows)
        if found.finished_at is not None:
            break
    assert left[:4] == [38, 33, 28, 23]
    # The count is of the same transaction as the deletion.
    assert [rows + there for rows, there in zip(seen, left, strict=True)] == [48] * len(left)
    assert left[-1] == 0


def test_it_ends_at_once_when_it_must(
    store: Store, work: Pruning, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruner, "_FIRST_ROWS", 10)
    fill(store, 100)
    work.ask("anna")
    work.step(60.0, lambda _pause_s: True)
    assert requests(store) == 90
    work.step(60.0, never)
    assert requests(store) == 0


def test_a_run_goes_on_in_the_next_process(
    store: Store, work: Pruning, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruner, "_FIRST_ROWS", 10)
    fill(store, 30)
    work.ask("anna")
    work.step(0.0, never)
    other = Pruning(store, fence=lambda _: None, loaded=loaded, clock=clock)
    other.step(60.0, never)
    (run,) = runs(store)
    assert (run.deleted, requests(store)) == ({"requests": 30}, 0)
    assert run.finished_at is not None


def test_nothing_changes_without_the_lease(store: Store, clock: Clock) -> None:
    def lost(_connection: object) -> None:
        raise LeaseLostError("another process has it")

    fill(store, 5)
    work = Pruning(store, fence=lost, loaded=loaded, clock=clock)
    work.ask("anna")
    with pytest.raises(LeaseLostError):
        work.step(1.0, never)
    assert requests(store) == 5
    assert runs(store)[0].deleted == {}


@pytest.mark.sqlite_only  # Its trigger is written as SQLite wants it.
def test_after_a_fault_it_waits_and_counts_right(store: Store, work: Pruning, clock: Clock) -> None:
    fill(store, 5)
    work.ask("anna")
    with store.write() as connection:
        connection.execute(
            text(
                "CREATE TRIGGER refuse BEFORE DELETE ON fmd_request "
                "BEGIN SELECT RAISE(ABORT, 'no'); END"
            )
        )
    with pytest.raises(Exception, match="no"):
        work.step(1.0, never)
    with store.write() as connection:
        connection.execute(text("DROP TRIGGER refuse"))
    work.step(1.0, never)
    assert requests(store) == 5
    clock.now += 61
    work.step(1.0, never)
    assert runs(store)[-1].deleted == {"requests": 5}


def test_the_holder_of_the_lease_does_it_beside_the_merge(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fmd_admin.jobs.scheduler.EVERY_S", 0.2)
    faults = Faults()
    jobs, other = Jobs(store, "a", report=faults.report), Jobs(store, "b", report=faults.report)
    fill(store, 3000, 7)
    other_threads = threading.active_count()
    try:
        jobs.tick()
        other.tick()
        other.pruning.ask("anna")
        assert threading.active_count() == other_threads + 1
        assert eventually(lambda: requests(store) == 7)
        assert eventually(lambda: runs(store)[0].finished_at is not None)
        assert jobs.began_ms is not None
        assert other.began_ms is None
    finally:
        jobs.stop()
        other.stop()
    assert faults.seen == []
    assert runs(store)[0].deleted["requests"] == 3000


def test_the_end_of_the_process_does_not_wait_for_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fmd_admin.jobs.scheduler.EVERY_S", 0.05)
    monkeypatch.setattr(pruner, "_FIRST_ROWS", 1)
    monkeypatch.setattr(pruner, "_LEAST_ROWS", 1)
    monkeypatch.setattr(pruner, "_TARGET_S", 0.0)
    monkeypatch.setattr(pruner, "_PAUSE_S", 30.0)
    faults = Faults()
    jobs = Jobs(store, "a", report=faults.report)
    fill(store, 50)
    jobs.pruning.ask("anna")
    jobs.tick()
    assert eventually(lambda: requests(store) < 50)
    began = time.monotonic()
    jobs.stop()
    assert time.monotonic() - began < 10  # Not the pause of half a minute.
    assert requests(store) > 40
    assert faults.seen == []


def test_a_process_without_threads_does_it_piece_by_piece(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruner, "_FIRST_ROWS", 10)
    faults = Faults()
    jobs = Jobs(store, "a", report=faults.report)
    fill(store, 25)
    jobs.pruning.ask("anna")
    jobs.tick(threads=False)
    assert requests(store) == 15
    for _ in range(30):
        jobs.tick(threads=False)
    assert requests(store) == 0
    assert runs(store)[0].finished_at is not None
    jobs.stop()
    assert faults.seen == []


def test_the_command_line_needs_no_lease(store: Store) -> None:
    fill(store, 12, 1)
    plan = Pruning(store, fence=lambda _: None, loaded=loaded).plan()
    assert prune_now(store, plan, "command line", lambda _: None) == {"requests": 12}
    (run,) = runs(store)
    assert (run.reason, run.rows) == ("command line", 12)
    assert run.finished_at is not None


# Schedules


@pytest.mark.parametrize(
    ("weeks", "graphs", "cron", "says"),
    [
        (0, False, {"hour": 3}, "weeks_to_keep is 0; allowed: a whole number of weeks from 1"),
        (2.5, False, {"hour": 3}, "weeks_to_keep is 2.5"),
        (True, False, {"hour": 3}, "weeks_to_keep is True"),
        ("52", False, {"hour": 3}, "weeks_to_keep is '52'"),
        (52, "yes", {"hour": 3}, "delete_custom_graph_data is 'yes'; allowed: True or False"),
        (52, False, {}, "cron needs at least one of 'year', 'month', 'day'"),
        (52, False, {"hours": 3}, "cron takes 'hour', not 'hours'.*day_of_week, hour, minute"),
        (52, False, {"hour": 25}, "does not understand.*Example: day_of_week='sun', hour=3"),
        (52, False, {"day_of_week": "sunday night"}, "does not understand"),
        (52, False, {"timezone": "Nowhere/City", "hour": 3}, "does not understand"),
    ],
)
def test_what_is_wrong_is_said_at_once(
    weeks: Any, graphs: Any, cron: Mapping[str, Any], says: str
) -> None:
    with pytest.raises(ScheduleError, match=says):
        pruning_schedule(weeks, graphs, cron, UTC)


def test_a_schedule_keeps_so_many_weeks(store: Store) -> None:
    made = pruning_schedule(2, False, {"hour": 3}, UTC)
    assert made.kinds == ["requests", "profiles", "outliers", "exceptions"]
    now = datetime(2026, 11, 25, 12, tzinfo=timezone.utc)
    plan = made.plan(UTC, int(now.timestamp() * 1000))
    before = int(datetime(2026, 11, 11, tzinfo=timezone.utc).timestamp() * 1000)
    assert {name: plan[name] for name in made.kinds} == dict.fromkeys(made.kinds, before)
    assert plan["code_lines"] == before - 2 * DAY_MS
    assert "graph_values" in pruning_schedule(2, True, {"hour": 3}, UTC).kinds


def test_what_a_schedule_deletes_is_left_to_it(store: Store) -> None:
    default = Pruning(store, fence=lambda _: None, loaded=loaded)
    own = Pruning(store, fence=lambda _: None, loaded=lambda: loaded(keep_requests_days=60))
    for one in (default, own):
        one.schedules.append(pruning_schedule(52, False, {"hour": 3}, UTC))
    assert not {"requests", "profiles", "outliers", "code_lines"} & default.plan().keys()
    assert "requests" in own.plan()
    assert default.everything()["requests"] < own.everything()["requests"]
    assert default.weeks_of("requests") == 52
    assert default.weeks_of("rollups") is None


def test_a_scheduled_run_that_could_not_be_asked_for_comes_later(
    store: Store, work: Pruning, clock: Clock
) -> None:
    one = pruning_schedule(3, False, {"hour": 3})
    with cut(store, "INTO fmd_prune", times=3) as done, pytest.raises(DBAPIError):
        work.ask_scheduled(one)
    assert len(done) == 3
    assert runs(store) == []
    for _ in range(2):
        work.step(1.0, never)
    assert [run.reason for run in runs(store)] == ["schedule, 3 weeks"]
    with cut(store, "INTO fmd_prune"):
        work.ask_scheduled(one)
    assert len(runs(store)) == 2


def test_the_next_process_makes_up_for_a_scheduled_run(store: Store) -> None:
    """Whoever ran the jobs died just before; a tick that came longer ago is left out."""

    def begin_at(moment: datetime, name: str) -> None:
        jobs = Jobs(store, name, report=lambda _what: None)
        now = datetime.now(timezone.utc)
        cron = {"year": moment.year, "month": moment.month, "day": moment.day}
        cron |= {"hour": moment.hour, "minute": moment.minute, "second": moment.second}
        jobs.add_pruning_schedule(3, False, cron)
        assert moment < now
        jobs.tick()
        jobs.tick()
        jobs.stop()

    now = datetime.now(timezone.utc)
    begin_at(now - timedelta(minutes=15), "a")
    assert runs(store) == []
    begin_at(now - timedelta(minutes=3), "b")
    assert [run.reason for run in runs(store)] == ["schedule, 3 weeks"]
    begin_at(now - timedelta(minutes=3), "c")
    assert len(runs(store)) == 1


def test_a_schedule_runs_once_over_all_processes(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fmd_admin.jobs.scheduler.EVERY_S", 0.2)
    faults = Faults()
    made = [Jobs(store, name, report=faults.report) for name in "abc"]
    fill(store, 20, 5)
    soon = datetime.fromtimestamp(time.time() + 1.5, timezone.utc)
    cron = {name: getattr(soon, name) for name in ("year", "month", "day", "hour", "minute")}
    try:
        made[0].add_pruning_schedule(3, False, {**cron, "second": soon.second})
        for jobs in made:
            jobs.tick()
        for jobs in made[1:]:  # Some before the jobs run, some after.
            jobs.add_pruning_schedule(3, False, {**cron, "second": soon.second})
        assert eventually(lambda: requests(store) == 5)
        assert eventually(lambda: all(run.finished_at for run in runs(store)))
    finally:
        for jobs in made:
            jobs.stop()
    assert [run.reason for run in runs(store)] == ["schedule, 3 weeks"]
    assert faults.seen == []
