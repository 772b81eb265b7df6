"""The two ends of a stack, against the whole of it; and what came with a request."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from flask import Request
from werkzeug.test import EnvironBuilder

from fmd_admin.collect.held import (
    INNER,
    MAX_CHAIN,
    MAX_FIELD,
    MAX_FORM,
    MAX_LOOK,
    MAX_STEPS,
    NODE_BYTES,
    OUTER,
    Held,
    chain,
)
from fmd_admin.collect.outliers import texts_of


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


def held_of(error: Exception | None = None, **sent: Any) -> Held:
    """What is held of a request whose body the host has read."""
    environ = EnvironBuilder(method="POST", **sent).get_environ()
    request = Request(environ)
    _ = request.form, request.get_json(silent=True)
    held = Held((), 0, handled=False)
    held.fill(chain(error or ValueError("x")))
    held.came_with(texts_of(environ), request)
    return held


TEXT = "x" * 60_000
CHUNKED = {
    "data": f'{{"a": "{TEXT}"}}',
    "content_type": "application/json",
    "headers": {"Transfer-Encoding": "chunked"},
    "environ_overrides": {"wsgi.input_terminated": True, "CONTENT_LENGTH": ""},
}


def test_texts_count_for_what_they_take() -> None:
    little = held_of().weight
    page = len(TEXT) // NODE_BYTES
    assert held_of(headers={"X-Text": TEXT}).weight - little >= page
    assert held_of(json={"a": TEXT}).weight - little >= page
    assert held_of(data={"a": TEXT, "b": "y"}).weight - little >= MAX_FIELD // NODE_BYTES
    assert held_of(ValueError(TEXT)).weight - little >= MAX_LOOK // NODE_BYTES - 1


@pytest.mark.parametrize(
    "data",
    [
        {f"a{number}": TEXT for number in range(30)},
        {"a": [""] * 100_000},
        {"k" * 100_000: [str(number) for number in range(1_000)]},
    ],
    ids=["long", "many", "long key"],
)
def test_a_long_form_is_not_held_whole(data: dict[str, Any]) -> None:
    held = held_of(data=data)
    kept = list(held.request.form.items(multi=True))
    assert 0 < sum(len(key) + len(value) + 100 for key, value in kept) <= MAX_FORM
    assert held.weight < held_of().weight + 2 * MAX_FORM // NODE_BYTES


def test_a_short_form_is_held_as_it_is() -> None:
    form = held_of(data={"a": ["1", "2"], "b": "3"}).request.form
    assert list(form.items(multi=True)) == [("a", "1"), ("a", "2"), ("b", "3")]


@pytest.mark.parametrize("sent", [{"json": {"a": TEXT * 2}}, CHUNKED], ids=["long", "no length"])
def test_json_that_may_be_long_is_not_held(sent: dict[str, Any]) -> None:
    held = held_of(**sent)
    assert held.request._cached_json[0] is ...
    assert held.weight < held_of().weight + 10
