"""The page Reporting over HTTP: what it shows, its data, and what it refuses."""

from __future__ import annotations

import csv
import io
import json
import random
import re
import time
from html import unescape

import pytest

from fmd_admin.records import Batch, Row
from fmd_admin.store.writer import BatchWriter

from ....support import Bound
from ..browser import Browser

DAY_MS = 86_400_000
REFUSED = (
    ("compare=month", "Use one of today, week, 28d, version, custom."),
    ("compare=version&before=9.9", "Choose one from the list."),
    ("compare=version&before=1.0&after=1.0", "two different ones"),
    ("compare=custom&before_from=x", "&#39;before_from&#39; is &#39;x&#39;. Write it as"),
    (
        "compare=custom&before_from=2026-01-01T00:00&before_to=2026-01-03T00:00"
        "&after_from=2026-01-02T00:00&after_to=2026-01-04T00:00",
        "overlap",
    ),
    ("range=2w", "Use one of 1h, 24h, 7d, 30d, custom."),
)


def fill(
    bound: Bound, name: str, version: str, days_ago: float, median_ms: float, hits: int = 200
) -> None:
    """Requests just before a moment; a tenth of them failed."""
    chance = random.Random(f"{name}{version}")
    now_ms = time.time_ns() // 1_000_000
    rows = [
        Row(
            now_ms - int(days_ago * DAY_MS) - number,
            name,
            median_ms * chance.lognormvariate(0, 0.3),
            500 if number % 10 == 0 else 200,
            "GET",
            None,
            None,
        )
        for number in range(hits)
    ]
    BatchWriter(bound.monitor.store, lambda: 1).write(Batch(f"{name}{version}", 1, version, rows))


@pytest.fixture
def changed(bound: Bound) -> Bound:
    """Two versions: "pay" got slower, "home" did not, "old" is gone."""
    for name, version, days_ago, median_ms in (
        ("pay", "1.0", 10, 100),
        ("pay", "1.1", 2, 150),
        ("home", "1.0", 10, 20),
        ("home", "1.1", 2, 20),
        ("old", "1.0", 10, 5),
    ):
        fill(bound, name, version, days_ago, median_ms)
    return bound


def sentences(page: str) -> list[str]:
    found = re.findall(r'<p class="finding">(.*?)</p>', page, re.S)
    return [unescape(re.sub("<[^>]+>", "", text)) for text in found]


def test_it_stands_in_the_menu_after_performance(anna: Browser) -> None:
    page = anna.get("/overview").text
    names = re.findall(r'<li><a href="[^"]+"[^>]*>([^<]+)</a>', page)
    assert names[names.index("API Performance") + 1] == "Reporting"


def test_sentences_lead_to_the_endpoint_and_its_requests(changed: Bound, anna: Browser) -> None:
    page = anna.get("/reporting").text
    (slower,) = [text for text in sentences(page) if "slower" in text]
    assert re.fullmatch(
        r"pay is \d\d % slower at the median than in the 28 days before: \d+(\.\d)? → \d+(\.\d)? "
        r"ms, 200 and 200 requests, p < 0\.001\.",
        slower,
    )
    pages = re.search(r'<a class="strong" href="/dashboard([^"]+)">pay</a>', page)
    assert pages is not None
    assert anna.get(unescape(pages[1])).status_code == 200
    links = re.findall(r'href="/dashboard(/data/requests\?[^"]+endpoint=pay)"', page)
    assert len(set(links)) == 2
    for link in set(links):
        assert "200 requests" in anna.get(unescape(link)).text


def test_a_link_to_the_requests_of_a_version_keeps_it(changed: Bound, anna: Browser) -> None:
    page = anna.get("/reporting?compare=version").text
    assert any("than in version 1.0" in text for text in sentences(page))
    (link,) = set(re.findall(r'href="/dashboard(/data/requests\?[^"]+version=1.0)"', page))
    assert "600 requests" in anna.get(unescape(link)).text


@pytest.mark.parametrize("query", ["", "compare=today", "compare=week", "compare=custom"])
def test_empty_page_says_what_to_do(anna: Browser, query: str) -> None:
    answer = anna.get(f"/reporting?{query}")
    assert answer.status_code == 200
    assert "No requests in either interval" in answer.text
    assert "<canvas" not in answer.text
    assert "cdn.jsdelivr.net" not in answer.text
    assert anna.get(f"/reporting/data.json?{query}").get_json()["endpoints"] == []


@pytest.mark.parametrize("query", ["", "compare=version", "compare=custom", "version=1.1"])
def test_json_csv_and_table_agree(changed: Bound, anna: Browser, query: str) -> None:
    page = anna.get(f"/reporting?{query}").text
    data = anna.get(f"/reporting/data.json?{query}").get_json()
    header, *rows = list(csv.reader(io.StringIO(anna.get(f"/reporting/data.csv?{query}").text)))
    body = page[page.rindex("<tbody>") : page.rindex("</tbody>")]
    names = [unescape(name) for name in re.findall(r'<th scope="row"[^>]*><a[^>]+>([^<]+)', body)]
    assert names == [row[0] for row in rows] == [row["name"] for row in data["endpoints"]]
    for label in header:
        assert f">{label}</th>" in page
    for cells, row in zip(rows, data["endpoints"], strict=True):
        values = dict(zip(header, cells, strict=True))
        assert int(values["Requests before"]) == row["before"]["hits"]
        assert int(values["Requests after"]) == row["after"]["hits"]
        for label, side in (("before", row["before"]), ("after", row["after"])):
            median_ms = side["median_ms"]
            expected = "" if median_ms is None else pytest.approx(median_ms, abs=1e-6)
            found = values[f"Median {label}"]
            assert (float(found) if found else "") == expected
    said = {verdict["sentence"] for row in data["endpoints"] for verdict in row["verdicts"]}
    assert said == set(sentences(page))


def test_data_links_keep_every_word(changed: Bound, anna: Browser) -> None:
    query = "compare=version&before=1.1&after=1.0&range=30d"
    assert anna.get(f"/reporting/data.json?{query}").get_json()["compare"] == "version"
    page = anna.get(f"/reporting?{query}").text
    escaped = query.replace("&", "&amp;")
    assert f'href="/dashboard/reporting/data.csv?{escaped}"' in page
    assert f'data-url="/dashboard/reporting/data.json?{escaped}"' in page
    assert any("pay is" in text and "faster" in text for text in sentences(page))


def test_a_copied_link_shows_the_same(changed: Bound, anna: Browser, vera: Browser) -> None:
    path = "/reporting?compare=version&before=1.1&after=1.0&range=30d"
    assert sentences(anna.get(path).text) == sentences(vera.get(path).text) != []


@pytest.mark.parametrize(("query", "mend"), REFUSED)
def test_what_is_not_understood_is_said_and_refused_for_data(
    changed: Bound, anna: Browser, query: str, mend: str
) -> None:
    answer = anna.get(f"/reporting?{query}")
    assert answer.status_code == 200
    assert 'role="alert"' in answer.text
    assert mend in answer.text
    for file in ("data.json", "data.csv"):
        refused = anna.get(f"/reporting/{file}?{query}")
        assert refused.status_code == 400
        assert mend in refused.text or mend.replace("&#39;", "'") in refused.text


@pytest.mark.parametrize(("query", "_mend"), REFUSED)
def test_the_data_of_a_page_that_shows_something_else_is_what_it_shows(
    changed: Bound, anna: Browser, query: str, _mend: str
) -> None:
    page = anna.get(f"/reporting?{query}").text
    (address,) = re.findall(r'data-url="/dashboard([^"]+)"', page)
    data = anna.get(unescape(address)).get_json()
    said = {verdict["sentence"] for row in data["endpoints"] for verdict in row["verdicts"]}
    assert said == set(sentences(page)) != set()


def test_a_form_keeps_what_was_refused(changed: Bound, anna: Browser) -> None:
    page = anna.get(f"/reporting?{REFUSED[4][0]}").text
    assert 'name="before_to" step="3600" value="2026-01-03T00:00"' in page


def test_versions_are_offered_once_there_are_two(bound: Bound, anna: Browser) -> None:
    fill(bound, "pay", "1.0", 1, 100)
    page = anna.get("/reporting?compare=version").text
    assert "Set APP_VERSION or GIT" in page
    assert (
        "compare=version"
        not in re.findall(r'<nav class="segmented compares".*?</nav>', page, re.S)[0]
    )
    fill(bound, "pay", "1.1", 1, 100)
    assert "compare=version" in anna.get("/reporting").text


def test_hostile_names_are_inert_in_page_and_data(bound: Bound, anna: Browser) -> None:
    name, version = '</script><script>alert(1)</script>"', "<b onmouseover=alert(1)>"
    fill(bound, name, version, 10, 100)
    fill(bound, name, "=cmd()", 2, 200)
    for query in ("", "?compare=version"):
        page = anna.get(f"/reporting{query}").text
        assert "<script>alert" not in page
        assert "<b onmouseover" not in page
        assert sentences(page)[0].startswith(name)
        data = anna.get(f"/reporting/data.json{query}")
        assert data.mimetype == "application/json"
        json.loads(data.text)
    answer = anna.get("/reporting?compare=<script>alert(1)</script>")
    assert "<script>alert" not in answer.text


def test_the_chart_shows_the_first_40_and_says_so(bound: Bound, anna: Browser) -> None:
    for number in range(42):
        for version, days_ago in (("1.0", 10), ("1.1", 2)):
            fill(bound, f"page_{number}", version, days_ago, 10, hits=30)
    rows = anna.get("/reporting/data.json").get_json()["endpoints"]
    assert [row["drawn"] for row in rows] == [True] * 40 + [False] * 2
    page = anna.get("/reporting").text
    assert "The first 40 endpoints by the time" in page
    assert "Median durations of 40 endpoints" in page


def test_the_limits_are_said(changed: Bound, anna: Browser) -> None:
    page = anna.get("/reporting").text
    for text in ("by 5 % and by 0.2 ms", "by 10 % and 1 ms", "1 percentage point", "0.05 at most"):
        assert text in page


def test_durations_that_were_0_have_no_factor(bound: Bound, anna: Browser) -> None:
    # So long ago that it is as often asked for as since then, at any time of the day.
    fill(bound, "pay", "1.0", 12, 0)
    fill(bound, "pay", "1.1", 2, 150)
    (slower,) = sentences(anna.get("/reporting").text)
    assert "pay is slower at the median than in the 28 days before: 0 → 1" in slower


def test_what_was_before_the_first_request_is_not_called_new(bound: Bound, anna: Browser) -> None:
    fill(bound, "pay", "1.0", 0.001, 100)
    page = anna.get("/reporting").text
    (said,) = sentences(page)
    start = "pay cannot be compared: nothing was measured in the 28 days before, now 200 requests"
    assert said.startswith(start)
    assert "there is nothing to compare with yet" in page
    assert 'href="#new"' not in page
    [row] = csv.DictReader(io.StringIO(anna.get("/reporting/data.csv").text))
    assert row["Verdict"] == "too little data to tell"
    # Since then something else was measured, and it is new.
    fill(bound, "home", "0.9", 10, 20)
    page = anna.get("/reporting").text
    assert any(said.startswith("pay is new: not requested") for said in sentences(page))
    assert "nothing to compare with yet" not in page
