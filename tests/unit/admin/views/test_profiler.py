"""The pages Profiler and Grouped profiler of an endpoint, and their downloads."""

from __future__ import annotations

import csv
import io
import json
import re
import time
from html import unescape

import pytest

from fmd_admin.records import Frame
from fmd_admin.store.live import set_levels

from ....profiles import EXECUTE, VIEW, broad_tree, node, profile, store_batch
from ....support import Bound
from ..browser import Browser

DOWNLOADS = ("data.json", "data.csv", "collapsed.txt", "speedscope.json")


@pytest.fixture
def filled(bound: Bound) -> Bound:
    """Endpoint 1 (shop.search) with the profiles 1 to 3, endpoint 2 (zzz) with profile 4."""
    now_ms = int(time.time() * 1000)
    made = [profile(time_ms=now_ms - i * 60_000, duration_ms=100.0 + i) for i in range(3)]
    store_batch(bound.monitor.store, profiles=[*made, profile(endpoint="zzz")])
    return bound


def test_profiler_opens_the_newest_request(filled: Bound, anna: Browser) -> None:
    page = anna.get("/endpoint/1/profiler").text
    assert 'data-url="/dashboard/endpoint/1/profiler/1/data.json"' in page
    assert "20 samples, one every 5 ms" in page
    assert page.count('aria-current="true">2') == 1
    for text in ("items = find_items(q, page)", "shop/catalog.py:41", "60 ms"):
        assert text in page
    older = anna.get("/endpoint/1/profiler?profile=3").text
    assert "/profiler/3/data.json" in older
    assert re.search(r'href="[^"]+profile=2"[^>]*>Previous<', older)
    assert '<span class="btn" aria-disabled="true">Next</span>' in older


def test_list_keeps_what_the_address_says(filled: Bound, anna: Browser) -> None:
    page = anna.get("/endpoint/1/profiler?range=24h&sort=duration_ms&desc=0&profile=2").text
    links = [
        unescape(link)
        for link in re.findall(r'<th scope="row" class="nowrap"><a href="([^"]+)"', page)
    ]
    assert [re.search(r"profile=(\d)", link)[1] for link in links] == ["1", "2", "3"]  # type: ignore[index]
    assert all("range=24h&sort=duration_ms&desc=0" in link for link in links)
    assert anna.get(links[0].removeprefix("/dashboard")).status_code == 200
    assert 'aria-sort="ascending"' in page


def test_grouped_profiler_has_graph_and_table(filled: Bound, anna: Browser) -> None:
    page = anna.get("/endpoint/1/grouped-profiler?range=24h").text
    assert "3 requests merged" in page
    assert "All profiled requests" in page
    assert 'data-url="/dashboard/endpoint/1/grouped-profiler/data.json?range=24h"' in page
    assert "cdn.jsdelivr.net/npm/chart.js" in page
    for tag in re.findall(r'<script src="https://cdn[^>]+>', page):
        assert 'integrity="sha384-' in tag


def test_data_of_both(filled: Bound, anna: Browser) -> None:
    one = anna.get("/endpoint/1/profiler/1/data.json").get_json()
    assert (one["name"], one["requests"], one["total_us"]) == ("GET shop.search", 1, 100_000)
    assert one["nodes"][:5] == [1, 0, 95_000, 19, 1]
    assert one["lines"][0][1:] == [88, "search", "items = find_items(q, page)", 1]
    assert ["sqlalchemy/engine/base.py", "sqlalchemy"] in one["files"]
    grouped = anna.get("/endpoint/1/grouped-profiler/data.json").get_json()
    assert (grouped["name"], grouped["requests"]) == ("shop.search", 3)
    assert grouped["total_us"] == 303_000


def test_downloads_of_both(filled: Bound, anna: Browser) -> None:
    for path in ("/endpoint/1/profiler/2", "/endpoint/1/grouped-profiler"):
        rows = list(csv.reader(io.StringIO(anna.get(f"{path}/data.csv").text)))
        assert len(rows) == 8
        stacks = anna.get(f"{path}/collapsed.txt")
        assert stacks.headers["Content-Type"].startswith("text/plain")
        assert sum(int(line.rsplit(" ", 1)[1]) for line in stacks.text.splitlines()) >= 101_000
        answer = anna.get(f"{path}/speedscope.json")
        assert answer.headers["Content-Disposition"].endswith('.speedscope.json"')
        assert json.loads(answer.text)["exporter"].startswith("fmd_admin@")
    rows = list(csv.reader(io.StringIO(anna.get("/endpoint/1/profiler/data.csv").text)))
    assert [row[1] for row in rows] == ["Duration", "100.0", "101.0", "102.0"]


@pytest.mark.parametrize(
    "path",
    [
        "/endpoint/999/profiler",
        "/endpoint/999/grouped-profiler",
        "/endpoint/99999999999999999999999/profiler",
        "/endpoint/1/profiler?profile=4",
        "/endpoint/1/profiler?profile=99",
        "/endpoint/1/profiler?profile=99999999999999999999999",
        f"/endpoint/1/profiler?profile={'9' * 5000}",
        "/endpoint/1/profiler?profile=-1",
        "/endpoint/1/profiler?profile=abc",
        "/endpoint/1/profiler?profile=",
        *(f"/endpoint/1/profiler/{id}/{name}" for id in (4, 99, 10**30) for name in DOWNLOADS),
        *(f"/endpoint/999/profiler/1/{name}" for name in DOWNLOADS),
        *(f"/endpoint/999/grouped-profiler/{name}" for name in DOWNLOADS),
        "/endpoint/999/profiler/data.csv",
    ],
)
def test_what_does_not_exist_is_a_404_page(filled: Bound, anna: Browser, path: str) -> None:
    answer = anna.get(path)
    assert answer.status_code == 404
    assert "Traceback" not in answer.text
    assert "There is no such page" in answer.text


def test_bad_ranges_and_pages(filled: Bound, anna: Browser) -> None:
    for name in DOWNLOADS:
        assert anna.get(f"/endpoint/1/grouped-profiler/{name}?range=soon").status_code == 400
    assert anna.get("/endpoint/1/profiler/data.csv?range=soon").status_code == 400
    for query in ("range=soon", "page=x", "page=-5", "page=99999999999999999999", "sort=tree"):
        assert anna.get(f"/endpoint/1/profiler?{query}").status_code == 200
        assert anna.get(f"/endpoint/1/grouped-profiler?{query}").status_code == 200


def test_empty_pages_say_what_to_do(bound: Bound, anna: Browser) -> None:
    store_batch(bound.monitor.store, left_out={"idle": 1})
    for page in ("profiler", "grouped-profiler"):
        # Endpoints that these tests make begin at level 3.
        assert "its next request will be profiled" in anna.get(f"/endpoint/1/{page}").text
    with bound.monitor.store.write() as connection:
        set_levels(connection, [1], 1)
    for page in ("profiler", "grouped-profiler"):
        text = anna.get(f"/endpoint/1/{page}").text
        assert "Set its level to 3 above" in text
        assert "tree_page.js" not in text


def test_requests_that_no_sample_met(bound: Bound, anna: Browser) -> None:
    store_batch(bound.monitor.store, profiles=[profile([], samples=0, duration_ms=1.5)])
    assert "No sample met this request" in anna.get("/endpoint/1/profiler").text
    assert (
        "No sample met any of 1 profiled request" in anna.get("/endpoint/1/grouped-profiler").text
    )


@pytest.mark.parametrize(
    ("samples", "says", "ms"),
    [(0, "0 samples ·", None), (1, "1 sample ·", 1.5), (2, "2 samples, one every 5 ms ·", 3.0)],
)
def test_a_request_says_how_many_samples_it_has(
    bound: Bound, anna: Browser, samples: int, says: str, ms: float | None
) -> None:
    """A request of 4 ms: what its samples stand for is shown, the rest is not made up."""
    roots = [] if ms is None else [node(VIEW, ms, hits=samples)]
    store_batch(bound.monitor.store, profiles=[profile(roots, samples=samples, duration_ms=4.0)])
    page = anna.get("/endpoint/1/profiler").text
    assert re.search(rf"4(\.00?)? ms · {says}", page), re.findall(r".{30}sample.{30}", page)
    assert ("No sample met this request" in page) == (samples == 0)
    found = anna.get("/endpoint/1/profiler/1/data.json").get_json()
    assert (found["samples"], found["total_us"]) == (samples, 4000)
    # Its third figure is the time in µs.
    assert found["nodes"][2:3] == ([] if ms is None else [ms * 1000])
    table = csv.reader(anna.get("/endpoint/1/profiler/1/data.csv").text.splitlines())
    whole = next(row for row in table if row[1] == "(request)")
    # All of its time, and what no sample stands for.
    assert [float(figure) for figure in whole[9:11]] == [4.0, 4.0 - (ms or 0.0)]


def test_texts_of_the_host_are_escaped(bound: Bound, anna: Browser) -> None:
    frame = Frame("<script>.py", 1, "<lambda>", True)
    store_batch(bound.monitor.store, profiles=[profile([node(frame, 50)], endpoint="<i>")])
    for page in ("profiler", "grouped-profiler"):
        text = anna.get(f"/endpoint/1/{page}").text
        assert "<script>.py" not in text
        assert "<lambda>" not in text


def test_a_tree_of_5000_lines_is_a_small_page(bound: Bound, anna: Browser) -> None:
    store_batch(bound.monitor.store, profiles=[profile(broad_tree(5_000), duration_ms=4200.0)])
    for page, data in (("profiler", "profiler/1"), ("grouped-profiler", "grouped-profiler")):
        assert len(anna.get(f"/endpoint/1/{page}").data) < 150_000
        answer = anna.get(f"/endpoint/1/{data}/data.json")
        assert len(answer.data) < 2_000_000
        assert len(answer.get_json()["nodes"]) == 6 * 5_000


def test_viewers_see_them_and_others_do_not(filled: Bound, vera: Browser, nobody: Browser) -> None:
    for path in ("/endpoint/1/profiler", "/endpoint/1/grouped-profiler"):
        assert vera.get(path).status_code == 200
        assert nobody.get(path).status_code != 200
    assert nobody.get("/endpoint/1/profiler/1/data.json").status_code == 401
    assert nobody.get("/endpoint/1/grouped-profiler/speedscope.json").status_code == 401


def test_data_list_leads_to_the_tree(filled: Bound, anna: Browser) -> None:
    page = anna.get("/data/profiles?endpoint=zzz").text
    assert 'href="/dashboard/endpoint/2/profiler?profile=4"' in page
    assert "4 profiles" in anna.get("/data/profiles").text
    answer = anna.post("/data/profiles/delete", {"ids": "4", "confirmed": "yes"})
    assert answer.status_code == 303
    assert "3 profiles" in anna.get("/data/profiles").text
    rows = list(csv.reader(io.StringIO(anna.get("/data/profiles/data.csv").text)))
    assert rows[0][-1] == "Samples"
    assert len(rows) == 4


def test_library_only_trees_are_shown_too(bound: Bound, anna: Browser) -> None:
    store_batch(bound.monitor.store, profiles=[profile([node(EXECUTE, 80, node(VIEW, 40))])])
    assert "shop/views.py:88" in anna.get("/endpoint/1/profiler").text
