"""The pages of versions: search, pages, and the requests behind a bar or box."""

from __future__ import annotations

import csv
import io
import re
import time
from html import unescape

import pytest

from fmd_admin.read import versions
from fmd_admin.records import Batch, Row
from fmd_admin.store.writer import BatchWriter

from ....support import Bound
from ..browser import Browser
from .test_overview import endpoints, request_hello


def fill(bound: Bound, names: list[str], now_ms: int) -> None:
    """Two requests of a and one of b under each version."""
    for number, name in enumerate(names):
        rows = [
            Row(now_ms - 60_000 + number, endpoint, 5.0, 200, "GET", None, None)
            for endpoint in ("shop.a", "shop.a", "b")
        ]
        BatchWriter(bound.monitor.store, lambda: 1).write(Batch(f"w{number}", 1, name, rows))


@pytest.fixture
def filled(bound: Bound) -> Bound:
    fill(bound, ["1.0", "2.0", "3.0"], time.time_ns() // 1_000_000)
    return bound


def test_bars_of_each_version(filled: Bound, anna: Browser) -> None:
    data = anna.get("/multi-version-utilization/data.json?range=24h").get_json()
    assert [bar["name"] for bar in data["bars"]] == ["3.0", "2.0", "1.0"]
    assert [bar["hits"] for bar in data["bars"]] == [[2, 1]] * 3
    assert [series["name"] for series in data["series"]] == ["shop.a", "b"]
    assert data["total"] == 9


def test_json_csv_and_table_say_the_same(filled: Bound, anna: Browser) -> None:
    data = anna.get("/multi-version-utilization/data.json?range=24h").get_json()
    _, *rows = csv.reader(
        io.StringIO(anna.get("/multi-version-utilization/data.csv?range=24h").text)
    )
    expected = [
        [bar["name"], series["name"], str(hits), f"{hits / bar['total']:.6f}"]
        for bar in data["bars"]
        for series, hits in zip(data["series"], bar["hits"], strict=True)
    ]
    assert [[*row[:3], f"{float(row[3]):.6f}"] for row in rows] == expected
    page = anna.get("/multi-version-utilization?range=24h").text
    shown = re.findall(r"<tr>\s*<th scope=\"row\".*?</tr>", page, re.DOTALL)
    cells = [re.findall(r">([^<>\n]+)</(?:a|td)>", row) for row in shown]
    assert [row[:3] for row in cells] == [row[:3] for row in expected]


def test_a_search_stays_in_the_addresses_of_the_data(filled: Bound, anna: Browser) -> None:
    page = anna.get("/multi-version-utilization?range=24h&q=SHOP").text
    address = re.search(r'data-url="/dashboard([^"]+)"', page)
    assert address is not None
    data = anna.get(unescape(address[1])).get_json()
    assert [(series["name"], series["other"]) for series in data["series"]] == [
        ("shop.a", False),
        ("other", True),
    ]
    assert [bar["hits"] for bar in data["bars"]] == [[2, 1]] * 3
    saved = anna.get(unescape(address[1]).replace("data.json", "data.csv")).text
    assert "other" in saved
    assert "No endpoint matches" in anna.get("/multi-version-utilization?q=nowhere").text


def test_many_versions_come_in_pages(
    filled: Bound, anna: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(versions, "PAGE_SIZE", 2)
    for path in ("multi-version-utilization", "version-performance"):
        page = anna.get(f"/{path}?range=24h&page=2").text
        assert "3–3 of 3 versions" in page
        assert f'data-url="/dashboard/{path}/data.json?page=2&amp;range=24h"' in page
    data = anna.get("/version-performance/data.json?range=24h&page=2").get_json()
    assert [box["name"] for box in data["boxes"]] == ["1.0"]
    for path in ("multi-version-utilization", "version-performance"):
        for query in ("range=24h", "range=24h&page=2"):
            _, *rows = anna.get(f"/{path}/data.csv?{query}").text.splitlines()
            saved = dict.fromkeys(row.partition(",")[0] for row in rows)
            assert list(saved) == ["3.0", "2.0", "1.0"]


def test_a_box_leads_to_the_requests_of_its_version(filled: Bound, anna: Browser) -> None:
    id, _ = endpoints(filled)["b"]
    for path, count in (("/version-performance", 3), (f"/endpoint/{id}/versions", 1)):
        data = anna.get(f"{path}/data.json?range=24h").get_json()
        assert [(box["name"], box["hits"]) for box in data["boxes"]] == [
            (name, count) for name in ("3.0", "2.0", "1.0")
        ]
        address = data["boxes"][1]["url"].removeprefix("/dashboard")
        assert "version=2.0" in address
        noun = "request" if count == 1 else "requests"
        assert f"{count} {noun}" in anna.get(address).text


def test_a_row_of_the_table_leads_to_its_requests(filled: Bound, anna: Browser) -> None:
    page = anna.get("/multi-version-utilization?range=24h").text
    links = re.findall(r'<th scope="row" class="nowrap"><a href="/dashboard([^"]+)"', page)
    assert len(links) == 6
    answer = anna.get(unescape(links[0])).text
    assert "2 requests" in answer
    assert "3.0" in answer


def test_a_version_filter_leaves_one_bar(filled: Bound, anna: Browser) -> None:
    data = anna.get("/multi-version-utilization/data.json?range=24h&version=2.0").get_json()
    assert [(bar["name"], bar["total"]) for bar in data["bars"]] == [("2.0", 3)]


def test_an_endpoint_has_the_tab(bound: Bound, anna: Browser) -> None:
    request_hello(bound)
    id, _ = endpoints(bound)["hello"]
    page = anna.get(f"/endpoint/{id}/versions").text
    assert re.search(r'versions" aria-current="page">Versions<', page)


def test_the_version_without_a_name_can_be_chosen(filled: Bound, anna: Browser) -> None:
    now_ms = time.time_ns() // 1_000_000
    rows = [Row(now_ms, "a", 5.0, 200, "GET", "anna", None)] * 7
    BatchWriter(filled.monitor.store, lambda: 1).write(Batch("nameless", 1, "", rows))
    page = anna.get("/overview?version=%28no+version%29").text
    assert re.search(r'value="\(no version\)" checked> \(no version\)', page)
    assert "7 requests" in anna.get("/data/requests?version=%28no+version%29").text
    boxes = anna.get("/version-performance/data.json?range=24h").get_json()["boxes"]
    (url,) = [box["url"] for box in boxes if box["name"] == "(no version)"]
    assert "7 requests" in anna.get(url.removeprefix("/dashboard")).text
    users = anna.get("/users-versions?range=24h").text
    assert ">(no version)<" in users
    links = re.findall(r'href="/dashboard(/data/requests\?[^"]*no\+version[^"]*)"', users)
    assert links
    assert "7 requests" in anna.get(unescape(links[0])).text
