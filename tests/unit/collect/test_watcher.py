"""The watcher's thread: when there is one, what it notes, and that it never outlives its time."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from types import SimpleNamespace

import pytest

from fmd_admin.collect import watcher
from fmd_admin.collect.tracing import MAX_WAITING
from fmd_admin.collect.watching import WatchedExchange

from .watched import DEADLINE_S, Watched, call, environment, profiles, until

Make = Callable[..., Watched]


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[Watched] = []

    def watched(*args: object, **options: object) -> Watched:
        made.append(Watched(*args, **options))  # type: ignore[arg-type]
        return made[-1]

    yield watched
    for one in made:
        one.watch.close()


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "fmd_admin-watcher"]


def wait_in_helper(is_so: Callable[[], object]) -> None:
    until(is_so)


def deep(depth: int, is_so: Callable[[], object]) -> None:
    """Wait at the end of many calls."""
    if depth:
        deep(depth - 1, is_so)
    else:
        until(is_so)


class TestThread:
    def test_there_is_none_before_the_first_request(self, make: Make) -> None:
        watched = make(2)
        assert threads() == []
        watched.request(lambda: None)
        assert len(threads()) == 1
        watched.watch.close()
        assert threads() == []

    def test_it_sleeps_without_requests_and_is_woken(self, make: Make) -> None:
        watched = make(2)
        for _ in range(3):
            watched.request(lambda: None)
            [thread] = threads()
            until(lambda: watched.watch.watcher.asleep)
            assert threads() == [thread]
            watched.request(lambda: watched.watch.watcher.asleep is False)
            assert not watched.watch.watcher.asleep

    def test_it_stays_awake_while_a_request_runs(self, make: Make) -> None:
        watched = make(2)
        exchange = watched.begin()
        time.sleep(3 * watcher.IDLE_NS / 1e9)
        assert not watched.watch.watcher.asleep
        exchange.end()
        until(lambda: watched.watch.watcher.asleep)

    def test_it_ends_when_no_level_needs_it_and_begins_again(self, make: Make) -> None:
        watched = make(3)
        watched.request(lambda: None)
        assert len(threads()) == 1
        watched.apply(level=1)
        until(lambda: threads() == [])
        watched.apply(level=2)
        assert threads() == []
        watched.request(lambda: None)
        assert len(threads()) == 1

    def test_it_ends_out_of_its_sleep(self, make: Make) -> None:
        watched = make(2)
        watched.request(lambda: None)
        until(lambda: watched.watch.watcher.asleep)
        watched.apply(level=0)
        until(lambda: threads() == [])

    def test_a_request_that_runs_on_is_watched_to_its_end(self, make: Make) -> None:
        watched = make(2, limit_ms=50)

        def view() -> None:
            watched.apply(level=1)
            until(lambda: exchange.trace is not None and exchange.trace.stuck is not None)
            assert len(threads()) == 1

        exchange = watched.begin()
        call(exchange, view)
        exchange.start("200 OK", [])
        exchange.end()
        assert watched.outlier().stack[0].function.endswith("view")
        until(lambda: threads() == [])

    def test_after_its_end_nothing_starts_it_again(self, make: Make) -> None:
        watched = make(3)
        watched.watch.close()
        watched.request(lambda: None)
        watched.watch.close()
        assert threads() == []

    def test_it_ends_at_once(self, make: Make) -> None:
        # Not only after a pause, a sleep or the time limit of the join.
        for is_asleep in (False, True):
            watched = make(2)
            watched.request(lambda: None)
            if is_asleep:
                until(lambda w=watched: w.watch.watcher.asleep)  # type: ignore[misc]
            [thread] = threads()
            watched.watch.close()
            assert not thread.is_alive()

    def test_many_requests_at_once_start_one(self, make: Make) -> None:
        watched = make(2)
        go = Event()
        requests = [
            threading.Thread(target=lambda: watched.request(lambda: go.wait(DEADLINE_S)))
            for _ in range(20)
        ]
        for one in requests:
            one.start()
        until(lambda: len(watched.watch.watcher.active) == 20)
        assert len(threads()) == 1
        go.set()
        for one in requests:
            one.join()
        assert watched.watch.watcher.active == {}

    def test_the_hosts_switch_interval_comes_back(self, make: Make) -> None:
        before = sys.getswitchinterval()
        sys.setswitchinterval(0.1)
        try:
            host_s = sys.getswitchinterval()
            watched = make(3)
            watched.request(lambda: time.sleep(0.2))
            watched.watch.close()
            assert sys.getswitchinterval() == host_s
        finally:
            sys.setswitchinterval(before)


class TestNotes:
    def test_where_an_outlier_is_stuck(self, make: Make) -> None:
        watched = make(2, limit_ms=50)
        exchange = watched.begin()

        def stuck() -> bool:
            return exchange.trace is not None and exchange.trace.stuck is not None

        call(exchange, lambda: wait_in_helper(stuck))
        exchange.start("200 OK", [])
        exchange.end()
        made = watched.outlier()
        own = [frame.function for frame in made.stack if frame.own]
        assert "wait_in_helper" in own
        assert made.stack[0].function.endswith("<lambda>")
        assert made.stack_at_ms is not None
        assert made.stack_at_ms > 50
        assert made.limit_ms == 50
        assert made.note == ""
        assert made.process_memory_mib is not None

    def test_nothing_of_one_that_ends_in_time(self, make: Make) -> None:
        watched = make(2, limit_ms=60_000)
        watched.request(lambda: time.sleep(0.1))
        assert watched.batch().outliers == []
        assert watched.heavy == []

    def test_the_last_look_is_in_the_second_half(self, make: Make) -> None:
        watched = make(2, limit_ms=20)
        watched.request(lambda: time.sleep(0.5))
        made = watched.outlier()
        assert made.stack_at_ms is not None
        assert made.stack_at_ms > made.duration_ms / 2 - 50

    def test_a_tree_of_where_a_request_was(self, make: Make) -> None:
        watched = make(3, period_ms=1.0)
        exchange = watched.begin()

        def enough() -> bool:
            trace = exchange.trace
            return trace is not None and len(trace.samples) >= 20

        call(exchange, lambda: wait_in_helper(enough))
        exchange.start("200 OK", [])
        exchange.end()
        profile = watched.profile()
        assert profile.samples >= 20
        [root] = profile.roots
        [helper] = root.children
        assert (root.frame.function.split(".")[-1], helper.frame.function) == (
            "<lambda>",
            "wait_in_helper",
        )
        assert root.total_ms <= profile.duration_ms * 1.001

    def test_a_late_look_counts_for_requests_that_have_ended(self, make: Make) -> None:
        """It was due at them; where they were is not known any more."""
        watched = make(3, period_ms=1.0)
        mine = watched.watch.watcher
        watched.request(lambda: None)
        until(lambda: not mine.asleep and not mine.ended)
        with mine._tick_lock:  # It has to wait, as for the interpreter.
            until(lambda: time.perf_counter_ns() > mine.rhythm.due_ns)
            due_ns = mine.rhythm.due_ns
            exchange = watched.begin(environment("late"))
            exchange.start_ns = due_ns - 1
            exchange.end()
            assert len(mine.ended) == 1
        until(lambda: not mine.ended)
        mine.settle()
        [profile] = [made for made in profiles(watched.batch()) if made.endpoint == "late"]
        assert (profile.samples, profile.roots) == (1, [])

    def test_many_samples_are_folded_while_a_request_runs(self, make: Make) -> None:
        watched = make(3, period_ms=1.0)
        exchange = watched.begin()

        def folded() -> bool:
            trace = exchange.trace
            return trace is not None and trace.tree is not None and trace.tree.samples > 0

        call(exchange, lambda: deep(MAX_WAITING // 4, folded))
        exchange.end()
        assert exchange.trace is not None
        assert exchange.trace.waiting <= MAX_WAITING
        profile = watched.profile()
        assert profile.samples >= 4
        [root] = profile.roots
        # Samples at its very end were outside of all code.
        assert root.hits >= 4

    def test_requests_of_lower_levels_are_left_alone(self, make: Make) -> None:
        watched = make(1, levels={"other": 3})
        exchange = watched.begin()
        until(lambda: exchange not in watched.watch.watcher.active)
        assert exchange.trace is None
        exchange.end()
        assert watched.records[0][3] is None

    def test_one_without_an_endpoint_is_forgotten_in_the_end(
        self, make: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(watcher, "FORGET_NS", 50_000_000)
        watched = make(2)
        nowhere = watched.begin({"REQUEST_METHOD": "GET"})
        until(lambda: nowhere not in watched.watch.watcher.active)

    def test_one_that_was_given_up_is_forgotten(
        self, make: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(watcher, "FORGET_NS", 50_000_000)
        watched = make(2, limit_ms=1)
        exchange = watched.begin()
        until(lambda: exchange not in watched.watch.watcher.active)
        assert exchange.trace is not None
        assert exchange.trace.missed

    def test_no_stack_is_taken_once_the_cap_is_reached(self, make: Make) -> None:
        watched = make(2, limit_ms=1)
        watched.apply(per_minute=1)
        assert watched.watch._cap.take("index")
        exchange = watched.begin()

        def looked() -> bool:
            trace = exchange.trace
            return trace is not None and trace.look_at_ns != trace.limit_ns

        call(exchange, lambda: wait_in_helper(looked))
        assert exchange.trace is not None
        assert exchange.trace.stuck is None
        exchange.end()

    def test_unmatched_requests_have_their_bucket(self, make: Make) -> None:
        watched = make(2)
        environ = environment()
        environ["werkzeug.request"] = SimpleNamespace(
            url_rule=None, routing_exception=LookupError()
        )
        exchange = watched.begin(environ)
        until(lambda: exchange.trace is not None)
        assert exchange.trace is not None
        assert exchange.trace.endpoint == "(unmatched)"
        watched.watch.watcher.active.clear()


def test_a_fault_of_ours_is_counted_and_the_thread_lives(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = make(3, period_ms=1.0)

    def find(*_: object) -> None:
        raise RuntimeError("on purpose")

    monkeypatch.setattr(watched.watch.watcher._stacks, "find", find)
    exchange = watched.begin()
    until(lambda: watched.faults.by_place().get("watching requests", 0) >= 3)
    exchange.end()
    assert len(threads()) == 1


def test_a_request_object_that_raises_blinds_us_to_itself_only(make: Make) -> None:
    class Raising:
        routing_exception = None

        @property
        def url_rule(self) -> object:
            raise RuntimeError("on purpose")

    watched = make(2, limit_ms=20)
    environ = environment()
    environ["werkzeug.request"] = Raising()
    bad = watched.begin(environ)
    good = watched.begin()

    def stuck() -> bool:
        return good.trace is not None and good.trace.stuck is not None

    call(good, lambda: wait_in_helper(stuck))
    for exchange in (good, bad):
        assert isinstance(exchange, WatchedExchange)
        watched.watch.watcher.active.pop(exchange, None)
    assert watched.faults.by_place() == {"asking a request for its endpoint": 1}


FORK = """
import os, sys, threading, warnings
warnings.simplefilter("ignore")
from tests.unit.collect.watched import Watched, call, until

watched = Watched(2, limit_ms=20)
watched.request(lambda: None)
held = watched.begin()
pid = os.fork()
if pid == 0:
    watched.watch.after_fork()
    watcher = watched.watch.watcher
    assert watcher.active == {} and watcher.asleep
    assert threading.active_count() == 1
    exchange = watched.begin()
    call(exchange, lambda: until(lambda: exchange.trace and exchange.trace.stuck))
    assert threading.active_count() == 2
    watched.watch.close()
    assert threading.active_count() == 1
    print("child", flush=True)
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
assert held in watched.watch.watcher.active
watched.watch.close()
print("parent")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_child_has_a_thread_of_its_own() -> None:
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", FORK], cwd=root, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "child\nparent\n"), done.stderr
