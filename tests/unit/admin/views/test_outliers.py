"""The pages of outliers: the list of all endpoints and of one, and the page of one outlier."""

from __future__ import annotations

import csv
import io
import re
import time
from collections.abc import Callable

import pytest

from fmd_admin.admin.views.outliers import runs
from fmd_admin.read import measured
from fmd_admin.store.outlier_detail import SourceFrame

from ....profiles import outlier, profile, store_batch
from ....support import Bound
from ..browser import Browser


@pytest.fixture
def filled(bound: Bound) -> Bound:
    """Endpoint 1 (shop.search) with the outliers 1 and 2, endpoint 2 (zzz) with outlier 3."""
    now_ms = int(time.time() * 1000)
    store_batch(
        bound.monitor.store,
        outliers=[
            outlier(time_ms=now_ms, json='{"a": [1]}'),
            outlier(time_ms=now_ms - 60_000, stack=[], stack_at_ms=None, note="No threads."),
            outlier(time_ms=now_ms - 90_000, endpoint="zzz", duration_ms=999.0),
        ],
        left_out={"shop.search": 37},
    )
    return bound


def test_list_of_all_and_of_one(filled: Bound, anna: Browser) -> None:
    every = anna.get("/outliers").text
    assert "3 outliers" in every
    assert "37 more requests were outliers" in every
    assert every.count("rows = db.session.scalars(stmt).all()") == 4
    assert "No threads." in every
    assert re.search(r'href="/dashboard/outliers" aria-current="page">Outliers<', every)
    one = anna.get("/endpoint/1/outliers").text
    assert "2 outliers" in one
    assert 'aria-label="Pages of shop.search"' in one
    other = anna.get("/endpoint/2/outliers").text
    assert "1 outlier " in other
    assert "more request" not in other


def test_list_is_sorted(filled: Bound, anna: Browser) -> None:
    page = anna.get("/outliers?sort=endpoint&desc=0").text
    ids = re.findall(r'href="/dashboard/endpoint/\d+/outliers/(\d+)"', page)
    assert ids == ["2", "1", "3"]
    assert anna.get("/outliers?sort=detail&page=zz").status_code == 200


def test_a_list_is_called_by_the_minutes_that_were_asked_for(bound: Bound, anna: Browser) -> None:
    words = "range=custom&from=2026-11-01T10:10&to=2026-11-01T10:50:30"
    for path in ("/outliers", "/data/requests"):
        assert "1 Nov 2026, 10:10 – 10:50:30" in anna.get(f"{path}?{words}").text
    # Charts have whole hours.
    assert "1 Nov 2026, 10:00 – 11:00" in anna.get(f"/overview?{words}").text


def test_csv_has_every_row_of_the_range(filled: Bound, anna: Browser) -> None:
    for path, number in (("/outliers", 3), ("/endpoint/1/outliers", 2)):
        rows = list(csv.reader(io.StringIO(anna.get(f"{path}/data.csv").text)))
        assert rows[0][:5] == ["Time", "Endpoint", "Duration", "Limit", "Stuck in"]
        assert len(rows) == number + 1
    assert anna.get("/outliers/data.csv?range=soon").status_code == 400


def test_detail(filled: Bound, anna: Browser) -> None:
    page = anna.get("/endpoint/1/outliers/1").text
    # The innermost call first, its library's other frames folded, then the host's own.
    order = [
        page.index(text)
        for text in (
            "cursor.execute(statement, parameters)",
            "1 frame of sqlalchemy hidden",
            "rows = db.session.scalars(stmt).all()",
            "items = find_items(q, page)",
        )
    ]
    assert order == sorted(order)
    for text in ("1,234 ms", "400 ms", "3.1 times", "3.2 GiB", "88 %", "[hidden]", "&lt;b&gt;1"):
        assert text in page, text
    assert "--header &#39;Authorization: [hidden]&#39;" in page
    assert "412 ms after the request began" in page
    plain = anna.get("/endpoint/1/outliers/2").text
    assert "No stack trace" in plain
    assert "No threads." in plain


@pytest.mark.parametrize(
    "path",
    [
        "/endpoint/999/outliers",
        "/endpoint/999/outliers/1",
        "/endpoint/999/outliers/data.csv",
        "/endpoint/1/outliers/3",
        "/endpoint/1/outliers/99",
        f"/endpoint/1/outliers/{10**30}",
        f"/endpoint/{10**30}/outliers",
        "/endpoint/1/outliers/abc",
    ],
)
def test_what_does_not_exist_is_a_404_page(filled: Bound, anna: Browser, path: str) -> None:
    answer = anna.get(path)
    assert answer.status_code == 404
    assert "There is no such page" in answer.text
    assert "Traceback" not in answer.text


def test_empty_lists_say_what_to_do(bound: Bound, anna: Browser) -> None:
    assert "Outliers are collected for endpoints at level 2 and 3" in anna.get("/outliers").text
    store_batch(bound.monitor.store, left_out={"idle": 0})
    assert "OUTLIER_DETECTION_CONSTANT" in anna.get("/endpoint/1/outliers").text


def test_overview_counts_them(filled: Bound, anna: Browser) -> None:
    page = anna.get("/overview").text
    assert re.search(r'<dt>Outliers</dt><dd class="stat-value"><a href="[^"]+">40</a>', page)
    assert 'aria-label="2 outliers of shop.search">2</a>' in page


def test_data_list_leads_to_the_page(filled: Bound, anna: Browser, vera: Browser) -> None:
    page = anna.get("/data/outliers?status=5xx&endpoint=zzz").text
    assert 'href="/dashboard/endpoint/2/outliers/3"' in page
    assert vera.post("/data/outliers/delete", {"ids": "3", "confirmed": "yes"}).status_code == 403
    assert anna.post("/data/outliers/delete", {"ids": "3", "confirmed": "yes"}).status_code == 303
    assert "2 outliers" in anna.get("/data/outliers").text


def test_viewers_see_them_and_others_do_not(filled: Bound, vera: Browser, nobody: Browser) -> None:
    for path in ("/outliers", "/endpoint/1/outliers", "/endpoint/1/outliers/1"):
        assert vera.get(path).status_code == 200
        assert nobody.get(path).status_code != 200


def test_runs_are_split_where_the_library_changes() -> None:
    def frame(file: str, own: bool) -> SourceFrame:
        return SourceFrame(file, 1, "f", own, "")

    stack = [
        frame("a.py", True),
        frame("b.py", True),
        frame("flask/app.py", False),
        frame("jinja2/x.py", False),
        frame("jinja2/y.py", False),
        frame("c.py", True),
    ]
    found = [(run.library, [item.file for item in run.frames]) for run in runs(stack)]
    assert found == [
        ("", ["c.py"]),
        ("jinja2", ["jinja2/y.py", "jinja2/x.py"]),
        ("flask", ["flask/app.py"]),
        ("", ["b.py", "a.py"]),
    ]
    assert runs([]) == []


def test_lists_say_where_they_stopped_counting(
    bind: Callable[..., Bound], monkeypatch: pytest.MonkeyPatch
) -> None:
    bound = bind(page_size=10)
    anna = Browser(bound.app)
    anna.login()
    now_ms = int(time.time() * 1000)
    batch = [outlier(time_ms=now_ms - n) for n in range(13)]
    trees = [profile(time_ms=now_ms - n) for n in range(13)]
    store_batch(bound.monitor.store, outliers=batch, profiles=trees)
    assert "11–13 of 13 outliers" in anna.get("/outliers?page=2").text
    monkeypatch.setattr(measured, "COUNTED", 12)
    page = anna.get("/outliers?page=2").text
    assert "12+ outliers" in page
    assert "11–12 of 12+ outliers" in page
    assert "sorted are" not in page
    assert ">12+ · " in anna.get("/endpoint/1/profiler").text
    for path in ("/outliers", "/endpoint/1/profiler"):
        assert "; sorted are the newest 12<" in anna.get(f"{path}?sort=duration_ms").text
    assert len(anna.get("/outliers/data.csv").text.splitlines()) == 14
