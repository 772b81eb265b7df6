"""The pages of charts: what they show, their data, and the pages of one endpoint."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from html import unescape
from zoneinfo import ZoneInfo

import pytest

from fmd_admin.records import Batch, Row
from fmd_admin.store.writer import BatchWriter

from ....support import Bound
from ..browser import Browser
from .test_overview import endpoints, request_hello, visit

PAGES = (
    "hourly-utilization",
    "multi-version-utilization",
    "daily-utilization",
    "api-performance",
    "version-performance",
)


def paths(bound: Bound) -> list[str]:
    """Every page of a chart, the one of the endpoint hello included."""
    id, _ = endpoints(bound)["hello"]
    tabs = ("hourly-utilization", "versions")
    return [*(f"/{page}" for page in PAGES), *(f"/endpoint/{id}/{tab}" for tab in tabs)]


@pytest.mark.parametrize("page", PAGES)
def test_empty_page_says_what_to_do(anna: Browser, page: str) -> None:
    answer = anna.get(f"/{page}")
    assert answer.status_code == 200
    assert "No requests in this range" in answer.text
    assert "<canvas" not in answer.text
    assert "cdn.jsdelivr.net" not in answer.text


def test_page_has_chart_table_csv_and_its_plugins_only(bound: Bound, anna: Browser) -> None:
    request_hello(bound)
    for path in paths(bound):
        page = anna.get(f"{path}?range=24h").text
        assert re.search(r'<canvas role="img" aria-label="[^"]+"', page)
        assert '<details class="data-table">' in page
        assert f'href="/dashboard{path}/data.csv?range=24h" download' in page
        assert f'data-url="/dashboard{path}/data.json?range=24h"' in page
        assert "chartjs-plugin-zoom" not in page
        libraries = re.findall(r'<script src="https://cdn[^>]+>', page)
        assert libraries
        for tag in libraries:
            assert 'integrity="sha384-' in tag
            assert 'crossorigin="anonymous"' in tag


def test_our_pages_load_no_bootstrap(bound: Bound, anna: Browser) -> None:
    request_hello(bound)
    for path in ["/overview", *paths(bound)]:
        page = anna.get(path).text
        assert "bootstrap" not in page
        assert "jquery" not in page


def test_data_of_every_page_holds_the_hits(bound: Bound, anna: Browser) -> None:
    request_hello(bound, 5)
    id, _ = endpoints(bound)["hello"]
    for path in ("/hourly-utilization", f"/endpoint/{id}/hourly-utilization"):
        hourly = anna.get(f"{path}/data.json").get_json()
        assert hourly["total"] == 5
        assert sum(hits or 0 for day in hourly["hits"] for hits in day) == 5
        assert hourly["range"]["timezone"] == "UTC"
    daily = anna.get("/daily-utilization/data.json").get_json()
    assert [(series["name"], sum(series["hits"])) for series in daily["series"]] == [("hello", 5)]
    (box,) = anna.get("/api-performance/data.json").get_json()["boxes"]
    assert (box["name"], box["hits"]) == ("hello", 5)
    assert box["min_ms"] <= box["median_ms"] <= box["max_ms"]
    assert box["url"] == f"/dashboard/endpoint/{id}"


def test_csv_and_data_table_agree(bound: Bound, anna: Browser) -> None:
    request_hello(bound, 5)
    for path in paths(bound):
        answer = anna.get(f"{path}/data.csv")
        header, *rows = list(csv.reader(io.StringIO(answer.text)))
        page = anna.get(path).text
        body = page[page.index("<tbody>") : page.index("</tbody>")]
        assert body.count("<tr>") == len(rows)
        for label in header:
            assert f">{label}</th>" in page


def test_links_to_the_requests_behind_the_chart_work(bound: Bound, anna: Browser) -> None:
    request_hello(bound, 5)
    id, _ = endpoints(bound)["hello"]
    data = anna.get(f"/endpoint/{id}/hourly-utilization/data.json?range=24h").get_json()
    assert data["requests_url"] == "/dashboard/data/requests?range=custom&endpoint=hello"
    page = anna.get(f"/endpoint/{id}/hourly-utilization?range=24h").text
    links = re.findall(r'<th scope="row" class="nowrap"><a href="/dashboard([^"]+)"', page)
    answer = anna.get(links[-1].replace("&amp;", "&"))
    assert answer.status_code == 200
    assert "5 requests" in answer.text


@pytest.mark.parametrize("timezone", ["UTC", "Europe/Amsterdam", "Asia/Kolkata"])
def test_the_days_of_a_range_that_cuts_them_lead_to_what_was_counted(
    bind: Callable[..., Bound], timezone: str
) -> None:
    """The clock goes back on the first of the days in Amsterdam, and an hour comes twice."""
    bound = bind(timezone=timezone, keep_requests_days=0, keep_rollups_days=0)
    zone = ZoneInfo(timezone)
    times = [datetime(2024, 10, 27, 0, 30, tzinfo=zone) + timedelta(hours=n) for n in range(60)]
    rows = [
        Row(int(moment.timestamp() * 1000), "hello", 5.0, 200, "GET", None, None)
        for moment in times
    ]
    BatchWriter(bound.monitor.store, lambda: 1).write(Batch("w1", 1, "1.0", rows))
    anna = Browser(bound.app)
    anna.login()
    asked = "range=custom&from=2024-10-27T02:00&to=2024-10-29T07:00"
    for page in ("hourly", "daily"):
        data = anna.get(f"/{page}-utilization/data.json?{asked}").get_json()
        days = (
            data["hits"]
            if page == "hourly"
            else zip(*(s["hits"] for s in data["series"]), strict=True)
        )
        hits = [sum(one or 0 for one in day) for day in days]
        text = anna.get(f"/{page}-utilization?{asked}").text
        body = text[text.index("<tbody>") : text.index("</tbody>")]
        links = [unescape(link) for link in re.findall(r'<a href="/dashboard([^"]+)"', body)]
        assert len(links) == len(hits) == 3
        assert 7 <= hits[-1] < hits[0] <= 24
        for link, number in zip(links, hits, strict=True):
            assert f"{number} requests" in anna.get(link).text, link


def test_pages_of_an_endpoint_are_tabs_under_its_name(bound: Bound, anna: Browser) -> None:
    request_hello(bound)
    id, _ = endpoints(bound)["hello"]
    page = anna.get(f"/endpoint/{id}/hourly-utilization").text
    assert 'aria-label="Pages of hello"' in page
    assert '<span class="here">hello</span>' in page
    assert re.search(r'href="/dashboard/overview" aria-current="page">Overview<', page)
    assert 'aria-label="Monitoring level of hello"' in page


def test_viewer_of_an_endpoint_has_no_control(bound: Bound, vera: Browser) -> None:
    request_hello(bound)
    id, _ = endpoints(bound)["hello"]
    assert "/overview/level" not in vera.get(f"/endpoint/{id}/hourly-utilization").text


@pytest.mark.parametrize("rest", ["", "/data.json", "/data.csv"])
def test_endpoint_that_does_not_exist(anna: Browser, rest: str) -> None:
    assert anna.get(f"/endpoint/999/hourly-utilization{rest}").status_code == 404


@pytest.mark.parametrize("page", PAGES)
def test_bad_range_is_said_on_the_page_and_refused_for_data(anna: Browser, page: str) -> None:
    answer = anna.get(f"/{page}?range=custom&from=tomorrow")
    assert answer.status_code == 200
    assert 'role="alert"' in answer.text
    assert anna.get(f"/{page}/data.json?range=custom&from=tomorrow").status_code == 400
    assert anna.get(f"/{page}/data.csv?range=custom&from=tomorrow").status_code == 400


def test_level_0_is_named_as_the_reason(bound: Bound, anna: Browser) -> None:
    request_hello(bound)
    id, _ = endpoints(bound)["hello"]
    anna.post("/overview/level", {"ids": str(id), "level": "0"})
    old = "range=custom&from=2026-01-01T00:00&to=2026-01-02T00:00"
    page = anna.get(f"/endpoint/{id}/hourly-utilization?{old}").text
    assert "This endpoint is at level 0" in page


def test_hostile_names_are_inert_in_page_and_data(bound: Bound, anna: Browser) -> None:
    name = '</script><script>alert(1)</script>"'
    bound.app.add_url_rule("/evil", name, lambda: "x")
    visit(bound, "/evil")
    for page in PAGES:
        assert "<script>alert" not in anna.get(f"/{page}").text
        answer = anna.get(f"/{page}/data.json")
        assert answer.mimetype == "application/json"
        json.loads(answer.text)


def test_no_address_ends_with_a_slash(bound: Bound) -> None:
    for rule in bound.monitor.panel_app.url_map.iter_rules():
        view = rule.endpoint.partition(".")[0]
        pages = {"multi_version", "version_performance", "status_codes"}
        if view in {"overview", "hourly", "daily", "performance", *pages}:
            assert not rule.rule.endswith("/")
            assert "static" not in rule.rule
