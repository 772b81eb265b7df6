"""How the releases of the shop differ, so that the panel has something to show.

1.x lacks two indexes (search, product pages and the report are slower) and fails on products
without a weight. 2.0 has the indexes and that fault mended, checks each payment for fraud (so
checkout is slower), and fails in reports of months without orders.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Release:
    """What a release of the shop does its own way."""

    version: str
    has_indexes: bool
    handles_missing_weight: bool
    checks_for_fraud: bool
    handles_empty_month: bool


def release(version: str) -> Release:
    """Return the release called ``version`` ("1.9", "2.0", …)."""
    is_second = int(version.split(".")[0]) >= 2
    return Release(
        version=version,
        has_indexes=is_second,
        handles_missing_weight=is_second,
        checks_for_fraud=is_second,
        handles_empty_month=not is_second,
    )
