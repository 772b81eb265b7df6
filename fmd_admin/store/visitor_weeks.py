"""Sums of the days of visitors, of all endpoints together, over the seven days from a Monday on.

Ranges of months would have to read a hundred days of thousands of visitors each. A week is made
from its days once these are summed, and goes whenever one of them does.
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Connection, insert, select

from . import histogram
from .calendar import Calendar
from .visitor_models import WEEK, Kind, VisitorDay
from .visitor_parts import Entry, Part, together
from .visitors import SETTLED_MS, WEEK_KINDS, Cell, day_column, packed

#: Visitors that are told apart: as many as the days of a week may come to.
MOST_OF_WEEK = 20_000


def week_of(calendar: Calendar, day_ms: int) -> tuple[int, int]:
    """Return where the week of a day begins and ends (UTC ms)."""
    date = calendar.date_of(day_ms)
    monday = date - timedelta(days=date.weekday())
    return calendar.date_start(monday), calendar.date_start(monday + timedelta(days=7))


def unsummed(connection: Connection, calendar: Calendar, now_ms: int) -> list[Cell]:
    """Return the weeks that are over and have no row, as (kind, beginning, version id).

    To be asked when every day that is over is summed.
    """
    cell = (VisitorDay.kind, day_column, VisitorDay.version_id)
    rows = connection.execute(
        select(*cell).where(day_column < now_ms - SETTLED_MS, VisitorDay.endpoint_id.is_(None))
    ).all()
    there = {(kind - WEEK, day, version_id) for kind, day, version_id in rows if kind in WEEK_KINDS}
    weeks = {day: week_of(calendar, day) for _, day, _ in rows}
    wanted = {
        (kind, weeks[day][0], version_id)
        for kind, day, version_id in rows
        if kind not in WEEK_KINDS and weeks[day][1] < now_ms - SETTLED_MS
    }
    return sorted(wanted - there)


def sum_days(connection: Connection, calendar: Calendar, cell: Cell) -> None:
    """Make the row of a week from its days, if it is not there.

    To be called in a write transaction that is fenced by the lease.
    """
    kind, start_ms, version_id = cell
    end_ms = week_of(calendar, start_ms)[1]
    of_all = (VisitorDay.version_id == version_id, VisitorDay.endpoint_id.is_(None))
    known = select(VisitorDay.id).where(VisitorDay.kind == kind + WEEK, day_column == start_ms)
    if connection.scalar(known.where(*of_all)) is not None:
        return
    rows = connection.execute(
        select(VisitorDay.histogram, VisitorDay.figures, VisitorDay.shapes).where(
            VisitorDay.kind == kind, day_column >= start_ms, day_column < end_ms, *of_all
        )
    ).all()
    if not rows:
        return
    shaped = kind == Kind.GROUP
    found: dict[int, list[Entry]] = {}
    for _, figures, shapes in rows:
        for id, entry in Part(figures).entries(shapes).items():
            found.setdefault(id, []).append(entry)
    entries = {id: together(parts, shaped) for id, parts in found.items()}
    stored = histogram.merge([row.histogram for row in rows])
    key = {"kind": kind + WEEK, "day": start_ms, "version_id": version_id, "endpoint_id": None}
    connection.execute(insert(VisitorDay), [key | packed(entries, MOST_OF_WEEK, shaped, stored)])
