"""A stored request as a curl command. What was redacted stays a placeholder."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl, quote

#: Headers that curl makes by itself, or that would be wrong for another body.
_LEFT_OUT = frozenset(
    {"host", "content-length", "connection", "accept-encoding", "transfer-encoding", "expect"}
)
_JOIN = " \\\n  "


def command(
    method: str,
    url: str,
    headers: Sequence[tuple[str, str]],
    values: Mapping[str, Sequence[str]],
    json: str | None,
) -> str:
    """Return the command for a POSIX shell, every argument quoted.

    ``values`` are those of query and form together; what is not in the URL goes into the body.
    """
    # Without --globoff, curl would expand brackets and braces in the address.
    parts = ["curl --globoff"]
    # A long address may have lost its end: what is missing there is no form for all that.
    form = [] if json is not None or method in {"GET", "HEAD"} else _form(url, values)
    has_body = json is not None or bool(form)
    if method == "HEAD":
        parts.append("--head")
    elif method != ("POST" if has_body else "GET"):
        parts.append(f"--request {shlex.quote(method)}")
    parts.append(f"--url {shlex.quote(url)}")
    for name, value in headers:
        if name.lower() in _LEFT_OUT or (form and name.lower() == "content-type"):
            continue
        # A header without a value ends in a semicolon, or curl leaves it out.
        parts.append(f"--header {shlex.quote(f'{name}: {value}' if value else f'{name};')}")
    for name, value in form:
        pair = f"{quote(name, safe='')}={value}"
        parts.append(f"--data-urlencode {shlex.quote(pair)}")
    if json is not None:
        parts.append(f"--data-raw {shlex.quote(json)}")
    return _JOIN.join(parts)


def _form(url: str, values: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    # Not urlsplit: it raises for a host that is none, and clients send what they like.
    in_url = Counter(parse_qsl(url.partition("?")[2], keep_blank_values=True))
    form = []
    for name, found in values.items():
        for value in found:
            if in_url[name, value] > 0:
                in_url[name, value] -= 1
            else:
                form.append((name, value))
    return form
