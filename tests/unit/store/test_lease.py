from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, text

from fmd_admin.errors import LeaseLostError
from fmd_admin.store.job_models import Lease as LeaseRow
from fmd_admin.store.lease import Lease
from fmd_admin.store.store import Store

from ...support import new_store

pytestmark = pytest.mark.every_engine

TTL_S = 10.0


class Clock:
    """A monotonic clock that only moves when it is told to."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def other_store(store: Store, tmp_path: Path) -> Iterator[Store]:
    """The same database as another process opens it."""
    made = new_store(tmp_path)
    yield made
    made.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def lease(store: Store, owner: str, clock: Clock) -> Lease:
    return Lease(store, "jobs", owner, TTL_S, clock)


def fenced(holder: Lease, store: Store) -> bool:
    try:
        with store.write() as connection:
            holder.fence(connection)
    except LeaseLostError:
        return False
    return True


def row(store: Store) -> tuple[str, int]:
    with store.read() as connection:
        found = connection.execute(select(LeaseRow.owner, LeaseRow.term)).one()
    return found.owner, found.term


def test_the_first_to_ask_gets_it(store: Store, other_store: Store, clock: Clock) -> None:
    first, second = lease(store, "a", clock), lease(other_store, "b", clock)
    assert first.tick()
    assert not second.tick()
    assert (first.held, second.held) == (True, False)
    assert row(store) == ("a", 1)


def test_a_holder_that_beats_keeps_it(store: Store, other_store: Store, clock: Clock) -> None:
    first, second = lease(store, "a", clock), lease(other_store, "b", clock)
    for _ in range(40):
        clock.now += 1
        assert first.tick()
        assert not second.tick()


def test_a_dead_holder_is_followed_after_the_ttl(
    store: Store, other_store: Store, clock: Clock
) -> None:
    assert lease(store, "a", clock).tick()
    second = lease(other_store, "b", clock)
    assert not second.tick()
    clock.now += TTL_S - 0.1
    assert not second.tick()
    clock.now += 0.2
    assert second.tick()
    assert row(store) == ("b", 2)


def test_the_wait_begins_when_the_holder_is_first_seen(store: Store, clock: Clock) -> None:
    assert lease(store, "a", clock).tick()
    clock.now += 10 * TTL_S
    late = lease(store, "b", clock)
    assert not late.tick()
    clock.now += TTL_S
    assert late.tick()


def test_each_beat_begins_the_wait_again(store: Store, clock: Clock) -> None:
    first, second = lease(store, "a", clock), lease(store, "b", clock)
    first.tick()
    second.tick()
    clock.now += TTL_S - 1
    first.tick()
    second.tick()
    clock.now += TTL_S - 1
    assert not second.tick()
    clock.now += 1
    assert second.tick()


def test_clocks_of_two_machines_need_not_agree(store: Store, other_store: Store) -> None:
    here, there = Clock(5.0), Clock(9_000_000.0)
    first, second = lease(store, "a", here), lease(other_store, "b", there)
    for _ in range(20):
        here.now += 1
        there.now += 1
        assert first.tick()
        assert not second.tick()


def test_of_several_candidates_one_takes_over(
    store: Store, other_store: Store, clock: Clock
) -> None:
    lease(store, "a", clock).tick()
    candidates = [lease(store, "b", clock), lease(other_store, "c", clock)]
    for candidate in candidates:
        candidate.tick()
    clock.now += TTL_S
    assert [candidate.tick() for candidate in candidates] == [True, False]
    clock.now += 1
    assert [candidate.tick() for candidate in candidates] == [True, False]


def test_take_over_fails_if_the_holder_moved_meanwhile(store: Store, clock: Clock) -> None:
    first, second = lease(store, "a", clock), lease(store, "b", clock)
    first.tick()
    second.tick()
    clock.now += TTL_S
    seen = (*row(store), 0)
    first.tick()
    assert not second._take_over(seen)
    assert first.tick()


def test_the_fence_stops_a_holder_that_was_frozen(
    store: Store, other_store: Store, clock: Clock
) -> None:
    frozen, second = lease(store, "a", clock), lease(other_store, "b", clock)
    frozen.tick()
    assert fenced(frozen, store)
    second.tick()
    clock.now += TTL_S
    assert second.tick()
    assert frozen.held  # It does not know yet,
    assert not fenced(frozen, store)  # and can do no harm.
    assert fenced(second, other_store)
    assert not frozen.tick()
    assert not frozen.held


def test_what_a_fenced_transaction_did_is_rolled_back(store: Store, clock: Clock) -> None:
    stranger = lease(store, "b", clock)
    lease(store, "a", clock).tick()

    def work() -> None:
        with store.write() as connection:
            connection.execute(text("DELETE FROM fmd_lease"))
            stranger.fence(connection)

    with pytest.raises(LeaseLostError):
        work()
    assert row(store) == ("a", 1)


def test_a_fence_is_a_sign_of_life(store: Store, clock: Clock) -> None:
    first, second = lease(store, "a", clock), lease(store, "b", clock)
    first.tick()
    second.tick()
    clock.now += TTL_S
    assert fenced(first, store)
    assert not second.tick()


def test_a_lease_given_back_is_free_at_once(store: Store, other_store: Store, clock: Clock) -> None:
    first, second = lease(store, "a", clock), lease(other_store, "b", clock)
    first.tick()
    first.release()
    assert not first.held
    assert second.tick()
    assert row(store) == ("b", 2)
    assert not first.tick()


def test_terms_never_repeat(store: Store, clock: Clock) -> None:
    terms = []
    for owner in "abcabc":
        holder = lease(store, owner, clock)
        assert holder.tick()
        terms.append(row(store)[1])
        holder.release()
    assert terms == [1, 2, 3, 4, 5, 6]


def test_giving_back_what_is_not_held_changes_nothing(store: Store, clock: Clock) -> None:
    lease(store, "a", clock).tick()
    lease(store, "b", clock).release()
    assert row(store) == ("a", 1)


def test_two_names_are_two_leases(store: Store, clock: Clock) -> None:
    assert lease(store, "a", clock).tick()
    assert Lease(store, "other", "b", TTL_S, clock).tick()


def test_two_that_create_it_at_once(store: Store, clock: Clock) -> None:
    first, second = lease(store, "a", clock), lease(store, "b", clock)
    assert first._create()
    assert not second._create()
    assert not second.held
