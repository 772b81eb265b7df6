"""What changed between two intervals, as far as it is sure and matters. Pure: totals → verdicts.

Each endpoint with enough requests on both sides is tested up to three times: its times by ranks,
its slowest twentieth by the share above the common p95, its errors by their share. The p of all
tests of all endpoints are corrected together. A verdict needs both a corrected p up to ``ALPHA``
and a change large enough to matter: with millions of requests 0.3 % is significant and means
nothing.

Load is not tested. Requests do not come one by one by chance: one user clicks through ten pages, a
crawler or a cron job sends a thousand at once. A test that takes them for independent (Poisson)
would call almost every change significant. So load is only said to differ by a plain rule: at
least ``LOAD_FACTOR`` times as many requests an hour, and ``LOAD_HITS`` requests on the busier side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from .buckets import Total
from .statistics import false_discovery, quantile_test, rank_test, share_test

#: Corrected p up to which a difference is taken for real.
ALPHA = 0.05
#: Requests that each side needs.
MIN_HITS = 30
#: Changes that matter: both the part of what it was and the milliseconds. Histogram buckets are
#: 2 % wide, so that a change of a quantile is known to within 2 %: smaller ones cannot be told.
MEDIAN_PART, MEDIAN_MS = 0.05, 0.2
P95_PART, P95_MS = 0.1, 1.0
#: Error shares matter from one point, or from a tenth of a point if they grow or shrink to 1.5.
ERROR_POINTS, ERROR_SMALL_POINTS, ERROR_FACTOR = 0.01, 0.001, 1.5
LOAD_FACTOR, LOAD_HITS = 2.0, 100
_ROUNDING = 1e-9

Kind = Literal[
    "slower",
    "more_errors",
    "faster",
    "fewer_errors",
    "new",
    "gone",
    "busier",
    "quieter",
    "too_little",
    "unchanged",
]
#: What a verdict is about; too_little may be about any figure, or about none (too few requests).
Figure = Literal["median", "p95", "errors", "load", ""]


@dataclass(frozen=True, slots=True)
class Figures:
    """One endpoint in one interval. Durations in ms and shares are None without requests.

    ``per_hour`` is None where the length of the interval says nothing about load.
    """

    hits: int
    errors: int
    per_hour: float | None
    median_ms: float | None
    p95_ms: float | None
    mean_ms: float | None
    error_share: float | None


@dataclass(frozen=True, slots=True)
class Significance:
    """A test: ``p`` as it was found, and ``corrected`` for the number of all tests.

    ``direction`` is above 0 if the second interval lies higher, and below if lower.
    """

    p: float
    corrected: float
    direction: float

    @property
    def is_sure(self) -> bool:
        return self.corrected <= ALPHA


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is said of an endpoint, and the figure it is about."""

    kind: Kind
    figure: Figure = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One endpoint in both intervals. Tests are None where there was nothing to test.

    ``stake_ms`` is what the change of the mean adds up to over the requests of the second
    interval; for endpoints that are new or gone, their time in all.
    """

    before: Figures
    after: Figures
    times: Significance | None
    tail: Significance | None
    errors: Significance | None
    verdicts: tuple[Verdict, ...]
    stake_ms: float


def compare(
    before: Mapping[int, Total],
    after: Mapping[int, Total],
    hours_before: float | None,
    hours_after: float | None,
) -> dict[int, Comparison]:
    """Return the comparison of each key of ``before`` or ``after`` (totals with hits).

    The tests of all keys are corrected together. ``hours_*`` are the lengths of the intervals as
    far as they have passed, None if load is not to be compared.
    """
    empty = Total()
    pairs = {key: (before.get(key, empty), after.get(key, empty)) for key in {**before, **after}}
    raw = {
        (key, name): found
        for key, pair in pairs.items()
        if min(pair[0].hits, pair[1].hits) >= MIN_HITS
        for name, found in _tests(*pair).items()
    }
    corrected = false_discovery([p for p, _ in raw.values()])
    tested = {
        place: Significance(p, right, direction)
        for (place, (p, direction)), right in zip(raw.items(), corrected, strict=True)
    }
    return {
        key: _comparison(
            figures(first, hours_before),
            figures(second, hours_after),
            tested.get((key, "times")),
            tested.get((key, "tail")),
            tested.get((key, "errors")),
        )
        for key, (first, second) in pairs.items()
    }


def figures(total: Total, hours: float | None) -> Figures:
    """Return the figures of ``total``, which may be empty."""
    per_hour = total.hits / hours if hours else None
    if not total.hits:
        return Figures(0, 0, per_hour, None, None, None, None)
    median_ms, p95_ms = total.quantiles((0.5, 0.95))
    return Figures(
        hits=total.hits,
        errors=total.errors,
        per_hour=per_hour,
        median_ms=median_ms,
        p95_ms=p95_ms,
        mean_ms=total.sum_ms / total.hits,
        error_share=total.errors / total.hits,
    )


def _tests(before: Total, after: Total) -> dict[str, tuple[float, float]]:
    """Return (p, direction) by name. What cannot differ is not tested: it would only weigh."""
    ranks = rank_test(before.counts, after.counts)
    found = {"times": (ranks.p, ranks.superiority - 0.5)}
    tail = quantile_test(before.counts, after.counts, 0.95)
    if tail is not None:
        found["tail"] = tail
    if 0 < before.errors + after.errors < before.hits + after.hits:
        p = share_test(before.hits, before.errors, after.hits, after.errors)
        found["errors"] = (p, after.errors / after.hits - before.errors / before.hits)
    return found


def _comparison(
    before: Figures,
    after: Figures,
    times: Significance | None,
    tail: Significance | None,
    errors: Significance | None,
) -> Comparison:
    if before.mean_ms is not None and after.mean_ms is not None:
        stake_ms = (after.mean_ms - before.mean_ms) * after.hits
    else:
        stake_ms = (after.mean_ms or 0) * after.hits - (before.mean_ms or 0) * before.hits
    verdicts = _verdicts(before, after, times, tail, errors)
    return Comparison(before, after, times, tail, errors, verdicts, stake_ms)


def _verdicts(
    before: Figures,
    after: Figures,
    times: Significance | None,
    tail: Significance | None,
    errors: Significance | None,
) -> tuple[Verdict, ...]:
    if not before.hits and after.hits >= MIN_HITS:
        return (Verdict("new"),)
    if not after.hits and before.hits >= MIN_HITS:
        return (Verdict("gone"),)
    load = _load(before, after)
    if times is None:
        return (*load, Verdict("too_little"))
    moved: list[tuple[Figure, Significance | None, float]] = [
        ("median", times, _moved(before.median_ms, after.median_ms, MEDIAN_PART, MEDIAN_MS)),
        ("p95", tail, _moved(before.p95_ms, after.p95_ms, P95_PART, P95_MS)),
        ("errors", errors, _moved_share(before.error_share, after.error_share)),
    ]
    found = [
        (figure, change)
        for figure, test, change in moved
        if test is not None and test.is_sure and change * test.direction > 0
    ]
    # Where the median moved, the p95 mostly moved with it, and need not be said.
    if [figure for figure, _ in found[:2]] == ["median", "p95"] and found[0][1] * found[1][1] > 0:
        del found[1]
    verdicts = [Verdict(_kind(figure, change), figure) for figure, change in found]
    if not verdicts:
        unsure = [f for f, test, change in moved if change and test and not test.is_sure]
        verdicts = [Verdict("too_little", unsure[0]) if unsure else Verdict("unchanged")]
    return (*verdicts, *load)


def _kind(figure: Figure, change: float) -> Kind:
    if figure == "errors":
        return "more_errors" if change > 0 else "fewer_errors"
    return "slower" if change > 0 else "faster"


def _moved(before: float | None, after: float | None, part: float, least_ms: float) -> float:
    """Return the change in ms if it matters, otherwise 0."""
    if before is None or after is None:
        return 0.0
    change = after - before
    least = max(part * before, least_ms) * (1 - _ROUNDING)
    return change if abs(change) >= least else 0.0


def _moved_share(before: float | None, after: float | None) -> float:
    """Return the change of an error share if it matters, otherwise 0."""
    if before is None or after is None:
        return 0.0
    change = after - before
    low, high = sorted((before, after))
    large = abs(change) >= ERROR_POINTS * (1 - _ROUNDING)
    many_times = abs(change) >= ERROR_SMALL_POINTS and high >= ERROR_FACTOR * low
    return change if large or many_times else 0.0


def _load(before: Figures, after: Figures) -> tuple[Verdict, ...]:
    if not before.per_hour or not after.per_hour:
        return ()
    factor = after.per_hour / before.per_hour
    if factor >= LOAD_FACTOR and after.hits >= LOAD_HITS:
        return (Verdict("busier", "load"),)
    if factor <= 1 / LOAD_FACTOR and before.hits >= LOAD_HITS:
        return (Verdict("quieter", "load"),)
    return ()
