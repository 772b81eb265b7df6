"""When looks are due, and what one stands for."""

from __future__ import annotations

import pytest

from fmd_admin.collect import rhythm as module
from fmd_admin.collect.rhythm import REST, Look, Rhythm

MS = 1_000_000

#: Due at 100, 110 and 120 ms, made after that; the one before was due at 94.
LATE = Look(due_ns=120, missed_ns=20, step_ns=10, weight_ns=26)


@pytest.mark.parametrize(
    ("start", "weight"),
    [
        # There all the time.
        (0, 26),
        (100, 26),
        # Began after the first of the moments: that one is not about it.
        (101, 20),
        (110, 20),
        (111, 10),
        (120, 10),
        (121, None),
    ],
)
def test_a_look_counts_for_the_moments_that_a_request_was_there(
    start: int, weight: int | None
) -> None:
    assert LATE.weight_of(start) == weight


@pytest.mark.parametrize(
    ("start", "end", "weight"),
    [
        (0, 130, 26),
        (0, 120, 26),
        # Without the last moment, without the last two, and before all.
        (0, 110, 16),
        (0, 105, 6),
        (0, 100, 6),
        (0, 99, None),
        # Began after what was due, or between two moments.
        (121, 130, None),
        (111, 119, None),
        (101, 119, 10),
    ],
)
def test_a_late_look_counts_for_requests_that_have_ended(
    start: int, end: int, weight: int | None
) -> None:
    assert LATE.weight_of(start, end) == weight


def test_looks_follow_each_other_after_a_period_on_average() -> None:
    rhythm = Rhythm()
    rhythm.begin_anew(1_000 * MS, 5 * MS)
    assert 1_000 * MS <= rhythm.due_ns <= 1_005 * MS
    first_ns, weights = rhythm.due_ns, []
    for _ in range(2_000):
        due_ns = rhythm.due_ns
        look = rhythm.look(due_ns, 5 * MS)
        assert (look.due_ns, look.missed_ns) == (due_ns, 0)
        weights.append(look.weight_ns)
        rhythm.go_on(due_ns, 60_000 * MS, sampled=True)
        assert 2.5 * MS <= rhythm.due_ns - due_ns <= 7.5 * MS
    # The first one stands for a period.
    assert sum(weights[1:]) == look.due_ns - first_ns
    assert sum(weights[1:]) / 1_999 == pytest.approx(5 * MS, rel=0.05)


def test_what_is_wanted_sooner_is_looked_at_sooner() -> None:
    rhythm = Rhythm()
    rhythm.begin_anew(0, 5 * MS)
    now_ns = rhythm.due_ns
    rhythm.look(now_ns, 5 * MS)
    # Nothing has been spent yet that would have to be rested from.
    rhythm._rest_ns = 0
    rhythm.go_on(now_ns, MS, sampled=True)
    assert rhythm.due_ns == now_ns + MS
    rhythm.go_on(now_ns, 20 * MS, sampled=False)
    assert rhythm.due_ns == now_ns + 20 * MS


def test_a_late_look_stands_for_every_moment_that_has_passed() -> None:
    rhythm = Rhythm()
    rhythm.begin_anew(0, 5 * MS)
    first_ns = rhythm.due_ns
    look = rhythm.look(first_ns + 100 * MS, 5 * MS)
    assert look.missed_ns == 100 * MS // look.step_ns * look.step_ns
    assert look.due_ns == first_ns + look.missed_ns
    assert look.weight_ns == 5 * MS + look.missed_ns


def test_looks_that_cost_more_are_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    spent_ns = 0
    monkeypatch.setattr(module, "thread_time_ns", lambda: spent_ns)
    rhythm = Rhythm()
    rhythm.begin_anew(0, 5 * MS)
    first_ns, looks = rhythm.due_ns, 2_000
    for _ in range(looks):
        # 0.2 ms each, so 12 ms of rest.
        spent_ns += MS // 5
        rhythm.look(rhythm.due_ns, 5 * MS)
        rhythm.wait_for_sample()
    assert (rhythm.due_ns - first_ns) / looks == pytest.approx(REST * MS / 5, rel=0.05)
