from __future__ import annotations

import random

from fmd_admin.records import Frame, ProfileNode
from fmd_admin.store import trees
from fmd_admin.store.inflate import deflate, inflate
from fmd_admin.store.trees import MergedRow, TreeRow

from ...profiles import EXECUTE, FIND, RANK, VIEW, node

IDS = {VIEW: 1, FIND: 2, RANK: 3, EXECUTE: 4}


def test_a_tree_comes_back_as_it_was() -> None:
    roots = [node(VIEW, 20.0004, node(FIND, 15, hits=3), node(RANK, 2.5, hits=1)), node(EXECUTE, 1)]
    assert trees.decode(trees.encode(roots, IDS)) == [
        TreeRow(0, 1, 20_000, 4),
        TreeRow(1, 2, 15_000, 3),
        TreeRow(1, 3, 2_500, 1),
        TreeRow(0, 4, 1_000, 0),
    ]
    assert trees.decode(trees.encode([], IDS)) == []


def test_it_is_deflated_json() -> None:
    assert trees.encode([], IDS) == deflate(b"[]")
    data = trees.encode([node(VIEW, 20.0004, node(FIND, 15, hits=3))], IDS)
    assert inflate(data) == b"[[0,1,20000,4],[1,2,15000,3]]"


def test_recursion_deeper_than_pythons_own_limit() -> None:
    inner = node(VIEW, 1)
    for _ in range(5_000):
        inner = node(VIEW, 1, inner)
    rows = trees.decode(trees.encode([inner], IDS))
    assert [row.depth for row in rows] == list(range(5_001))
    merged = trees.merge([rows, rows])
    assert len(merged) == 5_001
    assert len(trees.heaviest_first(merged)) == 5_001


def test_same_paths_become_one_node() -> None:
    first = [TreeRow(0, 1, 10, 2), TreeRow(1, 2, 6, 1), TreeRow(1, 3, 4, 1)]
    second = [TreeRow(0, 1, 20, 4), TreeRow(1, 3, 20, 4), TreeRow(0, 2, 5, 1)]
    assert trees.merge([first, second]) == [
        MergedRow(0, 1, 30, 6, 2, 30, 500),
        MergedRow(1, 2, 6, 1, 1, 6, 36),
        MergedRow(1, 3, 24, 5, 2, 24, 416),
        MergedRow(0, 2, 5, 1, 1, 5, 25),
    ]


def test_a_path_twice_in_one_tree_counts_as_one_value() -> None:
    tree = [TreeRow(0, 1, 10, 1), TreeRow(0, 2, 1, 0), TreeRow(0, 1, 30, 2)]
    row = trees.merge([tree])[0]
    assert (row.total_us, row.hits, row.requests, row.squares) == (40, 3, 1, 1600)


def test_a_tree_may_count_more_than_another() -> None:
    merged = trees.merge([[TreeRow(0, 1, 2_000, 1)], [TreeRow(0, 1, 50_000, 10)]], [2.5, 1.25])
    assert merged == [MergedRow(0, 1, 67_500, 11, 2, 52_000, 2_000**2 + 50_000**2)]


def test_heaviest_first_keeps_every_node_below_its_parent() -> None:
    rnd = random.Random(1)
    frames = [Frame("a.py", line, "f", True) for line in range(60)]
    ids = {frame: frame.line for frame in frames}
    made: list[ProfileNode] = []
    roots: list[ProfileNode] = []
    for _ in range(400):
        siblings = rnd.choice(made).children if made and rnd.random() < 0.9 else roots
        siblings.append(node(rnd.choice(frames), rnd.uniform(0, 9)))
        made.append(siblings[-1])
    merged = trees.merge([trees.decode(trees.encode(roots, ids))])
    ordered = trees.heaviest_first(merged)
    assert sorted(paths(ordered)) == sorted(paths(merged))
    last: dict[int, float] = {}
    for row in ordered:
        assert row.weight_us <= last.get(row.depth, row.weight_us)
        last = {depth: weight for depth, weight in last.items() if depth < row.depth}
        last[row.depth] = row.weight_us


def paths(rows: list[MergedRow]) -> list[tuple[int, ...]]:
    found = []
    path: list[int] = []
    for row in rows:
        del path[row.depth :]
        path.append(row.line_id)
        found.append(tuple(path))
    return found
