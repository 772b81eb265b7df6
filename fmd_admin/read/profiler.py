"""The pages Profiler and Grouped profiler of an endpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import BigInteger, Connection, Select, func, select, type_coerce

from ..store import trees
from ..store.kept import kept_of
from ..store.models import Profile
from ..store.trees import MergedRow
from ..store.types import from_millis
from .callgraph import CallGraph, load_lines
from .measured import Asked, RequestInfo, conditions, count_up, part, statement
from .scope import Scope
from .table import Column
from .tree_figures import Figures

#: The grouped profiler merges so many of the most recent ones.
GROUPED = 100
#: What a row of a merged tree takes in memory: a tuple, what is drawn of it, and their numbers.
_ROW_BYTES = 300
COLUMNS = (
    Column("time", "Time", "time"),
    Column("duration_ms", "Duration", "ms"),
    Column("samples", "Samples", "count"),
    Column("method", "Method"),
    Column("status", "Status", "count"),
    Column("version", "Version"),
    Column("group", "Group"),
    Column("client", "Client"),
)
SORTS: dict[str, Any] = {
    "time": Profile.time,
    "duration_ms": Profile.duration_ms,
    "samples": Profile.samples,
    "status": Profile.status,
}

#: Orders rows of the same time.
KEY: Any = Profile.id


@dataclass(frozen=True, slots=True)
class ProfileRow:
    """A profiled request; ``period_ms`` is the time that a sample of it stands for on average.

    Without samples it is the pause between two of them that was asked for.
    """

    request: RequestInfo
    samples: int
    period_ms: float

    def values(self) -> tuple[object, ...]:
        """Return the values of ``COLUMNS``."""
        request = self.request
        return (
            request.time,
            request.duration_ms,
            self.samples,
            request.method,
            request.status,
            request.version,
            request.group,
            request.client,
        )


@dataclass(frozen=True, slots=True)
class ProfileList:
    """A page of an endpoint's profiled requests.

    ``total`` counts up to 50,000; ``more`` says that there are more.
    """

    rows: list[ProfileRow]
    total: int
    page: int
    pages: int
    more: bool


@dataclass(frozen=True, slots=True)
class ProfiledRequest:
    """One request with its tree."""

    row: ProfileRow
    graph: CallGraph


@dataclass(frozen=True, slots=True)
class Grouped:
    """The most recent profiled requests in the range, merged.

    ``total`` is how many there are, up to 50,000 (``more``: there are more still), ``unsampled``
    how many of the merged ones no sample met, mostly as they were short. ``first`` and ``last``
    are when the merged ones were; None without any.
    """

    graph: CallGraph
    total: int
    more: bool
    unsampled: int
    first: datetime | None
    last: datetime | None


@dataclass(frozen=True, slots=True)
class _Merged:
    """What only depends on the profiles themselves; ``unsampled`` as in :class:`Grouped`."""

    figures: Figures
    total_us: int
    unsampled: int


def profiles(connection: Connection, scope: Scope, asked: Asked) -> ProfileList:
    """Return one page of the profiled requests in ``scope``."""
    found = part(connection, Profile, scope, asked, Profile.samples, Profile.period_ms, sorts=SORTS)
    rows = [row_of(row) for row in found.rows]
    return ProfileList(rows, found.total, found.page, found.pages, found.more)


def every(scope: Scope) -> Select[Any]:
    """Return the select of all profiles in ``scope``; :func:`row_of` understands its rows."""
    query = statement(Profile, Profile.samples, Profile.period_ms)
    return query.where(*conditions(Profile, scope))


def row_of(found: Sequence[Any]) -> ProfileRow:
    """Return a row of the list."""
    *request, samples, period_ms = found
    return ProfileRow(RequestInfo(*request), samples, period_ms)


def profile(connection: Connection, endpoint_id: int, profile_id: int) -> ProfiledRequest | None:
    """Return one request with its tree; None if the endpoint has no such profile."""
    query = statement(Profile, Profile.samples, Profile.period_ms, Profile.tree).where(
        Profile.id == profile_id, Profile.endpoint_id == endpoint_id
    )
    found = connection.execute(query).one_or_none()
    if found is None:
        return None
    *request, samples, period_ms, tree = found
    row = ProfileRow(RequestInfo(*request), samples, period_ms)
    figures = Figures(trees.merge([trees.unpack(tree)]), 1)
    graph = CallGraph(
        name=f"{row.request.method} {row.request.endpoint}",
        rows=figures.rows,
        lines=load_lines(connection, figures.line_ids),
        requests=1,
        samples=samples,
        total_us=round(row.request.duration_ms * 1000),
        known=figures,
    )
    return ProfiledRequest(row, graph)


def grouped(connection: Connection, scope: Scope, name: str, *, most: int = GROUPED) -> Grouped:
    """Return the ``most`` most recent profiles in ``scope`` as one tree, heaviest first.

    ``name`` is what the root of the tree is called.
    """
    wanted = conditions(Profile, scope)
    total, more = count_up(connection, Profile, wanted)
    query = (
        select(
            Profile.id,
            type_coerce(Profile.time, BigInteger).label("time_ms"),
            Profile.duration_ms,
            Profile.samples,
            Profile.period_ms,
            # Without reading the tree itself.
            func.length(Profile.tree),
        )
        .where(*wanted)
        .order_by(Profile.time.desc(), Profile.id.desc())
        .limit(most)
    )
    found = connection.execute(query).all()
    # A page and its data are asked for one after the other, and mostly nothing came in between.
    # Profiles come and go and never change: those of the same figures have the same trees.
    key = ("grouped", *map(tuple, found))
    merged = kept_of(connection).find(key, partial(_merge, connection, found), _size)
    graph = CallGraph(
        name=name,
        rows=merged.figures.rows,
        lines=load_lines(connection, merged.figures.line_ids),
        requests=len(found),
        samples=sum(row.samples for row in found),
        total_us=merged.total_us,
        known=merged.figures,
    )
    return Grouped(
        graph=graph,
        total=total,
        more=more,
        unsampled=merged.unsampled,
        first=from_millis(found[-1].time_ms) if found else None,
        last=from_millis(found[0].time_ms) if found else None,
    )


def _merge(connection: Connection, found: Sequence[Any]) -> _Merged:
    """Merge the trees; all samples together stand for the time of all requests.

    A tree's times add up to its request's duration, which tells nothing about how often samples
    met it: short requests are met more seldom, and would weigh too little. So each tree counts
    with the time that its samples stood for. That time, and not their number: a sample comes late
    where something calculates, and stands for more there than where everything waits.
    """
    total_us = round(sum(row.duration_ms for row in found) * 1000)
    query = select(Profile.id, Profile.tree).where(Profile.id.in_([row.id for row in found]))
    stored = {row.id: row.tree for row in connection.execute(query)}
    # Where they were not counted (in what was imported) they stand for the whole request.
    unsampled = [not row.samples and not trees.unpack(stored[row.id]) for row in found]
    sampled_us = [
        (row.samples * row.period_ms if row.samples or empty else row.duration_ms) * 1000
        for row, empty in zip(found, unsampled, strict=True)
    ]
    whole_us = sum(sampled_us)
    rows: list[MergedRow] = []
    if whole_us:
        scale = total_us / whole_us
        factors = [
            us * scale / (row.duration_ms * 1000) if row.duration_ms else 0.0
            for row, us in zip(found, sampled_us, strict=True)
        ]
        # One after the other: all of them at once would be some megabytes of small objects.
        unpacked = (trees.unpack(stored[row.id]) for row in found)
        rows = trees.heaviest_first(trees.merge(unpacked, factors))
    return _Merged(Figures(rows, len(found)), total_us, sum(unsampled))


def _size(merged: _Merged) -> int:
    # What the key takes for each profile is less than for a row.
    return _ROW_BYTES * (len(merged.figures.rows) + merged.figures.requests)
