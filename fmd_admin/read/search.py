"""Looks for text in names, whatever the case of both."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, func

_GLOB_SIGNS = "*?["


def holds(column: Any, text: str, dialect: str) -> ColumnElement[bool]:
    """Return the condition that ``column`` holds ``text``, in any case.

    ``dialect`` is the name of the database's. SQLite's own lower() knows the letters of ASCII only.
    """
    lower = func.lower(column)
    if dialect == "sqlite" and not text.isascii():
        found: ColumnElement[bool] = lower.op("GLOB", is_comparison=True)(_glob(text))
        return found
    found = lower.contains(text.lower(), autoescape=True)
    return found


def _glob(text: str) -> str:
    """Return the pattern of SQLite's GLOB that ``text`` matches in any case of its letters."""
    return f"*{''.join(map(_sign, text))}*"


def _sign(sign: str) -> str:
    if sign.isascii():
        return f"[{sign}]" if sign in _GLOB_SIGNS else sign.lower()
    cases = {sign, sign.lower(), sign.upper(), sign.upper().lower()}
    # What has several signs in another case is no choice of one.
    one = sorted(case for case in cases if len(case) == 1)
    return f"[{''.join(one)}]"
