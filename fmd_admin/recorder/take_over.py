"""Stores what dead processes left in their spools."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from time import monotonic

from ..errors import BatchRefusedError, PartlyStoredError
from ..faults import Faults
from ..records import Batch, RequestRecord
from .batching import fill
from .left_overs import LeftOver, SpoolFolder

#: Pause between two looks for left-overs.
EVERY_S = 5.0
_MAX_BATCH = 5_000


class TakeOver:
    """Looks for left-overs now and then; called by the flusher only.

    ``stored`` counts their requests, ``dropped`` those that the store refused, and ``torn`` what
    was cut off, of which no answer had left its process.
    """

    def __init__(
        self,
        folder: SpoolFolder,
        write: Callable[[Batch], None],
        clean_ip: Callable[[str], str | None],
        faults: Faults,
    ) -> None:
        self._folder = folder
        self._write = write
        self._clean_ip = clean_ip
        self._faults = faults
        self._due = 0.0
        self.stored = 0
        self.dropped = 0
        self.torn = 0

    def tend(self, ending: Callable[[], bool]) -> None:
        """As :meth:`look`. What fails is reported and tried again later: all else goes on."""
        try:
            self.look(ending)
        except Exception:  # noqa: BLE001 - counted, and logged once
            self._due = monotonic() + EVERY_S
            self._faults.report("storing what a dead process left (tried again)")

    def look(self, ending: Callable[[], bool]) -> None:
        """Store all left-overs, if it is time to look. Raises what the store raises."""
        if monotonic() < self._due:
            return
        for found in self._folder.left_overs(self._unusable):
            if not self._store(found, ending):
                return
            found.remove()
            self.torn += found.torn
        self._due = monotonic() + EVERY_S

    def _unusable(self) -> None:
        self._faults.report("reading the spool of a dead process (it is kept as .damaged)")

    def _store(self, found: LeftOver, ending: Callable[[], bool]) -> bool:
        records = found.records()
        while taken := list(islice(records, _MAX_BATCH)):
            if ending():
                return False  # Another one goes on; the writer's mark says from where.
            self._store_batch(found, taken)
        return True

    def _store_batch(self, found: LeftOver, taken: list[tuple[int, RequestRecord]]) -> None:
        while taken:
            batch = Batch(
                writer=found.writer,
                sequence=taken[-1][0],
                first=taken[0][0],
                version=found.version,
                dropped=found.mark.dropped,
                left_over=True,
            )
            records = (record for _number, record in taken)
            fill(batch, records, found.clock_ns, self._clean_ip, self._faults.report)
            try:
                self._write(batch)
                self.stored += len(taken)
            except PartlyStoredError as error:
                taken = [one for one in taken if one[0] > error.known]
                continue
            except BatchRefusedError:
                self.dropped += len(taken)
                self._faults.report("storing a batch of a dead process (its requests are dropped)")
            return
