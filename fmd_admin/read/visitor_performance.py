"""The page of performance by user: a box plot for each, those with the most requests first."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from ..store.visitor_models import Kind
from .boxes import Box, box_of, box_table
from .scope import Scope
from .table import Column, Table
from .visitors import Shown, Visitors, Wanted


@dataclass(frozen=True, slots=True)
class VisitorPerformance:
    """Boxes of one page of users.

    ``scope`` is what was asked for, in whole days. ``known`` tells whether any user was ever
    stored.
    """

    scope: Scope
    shown: Shown
    boxes: list[Box]
    known: bool

    def table(self) -> Table:
        """Return a row for each box."""
        return box_table("user-performance", Column("user", "User"), self.boxes)


def visitor_performance(connection: Connection, scope: Scope, wanted: Wanted) -> VisitorPerformance:
    """Return the boxes of the users in ``scope``, for all endpoints or the scope's one."""
    visitors = Visitors(connection, scope, Kind.GROUP)
    shown = visitors.shown(wanted)
    totals = visitors.totals(shown.ids)
    boxes = [box_of(id, shown.names[id], totals[id]) for id in shown.ids]
    return VisitorPerformance(
        scope=visitors.scope,
        shown=shown,
        boxes=boxes,
        known=bool(boxes) or visitors.are_known(),
    )
