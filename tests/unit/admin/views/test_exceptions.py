"""The pages of exceptions, with what a real app raised."""

from __future__ import annotations

import csv
import io
import re

import pytest

import fmd_admin

from ....cuts import conflicts
from ....exceptions import stored_groups
from ....support import Bound, get
from ..browser import Browser


def find(number: int) -> int:
    raise LookupError(f"user {number} not found")


@pytest.fixture
def failing(bound: Bound) -> Bound:
    """Three groups: one of two requests, one that was captured, one outside of requests."""
    app = bound.app
    app.logger.disabled = True
    app.add_url_rule("/user/<int:number>", "user", lambda number: str(find(number)))

    def captured() -> str:
        try:
            raise ValueError("=1+1")
        except ValueError as error:
            fmd_admin.capture(error)
        return "fine"

    app.add_url_rule("/captured", "captured", captured)
    for path in ("/user/1?token=secret-thing", "/user/2", "/captured"):
        get(app, path)
    with app.app_context():
        fmd_admin.capture(OSError("outside"))
    bound.monitor.recorder.flush()
    return bound


def group_id(bound: Bound, kind: str) -> int:
    [found] = [one for one in stored_groups(bound.monitor.store).values() if one.type == kind]
    return found.id


def test_the_list_has_every_group(failing: Bound, anna: Browser) -> None:
    text = anna.get("/exceptions").text
    for word in ("LookupError", "ValueError", "OSError", "user 2 not found", "badge-warn"):
        assert word in text
    assert "user 1 not found" not in text
    assert "secret-thing" not in text


def test_the_tab_of_an_endpoint_has_its_own(failing: Bound, anna: Browser) -> None:
    overview = anna.get("/overview/data.json").json
    assert overview is not None
    ids = {row["name"]: row["id"] for row in overview["rows"]}
    text = anna.get(f"/endpoint/{ids['user']}/exceptions").text
    assert "LookupError" in text
    assert "ValueError" not in text
    assert anna.get("/endpoint/999/exceptions").status_code == 404


def test_csv_json_and_page_say_the_same(failing: Bound, anna: Browser) -> None:
    data = anna.get("/exceptions/data.json").json
    assert data is not None
    assert (data["total"], data["hits"]) == (3, 4)
    table = list(csv.DictReader(io.StringIO(anna.get("/exceptions/data.csv").text)))
    assert {row["Type"]: int(row["Count"]) for row in table} == {
        row["type"]: row["hits"] for row in data["rows"]
    }
    # A message is no formula.
    assert [row["Latest message"] for row in table if row["Type"] == "ValueError"] == ["'=1+1"]
    assert anna.get("/exceptions/data.csv?state=odd").status_code == 400
    assert anna.get("/exceptions?state=odd&sort=odd&page=x&q=%00").status_code == 200


def test_one_group_shows_its_stack_and_request(failing: Bound, anna: Browser) -> None:
    number = group_id(failing, "LookupError")
    text = anna.get(f"/exceptions/{number}").text
    for word in ("user 2 not found", "raise LookupError(", "/user/2", "2</dd>", "source-frame own"):
        assert word in text, word
    data = anna.get(f"/exceptions/{number}/data.json").json
    assert data is not None
    assert data["total"] == 2
    rows = list(csv.reader(io.StringIO(anna.get(f"/exceptions/{number}/data.csv").text)))
    assert sum(int(row[1]) for row in rows[1:]) == 2
    stored = anna.get(f"/exceptions/{number}/occurrences/data.csv").text
    assert stored.count("not found") == 2


def test_an_older_one_can_be_looked_at(failing: Bound, anna: Browser) -> None:
    number = group_id(failing, "LookupError")
    first = anna.get(f"/exceptions/{number}").text
    assert "The latest one" in first
    oldest = re.findall(rf"/exceptions/{number}\?occurrence=(\d+)", first)[-1]
    page = anna.get(f"/exceptions/{number}?occurrence={oldest}").text
    assert "One of them" in page
    assert "/user/1?token=" in page
    assert "secret-thing" not in page
    assert "not stored any more" in anna.get(f"/exceptions/{number}?occurrence=77").text
    for none in ("99999999999999999999", "-1", "x"):
        assert anna.get(f"/exceptions/{number}?occurrence={none}").status_code == 200


def test_one_of_no_request_says_so(failing: Bound, anna: Browser) -> None:
    text = anna.get(f"/exceptions/{group_id(failing, 'OSError')}").text
    assert "outside of any request" in text


def test_what_a_cluster_gives_up_once_counts(failing: Bound, anna: Browser) -> None:
    store = failing.monitor.store
    path = f"/exceptions/{group_id(failing, 'LookupError')}"
    with conflicts(store, "UPDATE fmd_exception_group") as done:
        assert anna.post(f"{path}/resolve", {"resolved": "yes"}).status_code == 303
    assert done
    with conflicts(store, "DELETE FROM fmd_exception_group") as done:
        assert anna.post(f"{path}/delete").status_code == 303
    assert done
    assert anna.get(path).status_code == 404


def test_admins_resolve_reopen_and_delete(failing: Bound, anna: Browser) -> None:
    number = group_id(failing, "LookupError")
    path = f"/exceptions/{number}"
    assert anna.post(f"{path}/resolve", {"resolved": "yes"}).status_code == 303
    assert "Open again" in anna.get(path).text
    assert "LookupError" not in anna.get("/exceptions").text
    assert "LookupError" in anna.get("/exceptions?state=resolved").text
    anna.post(f"{path}/resolve", {"resolved": "no", "back": "//evil.example"})
    assert "Mark as resolved" in anna.get(path).text
    assert "Delete them" in anna.get(f"{path}/delete").text
    assert "LookupError" in anna.get("/exceptions").text
    assert anna.post(f"{path}/delete").status_code == 303
    assert anna.get(path).status_code == 404
    assert set(stored_groups(failing.monitor.store)) != set()


def test_viewers_look_only(failing: Bound, vera: Browser) -> None:
    number = group_id(failing, "LookupError")
    text = vera.get(f"/exceptions/{number}").text
    assert "Mark as resolved" not in text
    for action in ("resolve", "delete"):
        assert vera.post(f"/exceptions/{number}/{action}").status_code == 403
    assert vera.get(f"/exceptions/{number}/delete").status_code == 403


def test_unknown_ids_are_not_found(bound: Bound, anna: Browser) -> None:
    for number in (1, 2**31, 2**63):
        for rest in ("", "/data.json", "/data.csv", "/occurrences/data.csv", "/delete"):
            assert anna.get(f"/exceptions/{number}{rest}").status_code == 404
        assert anna.post(f"/exceptions/{number}/resolve").status_code == 404


def test_the_overview_has_a_badge(failing: Bound, anna: Browser) -> None:
    text = anna.get("/overview").text
    assert 'aria-label="2 exceptions of user"' in text
    assert "3 new" in text


def test_the_rows_are_under_data(failing: Bound, anna: Browser) -> None:
    text = anna.get("/data/exceptions").text
    assert text.count("not found") >= 2
    assert "outside" in text
    csv_text = anna.get("/data/exceptions/export/csv/").text
    assert csv_text.count("not found") in (0, 2)


def test_empty_pages_say_what_to_do(bound: Bound, anna: Browser) -> None:
    assert "fmd_admin.capture(error)" in anna.get("/exceptions").text
    assert "No exception matches" in anna.get("/exceptions?q=zzz").text
