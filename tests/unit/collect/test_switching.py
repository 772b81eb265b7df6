from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import pytest

from fmd_admin.collect.switching import ALONE_S, AMONG_OTHERS_S, SwitchInterval, be_punctual


@pytest.fixture(autouse=True)
def _put_back() -> Iterator[None]:
    before = sys.getswitchinterval()
    yield
    sys.setswitchinterval(before)


@pytest.mark.parametrize("host_s", [0.005, 0.1, 0.0123])
@pytest.mark.parametrize("alone", [True, False])
def test_the_hosts_interval_comes_back(host_s: float, alone: bool) -> None:
    sys.setswitchinterval(host_s)
    host_s = sys.getswitchinterval()
    interval = SwitchInterval()
    for _ in range(3):
        interval.shorten(alone=alone)
        assert sys.getswitchinterval() == pytest.approx(ALONE_S if alone else AMONG_OTHERS_S)
        interval.restore()
        assert sys.getswitchinterval() == host_s


def test_a_shorter_one_of_the_hosts_stays() -> None:
    sys.setswitchinterval(ALONE_S / 10)
    host_s = sys.getswitchinterval()
    interval = SwitchInterval()
    interval.shorten(alone=True)
    assert sys.getswitchinterval() == host_s
    interval.restore()
    assert sys.getswitchinterval() == host_s


def test_without_having_shortened_nothing_is_restored() -> None:
    interval = SwitchInterval()
    interval.shorten(alone=True)
    interval.restore()
    # The host changes it meanwhile; that is not ours to undo.
    sys.setswitchinterval(0.02)
    interval.restore()
    assert sys.getswitchinterval() == pytest.approx(0.02)


def test_what_the_host_chooses_meanwhile_stays() -> None:
    interval = SwitchInterval()
    for host_s in (0.02, 0.001, 0.00001):
        sys.setswitchinterval(0.005)
        interval.shorten(alone=True)
        sys.setswitchinterval(host_s)
        chosen = sys.getswitchinterval()
        interval.restore()
        assert sys.getswitchinterval() == chosen


@pytest.mark.parametrize("first_ends_first", [True, False])
def test_watchers_of_two_apps_leave_the_hosts(first_ends_first: bool) -> None:
    sys.setswitchinterval(0.005)
    host_s = sys.getswitchinterval()
    first, second = SwitchInterval(), SwitchInterval()
    for _ in range(3):
        first.shorten(alone=False)
        second.shorten(alone=True)
        for one in (first, second) if first_ends_first else (second, first):
            one.restore()
        assert sys.getswitchinterval() == host_s


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has it")
def test_only_the_calling_thread_is_made_punctual() -> None:
    def slack(thread: int) -> int:
        with open(f"/proc/{thread}/timerslack_ns", encoding="ascii") as file:
            return int(file.read())

    try:
        before = slack(threading.get_native_id())
    except OSError:
        pytest.skip("this kernel does not tell the slack of threads")
    seen: list[int] = []

    def run() -> None:
        be_punctual()
        seen.append(slack(threading.get_native_id()))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [1]
    assert slack(threading.get_native_id()) == before


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    be_punctual()
