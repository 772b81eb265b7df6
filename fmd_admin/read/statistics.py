"""Tests of significance on counts, without a compiled dependency.

They answer one question: would a difference like this be seen by chance, if both intervals were
drawn from the same requests? They take requests to be independent of each other, which they are
only more or less (a slow minute is slow for all), so a small p alone proves little: what is
reported has to be large enough to matter as well (:mod:`fmd_admin.read.comparison`).

All sums are integers until the last division, so that 10**7 requests lose no digit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

#: Expected counts from which the chi-square distribution is close enough.
EXPECTED_ENOUGH = 10
#: Probabilities this close to that of what was seen are as unlikely as it, but for rounding.
_EQUAL = 1 + 1e-9


class RankTest(NamedTuple):
    """``p`` is two-sided.

    ``superiority`` is the chance that a request of the second sample took longer than one of the
    first, with a tie as half a chance: 0.5 where neither is slower.
    """

    p: float
    superiority: float


def rank_test(first: Mapping[int, int], second: Mapping[int, int]) -> RankTest:
    """Return the Mann-Whitney test of two samples given as histogram bucket → requests.

    Normal approximation with correction for ties and continuity; requests of one bucket are tied
    (buckets are 2 % wide). Good from about 20 requests a side. Raises ValueError for an empty
    sample. Source: Mann and Whitney 1947; Lehmann, Nonparametrics, 1975, section 1.4.
    """
    size_1, size_2 = sum(first.values()), sum(second.values())
    if not size_1 or not size_2:
        raise ValueError("A rank test needs two samples that are not empty.")
    below = twice_wins = ties = 0
    for number in sorted(first.keys() | second.keys()):
        one, two = first.get(number, 0), second.get(number, 0)
        twice_wins += two * (2 * below + one)
        below += one
        tied = one + two
        ties += tied**3 - tied
    pairs, size = size_1 * size_2, size_1 + size_2
    superiority = twice_wins / (2 * pairs)
    variance = pairs * ((size + 1) * size * (size - 1) - ties) / (12 * size * (size - 1))
    distance = (abs(twice_wins - pairs) - 1) / 2
    if variance <= 0 or distance <= 0:
        return RankTest(1.0, superiority)
    return RankTest(_both_tails(distance / math.sqrt(variance)), superiority)


def quantile_test(
    first: Mapping[int, int], second: Mapping[int, int], q: float
) -> tuple[float, float] | None:
    """Return (p, change of the share above) for the quantile ``q`` of two histograms.

    Both samples are cut at the quantile of all requests together, and the shares above it are
    compared (the median test of Brown and Mood 1951, at another quantile). Under the hypothesis
    that both are alike the cut says nothing about which sample lies above it, so the test keeps
    its level. None if nothing lies above, as with a single bucket.
    """
    size_1, size_2 = sum(first.values()), sum(second.values())
    seen, cut = 0, -1
    for number in sorted(first.keys() | second.keys()):
        seen += first.get(number, 0) + second.get(number, 0)
        if seen >= q * (size_1 + size_2):
            cut = number
            break
    above_1 = sum(count for number, count in first.items() if number > cut)
    above_2 = sum(count for number, count in second.items() if number > cut)
    if not size_1 or not size_2 or not above_1 + above_2:
        return None
    p = share_test(size_1, above_1, size_2, above_2)
    return p, above_2 / size_2 - above_1 / size_1


def share_test(size_1: int, part_1: int, size_2: int, part_2: int) -> float:
    """Return the two-sided p of ``part_1`` of ``size_1`` against ``part_2`` of ``size_2``.

    Pearson's chi-square test (without Yates' correction, which is too cautious) where each of the
    four expected counts is at least ``EXPECTED_ENOUGH``, otherwise Fisher's exact test. Raises
    ValueError for parts that are not inside their sizes.
    """
    if not (0 <= part_1 <= size_1 and 0 <= part_2 <= size_2):
        raise ValueError("A part is larger than its size, or below 0.")
    size, part = size_1 + size_2, part_1 + part_2
    if not size_1 or not size_2 or not part or part == size:
        return 1.0
    smallest = min(size_1, size_2) * min(part, size - part)
    if smallest < EXPECTED_ENOUGH * size:
        return _fisher(size_1, part_1, size_2, part)
    difference = part_1 * (size_2 - part_2) - part_2 * (size_1 - part_1)
    square = size * difference * difference / (size_1 * size_2 * part * (size - part))
    return _both_tails(math.sqrt(square))


def _fisher(size_1: int, part_1: int, size_2: int, part: int) -> float:
    """Return the chance of all tables with these margins that are at most as likely.

    Weights are relative to the most likely table and found from one to the next. There are never
    many that are above 0: the smallest expected count is below ``EXPECTED_ENOUGH``.
    """
    size = size_1 + size_2
    lowest, highest = max(0, part - size_2), min(part, size_1)
    mode = min(max((part + 1) * (size_1 + 1) // (size + 2), lowest), highest)
    weights = {mode: 1.0}
    weight, k = 1.0, mode
    while k < highest and weight:
        weight *= (size_1 - k) * (part - k) / ((k + 1) * (size_2 - part + k + 1))
        k += 1
        weights[k] = weight
    weight, k = 1.0, mode
    while k > lowest and weight:
        weight *= k * (size_2 - part + k) / ((size_1 - k + 1) * (part - k + 1))
        k -= 1
        weights[k] = weight
    limit = weights.get(part_1, 0.0) * _EQUAL
    tail = math.fsum(value for value in weights.values() if value <= limit)
    return min(tail / math.fsum(weights.values()), 1.0)


def false_discovery(ps: Sequence[float]) -> list[float]:
    """Return ``ps`` corrected for their number, in the same order.

    Of what is reported with a corrected p up to 5 %, at most 5 % are expected to be chance.
    Source: Benjamini and Hochberg 1995.
    """
    order = sorted(range(len(ps)), key=ps.__getitem__, reverse=True)
    corrected = [0.0] * len(ps)
    lowest = 1.0
    for index, position in enumerate(order):
        lowest = min(lowest, ps[position] * len(ps) / (len(ps) - index))
        corrected[position] = lowest
    return corrected


def _both_tails(z: float) -> float:
    """Return the chance that a standard normal lies at least ``z`` (≥ 0) away from 0."""
    return math.erfc(z / math.sqrt(2))
