"""What a spool file looks like: header, marks, held answers and frames. No file is opened here.

::

    0       header: magic, writer, version of the host app; written once
    2048    two marks, written in turn: how far its records are stored
    4096    slots of answers that are being sent
    135168  ring of frames: length, checksum, number, ticket, times, texts; a length of 0 ends them

Frames begin at multiples of 8 and never wrap: a length of WRAP sends the reader to the ring's
start. Numbers grow by one with each record, so that what is left of an earlier round of the ring
is known by its number. A frame is written together with the zeros that end the ring; they belong
to its checksum, not to its length. Everything is little-endian.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from struct import Struct
from typing import NamedTuple, TypeVar
from zlib import adler32, crc32

from ..errors import SpoolError
from ..records import RequestRecord, Texts
from .batching import status_code, storable

Buffer = bytes | bytearray | memoryview
K = TypeVar("K")
V = TypeVar("V")

#: Length of a body and its checksum.
HEAD = Struct("<II")
#: Number, ticket, and start and end as perf_counter_ns.
TIMES = Struct("<QQqq")
#: Generation, virtual offset of the oldest frame, its number less one, clock offset, dropped.
_MARK = Struct("<QQQqQ")
#: Status, and the lengths of method, endpoint, group and address in bytes.
_TEXTS = Struct("<HHHHH")
#: The same in parts: status, method and endpoint; then the length of each other text.
_PLACE = Struct("<HHH")
_SIZE = Struct("<H")

MAGIC = b"fmd_admin spool 2\n"
MARKS_AT = 2048
_MARK_STEP = 64
SLOTS_AT = 4096
SLOT_SIZE = 512
SLOTS = 256
RING_AT = SLOTS_AT + SLOTS * SLOT_SIZE
WRAP = 0xFFFFFFFF
_NONE = 0xFFFF
END = bytes(8)
#: What fills bytes up that are so many over a multiple of 8, and ends the ring.
_FILLS = tuple(bytes(-over % 8) + END for over in range(8))
#: Combinations of texts whose bytes are kept, and addresses, at some 200 bytes each.
_MAX_KNOWN = 4096
_MAX_ADDRESSES = 16_384


class Mark(NamedTuple):
    """How far a spool's records are done with. ``offset`` is virtual: it only grows."""

    generation: int = 0
    offset: int = 0
    number: int = 0
    clock_ns: int = 0
    dropped: int = 0


class Frame(NamedTuple):
    """A record as it was read. ``ticket`` is 0 unless its answer was held while it was sent."""

    number: int
    ticket: int
    record: RequestRecord


def header(writer: str, version: str) -> bytes:
    """Return the first bytes of a file."""
    text = json.dumps({"writer": writer, "version": version}).encode()
    return MAGIC + HEAD.pack(len(text), crc32(text)) + text


def read_header(data: Buffer) -> tuple[str, str]:
    """Return writer and version; raise SpoolError for what is no spool."""
    start = len(MAGIC) + HEAD.size
    if bytes(data[: len(MAGIC)]) == MAGIC:
        size, crc = HEAD.unpack_from(data, len(MAGIC))
        text = bytes(data[start : start + size])
        if start + size <= MARKS_AT and crc32(text) == crc:
            found = json.loads(text)
            return found["writer"], found["version"]
    raise SpoolError("It is no spool of this version of fmd_admin, or its first bytes are damaged.")


def mark_place(mark: Mark) -> int:
    """Return where ``mark`` belongs: not where the one before it is."""
    return MARKS_AT + (mark.generation & 1) * _MARK_STEP


def mark_bytes(mark: Mark) -> bytes:
    """Return ``mark`` with its crc."""
    body = _MARK.pack(*mark)
    return HEAD.pack(len(body), crc32(body)) + body


def read_mark(data: Buffer) -> Mark:
    """Return the newer of the two marks; a torn one does not count."""
    found = Mark()
    for place in (MARKS_AT, MARKS_AT + _MARK_STEP):
        body = _whole(data, place, place + _MARK_STEP, crc32)
        if body is not None and len(body) == _MARK.size:
            found = max(found, Mark(*_MARK.unpack(body)))
    return found


def framed(data: Buffer, place: int, end: int) -> bytes | None:
    """Return the body that begins at ``place`` and ends before ``end``; None if it is not whole."""
    return _whole(data, place, end, lambda body: adler32(END, adler32(body)))


def _whole(data: Buffer, place: int, end: int, checksum: Callable[[bytes], int]) -> bytes | None:
    if place + HEAD.size > end:
        return None
    size, expected = HEAD.unpack_from(data, place)
    if not 0 < size <= end - place - HEAD.size:
        return None
    body = bytes(data[place + HEAD.size : place + HEAD.size + size])
    return body if checksum(body) == expected else None


class Encoder(dict[Texts, tuple[bytes, Texts]]):
    """The texts of records as they may be stored, filled up to a multiple of 8, and END.

    With each come the texts themselves, the same object for all equal ones.

    Those that came before are known, and new combinations are put together of known parts: with
    many clients nearly each request has one. ``clean_ip`` is asked once for an address.
    """

    def __init__(self, clean_ip: Callable[[str], str | None]) -> None:
        super().__init__()
        self._clean_ip = clean_ip
        #: Lengths and bytes.
        self._places: dict[tuple[str, ...], tuple[bytes, bytes]] = {}
        self._groups: dict[str | None, tuple[bytes, bytes]] = {}
        self._addresses: dict[str | None, tuple[bytes, bytes]] = {}

    def forget(self) -> None:
        """Ask again how addresses are stored."""
        self._addresses.clear()
        self.clear()

    def __missing__(self, texts: Texts) -> tuple[bytes, Texts]:
        place, group, ip = texts[:3], texts[3], texts[4]
        sizes, names = self._places.get(place) or self._learn_place(place)
        group_size, group_text = self._groups.get(group) or self._learn_group(group)
        ip_size, ip_text = self._addresses.get(ip) or self._learn_address(ip)
        found = sizes + group_size + ip_size + names + group_text + ip_text
        found += _FILLS[len(found) & 7]
        if len(self) >= _MAX_KNOWN:
            self.clear()
        known = self[texts] = (found, texts)
        return known

    def _learn_place(self, place: tuple[str, ...]) -> tuple[bytes, bytes]:
        endpoint, method, status = place
        name, verb = storable(endpoint).encode(), storable(method).encode()
        found = (_PLACE.pack(status_code(status), len(verb), len(name)), verb + name)
        return _keep(self._places, place, found, _MAX_KNOWN)

    def _learn_group(self, group: str | None) -> tuple[bytes, bytes]:
        return _keep(self._groups, group, _encoded(group), _MAX_KNOWN)

    def _learn_address(self, ip: str | None) -> tuple[bytes, bytes]:
        cleaned = None if ip is None else self._clean_ip(ip)
        return _keep(self._addresses, ip, _encoded(cleaned), _MAX_ADDRESSES)


def _encoded(text: str | None) -> tuple[bytes, bytes]:
    if text is None:
        return _SIZE.pack(_NONE), b""
    data = storable(text).encode()
    return _SIZE.pack(len(data)), data


def _keep(known: dict[K, V], key: K, value: V, most: int) -> V:
    if len(known) >= most:
        known.clear()
    known[key] = value
    return value


def decode_texts(data: bytes) -> Texts:
    """Return what :class:`Encoder` was given, cleaned; the status is its code only.

    END may be missing, and is when a frame is read.
    """
    status, *sizes = _TEXTS.unpack_from(data)
    place = _TEXTS.size
    found: list[str | None] = []
    for size in sizes:
        if size == _NONE:
            found.append(None)
        else:
            found.append(data[place : place + size].decode())
            place += size
    method, endpoint, group, ip = found
    return (endpoint or "", method or "", str(status), group, ip)


class Decoder:
    """Reads frames; texts that were seen before are not decoded again."""

    def __init__(self) -> None:
        self._known: dict[bytes, Texts] = {}

    def frame(self, body: bytes) -> Frame:
        """Return the record of a frame's body."""
        number, ticket, start_ns, end_ns = TIMES.unpack_from(body)
        data = body[TIMES.size :]
        texts = self._known.get(data)
        if texts is None:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            texts = self._known[data] = decode_texts(data)
        return Frame(number, ticket, (texts, start_ns, end_ns, None, 0))
