from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from fmd_admin.errors import BatchRefusedError
from fmd_admin.faults import Faults
from fmd_admin.recorder.recorder import MAX_WEIGHT, Recorder
from fmd_admin.records import Batch, Detail, Outlier, RequestRecord, Row


class Shelf:
    """A store of batches that can be made to fail."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.error: Exception | None = None

    def write(self, batch: Batch) -> None:
        if self.error is not None:
            raise self.error
        self.batches.append(batch)

    @property
    def endpoints(self) -> list[str]:
        return [row.endpoint for batch in self.batches for row in batch.rows]


Make = Callable[..., Recorder]


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def make(shelf: Shelf) -> Iterator[Make]:
    made: list[Recorder] = []

    def new(limit: int = 100, interval_s: float = 0.05, tick: Callable[[], None] = int) -> Recorder:
        recorder = Recorder(
            shelf.write,
            version="1.0",
            limit=limit,
            interval_s=interval_s,
            faults=Faults(),
            tick=tick,
            clean_ip=lambda ip: ip,
        )
        made.append(recorder)
        return recorder

    yield new
    shelf.error = None
    for recorder in made:
        recorder.close()


def record(
    endpoint: str = "a",
    status: str = "200 OK",
    group: str | None = None,
    ip: str | None = None,
    detail: Detail | None = None,
) -> RequestRecord:
    start_ns = time.perf_counter_ns() - 2_000_000
    texts = (endpoint, "GET", status, group, ip)
    return (texts, start_ns, start_ns + 2_000_000, detail, 0)


def wait_for(condition: Callable[[], bool], limit_s: float = 5.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_no_thread_before_the_first_record(make: Make, shelf: Shelf) -> None:
    before = threading.active_count()
    recorder = make()
    assert threading.active_count() == before
    recorder.append(record())
    wait_for(lambda: shelf.endpoints == ["a"])
    assert threading.active_count() == before + 1


def test_times_durations_and_statuses(make: Make, shelf: Shelf) -> None:
    recorder = make()
    now_ms = time.time() * 1000
    for status in ("200 OK", "299 Own", "", "weird", "000 None", "099 Low", "20"):
        recorder.append(record(status=status, ip="192.0.2.1", group="anna"))
    recorder.flush()
    rows = [row for batch in shelf.batches for row in batch.rows]
    assert [row.status for row in rows] == [200, 299, 500, 500, 500, 500, 500]
    assert all(abs(row.time_ms - now_ms) < 2_000 for row in rows)
    assert all(row.duration_ms == 2.0 for row in rows)
    assert {(row.ip, row.group) for row in rows} == {("192.0.2.1", "anna")}


def test_a_full_buffer_drops_the_newest_and_counts(make: Make, shelf: Shelf) -> None:
    shelf.error = OSError("away")
    recorder = make(limit=3, interval_s=1.0)
    for number in range(5):
        recorder.append(record(str(number)))
    assert recorder.dropped == 2
    shelf.error = None
    recorder.flush()
    assert shelf.endpoints == ["0", "1", "2"]
    assert shelf.batches[-1].dropped == 2


def test_a_batch_is_tried_again_as_it_was(make: Make, shelf: Shelf) -> None:
    shelf.error = OSError("away")
    recorder = make()
    recorder.append(record("first"))
    with pytest.raises(OSError, match="away"):
        recorder.flush()
    recorder.append(record("second"))
    shelf.error = None
    recorder.flush()
    assert shelf.endpoints == ["first", "second"]
    assert [batch.sequence for batch in shelf.batches] == [1, 2]
    assert len({batch.writer for batch in shelf.batches}) == 1


def test_a_refused_batch_is_counted_and_does_not_hold_up_the_next(make: Make, shelf: Shelf) -> None:
    shelf.error = BatchRefusedError("no such column")
    recorder = make(interval_s=1.0)
    recorder.append(record("bad"))
    recorder.flush()
    shelf.error = None
    recorder.append(record("good"))
    recorder.flush()
    assert shelf.endpoints == ["good"]
    assert recorder.dropped == 1


def test_the_thread_survives_a_store_that_is_away(make: Make, shelf: Shelf) -> None:
    shelf.error = OSError("away")
    recorder = make()
    recorder.append(record())
    wait_for(lambda: recorder._faults.total() > 1)
    shelf.error = None
    wait_for(lambda: shelf.endpoints == ["a"])


def test_touched_endpoints_are_written_without_rows(make: Make, shelf: Shelf) -> None:
    recorder = make()
    recorder.touched["zero"] = time.perf_counter_ns()
    recorder.flush()
    [batch] = shelf.batches
    assert batch.rows == []
    assert abs(batch.touched["zero"] - time.time() * 1000) < 1_000


def test_close_writes_what_is_left(make: Make, shelf: Shelf) -> None:
    recorder = make(interval_s=1.0)
    recorder.append(record())
    recorder.close()
    assert shelf.endpoints == ["a"]


def test_what_cannot_be_written_at_the_end_is_counted(make: Make, shelf: Shelf) -> None:
    recorder = make(interval_s=1.0)
    recorder.append(record())
    shelf.error = OSError("away")
    recorder.close()
    assert recorder.dropped == 1


def test_ticks_come_without_requests(make: Make) -> None:
    ticks: list[None] = []
    make(tick=lambda: ticks.append(None)).start()
    wait_for(lambda: len(ticks) >= 1)


def test_requests_flush_at_their_end_without_threads(
    make: Make, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    recorder = make(interval_s=0.05)
    recorder.append(record("first"))
    recorder.append(record("second"))
    time.sleep(0.06)
    recorder.append(record("third"))
    assert shelf.endpoints == ["first", "second", "third"]


def test_a_child_begins_empty_with_a_writer_of_its_own(make: Make, shelf: Shelf) -> None:
    shelf.error = OSError("away")
    recorder = make(interval_s=1.0)
    recorder._buffer.append(record("parent"))  # Past append: its thread would outlive this fork.
    parent = recorder._writer
    recorder.after_fork()
    shelf.error = None
    recorder.append(record("child"))
    recorder.flush()
    assert shelf.endpoints == ["child"]
    assert shelf.batches[0].writer != parent


def test_text_that_no_database_takes_is_replaced(make: Make, shelf: Shelf) -> None:
    recorder = make()
    recorder.append(record("caf\udce9", group="a\0b", ip="x\udc80"))
    recorder.flush()
    [row] = shelf.batches[0].rows
    for text in (row.endpoint, row.group, row.ip):
        assert text is not None
        text.encode("utf-8")
        assert "\0" not in text


def test_a_long_name_is_cut(make: Make, shelf: Shelf) -> None:
    recorder = make(interval_s=1.0)
    recorder.touched["t" * 400] = time.perf_counter_ns()
    recorder.append(record("e" * 300, group="g" * 255 + " ", ip="i" * 300))
    recorder.flush()
    [batch] = shelf.batches
    [row] = batch.rows
    assert {len(text or "") for text in (row.endpoint, row.group, row.ip)} == {255}
    assert [len(name) for name in batch.touched] == [255]


def test_a_record_that_cannot_be_read_is_counted(make: Make, shelf: Shelf) -> None:
    recorder = make(interval_s=1.0)
    recorder.append(record(endpoint=b"not text"))  # type: ignore[arg-type]
    recorder.flush()
    recorder.append(record("good"))
    recorder.flush()
    assert shelf.endpoints == ["good"]
    assert recorder.dropped == 1


class Seen:
    """A detail of a request."""

    def __init__(self, weight: int, error: Exception | None = None) -> None:
        self.weight = weight
        self.error = error

    def add_to(self, batch: Batch, row: Row) -> None:
        if self.error is not None:
            raise self.error
        batch.outliers.append(Outlier(**{f: getattr(row, f) for f in Row.__slots__}, limit_ms=1.0))


def test_a_detail_that_cannot_be_made_costs_nothing_else(make: Make, shelf: Shelf) -> None:
    recorder = make(interval_s=1.0)
    for name, error in (("a", None), ("b", RuntimeError("on purpose")), ("c", None)):
        recorder.append_heavy(record(name, detail=Seen(10, error)))
    recorder.flush()
    assert shelf.endpoints == ["a", "b", "c"]
    assert [made.endpoint for made in shelf.batches[0].outliers] == ["a", "c"]
    assert recorder.dropped == 0
    assert recorder._faults.total() == 1


def test_room_for_details_comes_back(make: Make, shelf: Shelf) -> None:
    recorder = make(interval_s=1.0)
    recorder.append_heavy(record("a", detail=Seen(MAX_WEIGHT)))
    recorder.append_heavy(record("b", detail=Seen(1)))
    assert recorder.details_dropped == 1
    recorder.flush()
    assert shelf.endpoints == ["a", "b"]
    # Also where nothing of a batch could be read.
    recorder.append_heavy(record(b"x", detail=Seen(MAX_WEIGHT)))  # type: ignore[arg-type]
    recorder.flush()
    recorder.append_heavy(record("c", detail=Seen(MAX_WEIGHT)))
    recorder.flush()
    assert recorder.details_dropped == 1
    assert [made.endpoint for batch in shelf.batches for made in batch.outliers] == ["a", "c"]


def test_what_is_left_out_is_counted_exactly(make: Make, shelf: Shelf) -> None:
    recorder = make(limit=100_000)
    threads = [
        threading.Thread(target=lambda: [recorder.leave_out("a") for _ in range(500)])
        for _ in range(8)
    ]
    recorder.append(record())
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    recorder.flush()
    assert sum(batch.left_out.get("a", 0) for batch in shelf.batches) == 4_000


def test_a_flush_ends_while_requests_come_in(make: Make, shelf: Shelf) -> None:
    ticks: list[None] = []
    recorder = make(tick=lambda: ticks.append(None), interval_s=0.05)
    store = shelf.write

    def busy(batch: Batch) -> None:
        store(batch)
        recorder.append(record())

    recorder._write = busy
    recorder.append(record())
    recorder.flush()
    assert len(shelf.batches) == 1
    wait_for(lambda: len(ticks) > 1)
    recorder._write = store


def test_many_threads_lose_nothing(make: Make, shelf: Shelf) -> None:
    recorder = make(limit=100_000)
    threads = [
        threading.Thread(target=lambda: [recorder.append(record()) for _ in range(2_000)])
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    recorder.flush()
    assert len(shelf.endpoints) == 16_000
    assert recorder.stored == 16_000
