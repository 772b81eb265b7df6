"""The mean duration of each endpoint over everything that is stored."""

from __future__ import annotations

from sqlalchemy import Connection, func, select, union_all

from ..store.models import Day, Endpoint, RollupDelta


def means(connection: Connection) -> dict[str, tuple[int, float]]:
    """Return hits and mean in ms by the name of the endpoint, of those that have hits."""
    parts = union_all(
        *(select(table.endpoint_id, table.hits, table.sum_ms) for table in (Day, RollupDelta))
    ).subquery()
    query = (
        select(Endpoint.name, func.sum(parts.c.hits), func.sum(parts.c.sum_ms))
        .join(Endpoint, Endpoint.id == parts.c.endpoint_id)
        .where(parts.c.hits > 0)
        .group_by(Endpoint.name)
    )
    return {name: (int(hits), total / int(hits)) for name, hits, total in connection.execute(query)}
