"""Custom graphs: functions of the host whose numbers are kept over time."""

from __future__ import annotations

import inspect
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from numbers import Real
from typing import Any
from weakref import WeakSet

from ..errors import GraphError, ScheduleError
from .schedules import Schedule, schedule

MOST_TITLE = 80


@dataclass(frozen=True)
class Graph:
    """A custom graph as the host added it. ``func`` takes no arguments and gives a number."""

    title: str
    func: Callable[[], Any]
    schedule: Schedule


class Graphs:
    """The custom graphs of one FMDAdmin, and who wants to hear of new ones."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._graphs: dict[str, Graph] = {}
        self._listeners: WeakSet[Any] = WeakSet()

    def __iter__(self) -> Iterator[Graph]:
        # Without the lock, which another thread may hold when the process forks.
        return iter(list(self._graphs.values()))

    def add(
        self, title: str, func: Callable[[], Any], trigger: Any, fields: Mapping[str, Any]
    ) -> Graph:
        """Check and keep a graph. Raises GraphError; then nothing was added.

        A title can be had once. The same function under it again, as from an application
        factory that runs twice, takes the place of the first.
        """
        name = _checked_title(title)
        try:
            graph = Graph(name, _checked_function(func), schedule(trigger, fields))
        except (GraphError, ScheduleError) as error:
            raise GraphError(f"Custom graph {name!r}: {error}") from error.__cause__
        with self._lock:
            before = self._graphs.get(name)
            if before is not None and _code(before.func) != _code(func):
                raise GraphError(
                    f"Custom graph {name!r}: there is one with this title already. Give this one "
                    "another title."
                )
            self._graphs = {**self._graphs, name: graph}
        for listener in list(self._listeners):
            listener.added(graph)
        return graph

    def tell(self, listener: Any) -> None:
        """Call ``listener.added(graph)`` for each graph from now on, as long as it lives."""
        self._listeners.add(listener)


def number(value: Any) -> float:
    """Return what a graph's function gave as a finite float; True and False are 1 and 0.

    Takes what Python counts as real numbers, Decimal, and scalars of NumPy and the like. Raises
    GraphError for anything else.
    """
    if hasattr(value, "dtype") and hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        value = value.item()
    if not isinstance(value, (Real, Decimal)):
        shown = "nothing (None)" if value is None else f"{_short(value)} ({type(value).__name__})"
        raise GraphError(f"The function returned {shown}. It must return a number.")
    try:
        found = float(value)
    except (OverflowError, ValueError):
        raise GraphError(f"The function returned {_short(value)}, which is too large.") from None
    if not math.isfinite(found):
        raise GraphError(f"The function returned {found}. It must return a finite number.")
    return found


def error_text(error: BaseException) -> str:
    """Return a fault as its graph's page shows it: its type and message, no traceback."""
    if isinstance(error, GraphError):
        return str(error)
    try:
        said = str(error)
    except Exception:  # noqa: BLE001 - the host's exception cannot say itself
        said = ""
    name = type(error).__name__
    return f"{name}: {said}" if said else name


def now_ms() -> int:
    """Return the time now in UTC milliseconds."""
    return time.time_ns() // 1_000_000


def _checked_title(title: Any) -> str:
    if not isinstance(title, str):
        raise GraphError(f"A custom graph's title is {title!r}. It must be text.")
    name = title.strip()
    if not name or len(name) > MOST_TITLE or not name.isprintable():
        raise GraphError(
            f"A custom graph's title is {_short(title)}. "
            f"Allowed: 1 to {MOST_TITLE} printable characters."
        )
    return name


def _checked_function(func: Any) -> Callable[[], Any]:
    if not callable(func):
        raise GraphError(
            f"{_short(func)} is not a function. Pass the function itself, not what it returns."
        )
    try:
        inspect.signature(func).bind()
    except TypeError as error:
        raise GraphError(
            f"the function is called without arguments, which it does not take: {error}."
        ) from error
    except ValueError:
        pass  # Some built-in functions do not say what they take.
    found: Callable[[], Any] = func
    return found


def _code(func: Any) -> Any:
    """What stays the same when a module or factory defines a function anew."""
    return getattr(func, "__code__", func)


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - a value of the host that cannot show itself
        text = f"a {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:79]}…"
