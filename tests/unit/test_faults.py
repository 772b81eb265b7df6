from __future__ import annotations

import pytest

from fmd_admin.faults import Faults


def fail(faults: Faults, error: Exception, place: str = "here") -> None:
    try:
        raise error
    except Exception:
        faults.report(place)


def test_counted_always_logged_once_a_kind(caplog: pytest.LogCaptureFixture) -> None:
    faults = Faults()
    for _ in range(3):
        fail(faults, KeyError("a"))
    fail(faults, ValueError("b"))
    fail(faults, KeyError("c"), "there")
    assert faults.by_place() == {"here": 4, "there": 1}
    assert faults.total() == 5
    assert [record.levelname for record in caplog.records] == ["ERROR"] * 3
    assert all(record.exc_info for record in caplog.records)


def test_a_child_counts_for_itself() -> None:
    faults = Faults()
    fail(faults, KeyError("a"))
    faults.after_fork()
    assert faults.total() == 0
