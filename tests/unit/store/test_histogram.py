from __future__ import annotations

import math
import random
from collections import Counter

import pytest

from fmd_admin.errors import StoreError
from fmd_admin.store import histogram


def durations(seed: int, hits: int) -> list[float]:
    rnd = random.Random(seed)
    return [rnd.lognormvariate(rnd.choice((0.5, 3, 6)), 0.8) for _ in range(hits)]


def counted(values: list[float]) -> dict[int, int]:
    return dict(Counter(histogram.bucket(value) for value in values))


def exact_quantile(values: list[float], q: float) -> float:
    ordered = sorted(values)
    return ordered[max(math.ceil(q * len(ordered)), 1) - 1]


def test_bucket_and_its_middle_are_within_one_percent() -> None:
    for value in durations(1, 5000):
        assert histogram.middle_ms(histogram.bucket(value)) == pytest.approx(value, rel=0.01)


@pytest.mark.parametrize("duration_ms", [-1.0, 0.0, 1e-9, 0.001])
def test_shortest_durations_fall_into_the_first_bucket(duration_ms: float) -> None:
    assert histogram.bucket(duration_ms) == 0


@pytest.mark.parametrize("duration_ms", [3_600_000.0, 4e6, 1e12])
def test_longest_durations_fall_into_the_last_bucket(duration_ms: float) -> None:
    assert histogram.bucket(duration_ms) == histogram.LAST


def test_buckets_never_go_down() -> None:
    numbers = [histogram.bucket(0.0005 * 1.001**power) for power in range(23_000)]
    assert numbers == sorted(numbers)
    assert set(numbers) == set(range(histogram.LAST + 1))


@pytest.mark.parametrize("hits", [0, 1, 2, 24, 25, 300, 2200, 60_000])
def test_counts_come_back_as_they_were_stored(hits: int) -> None:
    counts = counted(durations(hits, hits))
    assert histogram.counts(histogram.encode(counts)) == counts


@pytest.mark.parametrize(
    "counts",
    [
        {0: 1},
        {histogram.LAST: 1},
        {0: 255, histogram.LAST: 256},
        {0: 65_535, 1: 65_536},
        {number: number + 1 for number in range(histogram.LAST + 1)},
        {number: 2**31 + number for number in range(100, 200)},
        dict.fromkeys(range(100), 255),
        dict.fromkeys(range(100), 65535),
    ],
)
def test_extreme_counts_come_back(counts: dict[int, int]) -> None:
    assert histogram.counts(histogram.encode(counts)) == counts


def test_no_requests_take_no_bytes() -> None:
    assert histogram.encode({}) == b""
    assert histogram.encode({5: 0}) == b""
    assert histogram.merge([b"", b""]) == b""
    assert histogram.quantiles(b"", (0.5,)) == []


def test_a_full_bucket_stays_at_the_highest_count() -> None:
    full = histogram.encode({7: histogram.MAX_COUNT + 5, 8: 1})
    assert histogram.counts(full) == {7: histogram.MAX_COUNT, 8: 1}
    assert histogram.counts(histogram.merge([full, full])) == {7: histogram.MAX_COUNT, 8: 2}


@pytest.mark.parametrize("top", [255, 65_535, histogram.MAX_COUNT])
def test_sums_do_not_run_over_into_the_next_bucket(top: int) -> None:
    stored = histogram.encode(dict.fromkeys(range(100, 140), top))
    times = 600
    assert histogram.add([stored] * times) == dict.fromkeys(range(100, 140), top * times)


def test_merge_is_what_counting_all_at_once_gives() -> None:
    parts = [durations(seed, hits) for seed, hits in enumerate((1, 3, 40, 900, 5000, 30_000, 7))]
    merged = histogram.merge(histogram.encode(counted(part)) for part in parts)
    assert histogram.counts(merged) == counted([value for part in parts for value in part])


def test_counts_are_in_the_order_of_the_buckets() -> None:
    sparse = histogram.encode({900: 1, 3: 2})
    dense = histogram.encode(dict.fromkeys(range(400, 500), 1))
    assert list(histogram.add([sparse, dense])) == [3, *range(400, 500), 900]


@pytest.mark.parametrize("hits", [1, 2, 3, 10, 137, 5000])
def test_quantiles_are_within_one_percent(hits: int) -> None:
    values = durations(hits, hits)
    qs = (0, 0.25, 0.5, 0.75, 0.95, 0.99, 1)
    found = histogram.quantiles(histogram.encode(counted(values)), qs)
    assert found == pytest.approx([exact_quantile(values, q) for q in qs], rel=0.01)


def test_quantiles_come_in_the_order_asked_for() -> None:
    stored = histogram.encode(counted(durations(4, 500)))
    low, high = histogram.quantiles(stored, (0.1, 0.9))
    assert histogram.quantiles(stored, (0.9, 0.1, 0.9)) == [high, low, high]


def test_stored_form_is_small() -> None:
    assert len(histogram.encode(counted([12.0]))) <= 4
    rnd = random.Random(1)
    values = [rnd.lognormvariate(3, 0.6) for _ in range(50)]
    assert len(histogram.encode(counted(values))) < 75


@pytest.mark.parametrize(
    "data", [b"\x00abc", b"\x08abc", b"\x11ab", b"\x21\x00\x00not deflate", b"\xff"]
)
def test_foreign_bytes_are_refused_with_the_mend(data: bytes) -> None:
    with pytest.raises(StoreError, match="rebuild-rollups"):
        histogram.counts(data)
