"""Data of an execution tree: what is drawn of it, CSV, collapsed stacks, speedscope."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import Response, url_for

from ...read.callgraph import CallGraph
from .. import csv
from ..links import panel_url

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Links:
    """The addresses of a tree: what the page draws, and its downloads."""

    data: str
    csv: str
    collapsed: str
    speedscope: str


def links(view: str, *, keep_range: bool, **ids: int) -> Links:
    """Return the addresses below the page of ``view``."""
    make: Callable[..., str] = panel_url if keep_range else url_for
    return Links(
        data=make(f"{view}.data_json", **ids),
        csv=make(f"{view}.data_csv", **ids),
        collapsed=make(f"{view}.collapsed", **ids),
        speedscope=make(f"{view}.speedscope", **ids),
    )


def as_json(graph: CallGraph) -> Response:
    """Return what the page draws."""
    return Response(graph.as_json(), content_type="application/json")


def as_csv(graph: CallGraph, name: str) -> Response:
    """Return every node as a row."""
    table = graph.table()
    return csv.stream(name, [column.label for column in table.columns], table.rows)


def as_collapsed(graph: CallGraph, name: str) -> Response:
    """Return the collapsed stacks; every flame graph tool reads them."""
    response = Response(graph.collapsed(), content_type="text/plain; charset=utf-8")
    return _attached(response, f"{name}.collapsed.txt")


def as_speedscope(graph: CallGraph, name: str, version: str) -> Response:
    """Return the file that https://www.speedscope.app opens."""
    document: dict[str, Any] = graph.speedscope(f"fmd_admin@{version}")
    text = json.dumps(document, separators=(",", ":"))
    return _attached(Response(text, content_type="application/json"), f"{name}.speedscope.json")


def _attached(response: Response, name: str) -> Response:
    safe = _UNSAFE.sub("-", name).strip("-.")[-100:]
    response.headers["Content-Disposition"] = f'attachment; filename="{safe}"'
    return response
