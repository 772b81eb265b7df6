"""The lists under Data: filters, paging, details, export and deletion."""

from __future__ import annotations

import csv
import io
import re
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from html import unescape
from typing import Any

import psutil
import pytest
from sqlalchemy import func, insert, select

from fmd_admin.admin.views import data_list, data_rows
from fmd_admin.records import Batch, Row
from fmd_admin.store import emptying
from fmd_admin.store.models import (
    Client,
    Endpoint,
    Group,
    Hour,
    Request,
    RollupDelta,
    Version,
)
from fmd_admin.store.types import to_millis
from fmd_admin.store.writer import BatchWriter

from ...support import Bound
from .browser import Browser

NOW = datetime.now(timezone.utc).replace(microsecond=0)
FORMULA = '=HYPERLINK("http://evil","x")'
ENDPOINTS = ("shop.index", "shop.search", "api.<b>orders</b>", FORMULA)


def fill(bound: Bound, count: int, *, step_s: float = 1.0) -> None:
    """Store ``count`` requests, the newest now and one each ``step_s`` before."""
    now_ms = to_millis(NOW)
    with bound.monitor.store.write() as connection:
        for index, name in enumerate(ENDPOINTS):
            values = {"level": index % 2, "first_seen": NOW, "last_requested": NOW}
            connection.execute(insert(Endpoint).values(id=index + 1, name=name, **values))
        for index, name in enumerate(("1.0", "2.0")):
            first_seen = NOW + timedelta(seconds=index)
            row = {"id": index + 1, "name": name, "first_seen": first_seen}
            connection.execute(insert(Version).values(row))
        for index, name in enumerate(("ben", "b_n", FORMULA)):
            connection.execute(insert(Group).values(id=index + 1, name=name))
        for index, name in enumerate(("203.0.113.7", "198.51.100.1")):
            connection.execute(insert(Client).values(id=index + 1, name=name))
        rows = (
            (
                index + 1,
                now_ms - int((count - 1 - index) * step_s * 1000),
                index % 4 + 1,
                index % 2 + 1,
                index % 3 + 1 if index % 5 else None,
                index % 2 + 1 if index % 7 else None,
                (index * 7) % 1000 + 0.5,
                (200, 200, 404, 500)[index % 4],
                (1, 3)[index % 2],
            )
            for index in range(count)
        )
        connection.exec_driver_sql(
            "INSERT INTO fmd_request (id, time, endpoint_id, version_id, group_id, client_id, "
            "duration_ms, status, method) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            list(rows),
        )


def ids(page: str) -> list[int]:
    """The ids of the rows on a page, in their order."""
    return [int(found) for found in re.findall(r'name="ids" value="(\d+)" form="bulk"', page)]


def table(answer: Any) -> list[dict[str, str]]:
    """The rows of a CSV."""
    assert answer.status_code == 200
    assert answer.mimetype == "text/csv"
    return list(csv.DictReader(io.StringIO(answer.text)))


def number(bound: Bound, model: Any) -> int:
    with bound.monitor.store.read() as connection:
        return connection.scalar(select(func.count()).select_from(model)) or 0


@pytest.fixture
def filled(bound: Bound) -> Bound:
    fill(bound, 120)
    return bound


FILTERS = [
    ("", lambda i: True),
    ("endpoint=shop.search", lambda i: i % 4 == 1),
    ("endpoint=nope", lambda i: False),
    ("version=2.0", lambda i: i % 2 == 1),
    ("version=1.0&version=2.0", lambda i: True),
    ("group=ben", lambda i: i % 3 == 0 and i % 5),
    # An underscore is a letter here, not a wildcard.
    ("group=b_n", lambda i: i % 3 == 1 and i % 5),
    ("ip=203.0.113.7", lambda i: i % 2 == 0 and i % 7),
    ("status=404", lambda i: i % 4 == 2),
    ("status=4xx,500", lambda i: i % 4 in (2, 3)),
    ("status=5xx", lambda i: i % 4 == 3),
    ("method=POST", lambda i: i % 2 == 1),
    ("min_ms=700", lambda i: (i * 7) % 1000 + 0.5 >= 700),
    ("search=SEARCH", lambda i: i % 4 == 1),
    ("search=b_n", lambda i: i % 3 == 1 and i % 5),
    ("search=äb", lambda i: False),
    ("search=198.51", lambda i: i % 2 == 1 and i % 7),
    ("search=%25", lambda i: False),
    ("search=x%00y", lambda i: False),
    ("endpoint=shop.index&status=200&min_ms=300", lambda i: i % 4 == 0 and i * 7 % 1000 >= 300),
    ("range=1h", lambda i: True),
]


def test_filters_hold_for_page_and_export(filled: Bound, anna: Browser) -> None:
    for query, matches in FILTERS:
        expected = [index + 1 for index in reversed(range(120)) if matches(index)]
        page = anna.get(f"/data/requests?{query}")
        assert page.status_code == 200, query
        assert ids(page.text) == expected[:50], query
        assert re.search(rf"\b{len(expected)} requests?\b", page.text), query
        assert "flash-error" not in page.text, query
        link = re.search(r'href="([^"]*data\.csv[^"]*)"', page.text)
        assert link is not None
        rows = table(anna.client.get(link[1].replace("&amp;", "&")))
        times = [to_millis(NOW) - (120 - i) * 1000 for i in expected]
        assert [to_millis(datetime.fromisoformat(row["Time"])) for row in rows] == times, query


def test_custom_range_holds_to_the_minute(filled: Bound, anna: Browser) -> None:
    zone = timezone.utc
    start = (NOW - timedelta(seconds=90)).replace(second=0).astimezone(zone)
    end = start + timedelta(minutes=1)
    query = f"range=custom&from={start:%Y-%m-%dT%H:%M}&to={end:%Y-%m-%dT%H:%M}"
    rows = table(anna.get(f"/data/requests/data.csv?{query}"))
    times = [datetime.fromisoformat(row["Time"]) for row in rows]
    assert times
    assert all(start <= moment < end for moment in times)
    assert len(ids(anna.get(f"/data/requests?{query}").text)) == min(len(times), 50)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("status=abc", "Status is &#39;abc&#39;. Allowed: a status such as 404"),
        ("status=42", "Allowed: a status such as 404"),
        ("method=BREW", "Method is &#39;BREW&#39;. Allowed: OTHER, GET"),
        ("min_ms=-1", "Allowed: a duration in ms"),
        ("min_ms=nan", "Allowed: a duration in ms"),
    ],
)
def test_filter_that_is_not_understood(
    filled: Bound, anna: Browser, query: str, message: str
) -> None:
    page = anna.get(f"/data/requests?{query}")
    assert page.status_code == 200
    assert message in page.text
    assert ids(page.text) == []
    download = anna.get(f"/data/requests/data.csv?{query}", headers={"Accept": "text/html"})
    assert download.status_code == 400
    assert "Allowed" in download.text


@pytest.mark.parametrize("query", ["range=9d", "version=9.9", "range=custom&from=never"])
def test_range_that_is_not_understood(filled: Bound, anna: Browser, query: str) -> None:
    page = anna.get(f"/data/requests?{query}")
    assert "flash-error" in page.text
    assert anna.get(f"/data/requests/data.csv?{query}").status_code == 400


def test_old_requests_are_out_of_the_range(bound: Bound, anna: Browser) -> None:
    fill(bound, 30, step_s=86_400)
    assert len(ids(anna.get("/data/requests").text)) == 7
    assert len(ids(anna.get("/data/requests?range=30d").text)) == 30


def test_pages_and_sorting(filled: Bound, anna: Browser) -> None:
    seen: list[int] = []
    for page in (1, 2, 3):
        seen += ids(anna.get(f"/data/requests?page={page}").text)
    assert seen == list(range(120, 0, -1))
    assert ids(anna.get("/data/requests?page=99").text) == seen[100:]
    assert ids(anna.get("/data/requests?page=-5").text) == seen[:50]
    assert ids(anna.get("/data/requests?page=x").text) == seen[:50]
    oldest = ids(anna.get("/data/requests?sort=time&desc=0").text)
    assert oldest == list(range(1, 51))
    slowest = ids(anna.get("/data/requests?sort=duration_ms&desc=1").text)
    assert slowest == sorted(range(1, 121), key=lambda i: -((i - 1) * 7 % 1000))[:50]
    for key in ("endpoint", "method", "status", "version", "group", "client"):
        for desc in (0, 1):
            assert len(ids(anna.get(f"/data/requests?sort={key}&desc={desc}").text)) == 50
    assert ids(anna.get("/data/requests?sort=;DROP").text) == seen[:50]


@pytest.fixture
def cap(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Sets how many rows are counted, paged, sorted and looked through at most."""

    def at(most: int) -> None:
        for module in (data_rows, data_list):
            monkeypatch.setattr(module, "COUNTED", most)

    return at


def test_count_and_sorting_are_capped(
    filled: Bound, anna: Browser, cap: Callable[[int], None]
) -> None:
    cap(100)
    page = anna.get("/data/requests?sort=duration_ms&desc=1").text
    assert "100+ requests; sorted are the newest 100" in page
    newest = range(21, 121)
    assert ids(page) == sorted(newest, key=lambda i: -((i - 1) * 7 % 1000))[:50]
    last = anna.get("/data/requests?page=9").text
    assert "Page 2 of 2; filter to reach older ones" in last
    assert ids(last) == list(range(70, 20, -1))
    assert len(table(anna.get("/data/requests/data.csv"))) == 120


def test_what_has_no_index_is_looked_for_among_the_newest(
    filled: Bound, anna: Browser, cap: Callable[[int], None]
) -> None:
    # Of 120 requests, one a second, those from 20 on are looked through.
    cap(100)
    every = list(range(117, 0, -4))
    page = anna.get("/data/requests?endpoint=shop.index").text
    since = NOW - timedelta(seconds=100)
    assert f"looked through are the newest 100, back to {since:%Y-%m-%d %H:%M:%S}.000" in page
    assert ids(page) == [number for number in every if number >= 20]
    # The export goes through all of them.
    assert len(table(anna.get("/data/requests/data.csv?endpoint=shop.index"))) == len(every)
    found = re.search(r'href="/dashboard([^"]+)">Look further back', page)
    assert found is not None
    further = ids(anna.get(unescape(found[1])).text)
    assert set(ids(page)) | set(further) == set(every)
    nothing = anna.get("/data/requests?min_ms=999999").text
    assert "No request matches" in nothing
    assert "Only the newest 100 requests were looked through." in nothing
    # What an index answers is not cut off: 60 of the 120 are errors, two ways to ask.
    for query in ("status=404,5xx", "status=404,500"):
        errors = anna.get(f"/data/requests?{query}").text
        assert "60 requests" in errors
        assert "looked through" not in errors
    assert "looked through" not in anna.get("/data/requests").text


@pytest.mark.parametrize(
    ("min_ms", "matching"),
    # Of 120 requests, the newest of which take longest: whole pages, parts of one, and one row.
    [(140, 100), (490, 50), (133, 101), (497, 49), (833, 1)],
)
def test_pages_of_what_is_looked_for(
    filled: Bound, anna: Browser, min_ms: int, matching: int
) -> None:
    every = list(range(120, 120 - matching, -1))
    last = (matching - 1) // 50 + 1
    for number_of_page in (*range(1, last + 1), last + 1, 99, 10**12):
        page = anna.get(f"/data/requests?min_ms={min_ms}&page={number_of_page}").text
        shown = min(number_of_page, last)
        assert ids(page) == every[50 * (shown - 1) : 50 * shown], number_of_page
        assert f"{matching} request{'s' * (matching > 1)}" in page
    oldest = anna.get(f"/data/requests?min_ms={min_ms}&sort=time&desc=0").text
    assert ids(oldest) == every[::-1][:50]


def test_what_is_looked_for_is_capped(
    filled: Bound, anna: Browser, cap: Callable[[int], None]
) -> None:
    cap(60)
    page = anna.get("/data/requests?min_ms=0").text
    assert ids(page) == list(range(120, 70, -1))
    assert "60+ requests" in page
    assert "looked through are the newest 60" in page
    last = anna.get("/data/requests?min_ms=0&page=2").text
    assert ids(last)[:10] == list(range(70, 60, -1))


def test_filters_survive_sorting_and_paging(filled: Bound, anna: Browser) -> None:
    page = anna.get("/data/requests?search=shop&range=24h&sort=status&desc=1").text
    for found in re.findall(r'<th scope="col"[^>]*>\s*<a href="([^"]+)"', page):
        assert "search=shop" in found
        assert "range=24h" in found
    assert 'name="range" value="24h"' in page
    assert 'name="sort" value="status"' in page
    assert 'value="shop"' in page


def test_details(filled: Bound, anna: Browser, vera: Browser) -> None:
    page = anna.get("/data/requests?search=shop").text
    link = re.search(r'href="([^"]*/data/requests/details[^"]*)"', page)
    assert link is not None
    details = anna.client.get(link[1].replace("&amp;", "&")).text
    assert "Endpoint" in details
    assert 'href="/dashboard/data/requests?search=shop"' in details
    assert "Delete" in details
    assert "Delete" not in vera.get("/data/requests/details?id=1").text
    for path in ("requests/details?id=999", "requests/details", "versions/details?id=x"):
        assert anna.get(f"/data/{path}").status_code == 404
    assert anna.get("/data/endpoints/details?id=1").status_code == 200
    evil = anna.get("/data/requests/details?id=1&back=//evil.example").text
    assert 'href="//evil' not in evil


def test_hostile_names_are_inert(filled: Bound, anna: Browser) -> None:
    hostile = "<b>orders</b>"
    for path in ("requests", "endpoints", "requests/details?id=3", "endpoints/delete?ids=3"):
        page = anna.get(f"/data/{path}").text
        assert hostile not in page, path
        assert "&lt;b&gt;orders" in page, path
    page = anna.get("/data/requests", query_string={"search": '"><script>x</script>'}).text
    assert "<script>x" not in page
    for path in ("requests", "endpoints"):
        text = anna.get(f"/data/{path}/data.csv").text
        assert "'=HYPERLINK" in text
        assert not re.search(r'(^|,)"?=', text, re.M)


@pytest.mark.parametrize("kind", ["requests", "endpoints", "versions"])
def test_deleting_asks_first_and_works_without_javascript(
    filled: Bound, anna: Browser, kind: str
) -> None:
    model = {"requests": Request, "endpoints": Endpoint, "versions": Version}[kind]
    before = number(filled, model)
    assert f"/dashboard/data/{kind}/delete" in anna.get(f"/data/{kind}").text
    asked = anna.post(f"/data/{kind}/delete", {"ids": ["1", "2"], "back": f"/data/{kind}?page=1"})
    assert asked.status_code == 200
    assert f"Delete 2 {kind}?" in asked.text
    assert asked.text.count('name="ids"') == 2
    assert f'href="/dashboard/data/{kind}?page=1"' in asked.text
    assert number(filled, model) == before
    form = {"ids": ["1", "2"], "confirmed": "yes", "back": f"/data/{kind}?page=1"}
    done = anna.post(f"/data/{kind}/delete", form)
    assert done.location == f"/dashboard/data/{kind}?page=1"
    assert f"2 {kind} deleted" in anna.get(f"/data/{kind}").text
    assert number(filled, model) == before - 2


def test_deleting_one_by_a_link(filled: Bound, anna: Browser) -> None:
    page = anna.get("/data/requests/details?id=7").text
    link = re.search(r'href="([^"]*/delete[^"]*)"', page)
    assert link is not None
    asked = anna.client.get(link[1].replace("&amp;", "&")).text
    assert "Delete 1 request?" in asked
    assert number(filled, Request) == 120
    anna.post("/data/requests/delete", {"ids": "7", "confirmed": "yes"})
    assert number(filled, Request) == 119


def test_what_hangs_on_an_endpoint_goes_with_it(bound: Bound, anna: Browser) -> None:
    bound.app.test_client().get("/hello/x").close()
    assert bound.rows()
    anna.post("/data/endpoints/delete", {"ids": "1", "confirmed": "yes"})
    for model in (Endpoint, Request, RollupDelta, Hour):
        assert number(bound, model) == 0


def test_a_long_deletion_takes_several_requests(
    filled: Bound, anna: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_list, "EMPTYING_S", 0)
    monkeypatch.setattr(emptying, "_FIRST_ROWS", 50)
    rows = [Row(int(time.time() * 1000), "many", 5.0, 200, "GET", None, None)] * 120
    BatchWriter(filled.monitor.store, lambda: 1).write(Batch("many", 1, "1.0", rows))
    id = ids(anna.get("/data/endpoints?search=many").text)[0]
    form: dict[str, Any] = {"ids": str(id), "confirmed": "yes", "back": "/data/endpoints"}
    answer = anna.post("/data/endpoints/delete", form)
    told = []
    while answer.status_code == 200:
        assert "Deleting 1 endpoint" in answer.text
        assert number(filled, Endpoint) == 5
        told.append(re.findall(r"(\d+) rows are deleted so far", answer.text)[0])
        fields = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', answer.text)
        action = re.search(r'method="post" action="/dashboard([^"]+)" data-go-on', answer.text)
        assert action is not None
        answer = anna.open(action[1], method="POST", data=dict(fields))
    assert told[:2] == ["50", "100"]
    assert answer.location == "/dashboard/data/endpoints"
    assert "1 endpoint deleted" in anna.get("/data/endpoints").text
    assert number(filled, Endpoint) == 4


@pytest.mark.parametrize(
    ("form", "status", "message"),
    [
        ({}, 303, "Select at least one request first"),
        ({"ids": "x", "confirmed": "yes"}, 303, "Select at least one request first"),
        ({"ids": ["999"], "confirmed": "yes"}, 303, "0 requests deleted"),
        ({"ids": [str(i) for i in range(1, 502)], "confirmed": "yes"}, 400, "At most 500"),
        ({"ids": "1", "confirmed": "yes", "back": "//evil.example"}, 303, "1 request deleted"),
    ],
)
def test_deleting_nothing_or_too_much(
    filled: Bound, anna: Browser, form: dict[str, Any], status: int, message: str
) -> None:
    answer = anna.post("/data/requests/delete", form)
    assert answer.status_code == status
    if status == 303:
        assert answer.location == "/dashboard/data/requests"
        assert message in anna.get("/data/requests").text
    else:
        assert message in answer.text


def test_viewer_sees_no_way_to_delete(filled: Bound, vera: Browser) -> None:
    for kind in ("requests", "endpoints", "versions"):
        page = vera.get(f"/data/{kind}").text
        assert "Delete" not in page
        assert 'name="ids"' not in page
        assert "data-check-all" not in page
    assert vera.get("/data/requests/delete?ids=1").status_code == 403
    assert vera.post("/data/requests/delete", {"ids": "1", "confirmed": "yes"}).status_code == 403
    assert number(filled, Request) == 120


def test_endpoints_and_versions(filled: Bound, anna: Browser) -> None:
    page = anna.get("/data/endpoints").text
    assert ids(page) == [4, 3, 1, 2]
    assert ids(anna.get("/data/endpoints?level=1").text) == [4, 2]
    assert ids(anna.get("/data/endpoints?search=SHOP").text) == [1, 2]
    assert "flash-error" in anna.get("/data/endpoints?level=x").text
    assert ids(anna.get("/data/versions").text) == [2, 1]
    rows = table(anna.get("/data/versions/data.csv?search=1.0"))
    assert [row["Version"] for row in rows] == ["1.0"]


def test_empty_lists_say_what_to_do(bound: Bound, anna: Browser) -> None:
    assert "No requests in this range" in anna.get("/data/requests").text
    assert "No endpoints yet" in anna.get("/data/endpoints").text
    assert "No version matches" in anna.get("/data/versions?search=x").text
    assert "Clear the filters" in anna.get("/data/versions?search=x").text


def test_model_views_leave_out_what_changes(bound: Bound) -> None:
    rules = {
        rule.rule: rule.endpoint.split(".")[1]
        for rule in bound.monitor.panel_app.url_map.iter_rules()
        if rule.rule.startswith("/data/requests")
    }
    assert rules == {
        "/data/requests": "index_view",
        "/data/requests/details": "details_view",
        "/data/requests/delete": "delete_rows",
        "/data/requests/data.csv": "data_csv",
    }


def test_times_are_those_of_the_zone(bind: Any) -> None:
    bound = bind(timezone="Asia/Kolkata")
    fill(bound, 3)
    browser = Browser(bound.app)
    browser.login()
    local = NOW.astimezone(bound.monitor.store.timezone)
    assert f"{local:%Y-%m-%d %H:%M:%S}.000" in browser.get("/data/requests").text


def test_large_export_takes_constant_memory(bound: Bound, anna: Browser) -> None:
    """Many rows: read in chunks, sent while they are read, all of them once."""
    fill(bound, 60_000, step_s=0.1)
    process = psutil.Process()
    # What a first download loads and compiles is not what it holds.
    anna.get("/data/requests/data.csv?endpoint=nope").close()
    before = peak = process.memory_info().rss
    answer = anna.get("/data/requests/data.csv", buffered=False)
    assert answer.status_code == 200
    pieces = iter(answer.response)
    first = next(pieces)
    assert len(first) < 200_000
    lines, largest = first.count(b"\n"), len(first)
    for index, piece in enumerate(pieces):
        lines += piece.count(b"\n")
        largest = max(largest, len(piece))
        if index % 20 == 0:
            peak = max(peak, process.memory_info().rss)
    answer.close()
    assert largest < 200_000
    assert peak - before < 20 * 1024 * 1024
    assert lines == 60_000 + 1


def test_export_gives_each_row_once_while_rows_come_and_go(
    filled: Bound, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_rows, "EXPORT_CHUNK", 10)
    store = filled.monitor.store
    # Four requests in the same millisecond lie across the border of a chunk.
    with store.write() as connection:
        connection.exec_driver_sql(
            "UPDATE fmd_request SET time = (SELECT time FROM fmd_request WHERE id = 109) "
            "WHERE id BETWEEN 108 AND 114"
        )
    statement = select(Request.id)
    rows: Iterator[Any] = data_rows.export(store, statement, (Request.time, Request.id))
    found = [next(rows)[0] for _ in range(15)]
    with store.write() as connection:
        connection.exec_driver_sql("DELETE FROM fmd_request WHERE id = 50")
        connection.exec_driver_sql(
            "INSERT INTO fmd_request (id, time, endpoint_id, version_id, duration_ms, status, "
            f"method) VALUES (999, {to_millis(NOW) + 1}, 1, 1, 1.0, 200, 1)"
        )
    found += [row[0] for row in rows]
    assert sorted(found) == [index for index in range(1, 121) if index != 50]
