"""Stores imported requests the way measured ones are stored, and each of them once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from sqlalchemy import Connection

from ..collect.redaction import Redactor
from ..records import Batch, ExceptionKey, Frame
from ..store import exceptions, imports
from ..store.store import Store
from ..store.writer import BatchWriter
from .fmd_texts import SourcedFrame


class ImportedGroups(exceptions.Groups):
    """Groups of exceptions that were first seen in the past: when, ``first_ms`` says.

    A group that began here may have been there before, and a later chunk may hold an earlier time:
    so they are looked up for each chunk.
    """

    first_ms: Mapping[ExceptionKey, int] = {}

    def at(self, version: int) -> exceptions.Groups:
        """Forget what was read for the chunk before."""
        self.forget()
        return super().at(version)

    def columns(self, key: ExceptionKey) -> tuple[Mapping[str, Any], str]:
        """Return the columns of a group."""
        columns, text = super().columns(key)
        return {**columns, "first_seen": self.first_ms[key]}, text

    def _find_or_make(
        self, connection: Connection, values: Mapping[str, dict[str, Any]]
    ) -> dict[str, int]:
        found = super()._find_or_make(connection, values)
        for digest, columns in values.items():
            exceptions.backdate(connection, found[digest], columns["first_seen"])
        return found


class ImportWriter(BatchWriter):
    """A writer whose mark is that of an import: it stays for ever, as those of processes do not.

    The sequence of a batch is the highest request id of the source in it, and ``first`` one more
    than that of the batch before.
    """

    def __init__(self, store: Store, level: int, redactor: Redactor) -> None:
        def source(frame: Frame) -> str:
            return redactor.source(cast(SourcedFrame, frame).source)

        super().__init__(store, lambda: level, source, redactor.lines)
        self._groups = self._imported = ImportedGroups(store)
        self._is_ours = False

    def write_chunk(self, source: str, above: int, to: int, batches: Sequence[Batch]) -> bool:
        """Store the requests with ids in (``above``, ``to``] of the import ``source``.

        Returns False, and stores nothing, where another import has done it.
        """
        if not batches:
            # All of it was left out: the mark moves all the same.
            return self._store.transact(
                lambda connection: imports.move(connection, source, "last_request", above, to)
            )
        self._imported.first_ms = _first_ms(batches)
        batches[0].writer, batches[0].first, batches[0].sequence = source, above + 1, to
        self._is_ours = False
        self.write_together(batches)
        return self._is_ours

    def _register(self, batch: Batch) -> None:
        self._registered = batch.writer

    def _claim(self, connection: Connection, batch: Batch) -> bool:
        above = (batch.first or 1) - 1
        moved = imports.move(connection, batch.writer, "last_request", above, batch.sequence)
        # A try whose answer was lost has moved it before this one.
        self._is_ours |= moved
        return moved


def _first_ms(batches: Sequence[Batch]) -> dict[ExceptionKey, int]:
    """Return when each kind of exception came first."""
    found: dict[ExceptionKey, int] = {}
    for batch in batches:
        for (key, _endpoint, _start), count in batch.raised.items():
            found[key] = min(found.get(key, count.first_ms), count.first_ms)
    return found
