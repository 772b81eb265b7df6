"""What processes left in their spools that are dead now, and where spools are."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ..errors import SpoolError
from ..records import RequestRecord
from . import spool_file, spool_format
from .spool import Spool
from .spool_format import HEAD, RING_AT, SLOT_SIZE, SLOTS, SLOTS_AT, Decoder, framed
from .spool_reader import read_frames

_SUFFIX = ".spool"
#: Values of SPOOL that are no folder.
SPOOL_ON = frozenset({"on", "true", "yes", "1"})
SPOOL_OFF = frozenset({"off", "false", "no", "0"})
#: A file that is not finished after this time belongs to a process that died over it.
_UNFINISHED_S = 60.0
#: On these, locks and mapped memory are not what they are on a local disk.
_NETWORK = {
    *("9p", "afs", "beegfs", "ceph", "cifs", "fuse.ceph", "fuse.glusterfs", "fuse.s3fs"),
    *("fuse.sshfs", "gfs2", "glusterfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "smb3"),
}


class LeftOver:
    """The spool of a dead process, locked by us. ``torn`` counts what was cut off."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read()
        self.writer, self.version = spool_format.read_header(data)
        if len(data) <= RING_AT:
            raise SpoolError("It was cut off before its first request.")
        self.mark = spool_format.read_mark(data)
        self.torn = 0
        self._data = data
        #: What turns its times into UTC.
        self.clock_ns = self.mark.clock_ns or self._guessed_clock_ns(descriptor)

    def _guessed_clock_ns(self, descriptor: int) -> int:
        """Return the offset by which its last record ended when the file was last written."""
        ends_ns = (end_ns for _number, (_texts, _start_ns, end_ns, *_) in self.records())
        newest_ns = max(ends_ns, default=0)
        return os.fstat(descriptor).st_mtime_ns - newest_ns

    def records(self) -> Iterator[tuple[int, RequestRecord]]:
        """Yield number and record, in order; last those whose answers were being sent."""
        self.torn = 0
        capacity = len(self._data) - RING_AT
        place = self.mark.offset % capacity
        ring = memoryview(self._data)[RING_AT:]
        data = bytes(ring[place:]) + bytes(ring[:place])
        decoder = Decoder()
        number, settled = self.mark.number, set()
        for frame, _end in read_frames(
            data, self.mark.offset, capacity, number, decoder, self._count_torn
        ):
            number = frame.number
            if frame.ticket:
                settled.add(frame.ticket)
            yield number, frame.record
        for slot in range(SLOTS):
            at = SLOTS_AT + slot * SLOT_SIZE
            if not HEAD.unpack_from(self._data, at)[0]:
                continue
            body = framed(self._data, at, at + SLOT_SIZE)
            if body is None:
                self._count_torn()  # Killed while it wrote: no byte of that answer was sent.
                continue
            held = decoder.frame(body)
            if held.ticket not in settled:
                number += 1
                yield number, held.record

    def _count_torn(self) -> None:
        self.torn += 1

    def remove(self) -> None:
        """Delete the file: everything in it is stored."""
        self._path.unlink(missing_ok=True)


class SpoolFolder:
    """Where the spools of one database's processes on this machine are.

    ``name`` begins the name of each file, so that two databases may share a folder.
    """

    def __init__(self, path: Path, name: str, mib: int) -> None:
        self.path = path
        self._name = name
        self._mib = mib

    def open(
        self, writer: str, version: str, clean_ip: Callable[[str], str | None], in_memory: int
    ) -> Spool:
        """Make the spool of this process. Raises SpoolError where that cannot work."""
        if sys.platform == "win32":
            raise SpoolError("Windows has no flock. Set SPOOL=off.")
        try:
            kind = file_system(self.path)
        except (OSError, RuntimeError) as error:
            raise SpoolError(f"There is no folder {self.path}: {error}.") from error
        if kind in _NETWORK:
            raise SpoolError(
                f"{self.path} is on a network file system ({kind}). Set SPOOL to a folder on a "
                "local disk, or SPOOL=off."
            )
        path = self.path / f"{self._name}-{writer}{_SUFFIX}"
        try:
            return spool_file.create(path, writer, version, self._mib << 20, clean_ip, in_memory)
        except (OSError, AttributeError) as error:
            raise SpoolError(
                f"No spool of {self._mib} MiB can be made in {self.path}: {error}. Make room and "
                "let the application write there, set SPOOL to another folder, or SPOOL=off."
            ) from error

    def left_overs(self, unusable: Callable[[], None]) -> Iterator[LeftOver]:
        """Yield the spool of each dead process; ``unusable`` is called in an error's handling."""
        if sys.platform == "win32":
            return
        for path in sorted(self.path.glob(f"{self._name}-*{_SUFFIX}")):
            descriptor = _claim(path)
            if descriptor is None:
                continue
            try:
                try:
                    found = LeftOver(path, descriptor)
                except (SpoolError, OSError, ValueError):
                    with contextlib.suppress(OSError):
                        path.rename(path.with_suffix(".damaged"))
                    unusable()
                    continue
                yield found
            finally:
                os.close(descriptor)
        self._remove_unfinished()

    def _remove_unfinished(self) -> None:
        for path in self.path.glob(f"{self._name}-*.new"):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > _UNFINISHED_S:
                    path.unlink()


def spool_folder(
    database: str, file: str | None, *, spool: str, mib: int, instance: str
) -> SpoolFolder | None:
    """Return where spools lie: beside an SQLite ``file``, in the instance folder, or where asked.

    ``database`` tells one database from others, ``spool`` and ``mib`` are the settings. None where
    they are off.
    """
    if spool.lower() in SPOOL_OFF:
        return None
    if spool.lower() not in SPOOL_ON:
        path = Path(instance, spool)
    elif file:
        path = Path(f"{file}-spool")
    else:
        path = Path(instance, "fmd_admin-spool")
    name = hashlib.sha256(database.encode()).hexdigest()[:12]
    return SpoolFolder(path.absolute(), name, mib)


def _claim(path: Path) -> int | None:
    """Return a descriptor that holds the file's lock; None if its owner lives, or it is gone."""
    import fcntl

    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None  # Shipped by another process meanwhile, or another user's.
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(descriptor).st_nlink:
            return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return None


def file_system(path: Path) -> str:
    """Return the kind of file system that ``path`` is or would be on, empty if it is not known."""
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    target = str(path.resolve())
    best, kind = "", ""
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = fields[1].replace("\\040", " ")
        inside = target == point or target.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, fields[2]
    return kind
