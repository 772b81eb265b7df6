"""The local spool of one process: each record is in a file before its answer leaves.

The file is mapped into memory, so that a record costs a copy and no system call; the kernel keeps
what was copied even if the process is killed. The file is locked as long as the process lives, and
is gone after a clean end. What a killed one leaves is read by :mod:`.left_overs`.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import secrets
from collections.abc import Callable
from itertools import count
from pathlib import Path
from threading import Lock
from typing import NamedTuple
from zlib import adler32

from ..records import Detail, RequestRecord
from . import spool_format
from .recent import Recent
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

#: Bytes that the flusher copies at once; requests wait meanwhile.
_TAKE_BYTES = 1 << 20
#: No frame is shorter.
_SHORTEST = HEAD.size + TIMES.size + 16
#: Records for which there is room in memory before anybody looks again.
_RESERVED = 2_048

_head, _times = HEAD.pack, TIMES.pack


class Taken(NamedTuple):
    """Records for one batch: numbers of the first and last, and where the next one begins."""

    first: int
    last: int
    records: Recent | list[RequestRecord]
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
        #: The next frame's place in the file, and the end of what need not be looked at closer:
        #: before it no frame meets the ring's end or its oldest one, or is one too many in memory.
        self._at = self._until = RING_AT
        #: What makes a virtual offset of a place in the file in this round of the ring.
        self._round = -RING_AT
        self._tail = 0
        self._number = 0
        self._mark = Mark()
        self._free = [SLOTS_AT + SLOT_SIZE * slot for slot in range(SLOTS)]
        self._held: dict[int, int] = {}
        # A child's tickets must not be taken for those of its parent.
        self._tickets = count(secrets.randbits(61) + 1)
        #: All or none of those in the file that were not taken.
        self._recent = Recent()
        self._in_memory = in_memory
        self._has_all = in_memory > 0
        self._details: dict[int, Detail] = {}
        self._decoder = spool_format.Decoder()
        self._taken = 0
        self._only_in_memory = 0
        self._dropped_elsewhere = 0
        #: Called instead of raising what :meth:`append` would raise.
        self.failed: Callable[[], None] | None = None
        #: How many numbers belong to no record that waits.
        self._settled = 0
        self.dropped = 0
        self._freed_weight = 0

    @property
    def waiting(self) -> int:
        """How many records are not stored yet."""
        settled = self._settled  # First: it may grow, but never beyond the number.
        return self._number - settled

    @property
    def _head(self) -> int:
        """The virtual offset at which the next frame begins."""
        return self._round + self._at

    def append(self, record: RequestRecord) -> None:
        """Write one record. Fails only where a text cannot be encoded or the file is closed."""
        texts, start_ns, end_ns, detail, ticket = record
        try:
            text, known = self._texts[texts]
            with self._lock:
                number = self._number + 1
                # With END, which the next frame overwrites.
                body = _times(number, ticket, start_ns, end_ns) + text
                size = len(body)
                at = self._at
                end = at + 8 + size
                if end > self._until:
                    at = self._make_way(8 + size)
                    end = at + 8 + size
                self._map[at:end] = _head(size - 8, adler32(body)) + body
                # From here on nothing is called, so that a signal cannot tear it apart.
                self._at = end - 8
                self._number = number
                if self._has_all:
                    recent = self._recent
                    place = recent.count
                    recent.texts[place] = known
                    recent.starts_ns[place] = start_ns
                    recent.ends_ns[place] = end_ns
                    recent.count = place + 1
                if detail is not None:
                    self._details[number] = detail
                if ticket:
                    self._release(ticket)
        except Exception:
            if self.failed is None:
                raise
            self.failed()

    def _make_way(self, room: int) -> int:
        """Return the place in the file for a frame that takes ``room`` bytes with END."""
        if self._has_all and len(self._recent) >= self._in_memory:
            self._read_from_file()
        head, capacity = self._head, self.capacity
        place = head % capacity
        gap = capacity - place if place + room > capacity else 0
        if head + gap + room - self._tail > capacity:
            self._make_room(head + gap + room - capacity)
        if gap:
            HEAD.pack_into(self._map, RING_AT + place, WRAP, 0)
        self._go_to(head + gap)
        return self._at

    def _go_to(self, head: int) -> None:
        """Have the next frame begin at a virtual offset; tell how far frames can go from there."""
        capacity = self.capacity
        place = head % capacity
        self._at = RING_AT + place
        self._round = head - self._at
        until = min(capacity, self._tail + capacity - head + place)
        if self._has_all:
            records = min(self._in_memory - len(self._recent), _RESERVED)
            self._recent.reserve(records)
            until = min(until, place + _SHORTEST * records)
        self._until = RING_AT + until

    def hold(self, record: RequestRecord) -> int:
        """Note a request whose answer is about to be sent; return the ticket of its record.

        Should the process be killed before its record comes, the note counts as one. 0: no room.
        """
        texts, start_ns, end_ns, _detail, _ticket = record
        text, _known = self._texts[texts]
        free = self._free
        if not free or len(text) > SLOT_SIZE - HEAD.size - TIMES.size:
            return 0
        try:
            place = free.pop()  # Atomic, as is append: no lock.
        except IndexError:
            return 0
        ticket = next(self._tickets)
        body = _times(0, ticket, start_ns, end_ns) + text
        self._held[ticket] = place
        head = _head(len(body) - len(END), adler32(body))
        self._map[place : place + HEAD.size + len(body)] = head + body
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
        self._recent = Recent()
        self._has_all = False

    def _make_room(self, until: int) -> None:
        """Drop the oldest records until the ring's first frame is at ``until`` or after it."""
        self._read_from_file()
        number = self._mark.number
        while self._tail < until and self._tail < self._head:
            found, self._tail = self._frame_at(self._tail)
            if found is None:
                continue
            number = found
            if number <= self._taken:
                # Its batch is in memory and may still be stored, if the process lives on.
                self._only_in_memory += 1
                continue
            self._settled += 1
            self.dropped += 1
            detail = self._details.pop(number, None)
            if detail is not None:
                self._freed_weight += detail.weight
        self._set_mark(number)

    def _frame_at(self, offset: int) -> tuple[int | None, int]:
        """Return the number of a frame, None of one that only fills, and where the next begins."""
        place = offset % self.capacity
        size, _checksum = HEAD.unpack_from(self._map, RING_AT + place)
        if size == WRAP:
            return None, offset + self.capacity - place
        number, *_rest = TIMES.unpack_from(self._map, RING_AT + place + HEAD.size)
        return number, offset + HEAD.size + size

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
                self._settled += 1
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
            self._settled -= gone
            self._only_in_memory += gone
            self._taken = numbers[-1]
            if self._details:
                self._add_details(numbers, records)
        return Taken(numbers[0], numbers[-1], records, end)

    def _take_recent(self, limit: int) -> Taken:
        recent = self._recent
        first, end = self._number - len(recent) + 1, self._head
        if len(recent) <= limit:
            found, self._recent = recent, Recent()
            self._taken = self._number
            self._go_to(end)  # With room in the new one.
        else:
            found = recent.cut(limit)
            self._taken = first + limit - 1
            number, end = self._frame_at(self._tail)
            while number != self._taken:
                number, end = self._frame_at(end)
        if self._details:
            numbers = range(first, self._taken + 1)
            found.details = [self._details.pop(number, None) for number in numbers]
        return Taken(first, self._taken, found, end)

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
                texts, start_ns, end_ns, _none, ticket = records[index]
                records[index] = (texts, start_ns, end_ns, detail, ticket)

    def _give_up(self) -> Taken:
        """Skip everything: somebody wrote into the file."""
        with self._lock:
            self.dropped += self.waiting
            self._tail = self._head
            self._freed_weight += sum(detail.weight for detail in self._details.values())
            self._details.clear()
            self._number = self._taken = self._settled = self._number + 1
            self._set_mark(self._number)
            return Taken(self._number, self._number, [], self._head)

    def done(self, taken: Taken) -> int:
        """Forget what was taken: it is stored, or never will be. Returns the weight dropped."""
        with self._lock:
            self._settled += len(taken.records)
            self._only_in_memory = 0
            # Where the oldest were dropped meanwhile, they may be past it already.
            if taken.end >= self._tail:
                self._tail = taken.end
                if self._tail == self._head:
                    # Few pages of the file stay in use as long as the store keeps up.
                    self._tail = -(-self._head // self.capacity) * self.capacity
                    self._map[RING_AT : RING_AT + len(END)] = END
                    self._has_all = self._in_memory > 0
                    self._go_to(self._tail)
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
