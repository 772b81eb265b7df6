"""Pairs of intervals with a known truth, as the rollups would hold them."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import get_args

from fmd_admin.read.buckets import Total
from fmd_admin.read.comparison import Comparison, Kind, compare
from fmd_admin.store import histogram

#: What is said with a test behind it.
CHANGES = {"slower", "faster", "more_errors", "fewer_errors"}
assert set(get_args(Kind)) > CHANGES


def total_of(durations_ms: list[float], errors: int = 0) -> Total:
    """The total of these requests, through stored histograms."""
    total = Total()
    total.hits, total.errors, total.sum_ms = len(durations_ms), errors, sum(durations_ms)
    total.min_ms = min(durations_ms, default=total.min_ms)
    total.max_ms = max(durations_ms, default=total.max_ms)
    # As several hours bring several histograms.
    for start in range(0, len(durations_ms), 400):
        counts = Counter(map(histogram.bucket, durations_ms[start : start + 400]))
        total.parts.append(histogram.encode(dict(sorted(counts.items()))))
    return total


def draw(
    rnd: random.Random, hits: int, median_ms: float, sigma: float = 0.5, share: float = 0.0
) -> Total:
    """``hits`` requests with log-normal durations, of which about ``share`` are errors."""
    durations_ms = [median_ms * rnd.lognormvariate(0, sigma) for _ in range(hits)]
    return total_of(durations_ms, sum(rnd.random() < share for _ in range(hits)))


Pair = tuple[Total, Total]


def reported(pairs: list[Pair]) -> list[set[str]]:
    """What one report over all ``pairs`` says of each of them."""
    found = compare(
        {key: before for key, (before, _) in enumerate(pairs)},
        {key: after for key, (_, after) in enumerate(pairs)},
        24.0,
        24.0,
    )
    return [kinds(found[key]) for key in range(len(pairs))]


def kinds(comparison: Comparison) -> set[str]:
    return {verdict.kind for verdict in comparison.verdicts}


def alike(rnd: random.Random) -> Pair:
    """An endpoint of any kind without a change; the sides may differ in size."""
    hits, median_ms = round(30 * 10 ** (2 * rnd.random())), 2 * 10 ** (2.5 * rnd.random())
    sigma, share = rnd.uniform(0.2, 1.3), rnd.choice((0, 0, 0.002, 0.01, 0.05, 0.3))
    sides = [
        draw(rnd, round(hits * rnd.choice((1, 1, 0.5))) + 30, median_ms, sigma, share)
        for _ in range(2)
    ]
    return sides[0], sides[1]


def false_reports(seed: int, endpoints: int = 1000) -> float:
    """The part of ``endpoints`` without a change that one report says something of."""
    rnd = random.Random(seed)
    found = reported([alike(rnd) for _ in range(endpoints)])
    return sum(bool(kinds & CHANGES) for kinds in found) / endpoints


def found_in(
    seed: int, kind: str, pair: Callable[[random.Random], Pair], trials: int, others: int = 0
) -> float:
    """The part of ``trials`` in which ``pair`` is found, beside ``others`` without a change."""
    rnd = random.Random(seed)
    company = [alike(rnd) for _ in range(others)]
    return sum(kind in reported([pair(rnd), *company])[0] for _ in range(trials)) / trials


def slowdown(hits: int = 500, by: float = 1.2, sigma: float = 0.5) -> Callable[..., Pair]:
    return lambda rnd: (draw(rnd, hits, 80, sigma), draw(rnd, hits, 80 * by, sigma))


def more_errors(hits: int = 1000, before: float = 0.01, after: float = 0.04) -> Callable[..., Pair]:
    return lambda rnd: (draw(rnd, hits, 80, share=before), draw(rnd, hits, 80, share=after))
