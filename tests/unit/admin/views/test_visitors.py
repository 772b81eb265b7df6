"""The pages of users and IPs, on stored requests of a few users."""

from __future__ import annotations

import csv
import io
import re
import time
from html import unescape
from urllib.parse import parse_qs, urlsplit

import pytest

from fmd_admin.records import Batch, Row
from fmd_admin.store.writer import BatchWriter

from ....support import Bound
from ..browser import Browser
from .test_overview import endpoints, request_hello

PAGES = ("/users-versions", "/ips-versions", "/user-performance")
HOSTILE = "<b>=1+1</b>"


def send(bound: Bound, hits: dict[str, int], version: str = "1.0") -> None:
    """Store requests of the endpoint hello, by user."""
    now_ms = int(time.time() * 1000)
    rows = [
        Row(now_ms, "hello", 5.0 + number, 200, "GET", name, f"192.0.2.{len(name)}")
        for name, times in hits.items()
        for number in range(times)
    ]
    BatchWriter(bound.monitor.store, lambda: 1).write(Batch(f"w{version}", 1, version, rows))


def paths(bound: Bound) -> list[str]:
    id, _ = endpoints(bound)["hello"]
    return [
        *PAGES,
        *(f"/endpoint/{id}/{page}" for page in ("users-versions", "ips-versions", "users")),
    ]


def test_empty_pages_say_how_to_set_it(bound: Bound, anna: Browser) -> None:
    for path in ("/users-versions", "/user-performance"):
        page = anna.get(path).text
        assert "No user is known" in page
        assert "group_by=" in page
        assert "<canvas" not in page
    assert "No requests in this range" in anna.get("/ips-versions").text


def test_requests_of_nobody_are_no_user(bound: Bound, anna: Browser) -> None:
    request_hello(bound)
    assert "No user is known" in anna.get("/users-versions").text
    assert anna.get("/ips-versions/data.json").get_json()["total"] == 1


def test_figures_of_all_and_of_one_endpoint(bound: Bound, anna: Browser) -> None:
    send(bound, {"bilal": 2, "anna": 4})
    send(bound, {"anna": 1}, "2.0")
    for path in paths(bound):
        if "ips" in path:
            continue
        data = anna.get(f"{path}/data.json").get_json()
        assert (data["total"], data["page"], data["pages"]) == (2, 1, 1)
        if "boxes" in data:
            assert [(b["name"], b["hits"], b["mean_ms"]) for b in data["boxes"]] == [
                ("anna", 5, 6.2),
                ("bilal", 2, 5.5),
            ]
        else:
            assert data["visitors"] == ["anna", "bilal"]
            assert data["versions"] == ["1.0", "2.0"]
            found = [(b["visitor"], b["version"], b["hits"], b["mean_ms"]) for b in data["bubbles"]]
            assert found == [(0, 0, 4, 6.5), (0, 1, 1, 5.0), (1, 0, 2, 5.5)]
            for bubble in data["bubbles"]:
                ratio = bubble["mean_ms"] / data["median_ms"]
                assert bubble["against_median"] == pytest.approx(ratio)


def test_csv_and_data_table_agree(bound: Bound, anna: Browser) -> None:
    send(bound, {"bilal": 2, "anna": 4, HOSTILE: 1})
    for path in paths(bound):
        header, *rows = list(csv.reader(io.StringIO(anna.get(f"{path}/data.csv").text)))
        page = anna.get(path).text
        body = page[page.index("<tbody>") : page.index("</tbody>")]
        assert body.count("<tr>") == len(rows) == 3
        for label in header:
            assert f">{label}</th>" in page
        assert HOSTILE not in page


def test_links_lead_to_the_requests(bound: Bound, anna: Browser) -> None:
    send(bound, {"bilal": 2, "anna": 4})
    send(bound, {"anna": 1}, "2.0")
    for path in paths(bound):
        data = anna.get(f"{path}/data.json?range=24h").get_json()
        for item in data.get("bubbles", data.get("boxes")):
            target = anna.get(item["url"].removeprefix("/dashboard")).text
            noun = "request" if item["hits"] == 1 else "requests"
            assert re.search(rf">\s*{item['hits']} {noun}", target), item["url"]
            words = parse_qs(urlsplit(item["url"]).query)
            assert words["range"] == ["custom"]
            assert ("endpoint" in words) is path.startswith("/endpoint/")


@pytest.mark.parametrize("against", ["previous", "week", "off"])
def test_rows_lead_to_the_requests_whatever_is_compared(
    bound: Bound, anna: Browser, against: str
) -> None:
    send(bound, {"bilal": 2, "anna": 4})
    for path in paths(bound):
        page = anna.get(f"{path}?range=24h&against={against}").text
        body = page[page.index("<tbody>") : page.index("</tbody>")]
        links = [unescape(link) for link in re.findall(r'<a href="/dashboard([^"]+)"', body)]
        assert len(links) == 2
        for link, hits in zip(links, (4, 2), strict=True):
            assert link.count("?") == 1
            assert f"{hits} requests" in anna.get(link).text, link


def test_search_and_pages(bound: Bound, anna: Browser) -> None:
    send(bound, {f"user{number:02}": 60 - number for number in range(55)})
    for path in ("/users-versions", "/user-performance"):
        first = anna.get(path).text
        assert "1–25 of 55 users" in first
        assert "page=2" in first
        last = anna.get(f"{path}?page=3").text
        assert "51–55 of 55 users" in last
        assert f'data-url="/dashboard{path}/data.json?page=3&amp;range=7d"' in last
        data = anna.get(f"{path}/data.json?page=3").get_json()
        assert (data["page"], data["pages"], data["total"]) == (3, 3, 55)
        assert len(anna.get(f"{path}/data.csv").text.splitlines()) == 56
        found = anna.get(f"{path}?q=USER4").text
        assert "10 users found" in found
        assert f'data-url="/dashboard{path}/data.json?q=USER4&amp;range=7d"' in found
        assert f'href="/dashboard{path}/data.csv?q=USER4&amp;range=7d"' in found
        assert anna.get(f"{path}/data.json?q=user4").get_json()["total"] == 10
        assert len(anna.get(f"{path}/data.csv?q=user4").text.splitlines()) == 11
        nobody = anna.get(f"{path}?q=%3Cb%3E&range=24h").text
        assert "No user matches “&lt;b&gt;”" in nobody
        assert f'href="/dashboard{path}?range=24h"' in nobody


@pytest.mark.parametrize("page", ["0", "-3", "x", "99999999999999999999"])
def test_pages_that_are_none(bound: Bound, anna: Browser, page: str) -> None:
    send(bound, {"anna": 1})
    assert anna.get(f"/users-versions/data.json?page={page}").get_json()["page"] == 1


def test_a_range_within_a_day_is_said_to_be_whole_days(bound: Bound, anna: Browser) -> None:
    send(bound, {"anna": 1})
    assert "counted by the day" in anna.get("/users-versions?range=1h").text
    assert "counted by the day" not in anna.get("/users-versions?range=7d").text


@pytest.mark.parametrize("rest", ["users-versions", "ips-versions", "users"])
def test_endpoint_that_does_not_exist(anna: Browser, rest: str) -> None:
    for suffix in ("", "/data.json", "/data.csv"):
        assert anna.get(f"/endpoint/999/{rest}{suffix}").status_code == 404
