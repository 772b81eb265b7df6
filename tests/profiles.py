"""Profiles and outliers made by hand, as the collect side would hand them over."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from fmd_admin.records import Batch, Frame, Outlier, Profile, ProfileNode
from fmd_admin.store.store import Store
from fmd_admin.store.writer import BatchWriter

VIEW = Frame("shop/views.py", 88, "search", True)
FIND = Frame("shop/catalog.py", 41, "find_items", True)
RANK = Frame("shop/catalog.py", 57, "rank", True)
EXECUTE = Frame("sqlalchemy/engine/base.py", 1412, "Connection.execute", False)
DO_EXECUTE = Frame("sqlalchemy/engine/default.py", 952, "DefaultDialect.do_execute", False)
DECODE = Frame("json/decoder.py", 337, "JSONDecoder.decode", False)
SOURCES = {
    VIEW: "items = find_items(q, page)",
    FIND: "rows = db.session.scalars(stmt).all()",
    RANK: "return sorted(rows, key=score)",
    EXECUTE: "return meth(self, distilled_parameters)",
    DO_EXECUTE: "cursor.execute(statement, parameters)",
    DECODE: "obj, end = self.raw_decode(s)",
}


def source(frame: Frame) -> str:
    """The text of a frame's line."""
    return SOURCES.get(frame, f"{frame.function}()")


def node(frame: Frame, total_ms: float, *children: ProfileNode, hits: int = -1) -> ProfileNode:
    """A node; one sample for each 5 ms unless ``hits`` says otherwise."""
    return ProfileNode(frame, total_ms, round(total_ms / 5) if hits < 0 else hits, list(children))


def tree() -> list[ProfileNode]:
    """The lines of a request of 100 ms: 95 in the view, of which 60 in SQLAlchemy."""
    library = node(EXECUTE, 60, node(DO_EXECUTE, 50))
    return [node(VIEW, 95, node(FIND, 70, library, node(DECODE, 5)), node(RANK, 10))]


def profile(roots: Sequence[ProfileNode] | None = None, **fields: Any) -> Profile:
    """A profiled request of 100 ms with 20 samples; without ``roots`` it has those of tree()."""
    values: dict[str, Any] = {
        "time_ms": int(time.time() * 1000),
        "endpoint": "shop.search",
        "duration_ms": 100.0,
        "status": 200,
        "method": "GET",
        "group": "anna",
        "ip": "192.0.2.7",
        "samples": 20,
        "period_ms": 5.0,
    }
    return Profile(**{**values, **fields}, roots=list(tree() if roots is None else roots))


def outlier(**fields: Any) -> Outlier:
    """An outlier of 1.2 s that hangs in SQLAlchemy."""
    values: dict[str, Any] = {
        "time_ms": int(time.time() * 1000),
        "endpoint": "shop.search",
        "duration_ms": 1234.0,
        "status": 500,
        "method": "POST",
        "group": "anna",
        "ip": "192.0.2.7",
        "limit_ms": 400.0,
        "stack": [VIEW, FIND, EXECUTE, DO_EXECUTE],
        "stack_at_ms": 412.0,
        "cpu_percent": [12.5, 99.0],
        "process_cpu_percent": 87.5,
        "process_memory_mib": 184.2,
        "memory_percent": 61.2,
        "memory_available_mib": 3312.0,
        "url": "http://shop.example/search?q=it%27s&token=[hidden]",
        "values": {"q": ["it's"], "token": ["[hidden]"], "note": ["two\nlines"]},
        "headers": [("Authorization", "[hidden]"), ("Host", "shop.example"), ("X-Ok", "<b>1</b>")],
        "environ": {"PATH_INFO": "/search"},
    }
    return Outlier(**{**values, **fields})


def broad_tree(nodes: int) -> list[ProfileNode]:
    """A tree of ``nodes`` lines, about a third of them of libraries, 40 levels deep and more."""
    root = node(Frame("shop/report.py", 1, "report", True), 4000.0)
    made = [root]
    for number in range(1, nodes):
        parent = made[number // 2] if number % 3 else made[-1]
        own = number % 3 != 1
        folder = "shop" if own else ("sqlalchemy", "jinja2")[number % 2]
        frame = Frame(f"{folder}/module_{number % 37}.py", number, f"function_{number}", own)
        made.append(node(frame, parent.total_ms * 0.3, hits=1))
        parent.children.append(made[-1])
    return [root]


def store_batch(store: Store, writer: str = "made", version: str = "2.0", **fields: Any) -> None:
    """Write one batch of ``profiles``, ``outliers``, ``left_out`` …"""
    BatchWriter(store, lambda: 3, source).write(Batch(writer, 1, version, **fields))
