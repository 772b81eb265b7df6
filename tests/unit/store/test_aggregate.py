from __future__ import annotations

import math
import random

import pytest

from fmd_admin.store import histogram
from fmd_admin.store.aggregate import (
    Aggregate,
    parse_statuses,
    write_statuses,
)


@pytest.mark.parametrize("at_once", [1, 700, 2000])
def test_sums_are_those_of_the_requests(at_once: int) -> None:
    rnd = random.Random(2)
    rows = [
        (rnd.lognormvariate(2, 1), rnd.choice((200, 404, 500)), rnd.randrange(10**6))
        for _ in range(2000)
    ]
    total = Aggregate()
    for start in range(0, len(rows), at_once):
        some = rows[start : start + at_once]
        if at_once == 1:
            total.add(*some[0])
        else:
            total.add_many(
                [row[0] for row in some], [row[1] for row in some], max(row[2] for row in some)
            )
    durations = [row[0] for row in rows]
    delta = total.as_delta_row(3_600_000, 4, 5)
    assert (delta["hour"], delta["endpoint_id"], delta["version_id"]) == (3_600_000, 4, 5)
    assert delta["hits"] == len(rows)
    assert delta["sum_ms"] == pytest.approx(math.fsum(durations))
    assert delta["sum_squares"] == pytest.approx(math.fsum(d * d for d in durations))
    assert delta["min_ms"] == min(durations)
    assert delta["max_ms"] == max(durations)
    assert delta["last_requested"] == max(row[2] for row in rows)
    statuses = [row[1] for row in rows]
    assert delta["errors"] == sum(status >= 400 for status in statuses)
    assert parse_statuses([delta["statuses"]]) == {s: statuses.count(s) for s in set(statuses)}
    expected: dict[int, int] = {}
    for duration_ms in durations:
        number = histogram.bucket(duration_ms)
        expected[number] = expected.get(number, 0) + 1
    assert histogram.counts(delta["histogram"]) == expected


@pytest.mark.parametrize("duration_ms", [0.0, 0.0005, 0.001, 0.00101, 1.0, 3_600_000.0, 1e9])
def test_its_buckets_are_the_histogram_s(duration_ms: float) -> None:
    total = Aggregate()
    total.add(duration_ms, 200, 1)
    many = Aggregate()
    many.add_many([duration_ms], [200], 1)
    for found in (total, many):
        assert list(found.counts) == [histogram.bucket(duration_ms)]
        assert (found.min_ms, found.max_ms) == (duration_ms, duration_ms)


def test_touched_endpoints_only_have_a_time() -> None:
    total = Aggregate()
    total.touch(50)
    total.touch(40)
    delta = total.as_delta_row(0, 1, 1)
    assert delta["last_requested"] == 50
    assert (delta["hits"], delta["min_ms"], delta["max_ms"]) == (0, 0, 0)
    assert (delta["histogram"], delta["statuses"]) == (b"", "")


def test_statuses_as_text() -> None:
    assert write_statuses({200: 12, 404: 1}) == "200:12 404:1"
    assert parse_statuses(["200:12 404:1", "", "404:2 500:1"]) == {200: 12, 404: 3, 500: 1}
