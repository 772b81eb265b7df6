"""The local spool of one process: each record is in a file before its answer leaves.

The file is mapped into memory, so that a record costs a copy and no system call; the kernel keeps
what was copied even if the process is killed. The file is locked as long as the process lives, and
is gone after a clean end. What a killed one leaves is read by :mod:`.left_overs`.
"""

from __future__ import annotations

import contextlib
import logging
import mmap
import os
import secrets
from collections import deque
from collections.abc import Callable
from itertools import count
from pathlib import Path
from threading import Lock
from typing import NamedTuple
from zlib import crc32

from ..errors import SpoolError
from ..records import Detail, RequestRecord
from . import spool_format
from .batching import clock_offset_ns
from .spool_format import (
    END,
    HEAD,
    RING_AT,
    SLOT_SIZE,
    SLOTS,
    SLOTS_AT,
    TIMES,
    WRAP,
    Encoder,
    Mark,
)
from .spool_reader import read_frames

logger = logging.getLogger("fmd_admin")

#: Bytes that the flusher copies at once; requests wait meanwhile.
_TAKE_BYTES = 1 << 20

_head, _times = HEAD.pack, TIMES.pack


class Taken(NamedTuple):
    """Records for one batch: numbers of the first and last, and where the next one begins."""

    first: int
    last: int
    records: list[RequestRecord]
    end: int


class Spool:
    """The append side of a spool file, and its owner's reading side.

    Records are numbered from 1. ``take`` gives the oldest ones, ``done`` forgets them once they
    are stored. When the file is full the oldest are dropped and counted. Any thread may append;
    one at a time takes. As long as all of them fit into ``in_memory`` records they are kept there
    too, and nothing is read from the file.
    """

    def __init__(
        self,
        path: Path,
        descriptor: int,
        capacity: int,
        clean_ip: Callable[[str], str | None],
        in_memory: int,
    ) -> None:
        self.path = path
        self.capacity = capacity
        self._descriptor = descriptor
        self._map = mmap.mmap(descriptor, RING_AT + capacity)
        self._lock = Lock()
        self._texts = Encoder(clean_ip)
        self._head = self._tail = 0
        self._number = 0
        self._mark = Mark()
        self._free = [SLOTS_AT + SLOT_SIZE * slot for slot in range(SLOTS)]
        self._held: dict[int, int] = {}
        # A child's tickets must not be taken for those of its parent.
        self._tickets = count(secrets.randbits(61) + 1)
        #: Record, number and where the next one begins; all or none of those in the file.
        self._recent: deque[tuple[RequestRecord, int, int]] = deque()
        self._in_memory = in_memory
        self._has_all = in_memory > 0
        self._details: dict[int, Detail] = {}
        self._decoder = spool_format.Decoder()
        self._taken = 0
        self._only_in_memory = 0
        self._dropped_elsewhere = 0
        self.waiting = 0
        self.dropped = 0
        self._freed_weight = 0

    def append(self, record: RequestRecord) -> None:
        """Write one record; raises only where a text cannot be encoded or the file is closed."""
        text = self._texts[record[2:7]]
        ticket = record[8]
        with self._lock:
            number = self._number + 1
            body = _times(number, ticket, record[0], record[1]) + text
            size = HEAD.size + len(body)
            head, capacity = self._head, self.capacity
            place = head % capacity
            gap = capacity - place if place + size + len(END) > capacity else 0
            after = head + gap + size
            if after + len(END) - self._tail > capacity:
                self._make_room(after + len(END) - capacity)
            at = RING_AT if gap else RING_AT + place
            self._map[at : at + size + len(END)] = _head(len(body), crc32(body)) + body + END
            if gap:
                HEAD.pack_into(self._map, RING_AT + place, WRAP, 0)
            self._head, self._number = after, number
            self.waiting += 1
            if self._has_all:
                self._recent.append((record, number, after))
                if len(self._recent) > self._in_memory:
                    self._read_from_file()
            elif record[7] is not None:
                self._details[number] = record[7]
            if ticket:
                self._release(ticket)

    def hold(self, record: RequestRecord) -> int:
        """Note a request whose answer is about to be sent; return the ticket of its record.

        Should the process be killed before its record comes, the note counts as one. 0: no room.
        """
        text = self._texts[record[2:7]]
        free = self._free
        if not free or len(text) > SLOT_SIZE - HEAD.size - TIMES.size:
            return 0
        try:
            place = free.pop()  # Atomic, as is append: no lock.
        except IndexError:
            return 0
        ticket = next(self._tickets)
        body = _times(0, ticket, record[0], record[1]) + text
        self._held[ticket] = place
        self._map[place : place + HEAD.size + len(body)] = _head(len(body), crc32(body)) + body
        return ticket

    def _release(self, ticket: int) -> None:
        place = self._held.pop(ticket, None)
        if place is not None:
            self._map[place : place + len(END)] = END
            self._free.append(place)

    def forget_texts(self) -> None:
        """Ask again how addresses are stored."""
        self._texts.forget()

    def _read_from_file(self) -> None:
        """Keep nothing but details in memory until the store has caught up."""
        for record, number, _after in self._recent:
            if record[7] is not None:
                self._details[number] = record[7]
        self._recent.clear()
        self._has_all = False

    def _make_room(self, until: int) -> None:
        """Drop the oldest records until the ring's first frame is at ``until`` or after it."""
        self._read_from_file()
        number = self._mark.number
        while self._tail < until and self._tail < self._head:
            place = self._tail % self.capacity
            size, _crc = HEAD.unpack_from(self._map, RING_AT + place)
            if size == WRAP:
                self._tail += self.capacity - place
                continue
            number, *_rest = TIMES.unpack_from(self._map, RING_AT + place + HEAD.size)
            self._tail += HEAD.size + size
            if number <= self._taken:
                # Its batch is in memory and may still be stored, if the process lives on.
                self._only_in_memory += 1
                continue
            self.waiting -= 1
            self.dropped += 1
            detail = self._details.pop(number, None)
            if detail is not None:
                self._freed_weight += detail.weight
        self._set_mark(number)

    def _set_mark(self, number: int, clock_ns: int | None = None) -> None:
        old = self._mark
        self._mark = Mark(
            generation=old.generation + 1,
            offset=self._tail,
            number=number,
            clock_ns=old.clock_ns if clock_ns is None else clock_ns,
            dropped=self.dropped + self._dropped_elsewhere + self._only_in_memory,
        )
        place, data = spool_format.mark_place(self._mark), spool_format.mark_bytes(self._mark)
        self._map[place : place + len(data)] = data

    def take(self, limit: int, clock_ns: int, dropped: int) -> Taken:
        """Return the oldest records, at most ``limit``. Without any, a number is used up.

        ``clock_ns`` is what turns their times into UTC, ``dropped`` what was lost elsewhere in
        this process; both are noted for who may have to take over.
        """
        with self._lock:
            self._dropped_elsewhere = dropped
            after = self._mark.number
            self._set_mark(after, clock_ns)
            start, end = self._tail, min(self._head, self._tail + _TAKE_BYTES)
            if start == self._head:
                self._number = self._taken = self._number + 1
                # An answer that is held would get this number from who takes over.
                self._set_mark(self._number)
                return Taken(self._number, self._number, [], start)
            if self._has_all:
                return self._take_recent(limit)
            data = self._copy(start, end)
        records, numbers = [], []
        for frame, place in read_frames(data, start, self.capacity, after, self._decoder):
            records.append(frame.record)
            numbers.append(frame.number)
            end = place
            if len(records) == limit:
                break
        if not records:
            return self._give_up()
        with self._lock:
            # What was dropped since is here, and stored if nothing else happens.
            gone = sum(1 for number in numbers if number <= self._mark.number)
            self.dropped -= gone
            self.waiting += gone
            self._only_in_memory += gone
            self._taken = numbers[-1]
            if self._details:
                self._add_details(numbers, records)
        return Taken(numbers[0], numbers[-1], records, end)

    def _take_recent(self, limit: int) -> Taken:
        recent = self._recent
        found = [recent.popleft() for _ in range(min(len(recent), limit))]
        self._taken, end = found[-1][1:]
        return Taken(found[0][1], self._taken, [one[0] for one in found], end)

    def _copy(self, start: int, end: int) -> bytes:
        place = start % self.capacity
        first = min(end - start, self.capacity - place)
        rest = end - start - first
        data = self._map[RING_AT + place : RING_AT + place + first]
        return data + self._map[RING_AT : RING_AT + rest] if rest else data

    def _add_details(self, numbers: list[int], records: list[RequestRecord]) -> None:
        for index, number in enumerate(numbers):
            detail = self._details.pop(number, None)
            if detail is not None:
                records[index] = records[index]._replace(detail=detail)

    def _give_up(self) -> Taken:
        """Skip everything: somebody wrote into the file."""
        with self._lock:
            self.dropped += self.waiting
            self.waiting = 0
            self._tail = self._head
            self._freed_weight += sum(detail.weight for detail in self._details.values())
            self._details.clear()
            self._number = self._taken = self._number + 1
            self._set_mark(self._number)
            return Taken(self._number, self._number, [], self._head)

    def done(self, taken: Taken) -> int:
        """Forget what was taken: it is stored, or never will be. Returns the weight dropped."""
        with self._lock:
            self.waiting -= len(taken.records)
            self._only_in_memory = 0
            # Where the oldest were dropped meanwhile, they may be past it already.
            if taken.end >= self._tail:
                self._tail = taken.end
                if self._tail == self._head:
                    # Few pages of the file stay in use as long as the store keeps up.
                    self._tail = self._head = -(-self._head // self.capacity) * self.capacity
                    self._map[RING_AT : RING_AT + len(END)] = END
                    self._has_all = self._in_memory > 0
                self._set_mark(max(taken.last, self._mark.number))
            weight, self._freed_weight = self._freed_weight, 0
            return weight

    def close(self) -> bool:
        """End its use. Returns whether the file is gone, as nothing was left in it."""
        with self._lock:
            empty = self.waiting == 0 and not self._held
            if empty:
                with contextlib.suppress(OSError):
                    self.path.unlink()
            self._map.close()
            # Unlocks it as well.
            os.close(self._descriptor)
            return empty

    def abandon(self) -> None:
        """Let go of a parent's file in a child; it stays the parent's."""
        # Not under the lock: a thread that is not there any more may hold it.
        self._map.close()
        os.close(self._descriptor)

    def note_clock(self, clock_ns: int) -> None:
        """Note what turns times into UTC, as :meth:`take` does each time."""
        with self._lock:
            self._set_mark(self._mark.number, clock_ns)

    def figures(self) -> dict[str, int]:
        """Return what the system page shows of it."""
        return {"used_bytes": self._head - self._tail, "size_bytes": self.capacity}


def create(
    path: Path,
    writer: str,
    version: str,
    capacity: int,
    clean_ip: Callable[[str], str | None],
    in_memory: int = 0,
) -> Spool:
    """Make and lock the file of this process. Raises OSError or SpoolError."""
    import fcntl

    if capacity % 8:
        raise SpoolError("The size of a spool must be a multiple of 8.")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Under its own name only once it is locked, or it would be taken for a dead one's.
    new = path.with_suffix(".new")
    descriptor = os.open(new, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # All blocks at once: a full disk must be an error here, not a SIGBUS in a request.
        os.posix_fallocate(descriptor, 0, RING_AT + capacity)
        os.pwrite(descriptor, spool_format.header(writer, version), 0)
        spool = Spool(path, descriptor, capacity, clean_ip, in_memory)
        # It may be killed before it takes anything.
        spool.note_clock(clock_offset_ns())
        new.rename(path)
    except BaseException:
        os.close(descriptor)
        with contextlib.suppress(OSError):
            new.unlink()
        raise
    return spool


def leave(spool: Spool) -> None:
    """Close a spool at the end of its process; say so where something is left in it."""
    waiting = spool.waiting
    if not spool.close() and waiting:
        logger.warning(
            "fmd_admin: %d requests are in the spool %s and not stored yet. The next process "
            "of the application on this machine stores them.",
            waiting,
            spool.path,
        )
