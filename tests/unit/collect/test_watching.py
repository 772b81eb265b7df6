"""What levels 2 and 3 make of requests, seen from inside: limits, caps, levels, faults."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from fmd_admin.collect import obstacles, watcher
from fmd_admin.collect.obstacles import GREENLETS, NO_THREADS
from fmd_admin.collect.outliers import ENDED_FIRST, NOT_ON_A_THREAD
from fmd_admin.collect.switching import ALONE_S, AMONG_OTHERS_S
from fmd_admin.collect.tracing import Trace
from fmd_admin.records import Batch, Row

from .watched import Watched, environment, profiles


@pytest.fixture(autouse=True)
def _no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread looks on: what it would note is given by hand."""
    monkeypatch.setattr(watcher.Watcher, "wake", lambda self: None)


def test_an_outlier_is_longer_than_its_limit_and_no_less() -> None:
    watched = Watched(2, limit_ms=400)
    exchange = watched.begin()
    limit_ns = 400_000_000
    for duration_ns, is_one in ((1, False), (limit_ns, False), (limit_ns + 1, True)):
        detail = watched.watch.detail(exchange, "index", exchange.start_ns + duration_ns)
        assert (detail is not None) is is_one


def test_without_a_known_mean_there_are_no_outliers() -> None:
    watched = Watched(2)
    exchange = watched.begin()
    assert watched.watch.detail(exchange, "index", exchange.start_ns + 10**12) is None


def test_the_limit_is_the_one_that_the_watcher_saw() -> None:
    watched = Watched(2, limit_ms=400)
    exchange = watched.begin()
    exchange.trace = Trace("index", 2, 100_000_000)
    assert watched.watch.detail(exchange, "index", exchange.start_ns + 200_000_000) is not None
    exchange.trace = Trace("index", 2, None)
    assert watched.watch.detail(exchange, "index", exchange.start_ns + 10**12) is None


def test_below_level_2_nothing_is_kept_but_the_record() -> None:
    watched = Watched(1, limit_ms=0)
    watched.rules = watched.watch.rules
    watched.request(lambda: None)
    assert [detail for *_, detail, _ticket in watched.records] == [None]
    assert watched.heavy == []


def test_the_cap_counts_what_it_leaves_out() -> None:
    watched = Watched(2, limit_ms=0)
    watched.apply(per_minute=3)
    for _ in range(10):
        watched.request(lambda: None)
    # All requests are there, and as many outliers as the cap lets through.
    assert (len(watched.heavy), len(watched.records)) == (3, 7)
    assert watched.left_out == ["index"] * 7
    assert len(watched.batch().outliers) == 3


def test_an_outlier_says_why_it_has_no_stack() -> None:
    watched = Watched(2, limit_ms=0)
    watched.request(lambda: None)
    assert (watched.outlier().stack, watched.outlier().note) == ([], ENDED_FIRST)
    watched = Watched(2, limit_ms=0)
    exchange = watched.begin()
    exchange.trace = Trace("index", 2, 0)
    exchange.trace.missed = True
    exchange.start("200 OK", [])
    exchange.end()
    assert watched.outlier().note == NOT_ON_A_THREAD


def test_level_3_has_a_profile_of_each_request() -> None:
    watched = Watched(3)
    watched.request(lambda: None)
    profile = watched.profile()
    assert (profile.samples, profile.period_ms, profile.roots) == (0, 5.0, [])
    # Without a tree it weighs nothing.
    assert (len(watched.records), watched.heavy) == (1, [])


def test_a_long_request_that_was_never_looked_at_says_so() -> None:
    """Left out, it would be missing among the requests that the merged tree is about."""
    watched = Watched(3)
    exchange = watched.begin()
    detail = watched.watch.detail(exchange, "index", exchange.start_ns + 10**9)
    assert detail is not None
    batch = Batch("w", 1, "1")
    row = Row(0, "index", 1000.0, 200, "GET", None, None)
    batch.rows += [row, row]
    detail.add_to(batch, row)
    assert (batch.unsampled, batch.profiles) == ([(1, 5.0)], [])
    [profile] = profiles(batch)
    assert (profile.samples, profile.roots, profile.duration_ms) == (0, [], 1000.0)


def test_requests_keep_the_rules_that_they_began_with() -> None:
    watched = Watched(3)
    exchange = watched.begin()
    watched.apply(level=1)
    exchange.start("200 OK", [])
    exchange.end()
    assert len(profiles(watched.batch())) == 1
    watched.request(lambda: None)
    assert len(profiles(watched.batch())) == 1


def test_changed_settings_count_for_the_next_request() -> None:
    watched = Watched(2)
    watch = watched.watch
    watch.learn([Row(0, "index", 100.0, 200, "GET", None, None)] * 10)
    exchange = watched.begin()

    def is_outlier(duration_ms: float) -> bool:
        end_ns = exchange.start_ns + int(duration_ms * 1e6)
        return watch.detail(exchange, "index", end_ns) is not None

    assert (is_outlier(250), is_outlier(251)) == (False, True)
    watch.apply(watch.rules, constant=5.0, min_ms=0.0, outliers_per_minute=20)
    assert (is_outlier(500), is_outlier(501)) == (False, True)
    watch.apply(watch.rules, constant=2.5, min_ms=900.0, outliers_per_minute=20)
    assert (is_outlier(900), is_outlier(901)) == (False, True)


def test_means_are_learnt_at_levels_2_and_3_only() -> None:
    watched = Watched(1)
    watched.watch.learn([Row(0, "index", 100.0, 200, "GET", None, None)] * 10)
    assert watched.watch.means.limits_ns == {}
    watched.watch.seed({"index": (10, 10.0)})
    assert watched.watch.means.limits_ns == {"index": 25_000_000}


class RaisingRequest:
    """A host's request object at its worst."""

    url_rule = SimpleNamespace(endpoint="index", arguments=set(), map=None)
    routing_exception = None

    @property
    def _cached_json(self) -> Any:
        raise RuntimeError("on purpose")

    form = property(lambda self: 1 / 0)

    def __init__(self) -> None:
        self.__dict__["form"] = 3


def test_a_request_object_that_raises_costs_what_it_holds_only() -> None:
    watched = Watched(2, limit_ms=0, with_json=True)
    environ = environment(HTTP_X_NOTE="hello", PATH_INFO="/x")
    environ["werkzeug.request"] = RaisingRequest()
    watched.request(lambda: None, environ)
    made = watched.outlier()
    assert made.headers == [("X-Note", "hello")]
    assert watched.faults.by_place() == {"reading what came with an outlier": 1}


class Unreadable(dict[str, Any]):
    def copy(self) -> Any:
        raise MemoryError


def test_an_environment_that_raises_leaves_an_empty_outlier() -> None:
    watched = Watched(2, limit_ms=0)
    watched.request(lambda: None, Unreadable(environment()))
    made = watched.outlier()
    assert (made.url, made.headers, made.environ) == ("", [], {})
    assert watched.faults.by_place() == {"reading what came with an outlier": 2}


def test_the_hosts_own_error_passes_and_is_an_outlier() -> None:
    watched = Watched(2, limit_ms=0)

    def view() -> None:
        raise LookupError("the host's")

    with pytest.raises(LookupError, match="the host's"):
        watched.request(view)
    assert len(watched.batch().outliers) == 1


def test_an_answer_ends_once() -> None:
    watched = Watched(3, limit_ms=0)
    exchange = watched.begin()
    assert exchange in watched.watch.watcher.active
    exchange.start("200 OK", [])
    for _ in range(3):
        exchange.end()
    assert len(watched.heavy) == 1
    assert watched.watch.watcher.active == {}


def test_after_a_fork_nothing_of_the_parent_is_watched() -> None:
    watched = Watched(2, limit_ms=0)
    watched.apply(per_minute=1)
    watched.request(lambda: None)
    watched.begin()
    watched.watch.after_fork()
    assert watched.watch.watcher.active == {}
    assert watched.watch.means.limits_ns == {"index": 0}
    # The child has a cap of its own.
    watched.request(lambda: None)
    assert (len(watched.heavy), watched.left_out) == (2, [])


class TestWithoutThreads:
    """Level 2 goes on without stacks, level 3 without profiles, and both say so."""

    @pytest.fixture(autouse=True)
    def _real_wake(self, monkeypatch: pytest.MonkeyPatch, _no_thread: None) -> None:
        monkeypatch.undo()

    def outlier_and_profiles(self, faults: int = 0) -> str:
        watched = Watched(3, limit_ms=0)
        for _ in range(3):
            watched.request(lambda: None)
        batch = watched.batch()
        assert profiles(batch) == []
        assert [made.stack for made in batch.outliers] == [[]] * 3
        [note] = {made.note for made in batch.outliers}
        assert watched.watch.watcher.unavailable == note
        # Requests do not try again, each at some cost.
        assert not watched.watch.watcher.asleep
        assert watched.faults.total() == faults
        watched.watch.close()
        return note

    def test_where_the_server_has_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(obstacles, "threads_available", lambda: False)
        assert self.outlier_and_profiles() == NO_THREADS

    def test_where_no_thread_can_be_started(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def start(_thread: object) -> None:
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(watcher.Thread, "start", start)
        assert self.outlier_and_profiles(faults=1) == NO_THREADS

    def test_where_threads_are_greenlets(self, monkeypatch: pytest.MonkeyPatch) -> None:
        gevent = SimpleNamespace(is_module_patched=lambda name: name == "threading")
        monkeypatch.setitem(sys.modules, "gevent.monkey", gevent)  # type: ignore[arg-type]
        assert self.outlier_and_profiles() == GREENLETS

    def test_while_gevent_is_being_imported(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # Another thread is at it, and its functions are not there yet.
        monkeypatch.setitem(sys.modules, "gevent.monkey", SimpleNamespace())  # type: ignore[arg-type]
        assert self.outlier_and_profiles(faults=1) == NO_THREADS

    def test_where_threads_are_eventlets(self, monkeypatch: pytest.MonkeyPatch) -> None:
        eventlet = SimpleNamespace(is_monkey_patched=lambda name: name == "thread")
        monkeypatch.setitem(sys.modules, "eventlet.patcher", eventlet)  # type: ignore[arg-type]
        assert self.outlier_and_profiles() == GREENLETS


def test_without_pythons_lock_no_frame_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)
    assert obstacles.obstacle() == obstacles.NO_LOCK
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: True, raising=False)
    assert obstacles.obstacle() == ""


@pytest.mark.parametrize(("level", "is_read"), [(1, False), (2, True), (3, True)])
def test_the_machine_is_read_where_outliers_may_need_it(level: int, is_read: bool) -> None:
    watch = Watched(level).watch
    watch.keep_up()
    assert (watch.watcher._machine._readings[1] is not None) is is_read


@pytest.mark.parametrize(("ago_s", "expected_s"), [(0.0, AMONG_OTHERS_S), (11.0, ALONE_S)])
def test_where_requests_were_at_the_same_time_turns_are_not_the_shortest(
    ago_s: float, expected_s: float
) -> None:
    """Also while only one is inside of the app: others wait outside for the interpreter."""
    watched = Watched(3)
    seen_by = watched.watch.watcher
    host_s = sys.getswitchinterval()
    one, other = watched.begin(), watched.begin()
    seen_by._shorten()
    seen_by._interval.restore()
    other.end()
    seen_by._together_ns -= int(ago_s * 1e9)
    seen_by._shorten()
    assert sys.getswitchinterval() == pytest.approx(expected_s, rel=0.02)
    seen_by._interval.restore()
    one.end()
    assert sys.getswitchinterval() == host_s


def test_the_shortest_turns_end_once_the_thread_is_awake() -> None:
    seen_by = Watched(3).watch.watcher
    host_s = sys.getswitchinterval()
    seen_by._shorten()
    assert sys.getswitchinterval() == pytest.approx(ALONE_S, rel=0.02)
    seen_by._begin_anew()
    assert sys.getswitchinterval() == host_s


def test_a_machine_that_hides_its_counters_is_a_fault_and_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watched = Watched(2)

    def hidden(percpu: bool) -> None:
        raise PermissionError

    monkeypatch.setattr("fmd_admin.collect.machine.psutil.cpu_times", hidden)
    watched.watch.keep_up()
    assert watched.faults.total() == 1
