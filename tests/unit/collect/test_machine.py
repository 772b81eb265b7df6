from __future__ import annotations

import time

import psutil
import pytest

from fmd_admin.collect.machine import MIN_WINDOW_S, Load, Machine


def test_figures_are_of_this_machine_and_process() -> None:
    machine = Machine()
    machine.keep_up()
    end = time.monotonic() + MIN_WINDOW_S + 0.1
    while time.monotonic() < end:
        sum(range(1_000))
    load = machine.load()
    assert len(load.cpu_percent) == psutil.cpu_count()
    assert all(0 <= percent <= 100 for percent in load.cpu_percent)
    # This thread calculated all the time; others may have had the processor meanwhile.
    assert load.process_cpu_percent is not None
    assert load.process_cpu_percent > 5
    assert max(load.cpu_percent) > 5
    own = psutil.Process().memory_info().rss / 2**20
    assert load.process_memory_mib == pytest.approx(own, rel=0.2)
    memory = psutil.virtual_memory()
    assert load.memory_percent == pytest.approx(memory.percent, abs=10)
    assert load.memory_available_mib is not None
    assert 0 < load.memory_available_mib < memory.total / 2**20


def test_without_a_reading_before_there_is_no_load_of_the_cpu() -> None:
    load = Machine().load()
    assert (load.cpu_percent, load.process_cpu_percent) == ([], None)
    assert load.process_memory_mib is not None


def test_a_reading_of_this_moment_is_not_measured_against() -> None:
    machine = Machine()
    machine.keep_up()
    time.sleep(MIN_WINDOW_S + 0.05)
    machine.keep_up()
    # 0.1 ms of counters that tick 100 times a second would say 0 or 100 %.
    assert machine.load().cpu_percent != []
    before, last = machine._readings
    assert before is not None
    assert last is not None
    assert last.at_s - before.at_s >= MIN_WINDOW_S


def test_a_reading_of_an_hour_ago_is_not_measured_against(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine()
    machine.keep_up()
    later_s = time.monotonic() + 3_600
    monkeypatch.setattr("fmd_admin.collect.machine.monotonic", lambda: later_s)
    load = machine.load()
    assert (load.cpu_percent, load.process_cpu_percent) == ([], None)
    assert load.process_memory_mib is not None


def test_a_processor_that_was_switched_off_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine()
    machine.keep_up()
    cores = psutil.cpu_times(percpu=True)
    monkeypatch.setattr(psutil, "cpu_times", lambda percpu: [*cores, cores[0]])
    assert machine.load().cpu_percent == []


def test_the_hosts_own_readings_are_not_disturbed() -> None:
    psutil.cpu_percent()
    end = time.monotonic() + 0.15
    while time.monotonic() < end:
        sum(range(1_000))
    machine = Machine()
    machine.keep_up()
    machine.load()
    # psutil measures since the last call of its own; had we called it, this would be 0.
    assert psutil.cpu_percent() > 0


def test_nothing_known() -> None:
    assert Load() == Load([], None, None, None, None)
