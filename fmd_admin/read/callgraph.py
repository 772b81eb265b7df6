"""An execution tree as pages, tables and other tools take it; of one request or of several."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from sqlalchemy import Connection, select

from ..store.models import CodeLine
from ..store.trees import MergedRow
from .table import Column, Table
from .tree_figures import MAX_NODES, Figures

#: Characters of a line's text that a page gets.
MAX_SOURCE = 160
#: The library that Python comes with.
PYTHON = "Python"
_CHUNK = 500
#: So many times as many ids as are wanted may lie between the first and the last: lines that an
#: endpoint runs were mostly met together.
_SPARSE = 2
_new = tuple.__new__
_BREAKS = re.compile(r"[;\s]+")
COLUMNS = (
    Column("depth", "Depth", "count"),
    Column("source", "Code line"),
    Column("function", "Function"),
    Column("file", "File"),
    Column("line", "Line", "count"),
    Column("requests", "Requests", "count"),
    Column("samples", "Samples", "count"),
    Column("mean_ms", "Mean", "ms"),
    Column("deviation_ms", "Standard deviation", "ms"),
    Column("total_ms", "Total", "ms"),
    Column("self_ms", "Self", "ms"),
    Column("share", "Share", "percent"),
)


class Line(NamedTuple):
    """A line of code; ``own`` tells the host's from libraries."""

    file: str
    line: int
    function: str
    source: str
    own: bool

    @property
    def place(self) -> str:
        """File and line: ``shop/views.py:88``."""
        return f"{self.file}:{self.line}"

    @property
    def library(self) -> str:
        """What the line belongs to, for a library's frame: ``sqlalchemy``, or Python itself."""
        if self.file.startswith("<"):
            return PYTHON
        path = self.file.replace("\\", "/")
        for folder in ("/site-packages/", "/dist-packages/"):
            _, found, after = path.rpartition(folder)
            if found:
                return after.split("/")[0].removesuffix(".py")
        name = path.split("/")[0].removesuffix(".py")
        return PYTHON if not name or name in sys.stdlib_module_names else name


@dataclass(frozen=True, slots=True)
class Node:
    """A node with its figures. ``depth`` is 1 for what the request itself called.

    ``requests`` is in how many the node was seen. ``mean_ms`` and ``deviation_ms`` are over all
    requests of the graph: a sampled tree cannot tell a line that did not run from a line that no
    sample met, and only so the means of children add up to that of their parent.
    """

    depth: int
    line: Line
    requests: int
    samples: int
    total_us: int
    self_us: int
    mean_ms: float
    deviation_ms: float
    share: float


@dataclass(frozen=True)
class CallGraph:
    """The tree below one root: the requests themselves.

    ``rows`` are in preorder, their weights are parts of ``total_us``, the time of all ``requests``
    together. What the children of a node leave of its time was spent in the node itself.
    ``known`` are the figures of the same rows and requests, where they are there already.
    """

    name: str
    rows: Sequence[MergedRow]
    lines: Mapping[int, Line]
    requests: int
    samples: int
    total_us: int
    known: Figures | None = None

    @cached_property
    def figures(self) -> Figures:
        """What is computed of the rows."""
        return self.known or Figures(self.rows, self.requests)

    @property
    def self_us(self) -> list[int]:
        """The time that each row spent in itself."""
        return self.figures.self_us

    @property
    def unseen_us(self) -> int:
        """The requests' time outside of all nodes: the framework's, and what no sample met."""
        return max(self.total_us - sum(round(r.weight_us) for r in self.rows if r.depth == 0), 0)

    def nodes(self, at_most: int | None = None) -> Iterator[Node]:
        """Yield the nodes in preorder; with ``at_most`` (to ``MAX_NODES``) the heaviest ones."""
        figures = self.figures
        own_us = figures.self_us
        for index in range(len(self.rows)) if at_most is None else figures.heaviest(at_most):
            row = self.rows[index]
            yield Node(
                depth=row.depth + 1,
                line=self.lines[row.line_id],
                requests=row.requests,
                samples=row.hits,
                total_us=round(row.weight_us),
                self_us=own_us[index],
                mean_ms=row.weight_us / self.requests / 1000,
                deviation_ms=figures.deviation_ms(row),
                share=row.weight_us / self.total_us if self.total_us else 0.0,
            )

    def table(self) -> Table:
        """Return a row for each node, the requests themselves first."""
        whole_ms = self.total_us / 1000
        rows: list[tuple[object, ...]] = [
            (
                0,
                "(request)",
                self.name,
                None,
                None,
                self.requests,
                self.samples,
                whole_ms / self.requests if self.requests else None,
                None,
                whole_ms,
                self.unseen_us / 1000,
                1.0,
            )
        ]
        rows += [
            (
                node.depth,
                node.line.source,
                node.line.function,
                node.line.file,
                node.line.line,
                node.requests,
                node.samples,
                node.mean_ms,
                node.deviation_ms,
                node.total_us / 1000,
                node.self_us / 1000,
                node.share,
            )
            for node in self.nodes()
        ]
        return Table("profile", COLUMNS, rows)

    def as_json(self) -> str:
        """Return the JSON that profiler.js draws, texts once each; at most ``MAX_NODES`` nodes.

        A node is six numbers in ``nodes``: depth, index in ``lines``, total µs, samples, requests,
        standard deviation µs. A line is index in ``files``, number, function, text, and 1 for the
        host's own code. A file is its path and the library it belongs to.
        """
        drawn = self.figures.drawn
        lines = [self.lines[id] for id in drawn.line_ids]
        firsts = {line.file: line for line in lines}
        files = {file: index for index, file in enumerate(firsts)}
        texts = {
            "files": [[file, line.library] for file, line in firsts.items()],
            "left_out": max(len(self.rows) - MAX_NODES, 0),
            "lines": [
                [
                    files[line.file],
                    line.line,
                    line.function,
                    line.source[:MAX_SOURCE],
                    int(line.own),
                ]
                for line in lines
            ],
            "name": self.name,
        }
        sums = {"requests": self.requests, "samples": self.samples, "total_us": self.total_us}
        # The nodes are most of it, and JSON already.
        before, after = (json.dumps(part, separators=(",", ":")) for part in (texts, sums))
        return f'{before[:-1]},"nodes":{drawn.nodes},{after[1:]}\n'

    def stacks(self) -> Iterator[tuple[list[Line], int]]:
        """Yield every stack with the µs spent at its end, the requests' own (empty) one first."""
        if self.unseen_us:
            yield [], self.unseen_us
        path: list[Line] = []
        for row, self_us in zip(self.rows, self.self_us, strict=True):
            del path[row.depth :]
            path.append(self.lines[row.line_id])
            if self_us:
                yield path, self_us

    def collapsed(self) -> Iterator[str]:
        """Yield the lines of the format of flamegraph.pl: frames, outermost first, and µs."""
        for path, weight_us in self.stacks():
            names = [self.name, *(f"{line.function} ({line.place})" for line in path)]
            yield f"{';'.join(_BREAKS.sub(' ', name) for name in names)} {weight_us}\n"

    def speedscope(self, exporter: str) -> dict[str, Any]:
        """Return the document that https://www.speedscope.app opens (its type "sampled")."""
        frames: dict[tuple[str, str, int], dict[str, Any]] = {}
        numbers: dict[tuple[str, str, int], int] = {}
        samples: list[list[int]] = []
        weights: list[int] = []

        def number(function: str, file: str, line: int) -> int:
            key = (function, file, line)
            if key not in numbers:
                numbers[key] = len(numbers)
                frames[key] = {"name": function}
                if file:
                    frames[key] |= {"name": f"{function} {file}:{line}", "file": file, "line": line}
            return numbers[key]

        root = number(self.name, "", 0)
        for path, weight_us in self.stacks():
            samples.append([root, *(number(line.function, line.file, line.line) for line in path)])
            weights.append(weight_us)
        return {
            "$schema": "https://www.speedscope.app/file-format-schema.json",
            "exporter": exporter,
            "name": self.name,
            "activeProfileIndex": 0,
            "shared": {"frames": list(frames.values())},
            "profiles": [
                {
                    "type": "sampled",
                    "name": self.name,
                    "unit": "microseconds",
                    "startValue": 0,
                    "endValue": sum(weights),
                    "samples": samples,
                    "weights": weights,
                }
            ],
        }


def load_lines(connection: Connection, ids: Sequence[int]) -> dict[int, Line]:
    """Return the code line of every id, and maybe of others between them."""
    query = select(
        CodeLine.id,
        CodeLine.file,
        CodeLine.line,
        CodeLine.function,
        CodeLine.source,
        CodeLine.own,
    )
    if ids and max(ids) - min(ids) < _SPARSE * len(ids):
        # To name each takes longer than to read some more.
        parts = [CodeLine.id.between(min(ids), max(ids))]
    else:
        parts = [
            CodeLine.id.in_(ids[start : start + _CHUNK]) for start in range(0, len(ids), _CHUNK)
        ]
    return {
        # Not row[1:], nor by the class: both take longer than to read a row.
        id: _new(Line, (file, line, function, source, own))
        for part in parts
        for id, file, line, function, source, own in connection.execute(query.where(part)).all()
    }
