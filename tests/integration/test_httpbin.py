"""httpbin, bound with one line, driven over HTTP: each stored row is what the client saw."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from werkzeug.routing import Map, Rule

from examples import httpbin_bound
from examples.httpbin_bound import UNMATCHED, Stored, compare
from examples.httpbin_requests import Seen, Sent

RULES = Map([Rule("/delay/0.4", endpoint="slow"), Rule("/get", endpoint="get", methods=["GET"])])
SEEN = (
    Seen("1", Sent("GET", "/delay/0.4"), 200, 0.5),
    Seen("2", Sent("GET", "/get"), 404, 0.01),
    Seen("3", Sent("POST", "/get"), 405, 0.01),
)
STORED = (
    Stored("1", "slow", "GET", 200, 450.0),
    Stored("2", "get", "GET", 404, 5.0),
    Stored("3", UNMATCHED, "POST", 405, 5.0),
)


@pytest.mark.server
def test_every_row_is_what_the_client_saw(tmp_path: Path) -> None:
    report = httpbin_bound.run(tmp_path)
    assert report.problems == []
    assert report.matched > 250
    assert report.unmatched > 5
    log = (tmp_path / "server.log").read_text()
    assert "Traceback" not in log


def test_comparison_finds_nothing_where_nothing_is() -> None:
    report = compare(RULES, SEEN, STORED)
    assert (report.problems, report.matched, report.unmatched) == ([], 2, 1)


@pytest.mark.parametrize(
    ("index", "change"),
    [
        (0, {"endpoint": "get"}),
        (0, {"status": 500}),
        (0, {"method": "HEAD"}),
        (0, {"duration_ms": 399.0}),
        (0, {"duration_ms": 501.0}),
        (1, {"endpoint": UNMATCHED}),
        (2, {"endpoint": "get"}),
        (1, {"number": "9"}),
        (1, {"number": None}),
    ],
)
def test_comparison_finds_a_difference(index: int, change: dict[str, object]) -> None:
    stored = list(STORED)
    stored[index] = replace(stored[index], **change)
    assert compare(RULES, SEEN, stored).problems


def test_comparison_finds_missing_and_doubled_rows_and_unasked_endpoints() -> None:
    assert compare(RULES, SEEN, STORED[:2]).problems
    assert compare(RULES, SEEN, (*STORED, STORED[0])).problems
    assert compare(RULES, SEEN[1:], STORED[1:]).problems == ["endpoint slow was never asked for"]
