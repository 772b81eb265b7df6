"""Makes the spool of a process and lets it go at its end."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable
from pathlib import Path

from ..errors import SpoolError
from . import spool_format
from .batching import clock_offset_ns
from .spool import Spool
from .spool_format import RING_AT

logger = logging.getLogger("fmd_admin")


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
