"""The page API Performance: a box plot for every endpoint, from all requests in the range."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from .boxes import Box, box_of, box_table
from .buckets import Buckets
from .catalog import endpoint_names
from .scope import Scope
from .table import Column, Table


@dataclass(frozen=True, slots=True)
class Performance:
    """Boxes of the endpoints with requests in the range, the slowest median first."""

    boxes: list[Box]

    def table(self) -> Table:
        """Return a row for each box."""
        return box_table("api-performance", Column("endpoint", "Endpoint"), self.boxes)


def performance(connection: Connection, scope: Scope) -> Performance:
    """Return the boxes of every endpoint in ``scope``, or of its one endpoint."""
    names = endpoint_names(connection)
    totals = Buckets(connection, scope).totals()
    boxes = [box_of(key, names[key], total) for key, total in totals.items()]
    return Performance(sorted(boxes, key=lambda box: (-box.median_ms, box.name)))
