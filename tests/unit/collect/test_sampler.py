from __future__ import annotations

from dataclasses import replace
from types import CodeType

import pytest

from fmd_admin.collect.frames import Frames
from fmd_admin.collect.sampler import MAX_DEPTH, MAX_NODES, Tree, to_profile, to_profile_of_few
from fmd_admin.collect.stacks import Entry, Stack
from fmd_admin.records import ProfileNode, Row

ROW = Row(1_000, "index", 100.0, 200, "GET", "anna", "192.0.2.7")


def code(name: str) -> CodeType:
    """A function of one line for each letter."""
    module = compile(f"def {name}(x):\n    x()\n    x(); x()\n", "/srv/shop/views.py", "exec")
    return next(const for const in module.co_consts if isinstance(const, CodeType))


VIEW, HELPER, OTHER = code("view"), code("helper"), code("other")


def instructions(of: CodeType, line: int) -> list[int]:
    return [start for start, _, found in of.co_lines() if found == line]


def entry(of: CodeType, line: int = 2, which: int = 0) -> Entry:
    starts = instructions(of, line)
    return of, starts[0] + 2 * which, None


def shape(nodes: list[ProfileNode]) -> list[object]:
    return [
        (node.frame.function, node.frame.line, round(node.total_ms, 6), node.hits)
        if not node.children
        else (
            node.frame.function,
            node.frame.line,
            round(node.total_ms, 6),
            node.hits,
            shape(node.children),
        )
        for node in nodes
    ]


def test_samples_add_up_along_their_path() -> None:
    tree = Tree()
    view, helper, other = entry(VIEW), entry(HELPER), entry(OTHER)
    for stack, weight in (([view, helper], 10), ([view, helper], 20), ([view, other], 30)):
        tree.add(stack, weight)
    tree.add([view], 40)
    assert (tree.samples, tree.weight_ns, tree.nodes) == (4, 100, 3)
    profile = to_profile(tree, ROW, 5.0, Frames())
    assert shape(profile.roots) == [
        ("view", 2, 100.0, 4, [("helper", 2, 30.0, 2), ("other", 2, 30.0, 1)])
    ]


def test_totals_are_scaled_to_the_duration() -> None:
    tree = Tree()
    tree.add([entry(VIEW)], 3_000_000)
    tree.add([entry(OTHER)], 1_000_000)
    # Outside of all code: its time is in the duration, and in no node.
    tree.add([], 4_000_000)
    profile = to_profile(tree, ROW, 5.0, Frames())
    assert shape(profile.roots) == [("view", 2, 37.5, 1), ("other", 2, 12.5, 1)]
    assert (profile.samples, profile.period_ms) == (3, pytest.approx(8 / 3))
    assert (profile.endpoint, profile.duration_ms, profile.group) == ("index", 100.0, "anna")


def test_instructions_of_one_line_are_one_node() -> None:
    tree = Tree()
    first, second = entry(VIEW, 3), entry(VIEW, 3, which=4)
    assert first[1] != second[1]
    tree.add([first, entry(HELPER)], 10)
    tree.add([second, entry(HELPER)], 10)
    tree.add([second, entry(OTHER)], 30)
    assert tree.nodes == 5
    profile = to_profile(tree, ROW, 5.0, Frames())
    assert shape(profile.roots) == [
        ("view", 3, 100.0, 3, [("other", 2, 60.0, 1), ("helper", 2, 40.0, 2)])
    ]


TOP, SAME_LINE, INNER, ELSE = entry(VIEW, 3), entry(VIEW, 3, which=4), entry(HELPER), entry(OTHER)


@pytest.mark.parametrize(
    "samples",
    [
        [([], 3_000_000)],
        [([TOP], 3_000_000)],
        [([TOP, INNER] * (MAX_DEPTH // 2 + 3), 3_000_000)],
        [([TOP, INNER], 3_000_000), ([], 1_000_000), ([TOP], 4_000_000)],
        # What comes last is heaviest, on both levels; two instructions of a line are one node.
        [
            ([ELSE, TOP], 1_000_000),
            ([TOP, INNER], 2_000_000),
            ([SAME_LINE, ELSE], 5_000_000),
            ([TOP, INNER, INNER], 1_000_000),
            ([SAME_LINE, ELSE, TOP], 2_000_000),
        ],
    ],
)
def test_a_few_samples_make_the_profile_of_their_tree(samples: list[tuple[Stack, int]]) -> None:
    tree = Tree()
    for stack, weight_ns in samples:
        tree.add(stack, weight_ns)
    found = to_profile_of_few(samples, ROW, Frames())
    assert found is not None
    whole = to_profile(tree, ROW, 5.0, Frames())
    assert replace(found, roots=[]) == replace(whole, roots=[])
    waiting = [(found.roots, whole.roots)]
    while waiting:
        of_found, of_whole = waiting.pop()
        assert [(one.frame, one.hits) for one in of_found] == [
            (one.frame, one.hits) for one in of_whole
        ]
        for one, other in zip(of_found, of_whole, strict=True):
            assert one.total_ms == pytest.approx(other.total_ms)
            waiting.append((one.children, other.children))


def test_samples_of_no_time_make_no_profile() -> None:
    assert to_profile_of_few([], ROW, Frames()) is None
    assert to_profile_of_few([([TOP], 0)], ROW, Frames()) is None


def test_recursion_stays_a_path() -> None:
    tree = Tree()
    tree.add([entry(VIEW)] * 3, 10)
    profile = to_profile(tree, ROW, 5.0, Frames())
    assert shape(profile.roots) == [
        ("view", 2, 100.0, 1, [("view", 2, 100.0, 1, [("view", 2, 100.0, 1)])])
    ]


def test_what_is_too_deep_counts_where_it_begins() -> None:
    tree = Tree()
    tree.add([entry(VIEW)] * (MAX_DEPTH + 500), 10)
    assert tree.nodes == MAX_DEPTH
    # Deep trees are no deep recursion of ours.
    depth = 0
    nodes = to_profile(tree, ROW, 5.0, Frames()).roots
    while nodes:
        depth += 1
        [node] = nodes
        nodes = node.children
    assert depth == MAX_DEPTH


def test_what_is_too_much_counts_where_it_branches_off() -> None:
    tree = Tree()
    many: list[Stack] = [[entry(VIEW), entry(code(f"f{i}"))] for i in range(MAX_NODES + 10)]
    for stack in many:
        tree.add(stack, 1)
    assert tree.nodes == MAX_NODES
    assert tree.samples == MAX_NODES + 10
    [root] = tree.roots.values()
    assert (root.hits, root.weight_ns) == (MAX_NODES + 10, MAX_NODES + 10)
    # What is known goes on being counted.
    tree.add(many[0], 7)
    assert next(iter(root.children.values())).weight_ns == 8


@pytest.mark.parametrize("tree", [None, Tree()])
def test_a_request_that_no_sample_met(tree: Tree | None) -> None:
    profile = to_profile(tree, ROW, 5.0, Frames())
    assert (profile.samples, profile.period_ms, profile.roots) == (0, 5.0, [])
    assert (profile.time_ms, profile.duration_ms) == (1_000, 100.0)


def test_samples_outside_of_all_code_only() -> None:
    tree = Tree()
    tree.add([], 5_000_000)
    profile = to_profile(tree, ROW, 5.0, Frames())
    assert (profile.samples, profile.roots) == (1, [])
