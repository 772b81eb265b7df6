"""The tests of significance, held against scipy."""

from __future__ import annotations

import math
import random
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from scipy import stats

from fmd_admin.read.statistics import (
    EXPECTED_ENOUGH,
    false_discovery,
    quantile_test,
    rank_test,
    share_test,
)

Counts = dict[int, int]
SHARES = 250


def values(counts: Counts) -> list[int]:
    return [number for number, count in counts.items() for _ in range(count)]


def scipy_rank_p(first: Counts, second: Counts) -> float:
    found = stats.mannwhitneyu(
        np.repeat(list(second), list(second.values())),
        np.repeat(list(first), list(first.values())),
        method="asymptotic",
        use_continuity=True,
    )
    return float(found.pvalue)


def random_counts(rnd: random.Random) -> Counts:
    """A histogram of a random size, spread and place; at times of one bucket only."""
    spread, middle = rnd.choice((0, 1, 5, 40)), rnd.choice((500, 500, 510, 600))
    size = rnd.choice((1, 2, 7, 30, 200, 1500))
    return dict(sorted(Counter(round(rnd.gauss(middle, spread)) for _ in range(size)).items()))


@pytest.mark.parametrize("seed", range(150))
def test_ranks_agree_with_scipy(seed: int) -> None:
    rnd = random.Random(seed)
    first, second = random_counts(rnd), random_counts(rnd)
    if len(first) == len(second) == 1 and first.keys() == second.keys():
        # scipy divides by zero where everything is tied.
        assert rank_test(first, second) == (1.0, 0.5)
        return
    found = rank_test(first, second)
    assert found.p == pytest.approx(scipy_rank_p(first, second), rel=1e-9, abs=1e-300)
    wins = [(a < b) + 0.5 * (a == b) for a in values(first)[:200] for b in values(second)[:200]]
    if len(values(first)) <= 200 >= len(values(second)):
        assert found.superiority == pytest.approx(sum(wins) / len(wins))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({5: 1}, {5: 1}),
        ({5: 1}, {6: 1}),
        ({5: 400}, {5: 1}),
        ({5: 10**7}, {5: 10**7}),
    ],
)
def test_ties_only_and_single_values_are_no_difference(first: Counts, second: Counts) -> None:
    assert rank_test(first, second).p == 1.0


@pytest.mark.parametrize(("first", "second"), [({}, {}), ({}, {1: 5}), ({1: 5}, {}), ({1: 0}, {})])
def test_an_empty_sample_cannot_be_ranked(first: Counts, second: Counts) -> None:
    with pytest.raises(ValueError, match="not empty"):
        rank_test(first, second)


def test_two_values_apart_agree_with_scipy() -> None:
    for size in (1, 30, 4000):
        first, second = {3: size, 9: 1}, {3: 1, 9: size}
        assert rank_test(first, second).p == pytest.approx(scipy_rank_p(first, second), rel=1e-9)


def test_a_million_requests_agree_with_scipy() -> None:
    generator = np.random.default_rng(1)
    samples = [generator.normal(middle, 30, 10**6).round().astype(int) for middle in (700, 700.1)]
    first, second = (
        dict(zip(*(part.tolist() for part in np.unique(sample, return_counts=True)), strict=True))
        for sample in samples
    )
    expected = stats.mannwhitneyu(samples[1], samples[0], method="asymptotic").pvalue
    assert rank_test(first, second).p == pytest.approx(expected, rel=1e-9)


def test_ten_million_requests_lose_no_digit() -> None:
    rnd = random.Random(3)
    first = {number: rnd.randrange(10**5, 2 * 10**5) for number in range(600, 700)}
    second = {number: count + rnd.randrange(-60, 60) for number, count in first.items()}
    n_1, n_2 = sum(first.values()), sum(second.values())
    assert n_1 > 10**7
    size = n_1 + n_2
    wins = sum(
        Fraction(two)
        * (sum(c for k, c in first.items() if k < number) + Fraction(first[number], 2))
        for number, two in second.items()
    )
    ties = sum((first[k] + second[k]) ** 3 - (first[k] + second[k]) for k in first)
    variance = Fraction(n_1 * n_2, 12) * (size + 1 - Fraction(ties, size * (size - 1)))
    z = float(abs(wins - Fraction(n_1 * n_2, 2)) - Fraction(1, 2)) / math.sqrt(variance)
    found = rank_test(first, second)
    assert found.p == pytest.approx(2 * stats.norm.sf(z), rel=1e-12)
    assert found.superiority == pytest.approx(float(wins / (n_1 * n_2)), rel=1e-15)
    assert 0 < found.p < 1


def tables(seed: int) -> tuple[int, int, int, int]:
    rnd = random.Random(seed)
    sizes = [rnd.choice((1, 40, 500, 1000, 30_000, 10**7)) for _ in range(2)]
    share = rnd.choice((0, 1e-6, 0.001, 0.03, 0.1, 0.3, 0.5, 0.9, 0.99, 1))
    parts = [int(np.random.default_rng([seed, i]).binomial(n, share)) for i, n in enumerate(sizes)]
    if rnd.random() < 0.4:
        parts[0] = min(sizes[0], parts[0] * 2 + rnd.randrange(3))
    return sizes[0], parts[0], sizes[1], parts[1]


def smallest_expected(n_1: int, k_1: int, n_2: int, k_2: int) -> float:
    part = k_1 + k_2
    return min(n_1, n_2) * min(part, n_1 + n_2 - part) / (n_1 + n_2)


@pytest.mark.parametrize("seed", range(SHARES))
def test_shares_agree_with_scipy(seed: int) -> None:
    n_1, k_1, n_2, k_2 = table = tables(seed)
    cells = [[k_1, n_1 - k_1], [k_2, n_2 - k_2]]
    if k_1 + k_2 in (0, n_1 + n_2):
        expected = 1.0
    elif smallest_expected(*table) < EXPECTED_ENOUGH:
        expected = stats.fisher_exact(cells).pvalue
    else:
        expected = stats.chi2_contingency(cells, correction=False).pvalue
    assert share_test(*table) == pytest.approx(expected, rel=1e-6, abs=1e-290)


def test_both_ways_of_testing_shares_were_tried() -> None:
    exact = [smallest_expected(*tables(seed)) < EXPECTED_ENOUGH for seed in range(SHARES)]
    assert min(exact.count(True), exact.count(False)) > 60


def test_shares_do_not_depend_on_the_order() -> None:
    for seed in range(SHARES):
        n_1, k_1, n_2, k_2 = tables(seed)
        p = share_test(n_1, k_1, n_2, k_2)
        assert share_test(n_2, k_2, n_1, k_1) == pytest.approx(p, rel=1e-6, abs=1e-290)
        assert share_test(n_1, n_1 - k_1, n_2, n_2 - k_2) == pytest.approx(p, rel=1e-6, abs=1e-290)


@pytest.mark.parametrize("table", [(5, 6, 5, 1), (5, -1, 5, 1), (0, 1, 5, 1)])
def test_impossible_shares_are_refused(table: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="part"):
        share_test(*table)


def test_nothing_on_a_side_is_no_difference() -> None:
    assert share_test(0, 0, 10, 3) == 1.0
    assert share_test(10, 0, 10, 0) == share_test(10, 10, 10, 10) == 1.0


@pytest.mark.parametrize("seed", range(50))
def test_quantiles_are_tested_by_the_share_above_the_common_one(seed: int) -> None:
    rnd = random.Random(seed)
    first, second = random_counts(rnd), random_counts(rnd)
    cut = np.quantile(values(first) + values(second), 0.95, method="inverted_cdf")
    above = [sum(number > cut for number in values(counts)) for counts in (first, second)]
    sizes = [len(values(first)), len(values(second))]
    found = quantile_test(first, second, 0.95)
    if sum(above) == 0:
        assert found is None
        return
    assert found is not None
    p, change = found
    assert p == share_test(sizes[0], above[0], sizes[1], above[1])
    assert change == pytest.approx(above[1] / sizes[1] - above[0] / sizes[0])


def test_quantile_of_nothing_and_of_ties() -> None:
    assert quantile_test({}, {1: 2}, 0.95) is None
    assert quantile_test({4: 50}, {4: 70}, 0.95) is None


@pytest.mark.parametrize("seed", range(100))
def test_corrected_p_agree_with_scipy(seed: int) -> None:
    rnd = random.Random(seed)
    ps = [rnd.choice((rnd.random(), rnd.random() ** 6, 0.0, 1.0, 0.04)) for _ in range(seed + 1)]
    assert false_discovery(ps) == pytest.approx(list(stats.false_discovery_control(ps)))


def test_nothing_to_correct() -> None:
    assert false_discovery([]) == []
    assert false_discovery([0.03]) == [0.03]
