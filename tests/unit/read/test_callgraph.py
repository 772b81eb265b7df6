from __future__ import annotations

import csv as csv_module
import io
import json
import statistics

import pytest

from fmd_admin.admin import csv
from fmd_admin.read.callgraph import MAX_NODES, PYTHON, CallGraph, Line
from fmd_admin.store import trees
from fmd_admin.store.trees import TreeRow

LINES = {
    1: Line("shop/views.py", 88, "search", "items = find_items(q, page)", True),
    2: Line("shop/catalog.py", 41, "find_items", "rows = all(); more = 1", True),
    3: Line("sqlalchemy/engine/base.py", 1412, "Connection.execute", "return meth(self)", False),
}
TREE = [TreeRow(0, 1, 90_000, 18), TreeRow(1, 2, 60_000, 12), TreeRow(2, 3, 50_000, 10)]


def graph(*found: list[TreeRow], total_us: int = 100_000) -> CallGraph:
    found = found or (TREE,)
    return CallGraph("GET shop.search", trees.merge(found), LINES, len(found), 20, total_us)


def test_figures_of_one_request() -> None:
    made = graph()
    assert made.self_us == [30_000, 10_000, 50_000]
    assert made.unseen_us == 10_000
    nodes = list(made.nodes())
    assert [(n.depth, n.line.function, n.share) for n in nodes] == [
        (1, "search", 0.9),
        (2, "find_items", 0.6),
        (3, "Connection.execute", 0.5),
    ]
    assert {(n.requests, n.deviation_ms) for n in nodes} == {(1, 0.0)}


def test_means_and_deviations_are_over_all_requests() -> None:
    times_us = [90_000, 70_000, 0, 31_000]
    made = graph(
        *([TreeRow(0, 1, t, 1)] if t else [] for t in times_us), total_us=sum(times_us) + 9_000
    )
    (node,) = made.nodes()
    assert node.requests == 3
    assert node.mean_ms == pytest.approx(statistics.fmean(times_us) / 1000)
    assert node.deviation_ms == pytest.approx(statistics.pstdev(times_us) / 1000)
    assert made.unseen_us == 9_000


def test_table_has_the_request_and_every_node() -> None:
    answer = csv.lines([c.label for c in graph().table().columns], graph().table().rows)
    rows = list(csv_module.DictReader(io.StringIO("".join(answer))))
    assert [(r["Depth"], r["Function"], r["Self"]) for r in rows] == [
        ("0", "GET shop.search", "10.0"),
        ("1", "search", "30.0"),
        ("2", "find_items", "10.0"),
        ("3", "Connection.execute", "50.0"),
    ]
    assert rows[2]["Code line"] == "rows = all(); more = 1"
    assert (rows[2]["File"], rows[2]["Line"]) == ("shop/catalog.py", "41")


def test_collapsed_stacks_add_up_and_have_no_stray_separators() -> None:
    lines = list(graph().collapsed())
    assert lines == [
        "GET shop.search 10000\n",
        "GET shop.search;search (shop/views.py:88) 30000\n",
        "GET shop.search;search (shop/views.py:88);find_items (shop/catalog.py:41) 10000\n",
        "GET shop.search;search (shop/views.py:88);find_items (shop/catalog.py:41);"
        "Connection.execute (sqlalchemy/engine/base.py:1412) 50000\n",
    ]
    odd = CallGraph(
        "a;b\nc",
        trees.merge([[TreeRow(0, 1, 5, 1)]]),
        {1: Line("x;y.py", 1, "<lambda>\t", "", True)},
        1,
        1,
        5,
    )
    assert list(odd.collapsed()) == ["a b c;<lambda> (x y.py:1) 5\n"]


def test_speedscope_follows_its_file_format() -> None:
    made = graph(TREE, [TreeRow(0, 3, 8_000, 2)], total_us=120_000)
    document = json.loads(json.dumps(made.speedscope("fmd_admin@1")))
    assert document["$schema"] == "https://www.speedscope.app/file-format-schema.json"
    frames = document["shared"]["frames"]
    for frame in frames:
        assert set(frame) <= {"name", "file", "line", "col"}
        assert isinstance(frame["name"], str)
    (profile,) = document["profiles"]
    assert (profile["type"], profile["unit"]) == ("sampled", "microseconds")
    assert len(profile["samples"]) == len(profile["weights"])
    assert all(0 <= number < len(frames) for stack in profile["samples"] for number in stack)
    assert all(stack[0] == 0 for stack in profile["samples"])
    assert sum(profile["weights"]) == profile["endValue"] == 120_000
    assert len({json.dumps(frame) for frame in frames}) == len(frames)


def test_rounding_does_not_make_negative_times() -> None:
    made = graph([TreeRow(0, 1, 10, 1), TreeRow(1, 2, 11, 1)], total_us=9)
    assert made.self_us == [0, 11]
    assert made.unseen_us == 0
    assert [n.share for n in graph(TREE, total_us=0).nodes()] == [0.0, 0.0, 0.0]


def test_without_any_request() -> None:
    made = CallGraph("x", [], {}, 0, 0, 0)
    assert list(made.collapsed()) == []
    assert made.speedscope("x")["profiles"][0]["samples"] == []
    assert len(made.table().rows) == 1
    assert json.loads(made.as_json())["nodes"] == []


def test_json_is_put_together_as_one_document() -> None:
    made = graph(TREE, [TreeRow(0, 3, 8_000, 2)], total_us=120_000)
    text = made.as_json()
    document = json.loads(text)
    assert text == json.dumps(document, sort_keys=True, separators=(",", ":")) + "\n"
    assert document == {
        "files": [
            ["shop/views.py", "shop"],
            ["shop/catalog.py", "shop"],
            ["sqlalchemy/engine/base.py", "sqlalchemy"],
        ],
        "left_out": 0,
        "lines": [
            [0, 88, "search", "items = find_items(q, page)", 1],
            [1, 41, "find_items", "rows = all(); more = 1", 1],
            [2, 1412, "Connection.execute", "return meth(self)", 0],
        ],
        "name": "GET shop.search",
        "nodes": [
            *(1, 0, 90_000, 18, 1, 45_000),
            *(2, 1, 60_000, 12, 1, 30_000),
            *(3, 2, 50_000, 10, 1, 25_000),
            *(1, 2, 8_000, 2, 1, 4_000),
        ],
        "requests": 2,
        "samples": 20,
        "total_us": 120_000,
    }


def test_the_heaviest_nodes_are_of_the_whole_tree() -> None:
    made = graph(TREE, [TreeRow(0, 3, 70_000, 2), TreeRow(1, 1, 55_000, 2)], total_us=160_000)
    assert [n.total_us for n in made.nodes(4)] == [90_000, 60_000, 70_000, 55_000]
    assert [n.self_us for n in made.nodes(2)] == [30_000, 15_000]
    assert list(made.nodes(9)) == list(made.nodes())


def test_a_page_gets_the_heaviest_nodes_and_downloads_all() -> None:
    tree = [TreeRow(0, 1, 10_000_000, 1)]
    tree += [TreeRow(1 + i % 2, 2 + i % 2, 10_000 - i // 2, 1) for i in range(MAX_NODES * 2)]
    rows = trees.merge([tree])
    # Merged by line, these are few: make lines of their own.
    lines = {i: Line(f"m{i % 50}.py", i, f"f{i}", "x" * 400, True) for i in range(len(tree))}
    rows = [
        row._replace(line_id=i, depth=t.depth, weight_us=t.total_us)
        for i, (row, t) in enumerate(zip([rows[0]] * len(tree), tree, strict=True))
    ]
    made = CallGraph("x", rows, lines, 1, 1, 10_000_000)
    document = json.loads(made.as_json())
    nodes = [document["nodes"][i : i + 6] for i in range(0, len(document["nodes"]), 6)]
    assert len(nodes) == MAX_NODES
    assert document["left_out"] == len(tree) - MAX_NODES
    assert len(json.dumps(document)) < 2_000_000
    depth = 0
    for node in nodes:
        assert 1 <= node[0] <= depth + 1, "a node without its parent"
        depth = node[0]
    assert len(made.table().rows) == len(tree) + 1


@pytest.mark.parametrize(
    ("file", "library"),
    [
        ("sqlalchemy/orm/query.py", "sqlalchemy"),
        ("/opt/venv/lib/python3.11/site-packages/jinja2/environment.py", "jinja2"),
        ("/usr/lib/python3/dist-packages/six.py", "six"),
        ("typing_extensions.py", "typing_extensions"),
        ("json/decoder.py", PYTHON),
        ("threading.py", PYTHON),
        ("/usr/lib/python3.11/json/decoder.py", PYTHON),
        ("<frozen importlib._bootstrap>", PYTHON),
        ("C:\\venv\\Lib\\site-packages\\flask\\app.py", "flask"),
    ],
)
def test_library_of_a_file(file: str, library: str) -> None:
    assert Line(file, 1, "f", "", False).library == library
