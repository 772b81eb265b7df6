"""The range and version controls at the top of a page. They work by links and GET forms."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlencode

from ..read.catalog import NO_NAME, VersionInfo
from ..read.scope import Scope

RANGE_LABELS = (("1h", "1 h"), ("24h", "24 h"), ("7d", "7 days"), ("30d", "30 days"))
#: What a range is compared with, by the word in the URL.
COMPARISON_LABELS = {"previous": "the {} before", "week": "a week earlier", "off": ""}
#: Words of the URL that the bar sets; a new range also starts on the first page again.
_RANGE_WORDS = frozenset({"range", "from", "to", "page"})


@dataclass(frozen=True, slots=True)
class Choice:
    """A link or box of the bar."""

    label: str
    target: str
    chosen: bool


@dataclass(frozen=True, slots=True)
class ScopeBar:
    """What the template of the top bar shows.

    ``ranges`` link to the same page with another range, ``versions`` are boxes of a form (newest
    first). ``keep_range`` and ``keep_versions`` are hidden fields of the two forms.
    """

    label: str
    #: The range of lists, which is not widened to hours.
    exact_label: str
    zone: str
    ranges: list[Choice]
    custom: bool
    from_text: str
    to_text: str
    versions: list[Choice]
    versions_label: str
    keep_for_range: list[tuple[str, str]]
    keep_for_versions: list[tuple[str, str]]
    comparisons: list[Choice]
    #: What changes are measured against, in words; empty if nothing is compared.
    before: str


def scope_bar(
    scope: Scope,
    versions: list[VersionInfo],
    path: str,
    args: Iterable[tuple[str, str]],
    *,
    compared: bool = False,
) -> ScopeBar:
    """Return the bar of a page at ``path`` whose query string holds the pairs ``args``.

    ``compared``: the page shows changes, so the bar has what to compare with.
    """
    pairs = list(args)
    others = [(key, value) for key, value in pairs if key not in _RANGE_WORDS]
    ranges = [
        Choice(
            label,
            f"{path}?{urlencode([('range', name), *others])}",
            scope.range_name == name,
        )
        for name, label in RANGE_LABELS
    ]
    boxes = [
        Choice(name or NO_NAME, name or NO_NAME, name in scope.versions)
        for name in (version.name for version in reversed(versions))
    ]
    return ScopeBar(
        label=scope.label,
        exact_label=scope.exact_label,
        zone=str(scope.zone),
        ranges=ranges,
        custom=scope.range_name == "custom",
        from_text=scope.from_text,
        to_text=scope.to_text,
        versions=boxes,
        versions_label=_versions_label(scope.versions),
        keep_for_range=others,
        keep_for_versions=[pair for pair in pairs if pair[0] not in {"version", "page"}],
        comparisons=_comparisons(scope, path, pairs) if compared else [],
        before=COMPARISON_LABELS[scope.compare].format(_spoken(scope)),
    )


def _comparisons(scope: Scope, path: str, pairs: list[tuple[str, str]]) -> list[Choice]:
    others = [pair for pair in pairs if pair[0] != "against"]
    return [
        Choice(
            label.format(_spoken(scope)) or "Nothing",
            f"{path}?{urlencode([*others, ('against', name)])}",
            name == scope.compare,
        )
        for name, label in COMPARISON_LABELS.items()
        if name != "week" or scope.week_is_another
    ]


def _spoken(scope: Scope) -> str:
    """Return the length of the range as it is called: ``7 days``."""
    names = {"1h": "hours", "24h": "24 hours", "7d": "7 days", "30d": "30 days"}
    return names.get(scope.range_name, "same time")


def _versions_label(versions: tuple[str, ...]) -> str:
    if not versions:
        return "All versions"
    return versions[0] or NO_NAME if len(versions) == 1 else f"{len(versions)} versions"
