"""Patterns of endpoints: which are left out, and of which only a part of the rows is kept."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple, TypeVar

#: What :func:`exclude` sets on a view.
EXCLUDED = "_fmd_exclude"
_View = TypeVar("_View")


class Rate(NamedTuple):
    """The part (0 to 1) of the rows that is kept of endpoints whose names match."""

    pattern: re.Pattern[str]
    share: float


def patterns(text: str) -> tuple[re.Pattern[str], ...]:
    """Return the regular expressions in ``text``, blanks between them. Raises ValueError."""
    try:
        return tuple(re.compile(word) for word in text.split())
    except re.error as error:
        raise ValueError(str(error)) from error


def rates(text: str) -> tuple[Rate, ...]:
    """Return the rates in ``text``: ``static=0.01 api\\..*=0.1``. Raises ValueError."""
    found = []
    for word in text.split():
        pattern, equals, share = word.rpartition("=")
        if not equals or not pattern or not 0 <= float(share) <= 1:
            raise ValueError(word)
        [compiled] = patterns(pattern)
        found.append(Rate(compiled, float(share)))
    return tuple(found)


def matches(names: Iterable[re.Pattern[str]], name: str) -> bool:
    """Tell whether one of the patterns is all of ``name``."""
    return any(pattern.fullmatch(name) for pattern in names)


def share_of(endpoint: str, found: Iterable[Rate]) -> float:
    """Return the part of an endpoint's rows that is kept; the first rate that matches counts."""
    return next((rate.share for rate in found if rate.pattern.fullmatch(endpoint)), 1.0)


def is_patterns(text: str) -> bool:
    """Tell whether :func:`patterns` understands ``text``."""
    try:
        patterns(text)
    except ValueError:
        return False
    return True


def is_rates(text: str) -> bool:
    """Tell whether :func:`rates` understands ``text``."""
    try:
        rates(text)
    except ValueError:
        return False
    return True


def exclude(view: _View) -> _View:
    """Leave a view's endpoints out: nothing of their requests is measured or stored.

    A decorator for view functions and view classes, below ``@app.route``.
    """
    setattr(view, EXCLUDED, True)
    return view


def is_excluded_view(view: Any) -> bool:
    """Tell whether a view function, or the class that it was made of, is left out."""
    of_class = getattr(view, "view_class", None)
    return bool(getattr(view, EXCLUDED, False) or getattr(of_class, EXCLUDED, False))
