"""The recorder with a spool, against a store that keeps marks as the real one does."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fmd_admin.errors import PartlyStoredError
from fmd_admin.faults import Faults
from fmd_admin.recorder import batching
from fmd_admin.recorder.left_overs import SpoolFolder
from fmd_admin.recorder.recorder import Recorder
from fmd_admin.recorder.spool_format import MARKS_AT, SLOTS_AT
from fmd_admin.recorder.spool_status import spool_status
from fmd_admin.records import Batch, RequestRecord, Row
from fmd_admin.store.models import Writer
from fmd_admin.store.store import Store
from fmd_admin.store.writer import BatchWriter

from ...support import stored_rows


class Shelf:
    """Stores rows exactly once by the mark of each writer; may answer too late, or not at all."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.marks: dict[str, int] = {}
        self.dropped: dict[str, int] = {}
        self.away = False
        self.lose_answers = False

    def write(self, batch: Batch) -> None:
        if self.away:
            raise OSError("away")
        known = self.marks.get(batch.writer, 0)
        first = batch.sequence if batch.first is None else batch.first
        if known < first:
            self.rows += batch.rows
            self.marks[batch.writer] = batch.sequence
            self.dropped[batch.writer] = batch.dropped
        elif known < batch.sequence:
            raise PartlyStoredError(known)
        if self.lose_answers:
            raise OSError("cut")

    @property
    def endpoints(self) -> list[str]:
        return [row.endpoint for row in self.rows]


Make = Callable[..., Recorder]


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def make(shelf: Shelf, tmp_path: Path) -> Iterator[Make]:
    made: list[Recorder] = []

    def new(limit: int = 100, clean_ip: Callable[[str], str | None] = str) -> Recorder:
        recorder = Recorder(
            shelf.write,
            version="1.0",
            limit=limit,
            interval_s=1.0,
            faults=Faults(),
            tick=int,
            clean_ip=clean_ip,
            folder=SpoolFolder(tmp_path / "spool", "db", 1),
        )
        # No thread: each test says when it flushes.
        recorder._running = True
        made.append(recorder)
        return recorder

    yield new
    shelf.away = shelf.lose_answers = False
    for recorder in made:
        recorder.close()


def record(
    endpoint: str, group: str | None = None, ip: str | None = None, ticket: int = 0
) -> RequestRecord:
    start_ns = time.perf_counter_ns() - 2_000_000
    texts = (endpoint, "GET", "201 CREATED", group, ip)
    return (texts, start_ns, start_ns + 2_000_000, None, ticket)


def kill(recorder: Recorder) -> None:
    """As SIGKILL does: nothing is written any more, and the lock is gone."""
    spool, recorder.spool = recorder.spool, None
    recorder.unspooled = "killed"
    recorder._pending = None
    assert spool is not None
    spool.abandon()


def look(recorder: Recorder) -> None:
    assert recorder.take_over is not None
    recorder.take_over._due = 0.0
    recorder.take_over.look(lambda: False)


def test_an_outage_beyond_memory_loses_nothing(make: Make, shelf: Shelf) -> None:
    recorder = make(limit=10)
    shelf.away = True
    for number in range(50):
        recorder.append(record(f"a{number}"))
    with pytest.raises(OSError, match="away"):
        recorder.flush()
    for number in range(50, 100):
        recorder.append(record(f"a{number}"))
    shelf.away = False
    recorder.flush()
    recorder.flush()
    assert shelf.endpoints == [f"a{number}" for number in range(100)]
    assert {row.status for row in shelf.rows} == {201}
    assert (recorder.depth, recorder.dropped) == (0, 0)


def test_a_batch_without_records_may_come_first(make: Make, shelf: Shelf) -> None:
    recorder = make()
    recorder.touched["zero"] = time.perf_counter_ns()
    recorder.flush()
    recorder.append(record("a"))
    recorder.flush()
    assert (shelf.endpoints, list(shelf.marks.values())) == (["a"], [2])


def test_the_next_one_stores_what_a_killed_one_left(make: Make, shelf: Shelf) -> None:
    first, second = make(), make()
    now_ms = time.time() * 1000
    first.append(record("stored"))
    first.flush()
    first.append(record("left", group="anna", ip="192.0.2.1"))
    kill(first)
    look(second)
    assert shelf.endpoints == ["stored", "left"]
    row = shelf.rows[1]
    assert (row.group, row.ip, row.duration_ms, row.status) == ("anna", "192.0.2.1", 2.0, 201)
    assert abs(row.time_ms - now_ms) < 2_000
    assert spool_status(second)["taken_over"] == 1
    look(second)
    assert len(shelf.rows) == 2


def test_one_killed_before_its_first_write_keeps_its_times(make: Make, shelf: Shelf) -> None:
    first, second = make(), make()
    now_ms = time.time() * 1000
    first.append(record("left"))
    kill(first)
    look(second)
    [row] = shelf.rows
    assert abs(row.time_ms - now_ms) < 2_000


def test_times_without_a_clock_are_those_of_the_file(
    make: Make, shelf: Shelf, tmp_path: Path
) -> None:
    """Both marks are torn, or an older version never wrote one."""
    first, second = make(), make()
    first.append(record("a"))
    first.append(record("b"))
    kill(first)
    [path] = (tmp_path / "spool").glob("*.spool")
    data = bytearray(path.read_bytes())
    data[MARKS_AT:SLOTS_AT] = bytes(SLOTS_AT - MARKS_AT)
    path.write_bytes(data)
    os.utime(path, (1_700_000_000, 1_700_000_000))
    look(second)
    times_ms = [row.time_ms for row in shelf.rows]
    assert len(times_ms) == 2
    assert all(1_699_999_990_000 < time_ms <= 1_700_000_000_000 for time_ms in times_ms)


def test_an_answer_held_while_a_batch_without_records_is_stored(make: Make, shelf: Shelf) -> None:
    """The process is killed after that batch's COMMIT; the answer's number must be another one."""
    first, second = make(), make()
    first.hold(record("held"))
    first.touched["zero"] = time.perf_counter_ns()
    shelf.lose_answers = True
    with pytest.raises(OSError, match="cut"):
        first.flush()
    kill(first)
    shelf.lose_answers = False
    look(second)
    assert shelf.endpoints == ["held"]


def test_a_left_over_that_cannot_be_stored_stops_nothing_else(make: Make, shelf: Shelf) -> None:
    ticks: list[None] = []
    first, second = make(), make()
    first.append(record("left"))
    kill(first)
    second._tick = lambda: ticks.append(None)
    assert second.take_over is not None

    def fails(_batch: Batch) -> None:
        raise ArithmeticError("ours")

    second.take_over._write = fails
    assert second._work()
    assert len(ticks) == 1
    assert second._faults.total() == 1
    second.take_over._write = shelf.write
    look(second)
    assert shelf.endpoints == ["left"]


def test_what_goes_wrong_with_the_spool_never_reaches_the_host(
    make: Make, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_arguments: object) -> None:
        raise ArithmeticError("ours")

    monkeypatch.setattr(SpoolFolder, "open", fails)
    recorder = make()
    assert recorder.hold(record("a")) == 0
    recorder.append(record("a"))
    recorder.flush()
    assert shelf.endpoints == ["a"]
    assert (recorder.unspooled, recorder._faults.total()) == ("ours", 1)


def test_a_commit_whose_answer_was_lost_is_not_stored_again(make: Make, shelf: Shelf) -> None:
    first, second = make(), make()
    first.append(record("a"))
    first.append(record("b"))
    shelf.lose_answers = True
    with pytest.raises(OSError, match="cut"):
        first.flush()
    first.append(record("c"))
    kill(first)
    shelf.lose_answers = False
    look(second)
    assert shelf.endpoints == ["a", "b", "c"]


def test_two_take_over_at_once_with_other_batches(
    make: Make, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one is killed half way through; a third one cuts the rest differently."""
    first, second, third = make(limit=1_000), make(), make()
    for number in range(20):
        first.append(record(f"a{number}"))
    kill(first)
    monkeypatch.setattr("fmd_admin.recorder.take_over._MAX_BATCH", 7)
    write, batches = shelf.write, []

    def dies(batch: Batch) -> None:
        if len(batches) == 1:
            raise OSError("killed")
        batches.append(batch)
        write(batch)

    assert second.take_over is not None
    second.take_over._write = dies
    with pytest.raises(OSError, match="killed"):
        look(second)
    monkeypatch.setattr("fmd_admin.recorder.take_over._MAX_BATCH", 5)
    look(third)
    assert shelf.endpoints == [f"a{number}" for number in range(20)]


@pytest.mark.parametrize("seed", range(15))
def test_any_story_of_kills_and_cuts(make: Make, shelf: Shelf, seed: int) -> None:
    """Each request that was appended is there once, in its process's order, at the end."""
    chance = random.Random(seed)
    appended: list[str] = []
    living = [make(limit=chance.choice([3, 1_000])) for _ in range(2)]
    for step in range(60):
        shelf.away, shelf.lose_answers = chance.random() < 0.2, chance.random() < 0.2
        index = chance.randrange(2)
        recorder = living[index]
        for number in range(chance.randrange(6)):
            appended.append(f"{step}.{number}")
            recorder.append(record(appended[-1]))
        if chance.random() < 0.2:
            recorder.touched["zero"] = time.perf_counter_ns()
        try:
            if chance.random() < 0.5:
                recorder.flush()
            if chance.random() < 0.3:
                look(recorder)
        except OSError:
            pass
        if recorder.spool is not None and chance.random() < 0.15:
            kill(recorder)
            living[index] = make(limit=chance.choice([3, 1_000]))
    shelf.away = shelf.lose_answers = False
    for recorder in living:
        recorder.flush()
        recorder.flush()
        look(recorder)
    assert sorted(shelf.endpoints) == sorted(appended)


def test_what_the_store_does_not_take_at_the_end_is_for_the_next(
    make: Make, shelf: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    first = make()
    first.append(record("a"))
    shelf.away = True
    first.close()
    assert first.dropped == 0
    assert "1 requests are in the spool" in caplog.text
    shelf.away = False
    look(make())
    assert shelf.endpoints == ["a"]


def test_the_end_does_not_wait_for_a_store_that_hangs(
    make: Make, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store hangs at the last write only, as when it is locked between two of them."""
    monkeypatch.setattr("fmd_admin.recorder.recorder.MAX_RETRY_S", 0.1)
    first = make()
    first._running = False
    first._interval_s = 60.0
    at_work, answers = threading.Event(), threading.Event()

    def hang(batch: Batch) -> None:
        at_work.set()
        assert answers.wait(20)
        raise OSError("away")

    first._write = hang
    first.append(record("a"))
    (thread,) = (one for one in threading.enumerate() if one.name == "fmd_admin-flusher")
    assert first.close() is False
    assert at_work.wait(20)
    assert thread.is_alive()
    look(make())
    assert shelf.endpoints == ["a"]
    answers.set()
    thread.join(20)
    assert not thread.is_alive()


def test_a_clean_end_leaves_no_file(make: Make, shelf: Shelf, tmp_path: Path) -> None:
    recorder = make()
    ticket = recorder.hold(record("a"))
    recorder.append(record("a", ticket=ticket))
    recorder.close()
    assert shelf.endpoints == ["a"]
    assert list((tmp_path / "spool").iterdir()) == []


def test_a_child_has_a_file_of_its_own(make: Make, shelf: Shelf, tmp_path: Path) -> None:
    """A real fork: the parent's file stays locked by the parent and keeps its records."""
    parent = make()
    parent.append(record("parent"))
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            parent.after_fork()
            parent._running = True
            parent.append(record("child"))
            look(parent)  # The parent lives: nothing is taken over.
            files = list((tmp_path / "spool").glob("*.spool"))
            code = 0 if len(files) == 2 and parent.depth == 1 and not shelf.rows else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    look(parent)
    assert shelf.endpoints == ["child"]
    parent.flush()
    assert shelf.endpoints == ["child", "parent"]


def test_addresses_are_cut_before_they_are_in_the_file(make: Make, tmp_path: Path) -> None:
    recorder = make(clean_ip=lambda ip: ip.rpartition(".")[0] + ".0")
    recorder.append(record("a", ip="192.0.2.77"))
    [path] = (tmp_path / "spool").glob("*.spool")
    data = path.read_bytes()
    assert b"192.0.2.0" in data
    assert b"192.0.2.77" not in data


def test_a_clock_that_is_set_back(
    make: Make, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Durations and order are of the monotonic clock; times follow the wall clock."""
    recorder, hour_ns = make(), 3_600_000_000_000
    real = time.time_ns
    recorder.append(record("before"))
    recorder.flush()
    monkeypatch.setattr(batching.time, "time_ns", lambda: real() - hour_ns)
    recorder.append(record("after"))
    recorder.flush()
    before, after = shelf.rows
    assert (before.duration_ms, after.duration_ms) == (2.0, 2.0)
    assert 3_590_000 < before.time_ms - after.time_ms < 3_600_001
    assert list(shelf.marks.values()) == [2]


def test_no_spool_says_why_and_goes_on(make: Make, shelf: Shelf, tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("no folder")
    recorder = make()
    assert recorder.hold(record("a")) == 0
    recorder.append(record("a"))
    status = spool_status(recorder)
    assert (status["on"], status["path"]) == (False, None)
    assert "SPOOL=off" in status["why"]
    assert recorder._faults.total() == 1
    recorder.flush()
    assert shelf.endpoints == ["a"]


def batch(first: int, last: int, writer: str = "w", **fields: object) -> Batch:
    rows = [Row(1_000 * n, f"e{n}", 1.0, 200, "GET", None, None) for n in range(first, last + 1)]
    made = Batch(writer, last, "1.0", rows, first=first)
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def test_the_real_store_tells_what_is_there_already(store: Store) -> None:
    writer = BatchWriter(store, lambda: 1)
    writer.write(batch(1, 3))
    writer.write(batch(1, 3))
    writer.write(batch(2, 3))
    with pytest.raises(PartlyStoredError) as caught:
        writer.write(batch(2, 5))
    assert caught.value.known == 3
    writer.write(batch(4, 5))
    writer.write(batch(9, 9))  # The oldest were dropped.
    assert [row.endpoint for row in stored_rows(store)] == ["e1", "e2", "e3", "e4", "e5", "e9"]


def test_left_overs_are_no_sign_of_life(store: Store) -> None:
    writer = BatchWriter(store, lambda: 1)
    writer.write(batch(1, 1, faults=4))
    with store.write() as connection:
        connection.exec_driver_sql("UPDATE fmd_writer SET seen_at = 1000")
    writer.write(batch(2, 3, left_over=True, dropped=6))
    writer.write(batch(7, 7, writer="never seen", left_over=True))
    with store.read() as connection:
        found = {row.writer: row for row in connection.execute(Writer.__table__.select())}
    known = found["w"]
    assert (known.last_seq, known.dropped, known.faults) == (3, 6, 4)
    assert known.seen_at.timestamp() == 1.0
    assert time.time() - found["never seen"].seen_at.timestamp() > 30
