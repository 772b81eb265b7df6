from __future__ import annotations

import os
import random
import stat
import threading
from pathlib import Path

import pytest

from fmd_admin.errors import SpoolError
from fmd_admin.recorder import left_overs as left_overs_module
from fmd_admin.recorder.left_overs import LeftOver, SpoolFolder, file_system
from fmd_admin.recorder.spool import Spool
from fmd_admin.recorder.spool_format import RING_AT, SLOTS, SLOTS_AT, mark_bytes, read_mark
from fmd_admin.recorder.spool_reader import read_frames
from fmd_admin.records import RequestRecord

from .spools import CLOCK_NS, Seen, any_record, left_overs, numbers_left, open_spool, record


def die(spool: Spool) -> None:
    """As if its process were killed: the file stays as it is, and unlocked."""
    spool.abandon()


def take_all(spool: Spool) -> list[int]:
    found = []
    while spool.waiting:
        taken = spool.take(100, CLOCK_NS, 0)
        found += [start_ns // 1_000 for _texts, start_ns, *_ in taken.records]
        spool.done(taken)
    return found


def test_records_come_back_as_they_were_in_order(tmp_path: Path) -> None:
    chance = random.Random(1)
    spool = open_spool(tmp_path, capacity=1 << 20)
    put = [any_record(chance, number) for number in range(300)]
    for one in put:
        spool.append(one)
    taken = spool.take(1_000, CLOCK_NS, 0)
    assert (taken.first, taken.last) == (1, 300)
    expected = [
        ((endpoint, method, "404", *who), *rest) for (endpoint, method, _status, *who), *rest in put
    ]
    assert taken.records == expected
    spool.done(taken)
    assert spool.waiting == 0
    assert spool.close()
    assert list(tmp_path.iterdir()) == []


def test_the_file_is_private_and_has_all_its_blocks(tmp_path: Path) -> None:
    spool = open_spool(tmp_path / "new")
    found = spool.path.stat()
    assert stat.S_IMODE(found.st_mode) == 0o600
    assert stat.S_IMODE(spool.path.parent.stat().st_mode) == 0o700
    assert found.st_blocks * 512 >= RING_AT + spool.capacity
    spool.close()


def test_a_killed_process_leaves_what_was_not_stored(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    for number in range(1, 11):
        spool.append(record(number))
    taken = spool.take(4, CLOCK_NS, 7)
    spool.done(taken)
    assert left_overs(tmp_path) == []  # It lives.
    die(spool)
    [found] = left_overs(tmp_path)
    assert (found.writer, found.version) == ("w1", "1.0")
    assert (found.mark.clock_ns, found.mark.dropped) == (CLOCK_NS, 7)
    assert numbers_left(tmp_path) == list(range(5, 11))
    found.remove()
    assert left_overs(tmp_path) == []


def test_details_are_in_memory_also_when_the_file_is_read(tmp_path: Path) -> None:
    seen = Seen()
    spool = open_spool(tmp_path, capacity=8_192, in_memory=3)
    for number in range(1, 6):
        spool.append(record(number, detail=seen if number in (2, 5) else None))
    taken = spool.take(10, CLOCK_NS, 0)
    assert [detail for *_, detail, _ticket in taken.records] == [None, seen, None, None, seen]
    assert spool.done(taken) == 0
    spool.append(record(6, detail=seen))
    for number in range(7, 200):
        spool.append(record(number))
    taken = spool.take(10, CLOCK_NS, 0)
    assert spool.done(taken) == seen.weight  # Dropped with its record.
    die(spool)


@pytest.mark.parametrize("seed", range(30))
def test_any_order_of_appends_takes_and_death(tmp_path: Path, seed: int) -> None:
    """Against a plain list: round the ring many times, nothing lost, nothing twice."""
    chance = random.Random(seed)
    spool = open_spool(
        tmp_path, chance.choice([8_192, 16_384, 65_536]), in_memory=chance.choice([0, 5, 1_000])
    )
    appended: list[RequestRecord] = []
    got: list[int] = []
    for _ in range(300):
        if chance.random() < 0.7:
            for _ in range(chance.randrange(1, 4)):
                appended.append(any_record(chance, len(appended) + 1))
                spool.append(appended[-1])
        else:
            taken = spool.take(chance.choice([1, 5, 50]), CLOCK_NS, 0)
            for (
                endpoint,
                method,
                _status,
                *who,
            ), start_ns, end_ns, detail, _ticket in taken.records:
                got.append(start_ns // 1_000)
                whole = appended[got[-1] - 1]
                assert (endpoint, method, *who) == (*whole[0][:2], *whole[0][3:])
                assert (start_ns, end_ns) == whole[1:3]
                assert detail is whole[3]
            spool.done(taken)
    dropped = spool.dropped
    assert spool.waiting == len(appended) - len(got) - dropped
    die(spool)
    [found] = left_overs(tmp_path)
    left = [start_ns // 1_000 for _number, (_texts, start_ns, *_) in found.records()]
    assert found.torn == 0
    everything = got + left
    assert everything == sorted(set(everything))
    assert len(everything) + dropped == len(appended)
    assert not left or left[-1] == len(appended)  # Only the oldest were dropped.


def test_a_full_ring_drops_the_oldest_and_counts(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, capacity=8_192)
    for number in range(1, 501):
        spool.append(record(number))
    assert spool.dropped > 300
    assert spool.waiting == 500 - spool.dropped
    assert take_all(spool) == list(range(spool.dropped + 1, 501))
    spool.close()


def test_what_is_in_a_batch_already_is_not_dropped(tmp_path: Path) -> None:
    """Its records are in memory and stored, unless the process dies before that."""
    spool = open_spool(tmp_path, capacity=8_192)
    for number in range(1, 11):
        spool.append(record(number))
    taken = spool.take(10, CLOCK_NS, 0)
    for number in range(11, 500):
        spool.append(record(number))
    dropped = spool.dropped
    spool.done(taken)
    assert len(taken.records) + dropped + spool.waiting == 499
    assert take_all(spool) == list(range(11 + dropped, 500))
    spool.close()


def test_dropped_with_the_batch_if_the_process_dies(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, capacity=8_192)
    for number in range(1, 11):
        spool.append(record(number))
    spool.take(10, CLOCK_NS, 0)
    for number in range(11, 500):
        spool.append(record(number))
    die(spool)
    [found] = left_overs(tmp_path)
    assert found.mark.dropped + len(list(found.records())) == 499


def test_a_batch_without_records_uses_a_number_up(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    first = spool.take(10, CLOCK_NS, 0)
    spool.append(record(1))
    spool.done(first)
    second = spool.take(10, CLOCK_NS, 0)
    assert (first.records, first.first, first.last) == ([], 1, 1)
    assert (second.first, second.last) == (2, 2)
    die(spool)
    assert numbers_left(tmp_path) == [2]


def cut_file(tmp_path: Path, data: bytes) -> LeftOver:
    folder = tmp_path / "cut"
    folder.mkdir(exist_ok=True)
    (folder / "db-cut.spool").write_bytes(data)
    [found] = left_overs(folder)
    return found


def test_a_write_torn_at_any_byte_is_cut_off(tmp_path: Path) -> None:
    """The last of three records, cut at each of its bytes: the ones before are whole."""
    spool = open_spool(tmp_path, capacity=8_192)
    ends = []
    for number in range(1, 4):
        spool.append(record(number))
        ends.append(RING_AT + spool._head)
    die(spool)
    whole = spool.path.read_bytes()
    for cut in range(ends[1], ends[2] + 1):
        found = cut_file(tmp_path, whole[:cut] + bytes(len(whole) - cut))
        numbers = [number for number, _record in found.records()]
        # Zeros at a frame's end are its own padding: without them it is whole.
        assert numbers == ([1, 2, 3] if not any(whole[cut : ends[2]]) else [1, 2]), cut
        assert found.torn == (1 if ends[1] < cut and len(numbers) == 2 else 0), cut


def test_one_wrong_bit_anywhere_never_gives_a_wrong_record(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, capacity=8_192)
    for number in range(1, 6):
        spool.append(record(number))
    die(spool)
    whole = spool.path.read_bytes()
    right = dict(cut_file(tmp_path, whole).records())
    for place in range(RING_AT, RING_AT + spool._head):
        data = bytearray(whole)
        data[place] ^= 1 << (place % 8)
        for number, one in cut_file(tmp_path, bytes(data)).records():
            assert right[number] == one


def test_a_torn_mark_leaves_the_one_before(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    for number in range(1, 4):
        spool.append(record(number))
    taken = spool.take(2, CLOCK_NS, 0)
    before = spool._mark
    spool.done(taken)
    die(spool)
    data = bytearray(spool.path.read_bytes())
    assert read_mark(data).number == 2
    last = mark_bytes(spool._mark)
    place = data.index(last)
    for cut in range(len(last)):
        torn = data.copy()
        torn[place + cut : place + len(last)] = os.urandom(len(last) - cut)
        assert read_mark(torn) in (before, spool._mark)


def test_no_spool_is_set_aside_and_counted(tmp_path: Path) -> None:
    (tmp_path / "db-bad.spool").write_bytes(bytes(RING_AT + 8_192))
    (tmp_path / "db-short.spool").write_bytes(b"fmd")
    bad: list[None] = []
    assert list(SpoolFolder(tmp_path, "db", 1).left_overs(lambda: bad.append(None))) == []
    assert len(bad) == 2
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".damaged", ".damaged"]


def test_an_answer_that_was_being_sent_counts(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    tickets = [spool.hold(record(number, f"e{number}")) for number in (1, 2, 3)]
    assert len(set(tickets)) == 3
    spool.append(record(2, "e2", tickets[1]))
    die(spool)
    [found] = left_overs(tmp_path)
    kept = [(number, texts[0]) for number, (texts, *_) in found.records()]
    assert kept == [(1, "e2"), (2, "e1"), (3, "e3")] or kept == [(1, "e2"), (2, "e3"), (3, "e1")]
    assert kept == [
        (number, texts[0]) for number, (texts, *_) in found.records()
    ]  # Each time alike.


def test_death_between_the_record_and_the_end_of_its_hold(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    ticket = spool.hold(record(1))
    spool._release = lambda _ticket: None  # type: ignore[method-assign]
    spool.append(record(1, ticket=ticket))
    die(spool)
    assert numbers_left(tmp_path) == [1]


def test_room_for_holds_comes_back(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    tickets = [spool.hold(record(1)) for _ in range(SLOTS + 3)]
    assert tickets.count(0) == 3
    for ticket in tickets:
        spool.append(record(1, ticket=ticket))
    assert all(spool.hold(record(1)) for _ in range(SLOTS))
    assert spool.hold(record(1, "x" * 1_000)) == 0
    die(spool)


def test_a_hold_that_is_open_at_the_end_keeps_the_file(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    spool.hold(record(1))
    assert not spool.close()
    assert numbers_left(tmp_path) == [1]


def test_a_foreign_write_into_the_ring_does_not_stop_it(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    for number in range(1, 4):
        spool.append(record(number))
    spool._map[RING_AT : RING_AT + 64] = os.urandom(64)
    taken = spool.take(10, CLOCK_NS, 0)
    spool.done(taken)
    assert (taken.records, spool.dropped, spool.waiting) == ([], 3, 0)
    spool.append(record(4))
    assert take_all(spool) == [4]
    spool.close()


@pytest.mark.parametrize("in_memory", [0, 100, 100_000])
def test_threads_append_while_another_takes(tmp_path: Path, in_memory: int) -> None:
    spool = open_spool(tmp_path, capacity=1 << 20, in_memory=in_memory)
    got: list[int] = []
    end = threading.Event()

    def taking() -> None:
        while not end.is_set() or spool.waiting:
            taken = spool.take(100, CLOCK_NS, 0)
            got.extend(start_ns // 1_000 for _texts, start_ns, *_ in taken.records)
            spool.done(taken)

    def appending(base: int) -> None:
        for number in range(1_000):
            ticket = spool.hold(record(base + number))
            spool.append(record(base + number, ticket=ticket))

    taker = threading.Thread(target=taking)
    threads = [threading.Thread(target=appending, args=(1_000 * n,)) for n in range(1, 7)]
    for thread in (taker, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    end.set()
    taker.join()
    assert spool.dropped == 0
    assert sorted(got) == list(range(1_000, 7_000))
    assert spool.close()


def test_a_disk_without_room_is_an_error_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(SpoolError, match=r"No space left.*SPOOL=off"):
        SpoolFolder(tmp_path, "db", 1).open("w1", "1.0", lambda ip: ip, 0)
    assert list(tmp_path.iterdir()) == []


def test_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(left_overs_module, "file_system", lambda _path: "nfs4")
    with pytest.raises(SpoolError, match=r"network file system .nfs4."):
        SpoolFolder(tmp_path, "db", 1).open("w1", "1.0", lambda ip: ip, 0)


def test_the_kind_of_a_file_system_is_known() -> None:
    assert file_system(Path("/proc/self/whatever")) == "proc"


def test_a_folder_that_leads_to_itself_is_refused(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(SpoolError):
        SpoolFolder(loop / "spool", "db", 1).open("w1", "1.0", lambda ip: ip, 0)


def test_a_file_that_ends_before_its_ring_is_set_aside(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    die(spool)
    os.truncate(spool.path, RING_AT)
    bad: list[None] = []
    assert list(SpoolFolder(tmp_path, "db", 1).left_overs(lambda: bad.append(None))) == []
    assert len(bad) == 1
    assert [path.suffix for path in tmp_path.iterdir()] == [".damaged"]


def test_an_unfinished_file_goes_after_a_while(tmp_path: Path) -> None:
    old, young = tmp_path / "db-a.new", tmp_path / "db-b.new"
    for path in (old, young):
        path.touch()
    os.utime(old, (1, 1))
    assert left_overs(tmp_path) == []
    assert [path.name for path in tmp_path.iterdir()] == ["db-b.new"]


def test_layout_of_the_file() -> None:
    """Files of a killed process are read by the next version: a change here needs a new magic."""
    assert (SLOTS_AT, RING_AT) == (4096, 135168)
    assert list(read_frames(b"", 0, 8_192, 0, None)) == []  # type: ignore[arg-type]
