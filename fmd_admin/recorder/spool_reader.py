"""Reads the ring of a spool, whole or damaged."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from .spool_format import HEAD, TIMES, WRAP, Buffer, Decoder, Frame, framed


def read_frames(
    data: Buffer,
    start: int,
    capacity: int,
    after: int,
    decoder: Decoder,
    on_torn: Callable[[], None] = lambda: None,
) -> Iterator[tuple[Frame, int]]:
    """Yield each frame with the virtual offset of the next one.

    ``data`` is the ring from the virtual offset ``start`` on. Reading ends at what was not written
    yet, at what is left of the round before (a number not above ``after``), and at a frame that
    is not whole: then ``on_torn`` is called.
    """
    index = 0
    while index + HEAD.size <= len(data):
        place = (start + index) % capacity
        size, _crc = HEAD.unpack_from(data, index)
        if size == 0:
            return
        if size == WRAP and place:
            index += capacity - place
            continue
        body = framed(data, index, min(len(data), index + capacity - place))
        if body is None or len(body) < TIMES.size:
            on_torn()
            return
        try:
            frame = decoder.frame(body)
        except ValueError:
            on_torn()
            return
        if frame.number <= after:
            return
        after = frame.number
        index += HEAD.size + size
        yield frame, start + index
