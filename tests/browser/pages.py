"""Every page of the panel, for tests that walk them all."""

from __future__ import annotations

from sqlalchemy import func, select

from fmd_admin.store.models import Request

from .site import Site


def every_page(site: Site) -> list[str]:
    """The addresses of all pages an admin can see, one of each look.

    ``site`` must have measured something. The last one is the error page (404).
    """
    with site.store.read() as connection:
        request_id = connection.scalar(select(func.max(Request.id)))
        endpoint_id = connection.scalar(select(Request.endpoint_id).where(Request.id == request_id))
    assert endpoint_id is not None
    return [
        "/overview",
        "/hourly-utilization",
        "/daily-utilization",
        "/api-performance",
        f"/endpoint/{endpoint_id}/hourly-utilization",
        "/data/requests",
        f"/data/requests/details?id={request_id}",
        f"/data/requests/delete?ids={request_id}",
        "/data/endpoints",
        "/data/versions",
        "/data/versions/details?id=1",
        "/users",
        "/users/1",
        "/settings",
        "/system",
        "/system/prune",
        "/account",
        "/nowhere",
    ]
