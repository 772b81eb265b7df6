"""Stores imported requests the way measured ones are stored, and each of them once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

from sqlalchemy import Connection

from ..records import Batch, Frame
from ..store import imports
from ..store.store import Store
from ..store.writer import BatchWriter
from .fmd_texts import SourcedFrame


class ImportWriter(BatchWriter):
    """A writer whose mark is that of an import: it stays for ever, as those of processes do not.

    The sequence of a batch is the highest request id of the source in it, and ``first`` one more
    than that of the batch before.
    """

    def __init__(self, store: Store, level: int, source_of: Callable[[str], str]) -> None:
        def source(frame: Frame) -> str:
            return source_of(cast(SourcedFrame, frame).source)

        super().__init__(store, lambda: level, source)

    def write_chunk(self, source: str, above: int, to: int, batches: Sequence[Batch]) -> None:
        """Store the requests with ids in (``above``, ``to``] of the import ``source``."""
        if not batches:
            # All of it was left out: the mark moves all the same.
            self._store.transact(
                lambda connection: imports.move(connection, source, "last_request", above, to)
            )
            return
        batches[0].writer, batches[0].first, batches[0].sequence = source, above + 1, to
        self.write_together(batches)

    def _register(self, batch: Batch) -> None:
        self._registered = batch.writer

    def _claim(self, connection: Connection, batch: Batch) -> bool:
        above = (batch.first or 1) - 1
        return imports.move(connection, batch.writer, "last_request", above, batch.sequence)
