"""Turns what the host gives as group_by into the name that a request is counted under."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..records import MAX_NAME

# A function that returns itself must not run forever.
_MAX_DEPTH = 16


def group_name(value: Any) -> str | None:
    """Return the group of a request, or None where there is none.

    Functions are called until they give a value; tuples and lists become ``(a,b)``, as
    documented for Flask-MonitoringDashboard. Raises what the host's function raises.
    """
    if value is None:
        return None
    return _flatten(value, 0)[:MAX_NAME]


def _flatten(value: Any, depth: int) -> str:
    if depth > _MAX_DEPTH:
        raise RecursionError("group_by returns functions or lists more than 16 levels deep")
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, (tuple, list)):
        return "(" + ",".join(_flatten(item, depth + 1) for item in value) + ")"
    if callable(value):
        return _flatten(value(), depth + 1)
    return str(value)


def group_source(group_by: Any) -> Callable[[], str | None] | None:
    """Return a function that gives the current request's group; None if nothing is grouped."""
    if group_by is None:
        return None
    if callable(group_by):
        # None from the host's function means "no group", not a group named None.
        return lambda: group_name(group_by())
    return lambda: group_name(group_by)
