"""The page Status Codes: its charts, the list of errors, and where both lead."""

from __future__ import annotations

import csv
import io
import re
import time
from datetime import datetime, timedelta
from html import unescape

import pytest
from sqlalchemy import delete

from fmd_admin.read import measured
from fmd_admin.records import Batch, Row
from fmd_admin.store.models import Request
from fmd_admin.store.writer import BatchWriter

from ....support import Bound
from ..browser import Browser
from .test_overview import endpoints, request_hello

PARTS = ("over-time", "by-endpoint")
STATUSES = (200, 200, 200, 302, 404, 404, 500)


@pytest.fixture
def filled(bound: Bound) -> Bound:
    """Seven requests of good, and one of bad that failed."""
    now_ms = time.time_ns() // 1_000_000
    rows = [
        Row(now_ms - 60_000 * number, "good", 5.0, status, "GET", None, None)
        for number, status in enumerate(STATUSES)
    ]
    rows.append(Row(now_ms - 1_000, "bad", 5.0, 503, "POST", "bob", None))
    BatchWriter(bound.monitor.store, lambda: 1).write(Batch("w", 1, "1.0", rows))
    return bound


def test_empty_page_says_what_to_do(anna: Browser) -> None:
    answer = anna.get("/status-codes")
    assert answer.status_code == 200
    assert "No requests in this range" in answer.text
    assert "<canvas" not in answer.text
    assert "cdn.jsdelivr.net" not in answer.text


def test_level_0_is_named_as_the_reason(bound: Bound, anna: Browser) -> None:
    request_hello(bound)
    id, _ = endpoints(bound)["hello"]
    anna.post("/overview/level", {"ids": str(id), "level": "0"})
    old = "range=custom&from=2026-01-01T00:00&to=2026-01-02T00:00"
    assert "This endpoint is at level 0" in anna.get(f"/endpoint/{id}/status-codes?{old}").text


def test_both_charts_hold_the_hits(filled: Bound, anna: Browser) -> None:
    steps = anna.get("/status-codes/over-time/data.json?range=24h").get_json()
    assert steps["unit"] == "hour"
    assert {s["code"]: sum(s["hits"]) for s in steps["series"]} == {
        200: 3, 302: 1, 404: 2, 500: 1, 503: 1,
    }  # fmt: skip
    assert sum(steps["errors"]) == 4
    assert sum(steps["totals"]) == 8
    found = anna.get("/status-codes/by-endpoint/data.json?range=24h").get_json()
    assert [(bar["name"], bar["errors"], bar["total"]) for bar in found["bars"]] == [
        ("good", 3, 7),
        ("bad", 1, 1),
    ]
    assert [series["code"] for series in found["series"]] == [200, 302, 404, 500, 503]
    assert found["bars"][0]["hits"] == [3, 1, 2, 1, 0]


def test_one_endpoint_s_page(filled: Bound, anna: Browser) -> None:
    id, _ = endpoints(filled)["bad"]
    page = anna.get(f"/endpoint/{id}/status-codes?range=24h").text
    assert "Pages of bad" in page
    assert "1 error " in page
    for part in PARTS:
        data = anna.get(f"/endpoint/{id}/status-codes/{part}/data.json?range=24h").get_json()
        assert [series["code"] for series in data["series"]] == [503]
    assert anna.get("/endpoint/999/status-codes").status_code == 404
    assert anna.get("/endpoint/999/status-codes/over-time/data.csv").status_code == 404


@pytest.mark.parametrize("part", PARTS)
def test_csv_and_data_table_agree(filled: Bound, anna: Browser, part: str) -> None:
    header, *rows = csv.reader(
        io.StringIO(anna.get(f"/status-codes/{part}/data.csv?range=24h").text)
    )
    page = anna.get("/status-codes?range=24h").text
    section = page[page.index(f'id="chart-{part}"') :]
    body = section[section.index("<tbody>") : section.index("</tbody>")]
    shown = [
        re.findall(r">([^<>\n]+)</(?:a|td)>", row) for row in body.split("<tr>") if "<th" in row
    ]
    assert len(shown) == len(rows) > 2
    head = section[: section.index("</thead>")]
    assert [label for label in header if f">{label}</th>" not in head] == []
    if part == "by-endpoint":
        assert [row[:3] for row in shown] == [row[:3] for row in rows]
    else:
        assert [row[1:] for row in shown] == [row[1:] for row in rows]


def test_a_chart_that_there_is_not(filled: Bound, anna: Browser) -> None:
    assert anna.get("/status-codes/nothing/data.json").status_code == 404
    assert anna.get("/status-codes/nothing/data.csv").status_code == 404
    assert anna.get("/status-codes/errors/data.json").status_code == 404


@pytest.mark.parametrize("part", [*PARTS, "errors"])
def test_bad_range_is_said_on_the_page_and_refused_for_data(anna: Browser, part: str) -> None:
    assert 'role="alert"' in anna.get("/status-codes?range=custom&from=tomorrow").text
    assert anna.get(f"/status-codes/{part}/data.csv?range=custom&from=x").status_code == 400


def test_errors_are_listed_newest_first(filled: Bound, anna: Browser) -> None:
    page = anna.get("/status-codes?range=24h").text
    assert "4 errors" in page
    listed = page[page.index('class="table error-list"') :]
    assert re.findall(r'class="badge [a-z-]+">(\d+)<', listed) == ["503", "404", "404", "500"]
    links = [unescape(link) for link in re.findall(r'href="/dashboard([^"]+)"', listed)]
    details = next(link for link in links if "/details" in link)
    assert anna.get(details).status_code == 200
    status = next(link for link in links if "status=404" in link)
    assert "2 requests" in anna.get(status).text


def test_the_list_is_paged_and_its_file_is_whole(filled: Bound, anna: Browser) -> None:
    now_ms = time.time_ns() // 1_000_000
    rows = [Row(now_ms - n, "good", 1.0, 500, "GET", None, None) for n in range(120)]
    BatchWriter(filled.monitor.store, lambda: 1).write(Batch("w2", 1, "1.0", rows))
    page = anna.get("/status-codes?range=24h&page=3").text
    assert "101–124 of 124 errors" in page
    answer = anna.get("/status-codes/errors/data.csv?range=24h")
    header, *saved = csv.reader(io.StringIO(answer.text))
    assert header[:3] == ["Time", "Endpoint", "Status"]
    assert len(saved) == 124
    assert [row[0] for row in saved] == sorted((row[0] for row in saved), reverse=True)
    assert {int(row[2]) for row in saved} == {404, 500, 503}


def test_the_errors_behind_a_bar_are_under_requests(filled: Bound, anna: Browser) -> None:
    page = anna.get("/status-codes?range=24h").text
    all_errors = re.search(r'href="/dashboard([^"]+)">Show under Requests<', page)
    assert all_errors is not None
    assert "4 requests" in anna.get(unescape(all_errors[1])).text
    data = anna.get("/status-codes/over-time/data.json?range=24h").get_json()
    number = max(n for n, total in enumerate(data["totals"]) if total)
    start, end = data["steps"][number]
    assert data["requests_url"] == "/dashboard/data/requests?range=custom"
    answer = anna.get("/data/requests", query_string={"range": "custom", "from": start, "to": end})
    hits = data["totals"][number]
    assert f"{hits} {'request' if hits == 1 else 'requests'}" in answer.text


def test_no_error_and_errors_whose_rows_are_gone(filled: Bound, anna: Browser) -> None:
    with filled.monitor.store.write() as connection:
        connection.execute(delete(Request))
    page = anna.get("/status-codes?range=24h").text
    assert "4 errors were counted, but the requests are no longer stored" in page
    request_hello(filled)
    id, _ = endpoints(filled)["hello"]
    assert "No errors in this range" in anna.get(f"/endpoint/{id}/status-codes?range=24h").text


def test_hostile_names_are_inert(filled: Bound, anna: Browser) -> None:
    name = '</script><script>alert(1)</script>"'
    row = Row(time.time_ns() // 1_000_000, name, 1.0, 500, "GET", name, name)
    BatchWriter(filled.monitor.store, lambda: 1).write(Batch("w3", 1, name, [row]))
    for path in ("/status-codes", "/multi-version-utilization", "/version-performance"):
        assert "<script>alert" not in anna.get(f"{path}?range=24h").text


def test_errors_that_are_no_longer_stored_are_said(filled: Bound, anna: Browser) -> None:
    assert "4 errors" in anna.get("/status-codes?range=24h").text
    assert "counted requests" not in anna.get("/status-codes?range=24h").text
    with filled.monitor.store.write() as connection:
        connection.execute(delete(Request).where(Request.status == 404))
    page = anna.get("/status-codes?range=24h").text
    assert "2 errors" in page
    assert "stored, of 4 counted requests" in page
    now = datetime.now(filled.monitor.store.timezone)
    minute = f"range=custom&from={now - timedelta(minutes=20):%Y-%m-%dT%H:%M}"
    minute += f"&to={now + timedelta(minutes=1):%Y-%m-%dT%H:%M}"
    # The chart has whole hours: what it counts more may be there.
    assert "counted requests" not in anna.get(f"/status-codes?{minute}").text


def test_errors_beyond_what_is_counted(
    filled: Bound, anna: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measured, "COUNTED", 3)
    page = anna.get("/status-codes?range=24h").text
    assert "3+ errors" in page
    assert "stored, of 4 counted requests" in page
