"""The pages of visitors by version: how often each user or client came, and how long it took."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from ..store.visitor_models import Kind
from .catalog import NO_NAME, versions
from .scope import Scope
from .table import Column, Table
from .visitors import Shown, Visitors, Wanted


@dataclass(frozen=True, slots=True)
class Bubble:
    """The requests of one visitor to one version: ``visitor`` and ``version`` are positions."""

    visitor: int
    version: int
    hits: int
    mean_ms: float


@dataclass(frozen=True, slots=True)
class VisitorVersions:
    """One page of visitors, and their figures in each version in the order first seen.

    ``scope`` is what was asked for, in whole days. ``median_ms`` is that of its endpoint, or of
    all requests with a visitor; None without any. ``known`` tells whether any visitor was ever
    stored.
    """

    kind: Kind
    scope: Scope
    shown: Shown
    names: list[str]
    versions: list[str]
    bubbles: list[Bubble]
    median_ms: float | None
    known: bool

    def against_median(self, bubble: Bubble) -> float | None:
        """Return the mean of a bubble as a share of the median."""
        return bubble.mean_ms / self.median_ms if self.median_ms else None

    def table(self) -> Table:
        """Return a row for each bubble."""
        group = self.kind == Kind.GROUP
        columns = (
            Column("user", "User") if group else Column("client", "Client"),
            Column("version", "Version"),
            Column("hits", "Requests", "count"),
            Column("mean_ms", "Mean", "ms"),
            Column("against_median", "Of the median", "percent"),
        )
        rows: list[tuple[object, ...]] = [
            (
                self.names[bubble.visitor],
                self.versions[bubble.version],
                bubble.hits,
                bubble.mean_ms,
                self.against_median(bubble),
            )
            for bubble in self.bubbles
        ]
        return Table("users-versions" if group else "ips-versions", columns, rows)


def visitor_versions(
    connection: Connection, scope: Scope, kind: Kind, wanted: Wanted
) -> VisitorVersions:
    """Return the visitors in ``scope`` by version, for all endpoints or the scope's one."""
    visitors = Visitors(connection, scope, kind)
    shown = visitors.shown(wanted)
    figures = visitors.by_version(shown.ids)
    used = {version_id for _, version_id in figures}
    there = [version for version in versions(connection) if version.id in used]
    rows = {id: row for row, id in enumerate(shown.ids)}
    columns = {version.id: column for column, version in enumerate(there)}
    # Not each visitor by each version: of a thousand versions most have one or two.
    places = sorted(
        (rows[id], columns[version_id], hits, sum_ms)
        for (id, version_id), (hits, sum_ms) in figures.items()
    )
    bubbles = [Bubble(row, column, hits, sum_ms / hits) for row, column, hits, sum_ms in places]
    return VisitorVersions(
        kind=kind,
        scope=visitors.scope,
        shown=shown,
        names=[shown.names[id] for id in shown.ids],
        versions=[version.name or NO_NAME for version in there],
        bubbles=bubbles,
        median_ms=visitors.median_ms() if bubbles else None,
        known=bool(bubbles) or visitors.are_known(),
    )
