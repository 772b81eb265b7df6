"""Ids that do not exist, belong to another endpoint, or are none: a 404 page on every route."""

from __future__ import annotations

import re
import time
from itertools import product
from urllib.parse import quote

import pytest

from ....profiles import outlier, profile, store_batch
from ....support import Bound
from ..browser import Browser

#: Found in the routes themselves, so that a new one is tested without being named here.
_ID = re.compile(r"<int:(\w+)>")
NO_ENDPOINT = [
    "0",
    "999",
    str(2**31),
    str(2**63),
    str(10**30),
    "-1",
    "abc",
    "1.5",
    "1e3",
    "٣x",
    "%00",
]
NO_ITEM = [*NO_ENDPOINT, "2"]


@pytest.fixture
def filled(bound: Bound) -> Bound:
    """Endpoint 1 with outlier 1 and profile 1, endpoint 2 with outlier 2 and profile 2."""
    now_ms = int(time.time() * 1000)
    names = ("shop.search", "zzz")
    store_batch(
        bound.monitor.store,
        outliers=[outlier(time_ms=now_ms, endpoint=name) for name in names],
        profiles=[profile(time_ms=now_ms, endpoint=name) for name in names],
    )
    return bound


def routes(bound: Bound) -> list[str]:
    """Every route of the outliers, the profiler and the grouped profiler that has an id in it."""
    found = [
        rule.rule
        for rule in bound.monitor.panel_app.url_map.iter_rules()
        if rule.endpoint.split(".")[0] in {"outliers", "profiler", "grouped"}
        and _ID.search(rule.rule)
    ]
    return sorted(found)


def test_all_routes_are_met(filled: Bound, anna: Browser) -> None:
    found = routes(filled)
    assert len(found) >= 14
    for name in ("outliers/data.csv", "data.json", "data.csv", "collapsed.txt", "speedscope.json"):
        assert any(route.endswith(name) for route in found), name
    for route in found:
        assert anna.get(_ID.sub("1", route)).status_code == 200, route


def assert_is_a_404_page(anna: Browser, path: str) -> None:
    answer = anna.get(path)
    assert answer.status_code == 404, path
    # Tables to download say it as plain text, data of scripts as JSON.
    kind = {"csv": "text/plain", "json": "application/json"}
    expected = kind.get(path.split("?")[0].rpartition(".")[2], "text/html")
    assert answer.content_type.startswith(expected), path
    assert "There is no such page" in answer.text, path
    assert "Traceback" not in answer.text, path


def test_an_endpoint_that_does_not_exist(filled: Bound, anna: Browser) -> None:
    for route, id_text in product(routes(filled), NO_ENDPOINT):
        path = _ID.sub("1", route.replace("<int:endpoint_id>", quote(id_text, safe="%")))
        assert_is_a_404_page(anna, path)


def test_an_outlier_or_profile_that_it_does_not_have(filled: Bound, anna: Browser) -> None:
    asked = [route for route in routes(filled) if len(_ID.findall(route)) == 2]
    assert len(asked) >= 5
    for route, id_text in product(asked, NO_ITEM):
        path = route.replace("<int:endpoint_id>", "1")
        assert_is_a_404_page(anna, _ID.sub(quote(id_text, safe="%"), path))
    for id_text in NO_ITEM:
        assert_is_a_404_page(anna, f"/endpoint/1/profiler?profile={quote(id_text, safe='%')}")


def test_they_are_gone_with_their_endpoint(filled: Bound, anna: Browser) -> None:
    answer = anna.post("/data/endpoints/delete", {"ids": "1", "confirmed": "yes"})
    assert answer.status_code == 303
    for route in routes(filled):
        assert_is_a_404_page(anna, _ID.sub("1", route))
        # Those of the other endpoint are there.
        assert anna.get(_ID.sub("2", route)).status_code == 200


def test_bad_lists_are_shown_and_bad_downloads_refused(filled: Bound, anna: Browser) -> None:
    for query in (
        "range=soon",
        "page=-1",
        "page=1e9",
        f"page={10**30}",
        "sort=detail",
        "page_size=x",
    ):
        for page in ("/outliers", "/endpoint/1/outliers", "/endpoint/1/profiler"):
            assert anna.get(f"{page}?{query}").status_code == 200, (page, query)
    for page in ("/outliers", "/endpoint/1/outliers", "/endpoint/1/profiler"):
        answer = anna.get(f"{page}/data.csv?range=soon")
        assert answer.status_code == 400
        assert "Traceback" not in answer.text


@pytest.mark.every_engine
def test_ids_that_no_column_holds(filled: Bound, anna: Browser) -> None:
    """A server refuses to compare a column of 32 bits with a larger number."""
    for id in (2**31, 2**63, 10**30):
        assert anna.get(f"/users/{id}").status_code == 404
        for model in ("endpoints", "versions", "requests", "outliers", "custom-graph-values"):
            assert anna.get(f"/data/{model}/details?id={id}").status_code == 404
            assert anna.get(f"/data/{model}/delete?ids={id}").status_code in (200, 303)
            form = {"ids": str(id), "confirmed": "yes"}
            assert anna.post(f"/data/{model}/delete", form).status_code == 303
        level = {"ids": str(id), "endpoint_id": str(id), "level": "2"}
        assert anna.post("/overview/level", level).status_code == 303
