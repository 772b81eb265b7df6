"""Every page of the panel, for tests that walk them all."""

from __future__ import annotations

import re

from sqlalchemy import func, select

from fmd_admin.store.alert_models import AlertRule
from fmd_admin.store.exception_models import ExceptionGroup
from fmd_admin.store.job_models import CustomGraph
from fmd_admin.store.models import Outlier, Request

from .site import Site

_NEEDS_REQUEST = re.compile(r"/endpoint/|details|requests/delete")


def every_page(site: Site) -> list[str]:
    """The addresses of all pages an admin can see, one of each look.

    Those of an endpoint, request, version, profile, outlier, exception, rule or graph are left out
    as long as there is none. The last one is the error page (404).
    """
    with site.store.read() as connection:
        request_id = connection.scalar(select(func.max(Request.id)))
        endpoint_id = connection.scalar(select(Request.endpoint_id).where(Request.id == request_id))
        outlier = connection.execute(select(Outlier.endpoint_id, Outlier.id)).first()
        graph_id = connection.scalar(select(func.min(CustomGraph.id)))
        rule_id = connection.scalar(select(func.min(AlertRule.id)))
        group_key = connection.scalar(select(func.max(ExceptionGroup.id)))
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
        f"/endpoint/{endpoint_id}/users",
        f"/endpoint/{endpoint_id}/users-versions",
        f"/endpoint/{endpoint_id}/ips-versions",
        f"/endpoint/{endpoint_id}/profiler",
        f"/endpoint/{endpoint_id}/grouped-profiler",
        f"/endpoint/{endpoint_id}/outliers",
        f"/endpoint/{endpoint_id}/status-codes",
        "/users-versions",
        "/ips-versions",
        "/user-performance",
        "/outliers",
        "/exceptions",
        f"/endpoint/{endpoint_id}/exceptions",
        "/custom-graphs",
        "/data/requests",
        f"/data/requests/details?id={request_id}",
        f"/data/requests/delete?ids={request_id}",
        "/data/outliers",
        "/data/exceptions",
        "/data/profiles",
        "/data/endpoints",
        "/data/versions",
        "/data/versions/details?id=1",
        "/data/custom-graph-values",
        "/users",
        "/users/1",
        "/settings",
        "/alerts",
        "/alerts/rules/new",
        "/alerts/targets/new",
        "/system",
        "/system/prune",
        "/account",
        "/nowhere",
    ]
    if outlier is not None:
        # The endpoint that has profiles too.
        found[:0] = [
            f"/endpoint/{outlier.endpoint_id}/outliers/{outlier.id}",
            f"/endpoint/{outlier.endpoint_id}/profiler?range=24h",
            f"/endpoint/{outlier.endpoint_id}/grouped-profiler?range=24h",
        ]
    if group_key is not None:
        found[:0] = [f"/exceptions/{group_key}", f"/exceptions/{group_key}/delete"]
    if rule_id is not None:
        # With a target of the same number.
        found[:0] = [f"/alerts/rules/{rule_id}", f"/alerts/targets/{rule_id}"]
        found.insert(0, f"/alerts/rules/{rule_id}/delete")
    if graph_id is not None:
        found[:0] = [f"/custom-graph/{graph_id}", f"/custom-graph/{graph_id}/delete"]
    return [path for path in found if request_id is not None or not _NEEDS_REQUEST.search(path)]
