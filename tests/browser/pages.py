"""Every page of the panel, for tests that walk them all."""

from __future__ import annotations

import re

from sqlalchemy import func, select

from fmd_admin.store.models import Request

from .site import Site

_NEEDS_REQUEST = re.compile(r"/endpoint/|details|delete")


def every_page(site: Site) -> list[str]:
    """The addresses of all pages an admin can see, one of each look.

    Those of an endpoint, request or version are left out as long as nothing was measured. The last
    one is the error page (404).
    """
    with site.store.read() as connection:
        request_id = connection.scalar(select(func.max(Request.id)))
        endpoint_id = connection.scalar(select(Request.endpoint_id).where(Request.id == request_id))
    found = [
        "/overview",
        "/hourly-utilization",
        "/multi-version-utilization",
        "/daily-utilization",
        "/api-performance",
        f"/endpoint/{endpoint_id}",
        "/version-performance",
        "/status-codes",
        "/reporting",
        f"/endpoint/{endpoint_id}/hourly-utilization",
        f"/endpoint/{endpoint_id}/versions",
        f"/endpoint/{endpoint_id}/status-codes",
        "/custom-graphs",
        "/data/requests",
        f"/data/requests/details?id={request_id}",
        f"/data/requests/delete?ids={request_id}",
        "/data/endpoints",
        "/data/versions",
        "/data/versions/details?id=1",
        "/data/custom-graph-values",
        "/users",
        "/users/1",
        "/settings",
        "/system",
        "/system/prune",
        "/account",
        "/nowhere",
    ]
    return [path for path in found if request_id is not None or not _NEEDS_REQUEST.search(path)]
