"""A request of a journey."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Step:
    """One request. ``form`` is sent as a form, ``data`` as JSON, ``text`` as it is."""

    method: str
    path: str
    endpoint: str | None
    form: dict[str, str] | None = None
    data: Any = None
    text: str | None = None


UNMATCHED = "(unmatched)"
