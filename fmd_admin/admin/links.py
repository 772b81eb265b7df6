"""Addresses inside the panel: links that keep the range, static files, and where to go on."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import unquote, urlencode

from flask import current_app, request, url_for
from sqlalchemy import BigInteger
from werkzeug.routing import IntegerConverter, Map

#: What a link to another page of the panel takes along from the current one.
KEPT = ("range", "from", "to", "version", "against")
_LONGEST = 2_000
#: No row has this number, nor those that follow it.
_STAND_IN = 8_765_432_109_876_543_210
# Blanks and control characters: browsers drop some of them, and turn backslashes into slashes.
_NEVER_IN_PATHS = re.compile(r"[\x00-\x20\x7f\\]")


def panel_url(endpoint: str, **values: Any) -> str:
    """Return the address of a page with the time range and versions of the current one."""
    for name in KEPT:
        if name not in values:
            kept = request.args.getlist(name)
            if kept:
                values[name] = kept
    return url_for(endpoint, **values)


def numbered(build: Callable[..., str], count: int = 1) -> Callable[..., str]:
    """Return what ``build`` gives for ``count`` numbers, for many rows of one page.

    It is asked once, for numbers that those of each row then stand for: to build an address takes
    as long as to show the rest of a row.
    """
    stand_ins = [_STAND_IN + place for place in range(count)]
    address = build(*stand_ins).replace("{", "{{").replace("}", "}}")
    for place, number in enumerate(map(str, stand_ins)):
        # Somebody's query string may have these very digits.
        if address.count(number) != 1:
            return build
        address = address.replace(number, f"{{{place}}}")
    return address.format


def requests_behind(
    *,
    version: str | None = None,
    endpoint: str | None = None,
    status: str | None = None,
    edges: tuple[str, str] | None = None,
) -> str:
    """Return the list of requests in the current range, narrowed down to what is given.

    ``edges`` are the beginning and end of another range, in the words of the URL; the script of a
    chart fills in empty ones.
    """
    kept: dict[str, Any] = {}
    if edges is not None:
        kept = {"range": "custom", "from": edges[0] or None, "to": edges[1] or None}
    if version is not None:
        kept["version"] = version
    address = panel_url("requests.index_view", **kept)
    # Flask's url_for keeps the word "endpoint" for itself.
    more = {"endpoint": endpoint, "status": status}
    query = urlencode([(key, value) for key, value in more.items() if value])
    return f"{address}{'&' if '?' in address else '?'}{query}" if query else address


def asset(name: str) -> str:
    """Return the address of one of our static files; it changes with the file's content."""
    folder = current_app.static_folder
    # The time of the last change tells versions apart that were released under one number too.
    stamp = _changed_at(folder, name) if folder else 0
    return url_for("static", filename=name, v=f"{stamp:x}")


def _changed_at(folder: str, name: str) -> int:
    try:
        return int(os.stat(os.path.join(folder, name)).st_mtime)
    except OSError:
        # The link then answers 404, which is what the page's reader has to see.
        return 0


def here() -> str:
    """Return path and query of the current request, below the panel's root."""
    query = request.query_string.decode("latin-1")
    return f"{request.path}?{query}" if query else request.path


def local_path(target: str | None) -> str | None:
    """Return ``target`` if it is a path below the panel's root, and None for anything else.

    It is put behind the panel's own root, never used as an address by itself, so that not even
    a path with dots leads out of the panel.
    """
    if not target or not target.startswith("/") or len(target) > _LONGEST:
        return None
    if _NEVER_IN_PATHS.search(target):
        return None
    path = unquote(re.split(r"[?#]", target, maxsplit=1)[0])
    if "//" in path or _NEVER_IN_PATHS.search(path):
        return None
    if any(segment in {".", ".."} for segment in path.split("/")):
        return None
    return target


def onward(target: str | None, default: str) -> str:
    """Return the address of a local ``target``, or ``default`` (an address already)."""
    path = local_path(target)
    return default if path is None else request.script_root + path


#: The largest id that a database keeps, in a column of integers of 64 and of 32 bits.
LARGEST_ID = 2**63 - 1
LARGEST_SMALL_ID = 2**31 - 1


class RowIdConverter(IntegerConverter):
    """``<int:…>`` in the panel's addresses: a number that no row can have is no page."""

    def __init__(self, url_map: Map, fixed_digits: int = 0, max: int = LARGEST_ID) -> None:
        super().__init__(url_map, fixed_digits=fixed_digits, max=max)


def largest_id(model: Any) -> int:
    """Return the largest id that a row of ``model`` can have; PostgreSQL refuses larger ones."""
    return LARGEST_ID if isinstance(model.id.type, BigInteger) else LARGEST_SMALL_ID


def parse_id(text: str, largest: int = LARGEST_ID) -> int:
    """Return an id from a query string or form; raise ValueError for what can be none."""
    number = int(text)
    if not 0 < number <= largest:
        raise ValueError(text)
    return number


def ids_of(model: Any) -> Callable[[str], int]:
    """Return :func:`parse_id` for the rows of ``model``."""
    return partial(parse_id, largest=largest_id(model))
