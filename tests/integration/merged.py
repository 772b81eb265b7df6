"""What the product's own pages say about stored profiles: shares of functions by name."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import select

from fmd_admin.read.callgraph import CallGraph, Node
from fmd_admin.read.measured import Asked
from fmd_admin.read.profiler import Grouped, ProfileRow, grouped, profile, profiles
from fmd_admin.read.scope import Scope, parse_scope
from fmd_admin.store.models import Endpoint
from fmd_admin.store.store import Store

from ..support import new_store


class Merged:
    """Reads the profiles of one endpoint from the database in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _scope(self, store: Store, endpoint: str) -> Scope | None:
        with store.read() as connection:
            found = connection.scalar(select(Endpoint.id).where(Endpoint.name == endpoint))
            if found is None:
                return None
            return parse_scope(
                connection,
                {"range": ["24h"]},
                zone=store.timezone,
                default_range="24h",
                now_ms=int(time.time() * 1000),
                endpoint_id=found,
            )

    def grouped(self, endpoint: str, most: int) -> Grouped | None:
        """The grouped profiler's tree of the ``most`` latest requests."""
        store = new_store(self._folder)
        try:
            scope = self._scope(store, endpoint)
            if scope is None:
                return None
            with store.read() as connection:
                return grouped(connection, scope, endpoint, most=most)
        finally:
            store.close()

    def each(self, endpoint: str) -> list[tuple[ProfileRow, CallGraph]]:
        """Every profiled request with its own tree."""
        store = new_store(self._folder)
        try:
            scope = self._scope(store, endpoint)
            assert scope is not None
            assert scope.endpoint_id is not None
            found = []
            with store.read() as connection:
                for row in profiles(connection, scope, Asked(page_size=None)).rows:
                    one = profile(connection, scope.endpoint_id, row.request.id)
                    assert one is not None
                    found.append((one.row, one.graph))
            return found
        finally:
            store.close()


def name_of(node: Node) -> str:
    """The bare name of a node's function."""
    return node.line.function.rsplit(".", 1)[-1]


def outermost(graph: CallGraph) -> Iterator[tuple[str, Node]]:
    """Yield the nodes that are not below another of the same function, with its name."""
    path: list[str] = []
    for node in graph.nodes():
        del path[node.depth - 1 :]
        name = name_of(node)
        if name not in path:
            yield name, node
        path.append(name)


def shares(graph: CallGraph) -> Counter[str]:
    """The share of each function in the time of the requests, as the page shows it."""
    found: Counter[str] = Counter()
    for name, node in outermost(graph):
        found[name] += node.share
    return found
