from __future__ import annotations

import os
import threading

import pytest

from fmd_admin.faults import Faults
from fmd_admin.recorder import vitals
from fmd_admin.recorder.vitals import WriteTimes, fault_rows, identity


def test_write_times_of_the_last_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(vitals.time, "monotonic", lambda: now[0])
    times = WriteTimes()
    nothing = {"flush_last_ms": None, "flush_median_ms": None, "flush_max_ms": None}
    assert times.figures() == {"flushes": 0, **nothing}
    times.add(9.0)
    now[0] += 61
    for took_s in (0.001, 0.010, 0.002):
        times.add(took_s)
    assert times.figures() == {
        "flushes": 3,
        "flush_last_ms": 2.0,
        "flush_median_ms": 2.0,
        "flush_max_ms": 10.0,
    }
    now[0] += 61
    assert times.figures() == {"flushes": 0, **nothing, "flush_last_ms": 2.0}
    times.clear()
    assert times.figures() == {"flushes": 0, **nothing}


def test_identity_names_our_threads_only() -> None:
    end = threading.Event()
    threads = [
        threading.Thread(target=end.wait, name=name) for name in ("fmd_admin-flusher", "host")
    ]
    for thread in threads:
        thread.start()
    try:
        found = identity()
    finally:
        end.set()
        for thread in threads:
            thread.join()
    assert found["pid"] == os.getpid()
    assert "fmd_admin-flusher" in found["threads"]
    assert "host" not in found["threads"]


def test_faults_with_their_last_error() -> None:
    faults = Faults()
    for text in ("first", "second\nwith more", "x" * 500):
        try:
            raise ValueError(text)
        except ValueError:
            faults.report("here")
    (row,) = fault_rows(faults)
    assert (row["place"], row["count"]) == ("here", 3)
    assert row["error"] == ("ValueError: " + "x" * 500)[:200]
    faults.after_fork()
    assert fault_rows(faults) == []


def test_an_error_that_cannot_be_shown_is_a_fault_like_others() -> None:
    class Bad(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    faults = Faults()
    try:
        raise Bad
    except Bad:
        faults.report("there")
    assert [row["error"] for row in fault_rows(faults)] == ["Bad: "]
