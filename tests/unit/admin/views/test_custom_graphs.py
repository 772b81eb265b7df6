"""The pages of custom graphs: the list, one graph, its data, and their lines in the menu."""

from __future__ import annotations

import csv
import io
import re
import time

import pytest
from sqlalchemy import func, insert, select, text

from fmd_admin.records import Batch, Row
from fmd_admin.store import graphs as rows
from fmd_admin.store.job_models import CustomGraph, CustomGraphValue
from fmd_admin.store.types import from_millis
from fmd_admin.store.writer import BatchWriter

from ....support import Bound
from ..browser import Browser

VALUES = (1.0, 0.1, -2.5e-9, 1e17, 3.0)


@pytest.fixture
def now_ms() -> int:
    return int(time.time() * 1000)


@pytest.fixture
def filled(bound: Bound, now_ms: int) -> Bound:
    """Graph 1 ("Users") with five values, 2 ("<b>Fails</b>") with a fault, 3 whose code is gone."""
    with bound.monitor.store.write() as connection:
        for title in ("Users", "<b>Fails</b>", "Gone"):
            rows.register(connection, title, "every minute", now_ms, now_ms + 60_000)
        for n, value in enumerate(VALUES):
            rows.keep_value(connection, 1, now_ms - 60_000 * (5 - n), value)
        rows.keep_error(connection, 2, now_ms, "ValueError: <script>no queue</script>")
        rows.forget_schedules(connection, ["Gone"])
    return bound


def test_without_graphs_the_list_says_how_to_add_one(bound: Bound, anna: Browser) -> None:
    page = anna.get("/custom-graphs").text
    assert "No custom graphs yet" in page
    assert "@fmd.graph(&#34;Users&#34;" in page or '@fmd.graph("Users"' in page
    assert re.search(r'href="/dashboard/custom-graphs" aria-current="page">All graphs<', page)


def test_the_list(filled: Bound, anna: Browser) -> None:
    page = anna.get("/custom-graphs").text
    assert "3 graphs" in page
    assert page.count("<svg class=") == 3
    assert "not scheduled any more" in page
    assert "&lt;b&gt;Fails&lt;/b&gt;" in page
    assert "<b>Fails" not in page
    assert page.count(">failed</span>") == 1
    table = list(csv.reader(io.StringIO(anna.get("/custom-graphs/data.csv").text)))
    assert [row[0] for row in table] == ["Graph", "<b>Fails</b>", "Gone", "Users"]
    assert table[3][3] == "3.0"


def test_the_menu_has_a_line_for_each_graph_there_is_now(filled: Bound, anna: Browser) -> None:
    def lines(path: str) -> list[str]:
        page = anna.get(path).text
        menu = page[page.index("Main menu") : page.index("</nav>")]
        group = menu[menu.index(">Custom graphs<") : menu.index(">Data<")]
        return re.findall(r"<a [^>]*>([^<]+)</a>", group)

    assert lines("/overview") == ["All graphs", "&lt;b&gt;Fails&lt;/b&gt;", "Gone", "Users"]
    with filled.monitor.store.write() as connection:
        rows.register(connection, "New", "every minute", 0, None)
    assert lines("/settings") == ["All graphs", "&lt;b&gt;Fails&lt;/b&gt;", "Gone", "New", "Users"]
    page = anna.get("/custom-graph/1?range=24h").text
    current = re.findall(r'<li><a href="([^"]+)" aria-current="page">', page)
    assert current == ["/dashboard/custom-graph/1?range=24h"]


def test_a_graph(filled: Bound, anna: Browser, now_ms: int) -> None:
    page = anna.get("/custom-graph/1").text
    assert "every minute" in page
    assert "5 values." in page
    assert 'data-chart="lineOverTime"' in page
    assert 'aria-label="Line of Users over time' in page
    for text_ in ("0.1", "-2.5e-09", "1e+17"):
        assert f'<td class="num">{text_}</td>' in page
    assert "Versions of the app" not in page  # Graphs have no versions.


def test_a_fault_is_shown_and_cannot_be_markup(filled: Bound, anna: Browser) -> None:
    page = anna.get("/custom-graph/2").text
    assert "gave no value" in page
    assert "ValueError: &lt;script&gt;no queue&lt;/script&gt;" in page
    assert "<script>no" not in page
    assert "No values yet" in page
    assert "data-chart-lib" not in page


def test_after_the_next_value_the_fault_is_past(filled: Bound, anna: Browser, now_ms: int) -> None:
    with filled.monitor.store.write() as connection:
        rows.keep_value(connection, 2, now_ms + 1, 3.0)
    page = anna.get("/custom-graph/2").text
    assert "gave no value" not in page
    assert "Last run without a value" in page


def test_one_whose_code_is_gone_keeps_its_page(filled: Bound, anna: Browser) -> None:
    page = anna.get("/custom-graph/3").text
    assert "This graph is not scheduled any more" in page


def test_one_that_nobody_runs_says_so(filled: Bound, anna: Browser) -> None:
    with filled.monitor.store.write() as connection:
        connection.execute(text("UPDATE fmd_graph SET next_run = next_run - 200000 WHERE id = 1"))
    assert "No process of the app seems to run" in anna.get("/custom-graph/1").text


def test_json_and_csv_hold_what_is_stored(filled: Bound, anna: Browser, now_ms: int) -> None:
    data = anna.get("/custom-graph/1/data.json").json
    assert data is not None
    points = [[now_ms - 60_000 * (5 - n), value] for n, value in enumerate(VALUES)]
    assert data["series"] == [{"name": "Users", "points": points}]
    assert data["values"] == 5
    assert data["step_ms"] is None
    assert data["range"]["timezone"] == "UTC"
    response = anna.get("/custom-graph/1/data.csv")
    assert 'filename="Users-' in response.headers["Content-Disposition"]
    table = list(csv.reader(io.StringIO(response.text)))
    assert table[0] == ["Time", "Value"]
    assert [float(row[1]) for row in table[1:]] == list(VALUES)
    assert [row[0] for row in table[1:]] == [
        from_millis(at).isoformat(timespec="milliseconds") for at, _ in points
    ]
    for name in ("json", "csv"):
        assert anna.get(f"/custom-graph/1/data.{name}?range=soon").status_code == 400


def test_new_versions_are_marked_whatever_other_pages_are_narrowed_down_to(
    filled: Bound, anna: Browser, now_ms: int
) -> None:
    for number, version in enumerate(("1.0", "2.0", "3.0")):
        row = Row(now_ms - 200_000 + number * 60_000, "hello", 5.0, 200, "GET", None, None)
        BatchWriter(filled.monitor.store, lambda: 1).write(Batch(f"w{number}", 1, version, [row]))
    for query in ("", "?version=1.0"):
        data = anna.get(f"/custom-graph/1/data.json{query}").json
        assert data is not None
        assert data["markers"] == [
            {"time_ms": now_ms - 140_000, "label": "2.0"},
            {"time_ms": now_ms - 80_000, "label": "3.0"},
        ]
    assert "chartjs-plugin-annotation" in anna.get("/custom-graph/1").text


def test_many_values_are_put_together_and_the_page_says_so(
    filled: Bound, anna: Browser, now_ms: int
) -> None:
    values = [
        {"graph_id": 3, "time": now_ms - n * 5_000, "value": float(n % 10)} for n in range(12_000)
    ]
    with filled.monitor.store.write() as connection:
        connection.execute(CustomGraphValue.__table__.insert(), values)
    page = anna.get("/custom-graph/3?range=24h").text
    data = anna.get("/custom-graph/3/data.json?range=24h").json
    assert data is not None
    assert data["values"] == 12_000
    assert data["step_ms"] == 120_000
    assert "12,000 values. The line is their mean in each 2 minutes" in page
    (series,) = data["series"]
    assert len(series["points"]) == len(series["band"]) <= 721
    for (at, mean), (band_at, low, high) in zip(series["points"], series["band"], strict=True):
        assert at == band_at
        assert low <= mean <= high
    table = list(csv.reader(io.StringIO(anna.get("/custom-graph/3/data.csv?range=24h").text)))
    assert len(table) == 12_001


@pytest.mark.parametrize("path", ["", "/data.json", "/data.csv", "/delete"])
def test_what_is_not_there_is_not_found(filled: Bound, anna: Browser, path: str) -> None:
    for number in ("99", str(2**60), str(2**70), "x"):
        assert anna.get(f"/custom-graph/{number}{path}").status_code == 404


def test_deleting_asks_first(filled: Bound, anna: Browser) -> None:
    page = anna.get("/custom-graph/1/delete").text
    assert "Delete this custom graph?" in page
    assert "it begins anew with its next run" in page
    assert "begins anew" not in anna.get("/custom-graph/3/delete").text
    assert count(filled) == (3, 5)
    assert anna.post("/custom-graph/1/delete").status_code == 200  # Not confirmed.
    assert count(filled) == (3, 5)
    answer = anna.post("/custom-graph/1/delete", {"confirmed": "yes"})
    assert (answer.status_code, answer.location) == (303, "/dashboard/custom-graphs")
    assert count(filled) == (2, 0)
    assert "Custom graph Users is deleted." in anna.get("/custom-graphs").text


def test_deleting_is_for_admins_and_needs_the_token(
    filled: Bound, anna: Browser, vera: Browser, nobody: Browser
) -> None:
    assert vera.get("/custom-graph/1").status_code == 200
    assert "/delete" not in vera.get("/custom-graph/1").text
    assert vera.get("/custom-graph/1/delete").status_code == 403
    assert vera.post("/custom-graph/1/delete", {"confirmed": "yes"}).status_code == 403
    assert nobody.get("/custom-graph/1").status_code in {302, 303}
    form = {"confirmed": "yes"}
    assert anna.open("/custom-graph/1/delete", method="POST", data=form).status_code == 400
    assert count(filled) == (3, 5)


def test_values_under_data(filled: Bound, anna: Browser, now_ms: int) -> None:
    page = anna.get("/data/custom-graph-values").text
    assert "5 values" in page
    assert ">Users<" in page
    with filled.monitor.store.write() as connection:
        rows.keep_value(connection, 2, now_ms - 1000, 7.0)
    assert "1 value" in anna.get("/data/custom-graph-values?graph=%3Cb%3EFails%3C/b%3E").text
    assert "5 values" in anna.get("/data/custom-graph-values?search=USER").text
    text_ = anna.get("/data/custom-graph-values/data.csv?graph=Users").text
    table = list(csv.reader(io.StringIO(text_)))
    assert table[0] == ["Time", "Graph", "Value"]
    assert [float(row[2]) for row in table[1:]] == list(reversed(VALUES))
    assert table[1][2] == "3"
    assert anna.get("/data/custom-graph-values?sort=value&desc=1").text.index("1E+17") > 0
    assert anna.get("/data/custom-graph-values/details?id=1").status_code == 200
    anna.post("/data/custom-graph-values/delete", {"ids": "1", "confirmed": "yes"})
    assert count(filled) == (3, 5)


def count(bound: Bound) -> tuple[int | None, int | None]:
    """How many graphs and values are stored."""
    with bound.monitor.store.read() as connection:
        return (
            connection.scalar(select(func.count()).select_from(CustomGraph)),
            connection.scalar(select(func.count()).select_from(CustomGraphValue)),
        )


def test_errors_are_for_admins(filled: Bound, anna: Browser, vera: Browser) -> None:
    with filled.monitor.store.write() as connection:
        rows.keep_error(connection, 1, int(time.time() * 1000) - 3_600_000, "secret of before")
        rows.keep_error(connection, 2, int(time.time() * 1000), "secret: mysql://app:pw@db/shop")
    paths = ("/custom-graphs", "/custom-graphs/data.csv", "/custom-graph/1", "/custom-graph/2")
    for path in paths:
        assert "secret" in anna.get(path).text or path == "/custom-graph/1"
        shown = vera.get(path)
        assert shown.status_code == 200
        assert "secret" not in shown.text, path
    assert "secret of before" in anna.get("/custom-graph/1").text
    assert "for admins" in vera.get("/custom-graph/2").text
    assert vera.get("/custom-graphs").text.count(">failed</span>") == 1


def test_the_largest_numbers_are_drawn(filled: Bound, anna: Browser, now_ms: int) -> None:
    largest = 1.7e308
    with filled.monitor.store.write() as connection:
        for n, value in enumerate((largest, -largest, largest)):
            rows.keep_value(connection, 2, now_ms - 60_000 * (3 - n), value)
    page = anna.get("/custom-graphs")
    assert page.status_code == 200
    assert 'points="1.0,2.0 42.0,20.0 83.0,2.0"' in page.text
    points = anna.get("/custom-graph/2/data.json").get_json()["series"][0]["points"]
    assert [value for _, value in points] == [largest, -largest, largest]


def test_means_of_the_largest_numbers_are_numbers(
    filled: Bound, anna: Browser, now_ms: int
) -> None:
    with filled.monitor.store.write() as connection:
        connection.execute(
            insert(CustomGraphValue),
            [
                {"graph_id": 2, "time": now_ms - 1_000 * n, "value": 1.7e308 if n % 3 else -1.7e308}
                for n in range(1, 3_000)
            ],
        )
    answer = anna.get("/custom-graph/2/data.json")
    assert "Infinity" not in answer.text
    assert "NaN" not in answer.text
    data = answer.get_json()
    assert data["step_ms"]
    assert all(abs(mean) <= 1.7e308 for _, mean in data["series"][0]["points"])
    assert anna.get("/custom-graph/2").status_code == 200
