"""How the flusher catches up with what came together while the store was locked or away."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from fmd_admin.recorder import pace
from fmd_admin.recorder.pace import CATCH_UP_BATCH, MAX_BATCH, REST, Pace

from ...support import Bound, get

Bind = Callable[..., Bound]
LONG_S = 2 * pace._SLOW_S
MANY = 100 * CATCH_UP_BATCH


class Bell(threading.Event):
    """Notes for how long somebody waited, and waits for nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.waits_s: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits_s.append(timeout or 0.0)
        return self.is_set()


@pytest.fixture
def bell() -> Bell:
    return Bell()


@pytest.fixture
def flusher(bell: Bell) -> Pace:
    return Pace(bell)


def test_all_at_once_where_the_store_answers(flusher: Pace, bell: Bell) -> None:
    assert flusher.begin(0, failing=False, hurry=False) == 1
    assert flusher.begin(2 * MAX_BATCH + 1, failing=False, hurry=False) == 3
    assert flusher.most == MAX_BATCH
    flusher.wrote(pace._SLOW_S / 2)
    assert bell.waits_s == []


def test_after_a_failure_or_a_long_wait_in_small_batches_until_all_is_written(
    flusher: Pace, bell: Bell
) -> None:
    assert flusher.begin(3 * CATCH_UP_BATCH, failing=True, hurry=False) == 3
    assert flusher.most == CATCH_UP_BATCH
    flusher.wrote(0.002)
    assert bell.waits_s == [pytest.approx(REST * 0.002)]
    # A round ends, so that levels and settings are looked at.
    assert flusher.begin(MANY, failing=False, hurry=False) == pace._ROUND
    flusher.wrote(LONG_S)
    assert bell.waits_s[-1] == pace._MAX_REST_S
    # As few as come in anyway are no backlog.
    assert flusher.begin(CATCH_UP_BATCH, failing=False, hurry=False) == 1
    assert flusher.begin(MANY, failing=False, hurry=False) == -(-MANY // MAX_BATCH)
    # It had to wait, and did not fail: others came together as well.
    flusher.wrote(LONG_S)
    assert flusher.begin(MANY, failing=False, hurry=False) == pace._ROUND


def test_who_waits_for_it_does_not_wait_longer(flusher: Pace, bell: Bell) -> None:
    assert flusher.begin(MANY, failing=True, hurry=True) == -(-MANY // MAX_BATCH)
    bell.set()
    assert flusher.begin(MANY, failing=True, hurry=False) == -(-MANY // MAX_BATCH)
    flusher.wrote(0.002)
    assert bell.waits_s == []


def test_a_backlog_is_stored_once(bind: Bind, monkeypatch: pytest.MonkeyPatch) -> None:
    bound = bind()
    bound.app.add_url_rule("/", "index", lambda: "hello")
    get(bound.app, "/")
    recorder = bound.monitor.recorder
    recorder.flush()
    batches: list[int] = []
    write = recorder._write

    def note(batch: object) -> None:
        batches.append(len(batch.rows))  # type: ignore[attr-defined]
        write(batch)  # type: ignore[arg-type]

    with recorder._flush_lock:
        for _ in range(2 * CATCH_UP_BATCH + 50):
            get(bound.app, "/")
        monkeypatch.setattr(recorder, "_write", note)
        recorder._failing = True
        recorder.flush()
        assert batches == [CATCH_UP_BATCH, CATCH_UP_BATCH, 50]
    assert len(bound.rows()) == 2 * CATCH_UP_BATCH + 51
