"""Execution trees as one compressed value a request, and several of them merged into one.

A tree is kept in preorder, a row a node, so that nothing here depends on how deep it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ..records import Frame, ProfileNode
from .inflate import deflate, inflate, wrap

#: Of a request that no sample met, as most short ones: what ``deflate(b"[]")`` gives.
EMPTY = bytes.fromhex("48898b8e0500011500b9")
#: Bytes that are not deflated: to store them takes less time than that.
_SHORT = 120


class TreeRow(NamedTuple):
    """A node of one request's tree. ``depth`` is 0 for roots; ``hits`` are samples."""

    depth: int
    line_id: int
    total_us: int
    hits: int


class MergedRow(NamedTuple):
    """A node of several requests' trees: nodes with the same path of lines are one.

    ``weight_us`` is the time that :func:`merge` was told to count, ``requests`` in how many trees
    the path was. ``total_us`` and ``squares`` are the sums over these of the path's time in one
    tree, and of its square.
    """

    depth: int
    line_id: int
    weight_us: float
    hits: int
    requests: int
    total_us: int
    squares: int


def encode(roots: Sequence[ProfileNode], ids: Mapping[Frame, int]) -> bytes:
    """Return the trees under ``roots`` as bytes; ``ids`` gives the code line of each frame."""
    if not roots:
        return EMPTY
    rows = []
    waiting = [(0, node) for node in reversed(roots)]
    while waiting:
        depth, node = waiting.pop()
        total_us = round(node.total_ms * 1000)
        # As json.dumps would, which takes longer to begin than such a tree takes it.
        rows.append(f"[{depth},{ids[node.frame]},{total_us},{node.hits}]")
        for child in node.children[::-1]:
            waiting.append((depth + 1, child))
    data = f"[{','.join(rows)}]".encode()
    return wrap(data) if len(data) <= _SHORT else deflate(data)


def decode(data: bytes) -> list[TreeRow]:
    """Return the rows of what :func:`encode` made."""
    return [TreeRow(*row) for row in unpack(data)]


def unpack(data: bytes) -> list[list[int]]:
    """Return the values of the rows of :func:`decode`, which takes longer to give them names."""
    rows: list[list[int]] = json.loads(inflate(data))
    return rows


def merge(
    trees: Iterable[Sequence[Sequence[int]]], factors: Iterable[float] | None = None
) -> list[MergedRow]:
    """Return one tree of all, in preorder, the children of a node in the order first met.

    The time that counts is that of the nodes, times the tree's factor if ``factors`` are given.
    """
    nodes = _Nodes()
    if factors is None:
        for tree in trees:
            nodes.add(tree, 1)
    else:
        for tree, factor in zip(trees, factors, strict=True):
            nodes.add(tree, factor)
    return nodes.rows()


def heaviest_first(rows: Sequence[MergedRow]) -> list[MergedRow]:
    """Return the tree with the children of each node in descending order of their weights."""
    ends = subtree_ends(rows)

    def sorted_between(start: int, end: int) -> list[int]:
        found = []
        index = start
        while index < end:
            found.append(index)
            index = ends[index]
        return sorted(found, key=lambda number: rows[number].weight_us)

    ordered = []
    waiting = sorted_between(0, len(rows))
    while waiting:
        index = waiting.pop()
        ordered.append(rows[index])
        waiting.extend(sorted_between(index + 1, ends[index]))
    return ordered


def subtree_ends(rows: Sequence[MergedRow]) -> list[int]:
    """Return for each row where the rows below it end (exclusive)."""
    ends = [len(rows)] * len(rows)
    path: list[int] = []
    for index, row in enumerate(rows):
        while len(path) > row.depth:
            ends[path.pop()] = index
        path.append(index)
    return ends


class _Nodes:
    """The merged tree while it is being made: a column a field, a number a node."""

    def __init__(self) -> None:
        #: Numbers by line, in the order first met: of the roots, and below each node.
        self._roots: dict[int, int] = {}
        self._below: list[dict[int, int]] = []
        self._lines: list[int] = []
        self._weights: list[float] = []
        self._hits: list[int] = []
        self._requests: list[int] = []
        self._totals: list[int] = []
        self._squares: list[int] = []

    def add(self, tree: Iterable[Sequence[int]], factor: float) -> None:
        weights, hits_of, below = self._weights, self._hits, self._below
        # The children of the last node of each depth, the roots first.
        path = [self._roots]
        # A path may be in one tree twice; for the deviation it counts once, with its sum.
        totals: dict[int, int] = {}
        for depth, line_id, total_us, hits in tree:
            siblings = path[depth]
            number = siblings.get(line_id)
            if number is None:
                number = siblings[line_id] = self._new(line_id)
            path[depth + 1 :] = (below[number],)
            weights[number] += total_us * factor
            hits_of[number] += hits
            totals[number] = totals.get(number, 0) + total_us
        for number, total_us in totals.items():
            self._requests[number] += 1
            self._totals[number] += total_us
            self._squares[number] += total_us * total_us

    def _new(self, line_id: int) -> int:
        self._below.append({})
        self._lines.append(line_id)
        self._weights.append(0)
        for column in (self._hits, self._requests, self._totals, self._squares):
            column.append(0)
        return len(self._lines) - 1

    def rows(self) -> list[MergedRow]:
        columns = list(
            zip(
                *(self._lines, self._weights, self._hits),
                *(self._requests, self._totals, self._squares),
                strict=True,
            )
        )
        rows = []
        waiting = [(0, number) for number in reversed(self._roots.values())]
        while waiting:
            depth, number = waiting.pop()
            rows.append(MergedRow(depth, *columns[number]))
            children = self._below[number]
            if children:
                waiting += [(depth + 1, child) for child in reversed(children.values())]
        return rows
