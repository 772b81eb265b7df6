from __future__ import annotations

import pytest

from fmd_admin.collect.grouping import group_source


@pytest.mark.parametrize(
    ("group_by", "expected"),
    [
        (lambda: 3, "3"),
        (lambda: ("User", 3), "(User,3)"),
        (lambda: lambda: 3, "3"),
        (("User", lambda: 3), "(User,3)"),
        (lambda: "username", "username"),
        (lambda: ["Username", "username"], "(Username,username)"),
        (
            lambda: [("User", lambda: 3), ("Username", lambda: "username")],
            "((User,3),(Username,username))",
        ),
        (lambda: True, "True"),
        (lambda: b"caf\xc3\xa9", "café"),
        (lambda: b"\xff", "\N{REPLACEMENT CHARACTER}"),
        (lambda: 1.5, "1.5"),
        (lambda: None, None),
        ("fixed", "fixed"),
        (lambda: "x" * 300, "x" * 255),
    ],
)
def test_documented_forms(group_by: object, expected: str | None) -> None:
    source = group_source(group_by)
    assert source is not None
    assert source() == expected


def test_nothing_is_grouped_without_group_by() -> None:
    assert group_source(None) is None


def test_a_function_that_returns_itself_ends() -> None:
    def endless() -> object:
        return endless

    source = group_source(endless)
    assert source is not None
    with pytest.raises(RecursionError):
        source()
