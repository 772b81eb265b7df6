"""The figures that sum up requests, and how they differ from those of a time before."""

from __future__ import annotations

from dataclasses import dataclass

from .buckets import Total
from .scope import Scope

QUANTILES = (0.5, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class Figures:
    """Requests taken together. Errors are answers with a status of 400 and above.

    Durations in ms; all but ``mean_ms`` within 1 %. None without hits. ``span_ms`` is the time in
    which they came.
    """

    hits: int
    errors: int
    error_share: float | None
    mean_ms: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    span_ms: int


def figures(total: Total, scope: Scope, began_ms: int | None = None) -> Figures:
    """Return the figures of what was measured in ``scope``, as far as it has passed.

    ``began_ms`` is when anything was measured first (UTC): nobody knows what was before.
    """
    p50, p95, p99 = total.quantiles(QUANTILES) or (None, None, None)
    return Figures(
        hits=total.hits,
        errors=total.errors,
        error_share=total.errors / total.hits if total.hits else None,
        mean_ms=total.sum_ms / total.hits if total.hits else None,
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        span_ms=max(scope.elapsed_ms - max((began_ms or 0) - scope.start_ms, 0), 0),
    )


@dataclass(frozen=True, slots=True)
class Change:
    """How figures differ from those before.

    ``hits``, ``p50``, ``p95`` and ``p99`` are relative (0.5 = half as much again), ``error_share``
    is a difference (0.01 = one point more). ``hits`` compares requests a second: the current hour
    is not over yet, the one it is compared with is. None where there is nothing to compare.
    """

    hits: float | None
    error_share: float | None
    p50: float | None
    p95: float | None
    p99: float | None


def change(now: Figures, before: Figures) -> Change:
    """Return how ``now`` differs from ``before``."""
    return Change(
        hits=relative(_rate(now), _rate(before)),
        error_share=None
        if now.error_share is None or before.error_share is None
        else now.error_share - before.error_share,
        p50=relative(now.p50_ms, before.p50_ms),
        p95=relative(now.p95_ms, before.p95_ms),
        p99=relative(now.p99_ms, before.p99_ms),
    )


def relative(now: float | None, before: float | None) -> float | None:
    """Return by what part of ``before`` it changed; None if there is no such thing."""
    return None if now is None or not before else now / before - 1


def _rate(found: Figures) -> float | None:
    return found.hits / found.span_ms if found.span_ms else None
