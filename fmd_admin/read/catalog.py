"""What there is: versions and endpoints of the host app."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from ..store.models import Endpoint, RollupDelta, Version

#: What a version without a name is called.
NO_NAME = "(no version)"


@dataclass(frozen=True, slots=True)
class VersionInfo:
    """A version of the host app; ``first_seen`` is aware, in UTC."""

    id: int
    name: str
    first_seen: datetime


@dataclass(frozen=True, slots=True)
class EndpointInfo:
    """An endpoint; ``blueprint`` is None outside of blueprints. Times are aware, in UTC."""

    id: int
    name: str
    blueprint: str | None
    level: int
    first_seen: datetime
    last_requested: datetime


def blueprint_of(endpoint: str) -> str | None:
    """Return the (nested) blueprint of an endpoint: ``shop.api`` for ``shop.api.basket``."""
    return endpoint.rpartition(".")[0] or None


def versions(connection: Connection) -> list[VersionInfo]:
    """Return every version in the order first seen."""
    rows = connection.execute(
        select(Version.id, Version.name, Version.first_seen).order_by(
            Version.first_seen, Version.id
        )
    )
    return [VersionInfo(*row) for row in rows]


def endpoint(connection: Connection, endpoint_id: int) -> EndpointInfo | None:
    """Return one endpoint, or None if there is none with this id."""
    row = connection.execute(
        select(Endpoint.name, Endpoint.level, Endpoint.first_seen, Endpoint.last_requested).where(
            Endpoint.id == endpoint_id
        )
    ).one_or_none()
    if row is None:
        return None
    name, level, first_seen, last_requested = row
    # The time of the newest requests waits with the deltas until these are merged.
    newest = connection.scalar(
        select(func.max(RollupDelta.last_requested)).where(RollupDelta.endpoint_id == endpoint_id)
    )
    return EndpointInfo(
        id=endpoint_id,
        name=name,
        blueprint=blueprint_of(name),
        level=level,
        first_seen=first_seen,
        last_requested=last_requested if newest is None else max(last_requested, newest),
    )


def endpoint_names(connection: Connection) -> dict[int, str]:
    """Return every endpoint's name by its id."""
    return {row.id: row.name for row in connection.execute(select(Endpoint.id, Endpoint.name))}
