"""Checks of the charts that are not made of requests: custom graphs and execution trees."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise

import pytest

from fmd_admin.records import ProfileNode

from .look import Look
from .truth import exact, mean


def custom_graph(look: Look) -> None:
    first, end = look.span.exact
    inside = {t: v for t, v in look.filled.values.items() if first <= t < end}
    expected = [(look.utc(time_ms), exact(value)) for time_ms, value in inside.items()]
    assert [(line["Time"], line["Value"]) for line in look.table] == expected
    assert look.json["values"] == len(inside)
    drawn = look.json["range"]
    began = max(first, min(look.filled.values))
    assert (drawn["start_ms"], drawn["end_ms"]) == (began, min(end, look.clock.now_ms))
    (series,) = look.json["series"]
    step_ms = look.json["step_ms"]
    assert (step_ms is not None) is (len(inside) > 1_500)
    if step_ms is None:
        assert [tuple(p) for p in series["points"]] == [(t, exact(v)) for t, v in inside.items()]
        return
    steps: dict[int, list[float]] = {}
    for time_ms, value in inside.items():
        start = time_ms - (time_ms - look.span.start_ms) % step_ms
        steps.setdefault(start, []).append(value)
    means = [(start, exact(mean(values))) for start, values in steps.items()]
    assert [tuple(point) for point in series["points"]] == means
    bands = [(start, exact(min(v)), exact(max(v))) for start, v in steps.items()]
    assert [tuple(band) for band in series["band"]] == bands
    assert {after - start for start, after in pairwise(steps)} == {step_ms}


def grouped(look: Look) -> None:
    merged = [
        profile
        for profile in look.filled.profiles
        if look.span.has(profile.time_ms)
        and profile.endpoint == look.endpoint
        and "2.0" in (look.versions or ["2.0"])
    ]
    number = len(merged)
    assert (look.json["requests"], look.json["total_us"]) == (
        number,
        round(sum(p.duration_ms for p in merged) * 1000),
    )
    seen: dict[tuple[str, ...], list[ProfileNode]] = {}
    for profile in merged:
        for path, node in _walk(profile.roots, ()):
            seen.setdefault(path, []).append(node)
    lines, names = look.json["lines"], list[str]()
    nodes = iter(look.json["nodes"])
    root, *table = look.table
    assert (root["Depth"], root["requests"], root["Total"]) == (
        0,
        number,
        exact(sum(p.duration_ms for p in merged)),
    )
    for line in table:
        depth, index, total_us, samples, requests, deviation_us = (next(nodes) for _ in range(6))
        names[depth - 1 :] = [lines[index][2]]
        found = seen.pop(tuple(names))
        totals = [node.total_ms for node in found] + [0.0] * (number - len(found))
        average = mean(totals) or 0.0
        spread = math.sqrt(mean([(total - average) ** 2 for total in totals]) or 0.0)
        assert (samples, requests) == (sum(node.hits for node in found), len(found))
        assert total_us == pytest.approx(1000 * sum(totals), abs=1)
        assert deviation_us == pytest.approx(1000 * spread, abs=1)
        assert (line["Depth"], line["Function"]) == (depth, names[-1])
        assert (line["Samples"], line["requests"]) == (samples, requests)
        assert line["mean_ms"] == exact(average)
        assert line["Standard deviation"] == exact(spread)
    assert (seen, list(nodes)) == ({}, [])


def _walk(
    nodes: Iterable[ProfileNode], above: tuple[str, ...]
) -> Iterable[tuple[tuple[str, ...], ProfileNode]]:
    for node in nodes:
        path = (*above, node.frame.function)
        yield path, node
        yield from _walk(node.children, path)
