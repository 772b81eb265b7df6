"""Finds the arguments of routes that have a secret's name, in paths as they were sent."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote

#: Start and end in a path.
Span = tuple[int, int]

_PLACEHOLDER = re.compile(r"<(?:[A-Za-z_]\w*(?:\(.*?\))?:)?([A-Za-z_]\w*)>")
#: What clients send needs not be a URL: urllib's functions raise then.
_BEFORE_PATH = re.compile(r"^[A-Za-z][\w+.-]*://[^/?#]*")
#: Longer paths are not searched: rules with several paths in them take long then.
_MAX_PATH = 2_000


def spans(rule: Any, path: str, hides: Callable[[str], bool]) -> list[Span]:
    """Return where in ``path`` the arguments of ``rule`` lie whose name ``hides`` says to hide.

    The whole path, if it has such arguments and does not look like the rule: what a converter
    makes of an argument may look very different from it.
    """
    secret = {str(name) for name in rule.arguments if hides(str(name))}
    if not secret or not path:
        return []
    found = _matched(rule, path, secret)
    return [(0, len(path))] if found is None else found


def in_referer(rules: Any, referer: str, root: str, hides: Callable[[str], bool]) -> Iterator[str]:
    """Yield what of the path of the page before would be a secret by one of ``rules`` (a map)."""
    path = unquote(_BEFORE_PATH.sub("", referer).split("#")[0].split("?")[0]).removeprefix(root)
    for rule in rules.iter_rules():
        secret = {str(name) for name in rule.arguments if hides(str(name))}
        if secret:
            yield from (path[start:end] for start, end in _matched(rule, path, secret) or [])


def _matched(rule: Any, path: str, secret: set[str]) -> list[Span] | None:
    if len(path) > _MAX_PATH:
        return None
    converters = getattr(rule, "_converters", {})
    pattern: list[str] = []
    names = []
    end = 0
    for part in _PLACEHOLDER.finditer(rule.rule):
        name = part.group(1)
        names.append(name)
        # Some arguments may have slashes in them.
        one = getattr(converters.get(name), "part_isolating", False)
        pattern += re.escape(rule.rule[end : part.start()]), "([^/]+)" if one else "(.+)"
        end = part.end()
    pattern.append(re.escape(rule.rule[end:].rstrip("/")) + "/?")
    match = re.fullmatch("".join(pattern), path)
    if match is None:
        return None
    return [match.span(i) for i, name in enumerate(names, 1) if name in secret]
