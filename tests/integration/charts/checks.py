"""A check for each chart of the panel: its JSON and its CSV against the raw requests."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from ...unit.read.data import HOUR_MS, Measured, count_by, quantile
from .look import Look
from .truth import (
    Span,
    change,
    check_box,
    exact,
    is_error,
    mean,
    parts,
    share,
    truth,
    within,
)

#: A change of a median from too few requests is not shown.
COMPARABLE = 30
HOURS_A_PAGE = {"status codes": 72, "summary": 8 * 24, "sparks": 13 * 24}


def overview(look: Look) -> None:
    clock, rows = look.clock, look.rows()
    today = clock.local(clock.now_ms).date()
    of_endpoint = count_by(look.filled.world.rows, lambda row: row.endpoint)
    before = count_by(look.rows(clock.before(look.span)), lambda row: row.endpoint)
    hourly = look.span.end_ms - look.span.start_ms <= HOURS_A_PAGE["sparks"] * HOUR_MS
    starts = [start for start, _ in clock.steps(look.span, hourly=hourly)]
    edges = starts[:: -(-len(starts) // 30)]
    all_ms = truth(rows).total_ms
    assert {row["name"] for row in look.json["rows"]} == set(of_endpoint)
    assert len(look.json["rows"]) == look.json["total"] == len(look.table)
    shares = [row["share"] for row in look.json["rows"]]
    assert shares == sorted(shares, reverse=True)
    for row, line in zip(look.json["rows"], look.table, strict=True):
        mine = [r for r in rows if r.endpoint == row["name"]]
        ever = [r for r in of_endpoint[row["name"]] if r.version in (look.versions or r.version)]
        ages = [(today - clock.local(r.time_ms).date()).days for r in ever]
        now = truth(mine)
        last_ms = max(r.time_ms for r in of_endpoint[row["name"]])
        expected = {
            "name": row["name"],
            "hits_today": sum(age == 0 for age in ages),
            "hits_week": sum(age < 7 for age in ages),
            **now.expected("hits", "errors", "p50_ms", "p95_ms", "p99_ms", "total_ms"),
            "error_share": exact(now.error_share or 0.0),
            "share": exact(share(now.total_ms, all_ms) or 0.0),
        }
        for found in (row, line):
            assert {key: found[key] for key in expected} == expected
        assert clock.at(row["last_requested"]) == clock.at(line["last_requested"]) == last_ms
        then = truth(before.get(row["name"], []))
        known = min(now.hits, then.hits) >= COMPARABLE
        medians = change(now.p50_ms, then.p50_ms) if known else None
        for found in (row, line):
            assert found["change"] == (None if medians is None else near_change(medians))
        spark = [0] * len(edges)
        for r in mine:
            spark[bisect_right(edges, r.time_ms) - 1] += 1
        assert row["spark"] == spark
    check_figures(look, look.json["summary"], look.span)
    check_change(look, look.json["summary"], look.json["change"])


def near_change(value: float) -> Any:
    """A change of a quantile, of which both sides are within 1 %."""
    return pytest.approx(value, abs=0.021 * (1 + value))


def check_figures(look: Look, found: dict[str, Any], span: Span) -> None:
    expected = truth(look.rows(span)).expected(
        "hits", "errors", "error_share", "mean_ms", "p50_ms", "p95_ms", "p99_ms"
    )
    now = span == look.span
    span_ms = look.clock.elapsed_ms(span) if now else measured_ms(look, span)
    assert found == {**expected, "span_ms": span_ms}


def measured_ms(look: Look, earlier: Span) -> int:
    """How much of an earlier time lies behind the first hour that anything is known of."""
    first_ms = min(row.time_ms for row in look.filled.world.rows)
    local = look.clock.local(first_ms)
    began_ms = first_ms - (local.minute * 60 + local.second) * 1000 - local.microsecond // 1000
    return max(earlier.end_ms - max(earlier.start_ms, began_ms), 0)


def check_change(look: Look, now: dict[str, Any], found: dict[str, Any]) -> None:
    earlier = look.clock.before(look.span)
    then = truth(look.rows(earlier))
    hits = change(
        share(now["hits"], look.clock.elapsed_ms(look.span)),
        share(then.hits, measured_ms(look, earlier)),
    )
    assert found["hits"] == exact(hits)
    if now["hits"] and then.hits:
        assert found["error_share"] == exact(now["error_share"] - then.error_share)
        for name in ("p50", "p95", "p99"):
            medians = change(now[f"{name}_ms"], getattr(then, f"{name}_ms"))
            assert medians is not None
            assert found[name] == near_change(medians), name


def hourly(look: Look) -> None:
    clock, rows = look.clock, look.rows()
    there = clock.past_hours(look.span)
    hits = count_by(rows, lambda r: (clock.day(r.time_ms), clock.local(r.time_ms).hour))
    days = clock.days(look.span)
    expected = [
        [len(hits.get((day, hour), [])) if (day, hour) in there else None for hour in range(24)]
        for day in days
    ]
    assert (look.json["days"], look.json["hits"]) == (days, expected)
    assert look.json["total"] == len(rows)
    assert look.json["peak"] == max(map(len, hits.values()), default=0)
    assert look.header == ["Day", *(f"{hour:02}:00" for hour in range(24))]
    assert [line["Day"] for line in look.table] == days
    assert [list(line.values())[1:] for line in look.table] == expected


def daily(look: Look) -> None:
    clock, rows = look.clock, look.rows()
    days = clock.days(look.span)
    of_endpoint = count_by(rows, lambda r: r.endpoint)
    expected = {
        str(name): [sum(clock.day(r.time_ms) == day for r in part) for day in days]
        for name, part in sorted(of_endpoint.items(), key=lambda pair: (-len(pair[1]), pair[0]))
    }
    assert look.json["days"] == days
    assert {s["name"]: s["hits"] for s in look.json["series"]} == expected
    assert [s["name"] for s in look.json["series"]] == list(expected)
    assert look.json["total"] == len(rows)
    # A bar stands for its date, even where the range cuts it.
    whole = clock.steps(clock.whole_days(look.span), hourly=False)
    assert look.json["deploys"] == look.deploys(whole)
    assert look.header == ["Day", "All", *expected]
    for number, (day, line) in enumerate(zip(days, look.table, strict=True)):
        hits = [series[number] for series in expected.values()]
        assert list(line.values()) == [day, sum(hits), *hits]


def multi_version(look: Look) -> None:
    rows = look.rows()
    of_endpoint = count_by(rows, lambda r: r.endpoint)
    names = sorted(of_endpoint, key=lambda name: (-len(of_endpoint[name]), name))
    there = {r.version for r in rows}
    newest_first = [name for name in reversed(look.filled.seen_ms) if name in there]
    hits = count_by(rows, lambda r: (r.version, r.endpoint))
    assert look.json["total"] == len(rows)
    assert [series["name"] for series in look.json["series"]] == names
    assert [bar["name"] for bar in look.json["bars"]] == newest_first
    for bar in look.json["bars"]:
        assert bar["hits"] == [len(hits.get((bar["name"], name), [])) for name in names]
        assert bar["total"] == sum(r.version == bar["name"] for r in rows)
    expected = [
        (version, name, len(hits[version, name]))
        for version in newest_first
        for name in names
        if (version, name) in hits
    ]
    assert [(x["version"], x["endpoint"], x["hits"]) for x in look.table] == expected
    for line in look.table:
        whole = sum(r.version == line["version"] for r in rows)
        assert line["share_of_version"] == exact(line["hits"] / whole)


def check_boxes(
    boxes: Sequence[dict[str, Any]],
    table: Sequence[dict[str, Any]],
    expected: dict[object, list[Measured]],
) -> None:
    assert {box["name"] for box in boxes} == set(expected)
    assert [box["name"] for box in boxes] == [next(iter(line.values())) for line in table]
    for box, line in zip(boxes, table, strict=True):
        check_box(box, expected[box["name"]])
        check_box(line, expected[box["name"]])


def performance(look: Look) -> None:
    check_boxes(look.json["boxes"], look.table, count_by(look.rows(), lambda row: row.endpoint))
    medians = [box["median_ms"] for box in look.json["boxes"]]
    assert medians == sorted(medians, reverse=True)


def version_performance(look: Look) -> None:
    check_boxes(look.json["boxes"], look.table, count_by(look.rows(), lambda row: row.version))
    names = [box["name"] for box in look.json["boxes"]]
    assert names == [name for name in reversed(look.filled.seen_ms) if name in names]


def summary(look: Look) -> None:
    clock, hours = look.clock, (look.span.end_ms - look.span.start_ms) / HOUR_MS
    by_hour = hours <= HOURS_A_PAGE["summary"]
    steps = clock.steps(look.span, hourly=by_hour)
    assert look.json["step"] == ("hour" if by_hour else "day")
    both = zip(look.json["labels"], look.json["ends"], strict=True)
    assert [list(pair) for pair in both] == clock.edges(steps)
    keys = ("hits", "errors", "error_share", "mean_ms", "p50_ms", "p95_ms", "p99_ms")
    expected = [truth(rows).expected(*keys) for rows in parts(look.rows(), steps)]
    for found in (look.json["points"], look.table):
        assert [{key: point[key] for key in keys} for point in found] == expected
    assert [clock.at(p["time"]) for p in look.json["points"]] == [start for start, _ in steps]
    assert [line["time"] for line in look.table] == [look.utc(start) for start, _ in steps]
    assert look.json["deploys"] == look.deploys(steps)
    earlier = clock.before(look.span)
    check_figures(look, look.json["now"], look.span)
    check_figures(look, look.json["before"], earlier)
    check_change(look, look.json["now"], look.json["change"])


def statuses_over_time(look: Look) -> None:
    clock, rows = look.clock, look.rows()
    by_hour = look.span.end_ms - look.span.start_ms <= HOURS_A_PAGE["status codes"] * HOUR_MS
    steps = clock.steps(look.span, hourly=by_hour)
    codes = sorted({row.status for row in rows})
    found = parts(rows, steps)
    assert look.json["unit"] == ("hour" if by_hour else "day")
    assert look.json["steps"] == clock.edges(steps)
    totals, errors = [len(part) for part in found], [sum(map(is_error, part)) for part in found]
    assert (look.json["totals"], look.json["errors"]) == (totals, errors)
    hits = {code: [sum(r.status == code for r in part) for part in found] for code in codes}
    assert {series["code"]: series["hits"] for series in look.json["series"]} == hits
    assert look.header == ["Hour" if by_hour else "Day", "All", "Errors", *map(str, codes)]
    names = [look.utc(start) if by_hour else clock.day(start) for start, _ in steps]
    columns = zip(names, totals, errors, *hits.values(), strict=True)
    assert [tuple(line.values()) for line in look.table] == list(columns)


def statuses_by_endpoint(look: Look) -> None:
    rows = look.rows()
    codes = sorted({row.status for row in rows})
    of_endpoint = count_by(rows, lambda r: r.endpoint)
    hits = count_by(rows, lambda r: (r.endpoint, r.status))
    names = sorted(
        of_endpoint,
        key=lambda n: (-sum(map(is_error, of_endpoint[n])), -len(of_endpoint[n]), n),
    )
    assert look.json["total"] == len(rows)
    assert [series["code"] for series in look.json["series"]] == codes
    assert [bar["name"] for bar in look.json["bars"]] == names
    for bar in look.json["bars"]:
        mine = of_endpoint[bar["name"]]
        assert (bar["total"], bar["errors"]) == (len(mine), sum(map(is_error, mine)))
        assert bar["hits"] == [len(hits.get((bar["name"], code), [])) for code in codes]
    expected = [
        (name, str(code), len(hits[name, code]), exact(len(hits[name, code]) / len(mine)))
        for name, mine in ((name, of_endpoint[name]) for name in names)
        for code in codes
        if (name, code) in hits
    ]
    assert [tuple(line.values()) for line in look.table] == expected


def visitors(look: Look, key: Callable[[Measured], str | None]) -> dict[object, list[Measured]]:
    """The requests by visitor, in whole days; holds the pages' numbers against them."""
    rows = look.rows(look.clock.whole_days(look.span))
    found = count_by([row for row in rows if key(row)], key)
    for number, page in enumerate(look.pages, 1):
        pages = max(1, math.ceil(len(found) / 25))
        assert (page["total"], page["page"], page["pages"]) == (len(found), number, pages)
    return found


def user_versions(look: Look) -> None:
    by_version(look, lambda row: row.group)


def ip_versions(look: Look) -> None:
    by_version(look, lambda row: row.ip)


def by_version(look: Look, key: Callable[[Measured], str | None]) -> None:
    """Hold bubbles of visitors by version against the requests of each."""
    found = visitors(look, key)
    names = [name for page in look.pages for name in page["visitors"]]
    assert sorted(names) == sorted(map(str, found))
    assert [len(found[name]) for name in names] == sorted(map(len, found.values()))[::-1]
    whole = look.rows(look.clock.whole_days(look.span))
    compared = [r for r in whole if look.endpoint or key(r)]
    median = quantile([r.duration_ms for r in compared], 0.5) if compared else None
    cells: list[dict[str, Any]] = []
    for page in look.pages:
        assert page["median_ms"] == within(median)
        assert page["versions"] == [v for v in look.filled.seen_ms if v in page["versions"]]
        for bubble in page["bubbles"]:
            who = page["visitors"][bubble["visitor"]]
            cells.append({**bubble, "who": who, "version": page["versions"][bubble["version"]]})
    parts = count_by(whole, lambda r: (key(r), r.version))
    expected = {pair for pair in parts if pair[0] is not None}  # type: ignore[index]
    assert {(cell["who"], cell["version"]) for cell in cells} == expected
    assert len(cells) == len(look.table) == len(expected)
    for cell, line in zip(cells, look.table, strict=True):
        assert (cell["who"], cell["version"]) == (next(iter(line.values())), line["version"])
        durations = [r.duration_ms for r in parts[cell["who"], cell["version"]]]
        for one in (cell, line):
            assert one["hits"] == len(durations)
            assert one["mean_ms"] == exact(mean(durations))
            against = share(mean(durations) or 0.0, median or 0.0)
            # A part of a median that is within 1 %.
            assert one["against_median"] == within(against, 1 / 0.99 - 1)


def user_performance(look: Look) -> None:
    found = visitors(look, lambda row: row.group)
    boxes = [box for page in look.pages for box in page["boxes"]]
    check_boxes(boxes, look.table, found)
    hits = [box["hits"] for box in boxes]
    assert hits == sorted(hits, reverse=True)
