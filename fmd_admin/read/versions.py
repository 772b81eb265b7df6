"""Versions of the app against each other: what they were asked for, and how long it took."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from sqlalchemy import Connection

from .boxes import Box, box_of, box_table
from .buckets import Buckets
from .catalog import NO_NAME, endpoint_names, versions
from .scope import Scope
from .table import Column, Table

#: Versions on a page; the ones first seen last come first.
PAGE_SIZE = 50
#: Endpoints with a colour of their own: nine colours, and the same ones paler.
TOP = 18

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class VersionPage(Generic[Found]):
    """Versions with requests, the one first seen last on top; ``rows`` are those of this page."""

    rows: list[Found]
    total: int
    page: int
    pages: int


@dataclass(frozen=True, slots=True)
class VersionHits:
    """The requests of one version; ``hits`` are in the order of the page's ``endpoints``."""

    id: int
    name: str
    total: int
    hits: list[int]


@dataclass(frozen=True, slots=True)
class EndpointName:
    """An endpoint with a colour; ``id`` is None for all the others together."""

    id: int | None
    name: str


@dataclass(frozen=True, slots=True)
class MultiVersion:
    """Requests by version and endpoint, the endpoint with the most hits first, "other" last.

    ``total`` counts the requests of all versions, those of other pages too.
    """

    versions: VersionPage[VersionHits]
    endpoints: list[EndpointName]
    total: int

    def pairs(self) -> list[tuple[VersionHits, EndpointName, int]]:
        """Return version, endpoint and hits, where there are hits."""
        return [
            (version, endpoint, hits)
            for version in self.versions.rows
            for endpoint, hits in zip(self.endpoints, version.hits, strict=True)
            if hits
        ]

    def table(self) -> Table:
        """Return a row for each version and endpoint; shares are of the version's requests."""
        columns = (
            Column("version", "Version"),
            Column("endpoint", "Endpoint"),
            Column("hits", "Requests", "count"),
            Column("share", "Share of the version", "percent"),
        )
        rows: list[tuple[object, ...]] = [
            (version.name, endpoint.name, hits, hits / version.total)
            for version, endpoint, hits in self.pairs()
        ]
        return Table("multi-version-utilization", columns, rows)


@dataclass(frozen=True, slots=True)
class VersionPerformance:
    """A box for each version with requests in the range, the one first seen last on top."""

    versions: VersionPage[Box]

    @property
    def boxes(self) -> list[Box]:
        """The boxes of this page."""
        return self.versions.rows

    def table(self) -> Table:
        """Return a row for each box."""
        return box_table("version-performance", Column("version", "Version"), self.boxes)


def multi_version(
    connection: Connection, scope: Scope, *, page: int | None = 1, search: str = "", top: int = TOP
) -> MultiVersion:
    """Return the hits of a page of versions (None: all), by the ``top`` endpoints and all others.

    Those whose name holds ``search`` (in any case) are shown by themselves, the others are
    "other". A single other one stands under its own name.
    """
    hits = Buckets(connection, scope).hits_of_pairs()
    names = endpoint_names(connection)
    by_endpoint: dict[int, int] = {}
    by_version: dict[int, int] = {}
    for (endpoint_id, version_id), count in hits.items():
        by_endpoint[endpoint_id] = by_endpoint.get(endpoint_id, 0) + count
        by_version[version_id] = by_version.get(version_id, 0) + count
    ranked = sorted(by_endpoint, key=lambda key: (-by_endpoint[key], names[key]))
    shown = [key for key in ranked if search.lower() in names[key].lower()]
    if len(shown) > top + 1 or len(shown) < len(ranked):
        shown = shown[:top]
    endpoints = [EndpointName(key, names[key]) for key in shown]
    others = set(ranked) - set(shown)
    if others:
        endpoints.append(EndpointName(None, "other"))

    def of_version(version_id: int, name: str) -> VersionHits:
        row = [hits.get((key, version_id), 0) for key in shown]
        if others:
            row.append(by_version[version_id] - sum(row))
        return VersionHits(version_id, name, by_version[version_id], row)

    found = _page(connection, by_version, page)
    rows = [of_version(version_id, name) for version_id, name in found.rows]
    return MultiVersion(
        VersionPage(rows, found.total, found.page, found.pages), endpoints, sum(by_version.values())
    )


def version_performance(
    connection: Connection, scope: Scope, *, page: int | None = 1
) -> VersionPerformance:
    """Return the boxes of a page of versions (None: all): of all endpoints, or the scope's one."""
    totals = Buckets(connection, scope).totals("version_id")
    found = _page(connection, totals, page)
    boxes = [box_of(version_id, name, totals[version_id]) for version_id, name in found.rows]
    return VersionPerformance(VersionPage(boxes, found.total, found.page, found.pages))


def _page(
    connection: Connection, found: Mapping[int, object], page: int | None
) -> VersionPage[tuple[int, str]]:
    """Return (id, name) of a page of those in ``found``; the last page if there are fewer."""
    rows = [(v.id, v.name or NO_NAME) for v in reversed(versions(connection)) if v.id in found]
    if page is None:
        return VersionPage(rows, len(rows), 1, 1)
    pages = max(1, -(-len(rows) // PAGE_SIZE))
    page = min(max(page, 1), pages)
    part = rows[(page - 1) * PAGE_SIZE : page * PAGE_SIZE]
    return VersionPage(part, len(rows), page, pages)
