"""The two ends of a stack, against the whole of it."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from fmd_admin.collect.held import INNER, MAX_CHAIN, MAX_STEPS, OUTER, chain


@contextmanager
def recursion(limit: int) -> Iterator[None]:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(limit)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def deep(levels: int) -> None:
    if levels == 0:
        raise ValueError("at the bottom")
    if levels % 2:
        deep(levels - 1)
    else:
        deep(
            levels - 1,
        )


def raised(levels: int) -> ValueError:
    try:
        deep(levels)
    except ValueError as error:
        return error
    raise AssertionError


@pytest.mark.parametrize(
    "levels", [0, 1, *range(OUTER - 4, OUTER + 4), *range(OUTER + INNER - 4, 64)]
)
def test_short_stacks_are_whole(levels: int) -> None:
    check(levels)


def test_of_long_ones_both_ends_are_there() -> None:
    with recursion(3_000):
        for levels in range(OUTER + INNER - 3, 450):
            check(levels)
        for levels in range(500, MAX_STEPS - OUTER - INNER, 7):
            check(levels)


def check(levels: int) -> None:
    error = raised(levels)
    whole = [(frame.f_code, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    [stack] = chain(error)
    found = [(tb.tb_frame.f_code, tb.tb_lineno) for tb in stack.complete()]
    if len(whole) <= OUTER + INNER:
        assert (found, stack.cut) == (whole, 0)
    else:
        assert found == whole[:OUTER] + whole[-INNER:]
        assert stack.cut == len(whole) - OUTER - INNER


def test_more_calls_than_python_allows_by_itself_are_not_walked_whole() -> None:
    with recursion(20_000):
        error = raised(9_000)
    [stack] = chain(error)
    assert stack.deep
    assert stack.steps <= MAX_STEPS
    assert sys.getrecursionlimit() < MAX_STEPS
    assert not chain(raised(sys.getrecursionlimit() - 100))[0].deep


def test_both_ends_of_deep_ones_are_there_where_it_is_asked_for() -> None:
    with recursion(20_000):
        for levels in (9_000, *range(MAX_STEPS - INNER, MAX_STEPS + 4 * INNER, 7)):
            check_whole(levels, MAX_STEPS)
        # The steps may have been needed for another exception of the chain.
        for levels in range(1, 4 * INNER, 7):
            check_whole(levels, 0)


def check_whole(levels: int, steps: int) -> None:
    error = raised(levels)
    [stack] = chain(error, steps)
    stack.go_on()
    whole = [(frame.f_code, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    found = [(tb.tb_frame.f_code, tb.tb_lineno) for tb in stack.complete()]
    left = max(len(whole) - OUTER - INNER, 0)
    assert found == (whole[:OUTER] + whole[-INNER:] if left else whole)
    assert (stack.cut, stack.deep) == (left, False)
    assert stack.complete() == stack.complete()


def test_chains_end_somewhere() -> None:
    error = ValueError(0)
    for number in range(50):
        following = ValueError(number)
        following.__cause__ = error
        error = following
    assert len(chain(error)) == MAX_CHAIN
    error.__cause__ = error
    assert len(chain(error)) == 1
