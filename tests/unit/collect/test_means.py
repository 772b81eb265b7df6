from __future__ import annotations

import pytest

from fmd_admin.collect.means import MIN_HITS, Means
from fmd_admin.records import Row


def rows(*durations_ms: float, endpoint: str = "index") -> list[Row]:
    return [Row(0, endpoint, duration, 200, "GET", None, None) for duration in durations_ms]


def test_a_limit_is_the_mean_times_the_constant() -> None:
    means = Means()
    means.learn(rows(*([10.0, 30.0] * 5)))
    assert means.limits_ns == {"index": 50_000_000}


def test_too_few_requests_give_no_limit() -> None:
    means = Means()
    means.learn(rows(*([10.0] * (MIN_HITS - 1))))
    assert means.limits_ns == {}
    means.learn(rows(10.0))
    assert means.limits_ns == {"index": 25_000_000}


def test_a_running_mean_is_the_mean_of_all() -> None:
    means = Means()
    durations = [float(number % 97) for number in range(1_000)]
    for start in range(0, 1_000, 7):
        means.learn(rows(*durations[start : start + 7]))
    expected = sum(durations) / 1_000 * 2.5 * 1e6
    assert means.limits_ns["index"] == pytest.approx(expected, abs=2)


def test_the_floor_counts_where_the_mean_is_low() -> None:
    means = Means()
    means.apply(2.5, min_ms=100.0)
    means.learn(rows(*([10.0] * 10)))
    means.learn(rows(*([80.0] * 10), endpoint="slow"))
    assert means.limits_ns == {"index": 100_000_000, "slow": 200_000_000}


def test_changed_settings_count_at_once() -> None:
    means = Means()
    means.learn(rows(*([10.0] * 10)))
    means.apply(4.0, min_ms=0.0)
    assert means.limits_ns == {"index": 40_000_000}
    means.apply(4.0, min_ms=75.0)
    assert means.limits_ns == {"index": 75_000_000}
    means.apply(1.0, min_ms=0.0)
    assert means.limits_ns == {"index": 10_000_000}


def test_stored_means_count_until_the_own_are_of_more_requests() -> None:
    means = Means()
    means.seed({"index": (100, 20.0), "rare": (MIN_HITS - 1, 20.0)})
    assert means.limits_ns == {"index": 50_000_000}
    # What is learnt goes on from there.
    means.learn(rows(121.0))
    assert means.limits_ns["index"] == pytest.approx(21.0 * 2.5 * 1e6, rel=1e-6)
    means.seed({"index": (50, 1.0)})
    assert means.limits_ns["index"] == pytest.approx(21.0 * 2.5 * 1e6, rel=1e-6)
    means.seed({"index": (500, 1.0)})
    assert means.limits_ns["index"] == 2_500_000


def test_endpoints_stay_apart() -> None:
    means = Means()
    means.learn(rows(*([10.0] * 10)) + rows(*([100.0] * 10), endpoint="other"))
    assert means.limits_ns == {"index": 25_000_000, "other": 250_000_000}
