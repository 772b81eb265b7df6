"""Old addresses: of its pages, below /measurements, and url_for in the host's own pages."""

from __future__ import annotations

import pytest
from flask import Flask, url_for
from werkzeug.routing import BuildError

from fmd_admin.compat import dashboard
from fmd_admin.compat.config import DashboardConfig
from fmd_admin.extension import of

from ..admin.browser import Browser

#: FMD's own addresses, as its page's script has them.
PAGES = {
    "/overview": None,
    "/hourly_load": "/hourly-utilization",
    "/multi_version": "/multi-version-utilization",
    "/daily_utilization": "/daily-utilization",
    "/api_performance": "/api-performance",
    "/reporting": None,
    "/configuration": "/settings",
    "/database_management": "/system",
    "/endpoint/{id}/hourly_load": "/endpoint/{id}/hourly-utilization",
    "/endpoint/{id}/version_user": "/endpoint/{id}/users-versions",
    "/endpoint/{id}/version_ip": "/endpoint/{id}/ips-versions",
    "/endpoint/{id}/versions": None,
    "/endpoint/{id}/users": None,
    "/endpoint/{id}/status_code_distribution": "/endpoint/{id}/status-codes",
    "/endpoint/{id}/profiler": None,
    "/endpoint/{id}/grouped-profiler": None,
    "/endpoint/{id}/outliers": None,
}


@pytest.fixture
def app(quiet: DashboardConfig, apps: list[Flask]) -> Flask:
    dashboard.bind(apps[0])
    apps[0].add_url_rule("/", "index", lambda: "hello")
    with apps[0].test_client().get("/"):
        pass
    of(apps[0]).recorder.flush()
    return apps[0]


@pytest.mark.parametrize(("old", "new"), PAGES.items())
def test_pages(app: Flask, old: str, new: str | None) -> None:
    browser = Browser(app)
    browser.login()
    old = old.format(id=1)
    answer = browser.get(old)
    if new is not None:
        assert answer.status_code == 302
        assert answer.location == "/dashboard" + new.format(id=1)
        answer = browser.get(new.format(id=1))
    assert answer.status_code == 200


def test_old_pages_of_exceptions_lead_somewhere(app: Flask) -> None:
    browser = Browser(app)
    browser.login()
    for path in ("/exception_overview", "/exceptions", "/endpoint/1/exceptions"):
        assert browser.get(path, follow_redirects=True).status_code == 200, path


def test_nobody_is_asked_to_log_in_first(app: Flask) -> None:
    answer = Browser(app).get("/hourly_load")
    assert (answer.status_code, answer.location) == (302, "/dashboard/login?next=/hourly_load")


def test_measurements_lead_to_the_panel(app: Flask) -> None:
    client = app.test_client()
    for path, target in {
        "/measurements/overview": "/dashboard/overview",
        "/measurements/overview?range=24h": "/dashboard/overview?range=24h",
        "/measurements": "/dashboard/",
        "/measurements//evil.example": "/dashboard/evil.example",
        "/measurements/%C3%BC": "/dashboard/%C3%BC",
    }.items():
        answer = client.get(path, environ_overrides={"SCRIPT_NAME": ""})
        assert (answer.status_code, answer.location) == (302, target), path
    answer = client.get("/measurements/overview", environ_overrides={"SCRIPT_NAME": "/app"})
    assert answer.location == "/app/dashboard/overview"


def test_what_the_host_has_there_stays_the_hosts(quiet: DashboardConfig, apps: list[Flask]) -> None:
    app = apps[0]
    dashboard.bind(app)
    app.add_url_rule("/measurements/overview", "mine", lambda: "mine")
    app.add_url_rule("/measurements/posted", "posted", lambda: "mine", methods=["POST"])
    client = app.test_client()
    assert client.get("/measurements/overview").text == "mine"
    assert client.get("/measurements/posted").status_code == 405
    assert client.get("/measurements/else").status_code == 302
    assert client.post("/measurements/else").status_code == 404
    assert client.get("/measurementsish").status_code == 404


def test_the_extension_does_not_touch_measurements(bind: object, app: Flask) -> None:
    from fmd_admin import FMDAdmin

    other = Flask("other", instance_path=app.instance_path)
    monitor = FMDAdmin(settings={"username": "anna", "password": "correct horse"}).init_app(other)
    assert other.test_client().get("/measurements/overview").status_code == 404
    monitor.close()


def test_url_for_in_the_hosts_pages(app: Flask) -> None:
    with app.test_request_context("/", environ_overrides={"SCRIPT_NAME": "/app"}):
        assert url_for("dashboard.login") == "/app/dashboard/login"
        assert url_for("dashboard.index") == "/app/dashboard/"
        with pytest.raises(BuildError):
            url_for("dashboards.index")
        with pytest.raises(BuildError):
            url_for("nothing")
