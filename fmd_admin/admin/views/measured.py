"""What the lists of profiles and outliers have in common: sorting, paging, their addresses."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any
from urllib.parse import urlencode

from flask import request

from ...read.measured import Asked
from ...read.table import Column


def asked(sorts: Collection[str], page_size: int | None) -> Asked:
    """Return what the query string asks for; an unknown sort is by time."""
    sort = request.args.get("sort", "time")
    return Asked(
        sort=sort if sort in sorts else "time",
        descending=request.args.get("desc", "1") != "0",
        page=max(request.args.get("page", 1, type=int), 1),
        page_size=page_size,
    )


def here(**changes: str | None) -> str:
    """Return this address with its query string changed; None takes a word out."""
    pairs = [pair for pair in request.args.items(multi=True) if pair[0] not in changes]
    pairs += [(key, value) for key, value in changes.items() if value is not None]
    address = request.script_root + request.path
    return f"{address}?{urlencode(pairs)}" if pairs else address


def heads(columns: Sequence[Column], sorts: Collection[str], now: Asked) -> list[dict[str, Any]]:
    """Return the heads of a list's columns; ``url`` sorts by it, None where that cannot be."""
    found = []
    for column in columns:
        chosen = column.key == now.sort
        # A first click gives what one looks for: names from A, times and figures from above.
        descending = not now.descending if chosen else column.kind != "text"
        direction = "descending" if now.descending else "ascending"
        found.append(
            {
                "key": column.key,
                "label": column.label,
                "number": column.kind in {"ms", "count"},
                "direction": direction if chosen else None,
                "url": here(sort=column.key, desc=str(int(descending)), page=None, profile=None)
                if column.key in sorts
                else None,
            }
        )
    return found


def pager(page: int, pages: int) -> dict[str, str | None]:
    """Return the links of a pager, None where there is nothing to go to."""

    def link(number: int) -> str | None:
        if not 1 <= number <= pages or number == page:
            return None
        return here(page=str(number), profile=None)

    return {
        "first": link(1),
        "previous": link(page - 1),
        "next": link(page + 1),
        "last": link(pages),
    }
