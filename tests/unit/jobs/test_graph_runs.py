from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, current_app, has_request_context
from sqlalchemy import BigInteger, delete, select, text, type_coerce

from fmd_admin.jobs import graph_runs
from fmd_admin.jobs.graph_runs import GraphRuns
from fmd_admin.jobs.graphs import Graphs
from fmd_admin.jobs.scheduler import Jobs
from fmd_admin.store import schema
from fmd_admin.store.job_models import CustomGraph, CustomGraphValue
from fmd_admin.store.lease import Lease
from fmd_admin.store.store import Store

from ...cuts import conflicts, cut
from ...support import new_store

SOON_S = 20.0
NOON = datetime(2026, 11, 25, 12, tzinfo=timezone.utc)


class Faults:
    """Keeps what is reported, with the exception that was being handled."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, BaseException | None]] = []

    def report(self, place: str) -> None:
        self.seen.append((place, sys.exc_info()[1]))


class Scheduler:
    """Stands for APScheduler's: keeps the jobs, and runs them for the ticks it is told."""

    def __init__(self) -> None:
        self.jobs: dict[str, tuple[Callable[..., None], Any, tuple[Any, ...]]] = {}
        self.options: dict[str, dict[str, Any]] = {}

    def add_job(self, func: Any, trigger: Any, args: Any, *, id: str, **options: Any) -> None:
        self.jobs[id] = func, trigger, args
        self.options[id] = options

    def tick(self, title: str, tick: datetime) -> None:
        func, _, args = self.jobs[f"graph {title}"]
        func(*args, tick)


class Process:
    """One process with the lease, whose graphs run when the test says so."""

    def __init__(self, store: Store, app: Flask, graphs: Graphs, owner: str) -> None:
        self.store = store
        self.faults = Faults()
        self.lease = Lease(store, "jobs", owner, 5.0)
        self.scheduler = Scheduler()
        self.runs = GraphRuns(store, graphs, lambda: app, self.faults.report)
        self.graphs = graphs

    def start(self) -> None:
        assert self.lease.tick()
        self.runs.start(self.scheduler, self.lease)

    def run(self, title: str, tick: datetime) -> None:
        """Run a tick and wait for its end."""
        self.scheduler.tick(title, tick)
        self.wait(title)

    def wait(self, title: str) -> None:
        assert eventually(lambda: self.runs._running[title].busy is None)


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + SOON_S
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return False


def stored(store: Store) -> list[tuple[str, int, float]]:
    """Title, tick in seconds after noon, and value."""
    at = type_coerce(CustomGraphValue.time, BigInteger)
    with store.read() as connection:
        rows = connection.execute(
            select(CustomGraph.title, at, CustomGraphValue.value)
            .join(CustomGraph, CustomGraph.id == CustomGraphValue.graph_id)
            .order_by(at, CustomGraph.title)
        ).all()
    noon_ms = int(NOON.timestamp() * 1000)
    return [(row[0], (row[1] - noon_ms) // 1000, row[2]) for row in rows]


def row(store: Store, title: str) -> Any:
    with store.read() as connection:
        return connection.execute(
            select(*CustomGraph.__table__.columns).where(CustomGraph.title == title)
        ).one()


def seconds(number: float) -> datetime:
    return NOON + timedelta(seconds=number)


@pytest.fixture
def app() -> Flask:
    return Flask("host")


@pytest.fixture
def process(store: Store, app: Flask) -> Iterator[Process]:
    made = Process(store, app, Graphs(), "a")
    yield made
    made.runs.stop(SOON_S)


def test_values_are_kept_under_their_scheduled_times(store: Store, process: Process) -> None:
    numbers = iter((3, 2.5, True))
    process.graphs.add("Users", lambda: next(numbers), "interval", {"seconds": 10})
    process.start()
    for n in (0, 10, 20):
        process.run("Users", seconds(n))
    assert stored(store) == [("Users", 0, 3.0), ("Users", 10, 2.5), ("Users", 20, 1.0)]
    found = row(store, "Users")
    assert found.schedule == "every 10 seconds"
    assert (found.last_run, found.next_run) == (seconds(20), seconds(30))
    assert found.error is None
    assert process.faults.seen == []


def test_late_runs_count_once_and_for_their_own_time(process: Process) -> None:
    process.graphs.add("Users", lambda: 1, "interval", {"seconds": 10})
    process.start()
    options = process.scheduler.options["graph Users"]
    assert (options["coalesce"], options["misfire_grace_time"]) == (True, None)
    assert options["executor"] == graph_runs.EXECUTOR


def test_it_runs_in_the_app_s_context_and_in_no_request(
    store: Store, process: Process, app: Flask
) -> None:
    app.config["ANSWER"] = 42

    def answer() -> int:
        assert not has_request_context()
        return int(current_app.config["ANSWER"])

    process.graphs.add("Answer", answer, "cron", {"second": 0})
    process.start()
    process.run("Answer", NOON)
    assert stored(store) == [("Answer", 0, 42.0)]


def test_async_functions_run_too(store: Store, process: Process) -> None:
    async def answer() -> int:
        return 42

    process.graphs.add("Answer", answer, "interval", {"seconds": 10})
    process.start()
    process.run("Answer", NOON)
    assert stored(store) == [("Answer", 0, 42.0)]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (ValueError("no queue"), "ValueError: no queue"),
        (SystemExit(3), "SystemExit: 3"),
        (RuntimeError("x" * 5000), "RuntimeError: " + "x" * 986),
    ],
)
def test_one_that_raises_keeps_its_schedule(
    store: Store, process: Process, fault: BaseException, said: str
) -> None:
    works = False

    def sometimes() -> int:
        if not works:
            raise fault
        return 3

    process.graphs.add("Sometimes", sometimes, "interval", {"seconds": 10})
    process.start()
    process.run("Sometimes", seconds(0))
    found = row(store, "Sometimes")
    assert (found.error, found.error_at) == (said, seconds(0))
    assert (found.last_run, found.next_run) == (seconds(0), seconds(10))
    assert process.faults.seen == [("the custom graph 'Sometimes'", fault)]
    works = True
    process.run("Sometimes", seconds(10))
    assert stored(store) == [("Sometimes", 10, 3.0)]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (conflicts, "UPDATE fmd_graph SET"),
        (conflicts, "INTO fmd_graph_value"),
        # Not the claim: whether it counted is not known then, and its tick is left out.
        (cut, "INTO fmd_graph_value"),
    ],
)
def test_a_database_that_goes_away_for_a_moment_costs_no_value(
    store: Store, process: Process, fault: Any, words: str
) -> None:
    calls = []
    process.graphs.add("Users", lambda: len(calls.append(1) or calls), "interval", {"seconds": 10})
    process.start()
    with fault(store, words) as done:
        process.run("Users", NOON)
    assert len(done) == len(calls) == 1
    assert stored(store) == [("Users", 0, 1.0)]
    assert process.faults.seen == []


def test_a_value_whose_commit_was_not_answered_is_kept_once(
    store: Store, process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    process.graphs.add("Users", lambda: 3, "interval", {"seconds": 10})
    process.start()
    dialect, cut_off = store.engine.dialect, []
    commit = dialect.do_commit

    def unanswered(connection: Any) -> None:
        commit(connection)
        if len(stored(store)) == 1 and not cut_off:
            cut_off.append(1)
            connection.driver_connection.close()
            commit(connection)

    monkeypatch.setattr(dialect, "do_commit", unanswered)
    process.run("Users", NOON)
    assert cut_off == [1]
    assert stored(store) == [("Users", 0, 3.0)]
    assert process.faults.seen == []


def test_what_is_no_number_is_refused_with_a_message(store: Store, process: Process) -> None:
    process.graphs.add("Name", lambda: "anna", "interval", {"seconds": 10})
    process.start()
    process.run("Name", seconds(0))
    found = row(store, "Name")
    assert found.error == "The function returned 'anna' (str). It must return a number."
    assert stored(store) == []
    assert [place for place, _ in process.faults.seen] == ["the custom graph 'Name'"]


def test_a_tick_is_run_once_whoever_has_the_lease(
    store: Store, process: Process, app: Flask, tmp_path: Path
) -> None:
    calls: list[str] = []
    other_store = new_store(tmp_path)
    other = Process(other_store, app, Graphs(), "b")
    for one, name in ((process, "a"), (other, "b")):

        def call(name: str = name) -> int:
            calls.append(name)
            return len(calls)

        # Its own ticks are far away: nobody makes up for one, however long this test takes.
        one.graphs.add("Calls", call, "cron", {"year": 2099, "second": "*"})
    process.start()
    process.run("Calls", seconds(0))
    process.run("Calls", seconds(0))
    process.lease.release()
    other.start()
    other.run("Calls", seconds(0))  # Its clock is a little behind.
    other.run("Calls", seconds(-1))
    other.run("Calls", seconds(1))
    # The first one does not know yet that it has lost the lease.
    process.run("Calls", seconds(2))
    other.runs.stop(SOON_S)
    other_store.close()
    assert calls == ["a", "b"]
    assert [tick for _, tick, _ in stored(store)] == [0, 1]
    assert process.faults.seen == other.faults.seen == []


def test_a_value_that_comes_after_the_lease_was_lost_is_not_kept(
    store: Store, process: Process
) -> None:
    def slow() -> int:
        with store.write() as connection:
            connection.execute(text("UPDATE fmd_lease SET owner = 'b', term = term + 1"))
        return 3

    process.graphs.add("Slow", slow, "interval", {"seconds": 10})
    process.start()
    process.run("Slow", seconds(0))
    assert stored(store) == []
    assert process.faults.seen == []


def test_one_run_at_a_time_and_the_others_go_on(store: Store, process: Process) -> None:
    hang, at_work = threading.Event(), threading.Event()

    def hangs() -> int:
        at_work.set()
        hang.wait(SOON_S)
        return 1

    process.graphs.add("Hangs", hangs, "interval", {"seconds": 1})
    process.graphs.add("Quick", lambda: 2, "interval", {"seconds": 1})
    process.start()
    process.scheduler.tick("Hangs", seconds(0))
    assert at_work.wait(SOON_S)
    process.scheduler.tick("Hangs", seconds(1))
    process.scheduler.tick("Hangs", seconds(2))
    process.scheduler.tick("Quick", seconds(2))
    # The look each second finds that the quick one waits for the one that hangs.
    deadline = time.monotonic() + SOON_S
    while process.runs._running["Quick"].busy and time.monotonic() < deadline:
        process.runs.look_after()
        time.sleep(0.02)
    assert stored(store) == [("Quick", 2, 2.0)]
    found = row(store, "Hangs")
    assert found.error.startswith("The run of 12:00:00 had not ended when the next one was due")
    assert found.error_at == seconds(1)
    assert len(process.faults.seen) == 1  # For all that are left out.
    hang.set()
    process.wait("Hangs")
    process.run("Hangs", seconds(3))
    assert [tick for title, tick, _ in stored(store) if title == "Hangs"] == [0, 3]


def test_the_newest_missed_tick_is_made_up_for(
    store: Store, process: Process, app: Flask, tmp_path: Path
) -> None:
    process.graphs.add("Each second", lambda: 1, "interval", {"seconds": 1})
    process.start()
    assert stored(store) == []  # Before a graph was first seen, nothing was missed.
    process.lease.release()
    with store.write() as connection:
        connection.execute(text("UPDATE fmd_graph SET first_seen = first_seen - 30000"))
    other = Process(new_store(tmp_path), app, process.graphs, "b")
    before_ms = int(time.time() * 1000)
    other.start()
    other.wait("Each second")
    other.runs.stop(SOON_S)
    other.store.close()
    with store.read() as connection:
        ticks = connection.scalars(select(type_coerce(CustomGraphValue.time, BigInteger))).all()
    assert len(ticks) == 1
    assert before_ms - 1000 <= ticks[0] <= int(time.time() * 1000)
    assert ticks[0] % 1000 == 0


class Noon(datetime):
    """A clock that stands: ticks of each week are on Monday, and this is a Wednesday."""

    @classmethod
    def now(cls, tz: Any = None) -> datetime:
        return NOON


def test_a_tick_long_past_is_not_made_up_for(
    store: Store, process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph_runs, "datetime", Noon)
    process.graphs.add("Weekly", lambda: 1, "interval", {"weeks": 1})
    with store.write() as connection:
        connection.execute(
            text("INSERT INTO fmd_graph (title, first_seen) VALUES ('Weekly', 1000)")
        )
    process.start()
    assert process.runs._running["Weekly"].busy is None
    assert row(store, "Weekly").last_run is None


def test_graphs_whose_code_is_gone_are_marked(store: Store, process: Process) -> None:
    with store.write() as connection:
        connection.execute(
            text(
                "INSERT INTO fmd_graph (title, first_seen, schedule, next_run) "
                "VALUES ('Old', 1000, 'every minute', 2000), ('Older', 1000, NULL, NULL)"
            )
        )
    process.graphs.add("New", lambda: 1, "interval", {"minutes": 1})
    process.start()
    old = row(store, "Old")
    assert (old.schedule, old.next_run) == (None, None)
    assert row(store, "New").schedule == "every minute"


def test_one_that_is_added_later_runs(store: Store, process: Process) -> None:
    process.graphs.add("Early", lambda: 1, "interval", {"minutes": 1})
    assert process.scheduler.jobs == {}
    process.start()
    process.graphs.add("Late", lambda: 2, "interval", {"minutes": 1})
    assert set(process.scheduler.jobs) == {"graph Early", "graph Late"}
    process.run("Late", NOON)
    assert stored(store) == [("Late", 0, 2.0)]


def test_one_that_is_deleted_begins_anew_as_long_as_its_code_is_there(
    store: Store, process: Process
) -> None:
    process.graphs.add("Users", lambda: 1, "interval", {"minutes": 1})
    process.start()
    process.run("Users", seconds(0))
    with store.write() as connection:
        connection.execute(delete(CustomGraphValue))
        connection.execute(delete(CustomGraph))
    process.run("Users", seconds(60))
    assert stored(store) == [("Users", 60, 1.0)]
    assert process.faults.seen == []


def test_a_graph_that_cannot_be_scheduled_stops_no_other(store: Store, process: Process) -> None:
    from apscheduler.triggers.base import BaseTrigger

    class Broken(BaseTrigger):  # type: ignore[misc]
        def get_next_fire_time(self, previous: Any, now: Any) -> Any:
            raise RuntimeError("broken")

    process.graphs.add("Broken", lambda: 1, Broken(), {})
    process.graphs.add("Users", lambda: 1, "interval", {"minutes": 1})
    process.start()
    assert set(process.scheduler.jobs) == {"graph Users"}
    assert [place for place, _ in process.faults.seen] == [
        "scheduling custom graphs (tried again until it works)"
    ]


def test_nothing_happens_while_the_app_is_gone(store: Store, process: Process) -> None:
    process.graphs.add("Users", lambda: 1, "interval", {"minutes": 1})
    process.runs._host = lambda: None
    process.start()
    process.run("Users", NOON)
    assert stored(store) == []
    assert process.faults.seen == []


def test_with_the_real_scheduler(tmp_path: Path, app: Flask) -> None:
    store = new_store(tmp_path)
    schema.migrate(store)
    faults, graphs = Faults(), Graphs()
    hang, at_work = threading.Event(), threading.Event()
    jobs = Jobs(
        store,
        "a",
        report=faults.report,
        graphs=GraphRuns(store, graphs, lambda: app, faults.report),
    )
    graphs.add("Count", lambda: 1, "interval", {"seconds": 1})
    threads = threading.active_count()
    try:
        jobs.tick()
        assert eventually(lambda: len(stored(store)) >= 2)
        # The scheduler's thread and one for the functions.
        assert threading.active_count() == threads + 2
        graphs.add("Hangs", lambda: at_work.set() or hang.wait(SOON_S), "cron", {"second": "*"})
        assert at_work.wait(SOON_S)
        count = len(stored(store))

        def goes_on() -> bool:
            jobs.tick()
            return len(stored(store)) >= count + 2

        assert eventually(goes_on)
        assert jobs._scheduler.get_job("merge_rollups").next_run_time is not None  # type: ignore[union-attr]
    finally:
        hang.set()
        jobs.stop()
        store.close()
    # One tick of "Hangs" may have been left out, which is reported once.
    assert {place for place, _ in faults.seen} <= {"the custom graph 'Hangs'"}
    ticks = [tick for title, tick, _ in stored_after(tmp_path) if title == "Count"]
    assert ticks == list(range(ticks[0], ticks[0] + len(ticks)))


def stored_after(folder: Path) -> list[tuple[str, int, float]]:
    store = new_store(folder)
    try:
        return stored(store)
    finally:
        store.close()


def test_a_child_after_a_fork_knows_nothing_of_the_parent_s_runs(process: Process) -> None:
    process.graphs.add("Users", lambda: 1, "interval", {"minutes": 1})
    process.start()
    workers = process.runs._workers
    process.runs.after_fork()
    assert process.runs._running == {}
    assert process.runs._workers is not workers
    process.graphs.add("Late", lambda: 1, "interval", {"minutes": 1})
    assert process.runs._running == {}


def test_without_threads_it_is_said_once_that_graphs_do_not_run(
    store: Store, app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    faults, graphs = Faults(), Graphs()
    runs = GraphRuns(store, graphs, lambda: app, faults.report)
    jobs = Jobs(store, "a", report=faults.report, graphs=runs)
    jobs.tick(threads=False)
    assert caplog.records == []
    graphs.add("Users", lambda: 1, "interval", {"minutes": 1})
    jobs.tick(threads=False)
    jobs.tick(threads=False)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "enable-threads" in caplog.text
    jobs.stop()
