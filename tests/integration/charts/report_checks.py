"""Checks of the report, whose two intervals are its own."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from scipy import stats

from ...unit.read.data import HOUR_MS, Measured
from .look import Filled
from .stores import NIGHT_ENDS, PLACES
from .truth import Span, change, exact, is_error, only, truth, within

#: With fewer expected errors on a side the exact test is taken.
FISHER_BELOW = 10


def intervals(filled: Filled, query: dict[str, str]) -> list[tuple[Span, list[str]]]:
    """The two intervals of a report, each with the versions that it is of."""
    clock = filled.clock
    today = clock.local(clock.now_ms).date()
    kind = query["compare"]
    if kind == "custom":
        sides = ("before", "after")
        return [(clock.custom(query[f"{s}_from"], query[f"{s}_to"]), []) for s in sides]
    if kind == "version":
        span = clock.asked({"range": query["range"]})
        return [(span, [query["before"]]), (span, [query["after"]])]
    dates = {"today": 1, "week": today.weekday() + 1, "28d": 7}[kind]
    first = today - timedelta(days=dates - 1)
    start_ms = clock.midnight(first)
    if kind == "28d":
        end_ms = clock.midnight(today + timedelta(days=1))
        pairs = [(clock.midnight(first - timedelta(days=28)), start_ms), (start_ms, end_ms)]
    else:
        days, end_ms = {"today": 1, "week": 7}[kind], clock.hour_end(clock.now_ms)
        earlier = clock.midnight(first - timedelta(days=days))
        pairs = [(earlier, clock.dates_before(end_ms, days)), (start_ms, end_ms)]
    return [(Span(*pair, pair), []) for pair in pairs]


def queries(place: str) -> list[dict[str, str]]:
    """What is asked: every kind of comparison."""
    month, day = f"{PLACES[place][1]:%Y-%m}", PLACES[place][1].day
    custom = {
        "before_from": f"{month}-{day - 5}T09:40",
        "before_to": f"{month}-{day - 2}T10:10",
        "after_from": f"{month}-{day - 2}T11:00",
        "after_to": NIGHT_ENDS[place],
    }
    return [
        *({"compare": kind} for kind in ("today", "week", "28d")),
        {"compare": "custom", **custom},
        {"compare": "version", "before": "1.0", "after": "2.0", "range": "7d"},
    ]


def report(
    filled: Filled, query: dict[str, str], found: dict[str, Any], table: list[dict[str, Any]]
) -> None:
    """Hold the JSON of a report and the lines of its CSV against the requests of both sides."""
    spans = intervals(filled, query)
    sides = [only(filled.world.rows, *side) for side in spans]
    assert all(len(side) > 30 for side in sides), query
    for shown, (span, versions), rows in zip(found["intervals"], spans, sides, strict=True):
        assert (shown["from_ms"], shown["to_ms"]) == (span.start_ms, span.end_ms), query
        assert shown["label"] == filled.clock.label(span)
        assert (shown["versions"], shown["hits"]) == (versions, len(rows))
    assert {row["name"] for row in found["endpoints"]} == {r.endpoint for r in sides[0] + sides[1]}
    stakes = [abs(row["stake_ms"]) for row in found["endpoints"]]
    assert stakes == sorted(stakes, reverse=True)
    for row, line in zip(found["endpoints"], table, strict=True):
        check_compared(filled, row, line, spans, query["compare"] != "version")
    check_tests(found["endpoints"], sides)


def check_compared(
    filled: Filled,
    row: dict[str, Any],
    line: dict[str, Any],
    spans: list[tuple[Span, list[str]]],
    has_load: bool,
) -> None:
    """Hold an endpoint of a report against its requests in both intervals."""
    world, clock = filled.world, filled.clock
    sides = []
    for word, (span, versions) in zip(("before", "after"), spans, strict=True):
        mine = [r for r in only(world.rows, span, versions) if r.endpoint == row["name"]]
        figures = truth(mine)
        per_hour = len(mine) / (clock.elapsed_ms(span) / HOUR_MS) if has_load else None
        assert row[word] == {
            "hits": len(mine),
            "errors": figures.errors,
            "per_hour": exact(per_hour),
            "median_ms": within(figures.p50_ms),
            "p95_ms": within(figures.p95_ms),
            "mean_ms": exact(figures.mean_ms),
            "error_share": exact(figures.error_share),
        }
        labels = {
            f"Requests {word}": len(mine),
            f"An hour {word}": exact(per_hour),
            f"Median {word}": within(figures.p50_ms),
            f"p95 {word}": within(figures.p95_ms),
            f"Errors {word}": exact(figures.error_share),
            f"Mean {word}": exact(figures.mean_ms),
        }
        assert {label: line[label] for label in labels} == labels
        sides.append((figures, per_hour))
    (before, load_before), (after, load_after) = sides
    assert line["name"] == row["name"]
    assert line["Load"] == exact(change(load_after, load_before))
    for label, key in (("Median", "median_ms"), ("p95", "p95_ms")):
        assert line[label] == exact(change(row["after"][key], row["before"][key]))
    if before.mean_ms is not None and after.mean_ms is not None:
        stake_ms = (after.mean_ms - before.mean_ms) * after.hits
    else:
        stake_ms = after.total_ms - before.total_ms
    assert row["stake_ms"] == pytest.approx(stake_ms, rel=1e-9, abs=1e-3)
    assert line["Time at stake (ms)"] == pytest.approx(stake_ms, abs=0.51)
    for name, label in (("times", "p of times"), ("p95", "p of p95"), ("errors", "p of errors")):
        test = row["tests"][name]
        assert line[label] == (None if test is None else exact(test["corrected_p"]))


def check_tests(rows: list[dict[str, Any]], sides: list[list[Measured]]) -> None:
    """Hold the tests of a report against scipy: those of times by the raw durations."""
    found = [test for row in rows for test in row["tests"].values() if test is not None]
    if found:
        corrected = stats.false_discovery_control([test["p"] for test in found])
        assert [test["corrected_p"] for test in found] == [exact(p) for p in corrected]
    for row in rows:
        raw = [[r for r in side if r.endpoint == row["name"]] for side in sides]
        enough = min(map(len, raw)) >= 30
        assert (row["tests"]["times"] is not None) is enough
        if not enough:
            continue
        durations = [[r.duration_ms for r in side] for side in raw]
        # Buckets tie requests within 2 %: that moves p by a little.
        expected = stats.mannwhitneyu(*durations).pvalue
        assert row["tests"]["times"]["p"] == pytest.approx(expected, abs=0.02)
        cells = [[sum(map(is_error, side)), sum(not is_error(r) for r in side)] for side in raw]
        if stats.contingency.expected_freq(cells).min() >= FISHER_BELOW:
            expected = stats.chi2_contingency(cells, correction=False).pvalue
        else:
            expected = stats.fisher_exact(cells).pvalue
        assert row["tests"]["errors"]["p"] == exact(expected)
