from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import Any

import pytest

from fmd_admin.errors import GraphError
from fmd_admin.jobs.graphs import MOST_TITLE, Graph, Graphs, error_text, number


class Scalar:
    """What NumPy's scalars and arrays have in common with each other."""

    def __init__(self, value: Any, ndim: int = 0) -> None:
        self.value, self.ndim, self.dtype = value, ndim, "float32"

    def item(self) -> Any:
        return self.value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3, 3.0),
        (2.5, 2.5),
        (True, 1.0),
        (False, 0.0),
        (Decimal("1.25"), 1.25),
        (Fraction(1, 4), 0.25),
        (Scalar(7), 7.0),
        (Scalar(True), 1.0),
        (-0.0, 0.0),
        (10**300, 1e300),
    ],
)
def test_numbers(value: Any, expected: float) -> None:
    found = number(value)
    assert type(found) is float
    assert found == expected


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, r"returned nothing \(None\). It must return a number"),
        ("3", r"returned '3' \(str\)"),
        ([1, 2], r"returned \[1, 2\] \(list\)"),
        (1j, r"returned 1j \(complex\)"),
        (math.nan, "returned nan. It must return a finite number"),
        (math.inf, "returned inf"),
        (Decimal("NaN"), "returned nan"),
        (Decimal("sNaN"), "too large|nan"),
        (Scalar([1.0], 1), r"\(Scalar\)"),
        (Scalar("x"), r"returned 'x' \(str\)"),
        (10**400, "which is too large"),
        ("x" * 5000, "…"),
    ],
)
def test_what_is_no_number_is_refused(value: Any, message: str) -> None:
    with pytest.raises(GraphError, match=message) as caught:
        number(value)
    assert len(str(caught.value)) < 250


def test_errors_as_pages_show_them() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert error_text(ValueError("no queue")) == "ValueError: no queue"
    assert error_text(KeyError()) == "KeyError"
    assert error_text(Mute()) == "Mute"
    assert error_text(GraphError("It is so.")) == "It is so."


def test_a_title_is_had_once() -> None:
    graphs = Graphs()
    graphs.add("Users", lambda: 3, "interval", {"minutes": 1})
    with pytest.raises(GraphError, match="'Users': there is one with this title already"):
        graphs.add(" Users ", lambda: 4, "interval", {"minutes": 1})
    assert [graph.title for graph in graphs] == ["Users"]


def test_the_same_code_again_takes_the_place_of_the_first() -> None:
    graphs = Graphs()

    def factory(minutes: int) -> None:
        def users() -> int:
            return minutes

        graphs.add("Users", users, "interval", {"minutes": minutes})

    factory(1)
    factory(2)
    (graph,) = graphs
    assert graph.func() == 2
    assert graph.schedule.fields == {"minutes": 2}


@pytest.mark.parametrize(
    "title", ["", "  ", "x" * (MOST_TITLE + 1), "two\nlines", "nul\0", 3, None]
)
def test_titles_that_cannot_be(title: Any) -> None:
    graphs = Graphs()
    with pytest.raises(GraphError, match="title is"):
        graphs.add(title, lambda: 3, "interval", {"minutes": 1})
    assert list(graphs) == []


def test_functions_that_cannot_be() -> None:
    graphs = Graphs()
    for func, message in (
        (3, "'Users': 3 is not a function. Pass the function itself"),
        (lambda x: x, "called without arguments, which it does not take: missing .*'x'"),
    ):
        with pytest.raises(GraphError, match=message):
            graphs.add("Users", func, "interval", {"minutes": 1})  # type: ignore[arg-type]
    graphs.add("Users", partial(int, "3"), "interval", {"minutes": 1})
    graphs.add("Time", __import__("time").time, "interval", {"minutes": 1})
    assert len(list(graphs)) == 2


def test_the_title_stands_in_errors_of_the_schedule() -> None:
    with pytest.raises(GraphError, match="Custom graph 'Users': cron takes 'minute'"):
        Graphs().add("Users", lambda: 3, "cron", {"minutes": 1})


def test_listeners_hear_of_new_ones_as_long_as_they_live() -> None:
    class Ear:
        def __init__(self) -> None:
            self.heard: list[str] = []

        def added(self, graph: Graph) -> None:
            self.heard.append(graph.title)

    graphs = Graphs()
    ear = Ear()
    graphs.tell(ear)
    graphs.tell(Ear())
    graphs.add("Users", lambda: 3, "interval", {"minutes": 1})
    assert ear.heard == ["Users"]
