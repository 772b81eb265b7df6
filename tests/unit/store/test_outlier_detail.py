from __future__ import annotations

from fmd_admin.records import Frame
from fmd_admin.store.outlier_detail import SourceFrame, decode, encode

from ...profiles import VIEW, outlier, source


def test_what_is_stored_comes_back() -> None:
    made = outlier(json='{"a": "ž"}', note="why", values={"ž": ["1", "2"]})
    found = decode(encode(made, source))
    assert found.stack[0] == SourceFrame(*VIEW, "items = find_items(q, page)")
    assert (found.stack_at_ms, found.note, found.json) == (412.0, "why", '{"a": "ž"}')
    assert (found.values, found.headers) == ({"ž": ["1", "2"]}, made.headers)
    assert (found.cpu_percent, found.memory_percent) == ([12.5, 99.0], 61.2)
    assert (found.url, found.environ) == (made.url, made.environ)


def test_half_characters_become_such_as_pages_can_show() -> None:
    made = outlier(
        stack=[Frame("/srv/\udcff/views.py", 1, "view", True)],
        environ={"\udcff": "\ud800"},
        url="\udfff",
        json='"\ud800"',
    )
    found = decode(encode(made, lambda frame: "\udcff"))
    assert found.stack == [SourceFrame("/srv/?/views.py", 1, "view", True, "?")]
    assert (found.environ, found.url, found.json) == ({"?": "?"}, "?", '"?"')


def test_long_lines_are_cut() -> None:
    found = decode(encode(outlier(stack=[VIEW]), lambda frame: "x" * 5_000))
    assert len(found.stack[0].source) == 1_000
