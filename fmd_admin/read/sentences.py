"""Verdicts of a comparison in plain words: what changed, by how much, and how sure that is.

A sentence goes on after the endpoint's name: "is 38 % slower at the median than last week: …".
"""

from __future__ import annotations

from .comparison import MIN_HITS, Comparison, Figures, Significance, Verdict

_ARROW = " \N{RIGHTWARDS ARROW} "
#: From this many times as long on, percents are hard to read.
_MANY_TIMES = 3.0
_UNITS = ((3_600_000, "h"), (60_000, "min"), (1_000, "s"))


def sentence(verdict: Verdict, comparison: Comparison, than: str) -> str:
    """Return what ``verdict`` says; ``than`` names the first interval: ``last week``."""
    before, after = comparison.before, comparison.after
    hits = f"{before.hits:,} and {after.hits:,} requests"
    if verdict.kind == "new":
        return f"is new: not requested {than}, now {_requests(after)}."
    if verdict.kind == "gone":
        return f"is gone: {_requests(before)} {than}, none since."
    if verdict.figure == "load":
        return f"is {verdict.kind} than {than}: {_load(before, after)}."
    if verdict.kind == "unchanged":
        return _unchanged(comparison, hits)
    if verdict.kind == "too_little" and not verdict.figure:
        return (
            f"was not requested often enough to tell: {before.hits:,} and {after.hits:,} times, "
            f"and {MIN_HITS} are needed each."
        )
    test = {"median": comparison.times, "p95": comparison.tail, "errors": comparison.errors}[
        verdict.figure
    ]
    if verdict.kind == "too_little":
        return f"{_unsure(verdict, before, after)}, which may be chance: {hits}, {p_text(test)}."
    if verdict.figure == "errors":
        more = "more" if verdict.kind == "more_errors" else "fewer"
        shares = percents(before.error_share or 0, after.error_share or 0)
        return f"has {more} errors than {than}: {shares} of {hits}, {p_text(test)}."
    return f"{_pace(verdict, before, after, than)}, {hits}, {p_text(test)}."


def unmeasured(comparison: Comparison, than: str) -> str:
    """Return what is said of an endpoint where the first interval, ``than``, was before us."""
    return f"cannot be compared: nothing was measured {than}, now {_requests(comparison.after)}."


def _pace(verdict: Verdict, before: Figures, after: Figures, than: str) -> str:
    old, new = _durations(verdict, before, after)
    where = "at the median" if verdict.figure == "median" else "at its slow end (p95)"
    if not old:
        # Of nothing there is no percentage.
        how = f"is {verdict.kind} {where} than {than}"
    elif new >= _MANY_TIMES * old:
        how = f"takes {new / old:.1f} times as long {where} as {than}"
    else:
        how = f"is {100 * abs(new / old - 1):.0f} % {verdict.kind} {where} than {than}"
    return f"{how}: {milliseconds(old, new)}"


def _unsure(verdict: Verdict, before: Figures, after: Figures) -> str:
    if verdict.figure == "errors":
        shares = percents(before.error_share or 0, after.error_share or 0)
        return f"moved in its error share ({shares})"
    where = "at the median" if verdict.figure == "median" else "at its slow end (p95)"
    return f"moved {where} ({milliseconds(*_durations(verdict, before, after))})"


def _durations(verdict: Verdict, before: Figures, after: Figures) -> tuple[float, float]:
    if verdict.figure == "median":
        return before.median_ms or 0.0, after.median_ms or 0.0
    return before.p95_ms or 0.0, after.p95_ms or 0.0


def _unchanged(comparison: Comparison, hits: str) -> str:
    before, after = comparison.before, comparison.after
    moved = milliseconds(before.median_ms or 0, after.median_ms or 0)
    tests = (comparison.times, comparison.tail, comparison.errors)
    sure = any(test is not None and test.is_sure for test in tests)
    small = "; the difference is real, but too small to matter" if sure else ""
    return f"is unchanged: {moved} at the median, {hits}{small}."


def _requests(figures: Figures) -> str:
    noun = "request" if figures.hits == 1 else "requests"
    return f"{figures.hits:,} {noun} of {milliseconds(figures.median_ms or 0)} at the median"


def _load(before: Figures, after: Figures) -> str:
    old, new = before.per_hour or 0.0, after.per_hour or 0.0
    digits = _digits(min(old, new))
    factor = f"{new / old:.1f} times as many" if new > old else f"{percents(new / old)} of them"
    return f"{old:,.{digits}f}{_ARROW}{new:,.{digits}f} requests an hour, {factor}"


def milliseconds(*values: float) -> str:
    """Return one duration, or two with an arrow: ``120 → 166 ms``, ``1.24 → 1.61 s``."""
    # 0 says nothing about how exact the other one is.
    smallest = min((value for value in values if value), default=0.0)
    unit, scale = ("s", 1000.0) if smallest >= 10_000 else ("ms", 1.0)
    digits = _digits(smallest / scale)
    shown = (f"{value / scale:,.{digits}f}" if value else "0" for value in values)
    return f"{_ARROW.join(shown)} {unit}"


def percents(*shares: float) -> str:
    """Return one share (1.0 = 100 %), or two with an arrow: ``1.0 → 4.0 %``."""
    smallest = min((100 * share for share in shares if share), default=100.0)
    digits = 0 if smallest >= 9.95 else 1 if smallest >= 0.95 else 2 if smallest >= 0.095 else 3
    return f"{_ARROW.join(f'{100 * share:.{digits}f}' for share in shares)} %"


def _digits(value: float) -> int:
    """Return how many decimals show a change of a few percent of ``value``."""
    return 0 if value >= 99.5 else 1 if value >= 9.95 else 2 if value >= 0.0995 else 3


def p_text(test: Significance | None) -> str:
    """Return the corrected p: ``p < 0.001``, ``p = 0.012``."""
    p = 1.0 if test is None else test.corrected
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def stake_text(stake_ms: float) -> str:
    """Return the time at stake in its unit: ``+4.2 min``, ``−12 s``, ``±0 s``."""
    size = abs(stake_ms)
    least, unit = next((step for step in _UNITS if size >= step[0]), (1, "ms"))
    value = size / least
    if value < 0.5:
        return "\N{PLUS-MINUS SIGN}0 s"
    sign = "+" if stake_ms > 0 else "\N{MINUS SIGN}"
    return f"{sign}{value:,.{0 if value >= 9.95 else 1}f} {unit}"
