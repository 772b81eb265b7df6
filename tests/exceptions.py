"""Exceptions as they are stored, read without the code that is tested."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from sqlalchemy import func, select

from fmd_admin.records import Batch, Block, Frame, Link, Occurrence, RaisedCount, RaisedFrame
from fmd_admin.store import exception_detail
from fmd_admin.store.exception_detail import ExceptionDetail
from fmd_admin.store.exception_models import (
    ExceptionDay,
    ExceptionGroup,
    ExceptionRow,
    SourceBlock,
)
from fmd_admin.store.models import Endpoint, Version
from fmd_admin.store.store import Store
from fmd_admin.store.writer import BatchWriter


@dataclass
class StoredException:
    """A row of fmd_exception with the names of what it refers to."""

    endpoint: str | None
    version: str
    method: str
    status: int
    duration_ms: float
    handled: bool
    message: str
    detail: ExceptionDetail


@dataclass
class StoredGroup:
    """A group with everything that is stored of it. ``counts``: (endpoint, version) → hits."""

    id: int
    type: str
    module: str
    function: str
    behind: str
    counts: dict[tuple[str | None, str], int] = field(default_factory=dict)
    rows: list[StoredException] = field(default_factory=list)

    @property
    def hits(self) -> int:
        return sum(self.counts.values())


def stored_groups(store: Store) -> dict[str, StoredGroup]:
    """Every group, by type and function."""
    with store.read() as connection:
        found = {
            row.id: StoredGroup(row.id, row.type, row.module, row.function, row.behind)
            for row in connection.execute(select(ExceptionGroup.__table__))
        }
        counts = (
            select(ExceptionDay.group_key, Endpoint.name, Version.name, func.sum(ExceptionDay.hits))
            .outerjoin(Endpoint, Endpoint.id == ExceptionDay.endpoint_id)
            .join(Version, Version.id == ExceptionDay.version_id)
            .group_by(ExceptionDay.group_key, Endpoint.name, Version.name)
        )
        for key, endpoint, version, hits in connection.execute(counts):
            found[key].counts[endpoint, version] = int(hits)
        rows = (
            select(
                ExceptionRow.group_key,
                Endpoint.name,
                Version.name,
                ExceptionRow.method,
                ExceptionRow.status,
                ExceptionRow.duration_ms,
                ExceptionRow.handled,
                ExceptionRow.message,
                ExceptionRow.detail,
            )
            .outerjoin(Endpoint, Endpoint.id == ExceptionRow.endpoint_id)
            .join(Version, Version.id == ExceptionRow.version_id)
            .order_by(ExceptionRow.id)
        )
        for key, *values, data in connection.execute(rows):
            found[key].rows.append(StoredException(*values, exception_detail.decode(data)))
    names = {f"{one.type} {one.function}": one for one in found.values()}
    assert len(names) == len(found), "two groups with the same name"
    return names


def sources(store: Store) -> dict[int, str]:
    """The text of each function that is stored."""
    with store.read() as connection:
        return {
            row.id: row.text for row in connection.execute(select(SourceBlock.id, SourceBlock.text))
        }


def store_exceptions(store: Store) -> None:
    """A group with a chain, source, and counts of some days."""
    now_ms = time.time_ns() // 1_000_000
    key = (("shop.BasketEmpty", "shop.basket", "total"), ("KeyError", "shop.basket", "price"))
    block = Block("shop/basket.py", "total", "def total(items):\n    return price(items[0])")
    frames = [
        RaisedFrame(Frame("flask/app.py", 880, "Flask.dispatch_request", False), block, 879),
        RaisedFrame(Frame("shop/basket.py", 12, "total", True), block, 11),
    ]
    made = Occurrence(now_ms, "shop.basket", 12.5, 500, "GET", "anna", "192.0.2.7", key, False)
    made.links = [
        Link("shop.BasketEmpty", "there is nothing to pay for", "", frames, 4),
        Link("KeyError", "'tea'", "cause", frames),
    ]
    made.url, made.values = "http://shop/basket?item=tea", {"item": ["tea"]}
    batch = Batch("exceptions", 1, "1.1", exceptions=[made])
    for days in range(4):
        time_ms = now_ms - days * 86_400_000
        place = (key, "shop.basket", time_ms - time_ms % 900_000)
        batch.raised[place] = RaisedCount(3 + days, time_ms, time_ms)
    BatchWriter(store, lambda: 1).write(batch)


def load_module(path: Path, name: str, text: str) -> Any:
    """Write a module and run it, as a deployment does."""
    path.mkdir(parents=True, exist_ok=True)
    file = path / f"{name}.py"
    file.write_text(text)
    module = ModuleType(name)
    module.__file__ = str(file)
    exec(compile(text, str(file), "exec"), module.__dict__)
    return module
