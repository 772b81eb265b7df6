"""Two totals → verdicts. The trials state the truth, and how often it is found.

Seeds are fixed, so a trial gives the same each time; `python -m benchmarks.reporting_power` runs
them with others. A report corrects for the number of its tests: what is found easily alone needs
more requests beside many endpoints.
"""

from __future__ import annotations

import pytest

from fmd_admin.read.buckets import Total
from fmd_admin.read.comparison import ALPHA, MIN_HITS, Comparison, Verdict, compare
from fmd_admin.store import histogram

from .trials import false_reports, found_in, more_errors, slowdown, total_of

TRIALS = 200


def one(
    before: Total, after: Total, hours: tuple[float | None, float | None] = (24, 24)
) -> Comparison:
    """The only endpoint of a report; a side without hits is not there at all."""
    sides = [{7: total} if total.hits else {} for total in (before, after)]
    return compare(sides[0], sides[1], *hours)[7]


def kinds(comparison: Comparison) -> list[tuple[str, str]]:
    return [(verdict.kind, verdict.figure) for verdict in comparison.verdicts]


def spread(middle_ms: float, hits: int = 1000, errors: int = 0) -> Total:
    """Durations evenly from half to one and a half times the median; the same each time."""
    return total_of([middle_ms * (0.5 + (n + 0.5) / hits) for n in range(hits)], errors)


def test_of_1000_endpoints_without_a_change_at_most_5_percent_are_reported() -> None:
    assert false_reports(seed=11) <= 0.05


def test_a_slowdown_of_20_percent_is_found_with_500_requests() -> None:
    assert found_in(12, "slower", slowdown(), TRIALS) >= 0.95


def test_a_slowdown_of_20_percent_is_found_among_50_endpoints() -> None:
    assert found_in(13, "slower", slowdown(), TRIALS, others=49) >= 0.95


def test_errors_from_1_to_4_percent_are_found_with_1000_requests() -> None:
    assert found_in(14, "more_errors", more_errors(), TRIALS) >= 0.95


def test_no_speedup_is_taken_for_a_slowdown() -> None:
    assert found_in(15, "faster", slowdown(by=1 / 1.2), TRIALS) >= 0.95
    assert found_in(15, "slower", slowdown(by=1 / 1.2), TRIALS) == 0


def test_both_directions() -> None:
    assert kinds(one(spread(100), spread(140))) == [("slower", "median")]
    assert kinds(one(spread(140), spread(100))) == [("faster", "median")]
    assert kinds(one(spread(100, errors=10), spread(100, errors=60))) == [("more_errors", "errors")]
    assert kinds(one(spread(100, errors=60), spread(100, errors=10))) == [
        ("fewer_errors", "errors")
    ]


def test_slower_and_failing_more_often_are_two_verdicts() -> None:
    found = one(spread(100, errors=5), spread(140, errors=90))
    assert kinds(found) == [("slower", "median"), ("more_errors", "errors")]
    assert found.times is not None
    assert found.times.is_sure
    assert found.times.direction > 0


def test_a_slow_end_that_moved_alone_is_said_of_the_p95() -> None:
    before = [100.0] * 900 + [200.0] * 100
    after = [100.0] * 900 + [600.0] * 100
    assert kinds(one(total_of(before), total_of(after))) == [("slower", "p95")]
    assert kinds(one(total_of(after), total_of(before))) == [("faster", "p95")]


def test_a_faster_median_with_a_slower_end_is_both() -> None:
    after = [40.0] * 900 + [600.0] * 100
    found = one(total_of([100.0] * 900 + [200.0] * 100), total_of(after))
    assert kinds(found) == [("faster", "median"), ("slower", "p95")]


@pytest.mark.parametrize(
    ("before_ms", "after_ms", "hits"),
    [
        (100, 103, 200_000),  # Significant at any level, and nothing that matters.
        (1.0, 1.15, 5000),  # 15 %, but a seventh of a millisecond.
        (100, 100, 40),
    ],
)
def test_what_does_not_matter_is_no_change(before_ms: float, after_ms: float, hits: int) -> None:
    def wide(middle_ms: float) -> Total:
        total = Total()
        total.hits, total.sum_ms = hits, hits * middle_ms
        total.min_ms, total.max_ms = middle_ms / 2, middle_ms * 1.5
        counts: dict[int, int] = {}
        for step in range(100):
            number = histogram.bucket(middle_ms * (0.5 + (step + 0.5) / 100))
            counts[number] = counts.get(number, 0) + hits // 100 + (step < hits % 100)
        total.parts.append(histogram.encode(counts))
        return total

    found = one(wide(before_ms), wide(after_ms))
    assert kinds(found) == [("unchanged", "")]
    assert found.times is not None
    assert found.times.is_sure == (before_ms != after_ms)


def test_one_bucket_more_is_no_change() -> None:
    # All of the requests moved over the border of a bucket, by next to nothing.
    border = histogram.LOWEST_MS * histogram.RATIO**500
    found = one(total_of([border * 0.999] * 500), total_of([border * 1.001] * 500))
    assert found.times is not None
    assert found.times.corrected < 1e-9
    assert kinds(found) == [("unchanged", "")]


@pytest.mark.parametrize(
    ("before", "after", "size", "kind"),
    [
        (100, 300, 100_000, "more_errors"),  # 0.1 % → 0.3 %: three times as many.
        (100, 180, 100_000, "unchanged"),  # Sure, but less than a tenth of a point.
        (30_000, 30_700, 100_000, "unchanged"),  # 30 % → 30.7 %.
        (30_000, 31_500, 100_000, "more_errors"),
        (0, 0, 1000, "unchanged"),
        (1000, 1000, 1000, "unchanged"),
    ],
)
def test_error_shares_that_matter(before: int, after: int, size: int, kind: str) -> None:
    sides = [total_of([50.0] * 400), total_of([50.0] * 400)]
    for total, errors in zip(sides, (before, after), strict=True):
        assert total.counts
        total.counts = dict.fromkeys(total.counts, size)
        total.hits, total.errors = size, errors
    assert [verdict.kind for verdict in one(*sides).verdicts] == [kind]


def test_a_difference_that_may_be_chance_is_too_little_data() -> None:
    found = one(spread(100, hits=MIN_HITS), spread(115, hits=MIN_HITS))
    assert kinds(found) == [("too_little", "median")]
    assert found.times is not None
    assert found.times.corrected > ALPHA


@pytest.mark.parametrize(("before", "after"), [(29, 4000), (4000, 29), (3, 3), (29, 0), (0, 1)])
def test_few_requests_are_too_little_data(before: int, after: int) -> None:
    found = one(spread(100, hits=before), spread(500, hits=after), (None, None))
    assert kinds(found) == [("too_little", "")]
    assert (found.times, found.tail, found.errors) == (None, None, None)


def test_new_and_gone() -> None:
    assert kinds(one(Total(), spread(100, hits=MIN_HITS))) == [("new", "")]
    assert kinds(one(spread(100, hits=MIN_HITS), Total())) == [("gone", "")]


def test_load_is_a_matter_of_requests_an_hour() -> None:
    alike = one(spread(100, hits=400), spread(100, hits=100), (28 * 24.0, 7 * 24.0))
    assert kinds(alike) == [("unchanged", "")]
    assert alike.before.per_hour == alike.after.per_hour == pytest.approx(100 / 168)
    busier = one(spread(100, hits=100), spread(100, hits=200))
    assert kinds(busier) == [("unchanged", ""), ("busier", "load")]
    quieter = one(spread(100, hits=200), spread(100, hits=100))
    assert kinds(quieter) == [("unchanged", ""), ("quieter", "load")]
    # Three times as many of next to nothing, and intervals that say nothing about load.
    assert kinds(one(spread(100, hits=31), spread(100, hits=93))) == [("unchanged", "")]
    unknown = one(spread(100, hits=100), spread(100, hits=900), (None, None))
    assert kinds(unknown) == [("unchanged", "")]
    assert unknown.after.per_hour is None


def test_what_is_at_stake_is_the_change_of_the_mean_times_the_requests() -> None:
    found = one(total_of([10.0] * 50), total_of([30.0] * 200))
    assert found.stake_ms == pytest.approx(4000)
    assert one(Total(), total_of([30.0] * 200)).stake_ms == pytest.approx(6000)
    assert one(total_of([30.0] * 200), Total()).stake_ms == pytest.approx(-6000)


def test_tests_are_corrected_over_all_endpoints() -> None:
    before = {key: spread(100, hits=60) for key in range(40)}
    after = {key: spread(100, hits=60) for key in range(40)}
    after[0] = spread(119, hits=60)
    alone = compare({0: before[0]}, {0: after[0]}, None, None)[0]
    among = compare(before, after, None, None)[0]
    assert alone.times is not None
    assert among.times is not None
    assert alone.times.p == among.times.p
    assert alone.times.corrected < among.times.corrected
    assert alone.verdicts == (Verdict("slower", "median"),)
    assert among.verdicts == (Verdict("too_little", "median"),)


def test_nothing_to_compare() -> None:
    assert compare({}, {}, 24, 24) == {}
