"""The pages and charts of the panel that are measured, as their addresses."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import urlencode

from sqlalchemy import func, select

from fmd_admin.store.calendar import Calendar
from fmd_admin.store.models import Client, Endpoint, Group, Outlier, Profile, Request
from fmd_admin.store.store import Store

#: Pages that look at a range, and for the charts among them the data that they draw.
_RANGED = (
    "/overview",
    "/hourly-utilization",
    "/hourly-utilization/data.json",
    "/multi-version-utilization",
    "/multi-version-utilization/data.json",
    "/daily-utilization",
    "/daily-utilization/data.json",
    "/api-performance",
    "/api-performance/data.json",
    "/version-performance",
    "/version-performance/data.json",
    "/user-performance",
    "/user-performance/data.json",
    "/users-versions",
    "/users-versions/data.json",
    "/ips-versions",
    "/ips-versions/data.json",
    "/status-codes",
    "/status-codes/over-time/data.json",
    "/status-codes/by-endpoint/data.json",
    "/outliers",
    "/endpoint/{endpoint}",
    "/endpoint/{endpoint}/data.json",
    "/endpoint/{endpoint}/hourly-utilization",
    "/endpoint/{endpoint}/hourly-utilization/data.json",
    "/endpoint/{endpoint}/versions",
    "/endpoint/{endpoint}/versions/data.json",
    "/endpoint/{endpoint}/users",
    "/endpoint/{endpoint}/users/data.json",
    "/endpoint/{endpoint}/users-versions",
    "/endpoint/{endpoint}/users-versions/data.json",
    "/endpoint/{endpoint}/ips-versions",
    "/endpoint/{endpoint}/ips-versions/data.json",
    "/endpoint/{endpoint}/status-codes",
    "/endpoint/{endpoint}/outliers",
    "/endpoint/{endpoint}/profiler",
    "/endpoint/{endpoint}/grouped-profiler",
    "/endpoint/{endpoint}/grouped-profiler/data.json",
    "/custom-graph/1",
    "/custom-graph/1/data.json",
    "/custom-graph/2",
    "/custom-graph/2/data.json",
    "/data/requests",
    "/data/requests?page=1000000",
    "/data/requests?sort=duration_ms&desc=1",
    "/data/requests?sort=endpoint&desc=0&page=500",
    "/data/requests?status=5xx",
    "/data/requests?status=200",
    "/data/requests?method=PUT",
    "/data/requests?endpoint={endpoint_name}",
    "/data/requests?endpoint={rare_name}",
    "/data/requests?group={group}",
    "/data/requests?group={rare_group}",
    "/data/requests?ip={client}",
    "/data/requests?ip={rare_client}",
    "/data/requests?min_ms=100",
    "/data/requests?min_ms=100000",
    "/data/requests?search=user00",
    "/data/requests?search=nobody",
    "/data/outliers",
    "/data/profiles",
    "/data/custom-graph-values",
)
_WITHOUT_RANGE = (
    "/reporting",
    "/reporting?compare=version",
    "/reporting/data.json",
    "/endpoint/{outlier_endpoint}/outliers/{outlier}",
    "/custom-graphs",
    "/data/requests/details?id={request}",
    "/data/endpoints",
    "/data/versions",
    "/users",
    "/settings",
    "/system",
    "/system/data.json",
    "/account",
)


class Address(NamedTuple):
    """A page's name in a table of figures, and its address below the panel."""

    name: str
    path: str


def names_of(store: Store) -> dict[str, str]:
    """Return what fills the addresses: of an endpoint, user … with many requests and with few."""
    with store.read() as connection:

        def one(query: object) -> str:
            return str(connection.scalar(query))  # type: ignore[call-overload]

        outlier_id, endpoint_id = connection.execute(
            select(Outlier.id, Outlier.endpoint_id).order_by(Outlier.id.desc()).limit(1)
        ).one()
        profiled = connection.scalar(
            select(Profile.endpoint_id)
            .group_by(Profile.endpoint_id)
            .order_by(func.count().desc())
            .limit(1)
        )
        return {
            "outlier": str(outlier_id),
            "outlier_endpoint": str(endpoint_id),
            "endpoint": str(profiled or endpoint_id),
            "request": one(select(func.max(Request.id))),
            "endpoint_name": one(select(func.min(Endpoint.name))),
            "rare_name": one(select(func.max(Endpoint.name))),
            "group": one(select(func.min(Group.name))),
            "rare_group": one(select(func.max(Group.name))),
            "client": one(select(Client.name).order_by(Client.id).limit(1)),
            "rare_client": one(select(Client.name).order_by(Client.id.desc()).limit(1)),
        }


def addresses(store: Store, ranges: dict[str, dict[str, str]]) -> list[Address]:
    """Return every page in each of ``ranges`` (name → words of the query string)."""
    names = names_of(store)
    found = [Address(path, path.format(**names)) for path in _WITHOUT_RANGE]
    for title, words in ranges.items():
        for path in _RANGED:
            sign = "&" if "?" in path else "?"
            full = f"{path.format(**names)}{sign}{urlencode(words)}"
            found.append(Address(f"{path} {title}", full))
    return found


def last_days(store: Store, now_ms: int, days: int) -> dict[str, str]:
    """Return the words of a range of so many whole days and today."""
    calendar = Calendar(store.timezone)
    first = calendar.local(calendar.day_start(now_ms - days * 86_400_000))
    last = calendar.local(calendar.next_day(now_ms))
    return {"range": "custom", "from": f"{first:%Y-%m-%dT%H:%M}", "to": f"{last:%Y-%m-%dT%H:%M}"}
