"""What every page can be turned into: rows under named columns, for CSV, JSON and data tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["text", "count", "number", "ms", "percent", "time", "date", "rate", "change", "p"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column. ``kind`` says what its values are.

    text: str · count: int · number: float · ms: float, milliseconds ·
    percent: float, 1.0 = 100 % · time: aware datetime · date: ISO text ``2026-11-22`` ·
    rate: float, so many an hour · change: float, 0.1 = 10 % more · p: float, a probability.
    None where there is no value.
    """

    key: str
    label: str
    kind: Kind = "text"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of values in the order of ``columns``. ``name`` suits a file name."""

    name: str
    columns: tuple[Column, ...]
    rows: list[tuple[object, ...]]
