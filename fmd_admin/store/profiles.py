"""Writes the profiles and outliers of a batch, in the batch's transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table

from ..records import Batch, Frame, Row
from . import outlier_detail, trees, tuples
from .models import Outlier, OutlierSkipped, Profile

#: The columns of a request, in the order of ``request_columns``.
REQUEST = (
    "time",
    "endpoint_id",
    "version_id",
    "group_id",
    "client_id",
    "duration_ms",
    "status",
    "method",
)


def frames(batch: Batch) -> Iterator[Frame]:
    """Yield the frame of each node of each profile."""
    for profile in batch.profiles:
        waiting = list(profile.roots)
        while waiting:
            node = waiting.pop()
            yield node.frame
            waiting.extend(node.children)


def insert(
    connection: Connection,
    batch: Batch,
    rows: Sequence[tuple[Any, ...]],
    request_columns: Callable[[Row], tuple[Any, ...]],
    lines: Mapping[Frame, int],
    source: Callable[[Frame], str],
) -> None:
    """Store what ``batch`` has of profiles and outliers.

    ``rows`` are the columns of the batch's requests as in :class:`Request`, ``request_columns``
    gives those of one, ``lines`` the id of each frame of the profiles, ``source`` the text of a
    frame's line.
    """
    profiles = [(*rows[place], 0, period_ms, trees.EMPTY) for place, period_ms in batch.unsampled]
    profiles += [
        (
            *request_columns(profile),
            profile.samples,
            profile.period_ms,
            trees.encode(profile.roots, lines),
        )
        for profile in batch.profiles
    ]
    _insert(connection, Profile.__table__, (*REQUEST, "samples", "period_ms", "tree"), profiles)
    outliers = [
        (*request_columns(outlier), outlier.limit_ms, outlier_detail.encode(outlier, source))
        for outlier in batch.outliers
    ]
    _insert(connection, Outlier.__table__, (*REQUEST, "limit_ms", "detail"), outliers)


def insert_skipped(
    connection: Connection, counts: Sequence[tuple[int, int]], version_id: int, time_ms: int
) -> None:
    """Store how many outliers were left out: pairs of endpoint id and number."""
    rows = [(time_ms, endpoint_id, version_id, hits) for endpoint_id, hits in counts if hits]
    columns = ("time", "endpoint_id", "version_id", "hits")
    _insert(connection, OutlierSkipped.__table__, columns, rows)


def _insert(
    connection: Connection, table: Table, columns: Sequence[str], rows: list[tuple[Any, ...]]
) -> None:
    if rows:
        tuples.insert(connection, tuples.insert_sql(connection.dialect, table, columns), rows)
