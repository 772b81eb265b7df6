from __future__ import annotations

import logging
import threading

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


class Talkative(Exception):
    """A host's exception whose text reports a fault too."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    def __str__(self) -> str:
        fail(self._faults, KeyError("inside"), "inside")
        return "outside"


def test_an_error_whose_text_is_made_by_code_that_fails_too() -> None:
    faults = Faults()
    thread = threading.Thread(target=fail, args=(faults, Talkative(faults)), daemon=True)
    thread.start()
    thread.join(timeout=10)
    assert not thread.is_alive()
    assert faults.by_place()["here"] == 1
    assert faults.seen()["here"][1].error == "Talkative: outside"


@pytest.mark.parametrize("kind", ["filter", "handler"])
def test_a_log_of_the_hosts_that_raises_reaches_nobody(kind: str) -> None:
    def broken(_record: logging.LogRecord) -> bool:
        raise OSError("the log's disk is full")

    log = logging.getLogger("fmd_admin")
    handler = logging.Handler()
    handler.emit = broken  # type: ignore[assignment, method-assign]
    faults = Faults()
    if kind == "filter":
        log.addFilter(broken)
    else:
        log.addHandler(handler)
    try:
        fail(faults, KeyError("a"))
    finally:
        log.removeFilter(broken)
        log.removeHandler(handler)
    assert faults.by_place() == {"here": 1}


def test_a_child_counts_for_itself() -> None:
    faults = Faults()
    fail(faults, KeyError("a"))
    faults.after_fork()
    assert faults.total() == 0
