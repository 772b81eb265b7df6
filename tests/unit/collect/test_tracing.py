from __future__ import annotations

import pytest

from fmd_admin.collect.tracing import Rules, Trace


def test_levels_of_known_and_other_endpoints() -> None:
    rules = Rules(levels={"index": 3, "other": 0}, default=1)
    assert [rules.level(name) for name in ("index", "other", "new")] == [3, 0, 1]


@pytest.mark.parametrize(
    ("levels", "default", "highest"),
    [({}, 0, 0), ({}, 2, 2), ({"a": 3, "b": 1}, 0, 3), ({"a": 0}, 1, 1)],
)
def test_the_highest_level(levels: dict[str, int], default: int, highest: int) -> None:
    assert Rules(levels=levels, default=default).highest == highest


def test_only_level_3_is_profiled() -> None:
    profiled = Trace("index", 3, None)
    assert profiled.profiled
    assert profiled.look_at_ns is None
    watched = Trace("index", 2, 5_000_000)
    assert not watched.profiled
    assert (watched.limit_ns, watched.look_at_ns) == (5_000_000, 5_000_000)
    assert (watched.stuck, watched.missed, watched.seen_ns) == (None, False, 0)
