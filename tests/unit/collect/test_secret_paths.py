from __future__ import annotations

from typing import Any

import pytest
from werkzeug.routing import Map, Rule

from fmd_admin.collect import secret_paths
from fmd_admin.collect.redaction import Redactor

HIDES = Redactor(("token", "key")).hides


def bound(*texts: str) -> list[Rule]:
    rules = [Rule(text, endpoint=str(number)) for number, text in enumerate(texts)]
    Map(rules)
    return rules


@pytest.mark.parametrize(
    ("rule", "path", "found"),
    [
        ("/reset/<token>", "/reset/abc", ["abc"]),
        ("/reset/<uuid:token>/", "/reset/ABCD-1/", ["ABCD-1"]),
        ("/reset/<uuid:token>/", "/reset/ABCD-1", ["ABCD-1"]),
        ("/p/<int:key>/<name>", "/p/0007/anna", ["0007"]),
        ("/u/<user>/<string(length=3):key>/x/<token>", "/u/a/abc/x/y", ["abc", "y"]),
        ("/files/<path:key>", "/files/a/b/c", ["a/b/c"]),
        ("/files/<path:key>/<name>", "/files/a/b/c", ["a/b"]),
        ("/a.b/<token>", "/a.b/x", ["x"]),
        # It does not look like the rule: nothing of it can be trusted.
        ("/reset/<token>", "/other/abc", ["/other/abc"]),
        ("/reset/<token>", "/reset/" + "x" * 3_000, ["/reset/" + "x" * 3_000]),
        ("/user/<name>", "/user/anna", []),
        ("/plain", "/plain", []),
        ("/reset/<token>", "", []),
    ],
)
def test_arguments_of_the_own_rule(rule: str, path: str, found: list[str]) -> None:
    [made] = bound(rule)
    assert [path[start:end] for start, end in secret_paths.spans(made, path, HIDES)] == found


@pytest.mark.parametrize(
    ("referer", "found"),
    [
        ("https://host/reset/abc?x=1#y", ["abc"]),
        ("https://host/reset/%61b%C3%A4", ["abä"]),
        ("/reset/abc", ["abc"]),
        ("https://host/user/anna", []),
        ("https://host", []),
        ("nonsense", []),
        ("https://[/reset/abc", ["abc"]),
        ("https://host/app/reset/abc", ["abc"]),
    ],
)
def test_arguments_in_the_page_before(referer: str, found: list[str]) -> None:
    rules: Any = bound("/reset/<token>", "/user/<name>", "/")[0].map
    assert list(secret_paths.in_referer(rules, referer, "/app", HIDES)) == found
