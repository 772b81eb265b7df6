"""The page Overview and the change of levels, on real requests."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from datetime import datetime

import pytest
from sqlalchemy import select

from fmd_admin.store.models import Endpoint

from ....support import Bound
from ..browser import Browser

FETCH = {"Accept": "application/json"}


def visit(bound: Bound, *paths: str) -> None:
    """Request paths of the host app, and store what was measured."""
    client = bound.app.test_client()
    for path in paths:
        assert client.get(path, buffered=True).status_code == 200
    bound.monitor.recorder.flush()


def request_hello(bound: Bound, times: int = 3) -> None:
    visit(bound, *["/hello/you"] * times)


def endpoints(bound: Bound) -> dict[str, tuple[int, int]]:
    """Id and level by name."""
    with bound.monitor.store.read() as connection:
        rows = connection.execute(select(Endpoint.name, Endpoint.id, Endpoint.level))
        return {name: (id, level) for name, id, level in rows}


def test_empty_overview_says_what_to_do(anna: Browser) -> None:
    page = anna.get("/overview")
    assert page.status_code == 200
    assert "No requests yet" in page.text
    assert "Open a page of your app" in page.text


def test_endpoint_appears_with_its_hits(bound: Bound, anna: Browser) -> None:
    request_hello(bound, 3)
    page = anna.get("/overview").text
    id, _ = endpoints(bound)["hello"]
    assert f'href="/dashboard/endpoint/{id}"' in page
    assert re.search(r'data-label="Today">3<', page)


def test_filter_without_a_match_offers_the_way_back(bound: Bound, anna: Browser) -> None:
    request_hello(bound)
    page = anna.get("/overview?q=nothing&range=24h").text
    assert "No endpoint matches" in page
    assert 'href="/dashboard/overview?range=24h"' in page


def test_links_keep_range_versions_and_filter(bound: Bound, anna: Browser) -> None:
    request_hello(bound)
    page = anna.get("/overview?range=24h&q=hel").text
    assert 'href="/dashboard/overview?range=24h&amp;q=hel&amp;sort=hits&amp;desc=1"' in page
    assert 'href="/dashboard/overview/data.csv?range=24h&amp;q=hel"' in page
    assert 'href="/dashboard/hourly-utilization?range=24h"' in page


def test_csv_holds_exactly_the_filtered_rows(bound: Bound, anna: Browser) -> None:
    bound.app.add_url_rule("/other", "other", lambda: "other")
    request_hello(bound)
    visit(bound, "/other")
    answer = anna.get("/overview/data.csv?q=hel")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["Endpoint"] for row in rows] == ["hello"]
    assert rows[0]["Hits"] == "3"
    assert answer.mimetype == "text/csv"


def test_csv_holds_all_pages(bind: Callable[..., Bound]) -> None:
    bound = bind(page_size=10)
    anna = Browser(bound.app)
    anna.login()
    for number in range(14):
        bound.app.add_url_rule(f"/many/{number}", f"many_{number}", lambda: "x")
    visit(bound, *(f"/many/{number}" for number in range(14)))
    page = anna.get("/overview?page=2").text
    assert "11–14 of 14 endpoints" in page
    assert 'href="/dashboard/overview?page=1"' in page
    assert len(anna.get("/overview/data.csv?page=2").text.splitlines()) == 15


def test_json_has_rows_and_summary(bound: Bound, anna: Browser) -> None:
    request_hello(bound)
    data = anna.get("/overview/data.json").get_json()
    assert data["summary"]["hits"] == 3
    assert data["rows"][0]["name"] == "hello"
    assert sum(data["rows"][0]["spark"]) == 3
    assert datetime.fromisoformat(data["rows"][0]["last_requested"]).tzinfo is not None


@pytest.mark.parametrize("query", ["range=bogus", "sort=bogus", "version=bogus"])
def test_word_that_is_not_understood(bound: Bound, anna: Browser, query: str) -> None:
    request_hello(bound)
    page = anna.get(f"/overview?{query}")
    assert page.status_code == 200
    assert 'role="alert"' in page.text
    assert "hello" in page.text
    for file in ("data.csv", "data.json"):
        assert anna.get(f"/overview/{file}?{query}").status_code == 400


@pytest.mark.parametrize("page", ["0", "-1", "99", "x", "9" * 30])
def test_any_page_number_shows_a_page(bound: Bound, anna: Browser, page: str) -> None:
    request_hello(bound)
    answer = anna.get(f"/overview?page={page}")
    assert answer.status_code == 200
    assert "hello" in answer.text


def test_hostile_endpoint_name_is_inert(bound: Bound, anna: Browser) -> None:
    name = "=HYPERLINK(1)<script>alert(1)</script>"
    bound.app.add_url_rule("/evil", name, lambda: "x")
    visit(bound, "/evil")
    assert "<script>alert" not in anna.get("/overview").text
    assert "'=HYPERLINK" in anna.get("/overview/data.csv").text


def test_form_changes_a_level_and_goes_back(bound: Bound, anna: Browser) -> None:
    request_hello(bound)
    id, level = endpoints(bound)["hello"]
    assert level == 1
    form = {"ids": str(id), "level": "0", "back": "range=24h&q=hel"}
    answer = anna.post("/overview/level", form)
    assert answer.status_code == 303
    assert answer.location == "/dashboard/overview?range=24h&q=hel"
    assert endpoints(bound)["hello"] == (id, 0)
    assert "1 endpoint set to level 0." in anna.get("/overview").text


def test_form_of_an_endpoint_goes_back_to_its_page(bound: Bound, anna: Browser) -> None:
    request_hello(bound)
    id, _ = endpoints(bound)["hello"]
    form = {"ids": str(id), "level": "2", "endpoint_id": str(id), "back": "range=24h"}
    answer = anna.post("/overview/level", form)
    assert answer.location == f"/dashboard/endpoint/{id}?range=24h"


def test_back_never_leads_elsewhere(bound: Bound, anna: Browser) -> None:
    request_hello(bound)
    id, _ = endpoints(bound)["hello"]
    for back in ("//evil.example", "https://evil.example", "\r\nLocation: x", "/../.."):
        answer = anna.post("/overview/level", {"ids": str(id), "level": "1", "back": back})
        assert answer.location.startswith("/dashboard/overview")
        assert "evil.example" not in answer.location.partition("?")[0]


def test_bulk_changes_all_that_are_named(bound: Bound, anna: Browser) -> None:
    bound.app.add_url_rule("/other", "other", lambda: "other")
    request_hello(bound)
    visit(bound, "/other")
    ids = [str(id) for id, _ in endpoints(bound).values()]
    assert anna.post("/overview/level", {"ids": ids, "level": "3"}).status_code == 303
    assert {level for _, level in endpoints(bound).values()} == {3}


def test_fetch_is_answered_with_json(bound: Bound, anna: Browser) -> None:
    request_hello(bound)
    id, _ = endpoints(bound)["hello"]
    answer = anna.post("/overview/level", {"ids": str(id), "level": "2"}, headers=FETCH)
    assert answer.status_code == 200
    assert answer.get_json() == {
        "changed": 1,
        "level": 2,
        "message": "1 endpoint set to level 2.",
    }


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({"ids": "1", "level": "4"}, 400),
        ({"ids": "1", "level": "-1"}, 400),
        ({"ids": "1", "level": "x"}, 400),
        ({"ids": "1"}, 400),
        ({"level": "1"}, 400),
        ({"ids": "x", "level": "1"}, 400),
        ({"ids": "999999", "level": "1"}, 404),
    ],
)
def test_change_that_is_refused(
    bound: Bound, anna: Browser, form: dict[str, str], status: int
) -> None:
    request_hello(bound)
    before = endpoints(bound)
    assert anna.post("/overview/level", form, headers=FETCH).status_code == status
    assert anna.post("/overview/level", form).status_code == 303
    assert 'role="alert"' in anna.get("/overview").text
    assert endpoints(bound) == before


def test_viewer_sees_levels_and_cannot_change_them(bound: Bound, vera: Browser) -> None:
    request_hello(bound)
    page = vera.get("/overview").text
    assert "/overview/level" not in page
    assert 'type="checkbox" name="ids"' not in page
    id, _ = endpoints(bound)["hello"]
    answer = vera.post("/overview/level", {"ids": str(id), "level": "0"})
    assert answer.status_code == 403
    assert endpoints(bound)["hello"] == (id, 1)


def test_level_without_a_token_is_refused(bound: Bound, anna: Browser) -> None:
    request_hello(bound)
    id, _ = endpoints(bound)["hello"]
    form = {"ids": str(id), "level": "0"}
    assert anna.open("/overview/level", method="POST", data=form).status_code == 400
    assert endpoints(bound)["hello"] == (id, 1)


def test_titles_say_what_the_levels_collect(bound: Bound, anna: Browser) -> None:
    request_hello(bound)
    page = anna.get("/overview").text
    assert 'value="2" title="Outliers: also where requests hang' in page
    assert 'value="3" title="Profiler: also in which lines of code' in page


def test_what_could_not_be_stored_is_said(bound: Bound, anna: Browser) -> None:
    assert "could not be stored" not in anna.get("/overview").text
    request_hello(bound)
    with bound.monitor.store.write() as connection:
        connection.exec_driver_sql("UPDATE fmd_writer SET dropped = 1204, faults = 1")
    page = anna.get("/overview").text
    assert "1,204 requests of the last 30 days could not be stored." in page
    assert "fmd_admin itself failed 1 time;" in page
