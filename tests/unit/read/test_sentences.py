"""What a report says, word for word."""

from __future__ import annotations

import pytest

from fmd_admin.read.comparison import Comparison, Figures, Significance, Verdict
from fmd_admin.read.sentences import milliseconds, p_text, percents, sentence, stake_text


def side(
    hits: int = 4120,
    median_ms: float = 120.0,
    p95_ms: float = 300.0,
    share: float = 0.01,
    per_hour: float = 12.0,
) -> Figures:
    if not hits:
        return Figures(0, 0, 0.0, None, None, None, None)
    return Figures(hits, round(hits * share), per_hour, median_ms, p95_ms, median_ms, share)


def said(
    kind: str,
    figure: str = "",
    *,
    before: Figures | None = None,
    after: Figures | None = None,
    p: float = 1e-9,
    than: str = "last week",
) -> str:
    test = Significance(p / 2, p, 0.1)
    comparison = Comparison(
        before or side(), after or side(3987, 166.0), test, test, test, (), 1000.0
    )
    return sentence(Verdict(kind, figure), comparison, than)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (
            said("slower", "median"),
            "is 38 % slower at the median than last week: 120 → 166 ms, "
            "4,120 and 3,987 requests, p < 0.001.",
        ),
        (
            said("faster", "median", before=side(500), after=side(61, 60.0), p=0.0123),
            "is 50 % faster at the median than last week: 120.0 → 60.0 ms, "
            "500 and 61 requests, p = 0.012.",
        ),
        (
            said("slower", "median", before=side(4120, 0.0), after=side(1000, 5.0)),
            "is slower at the median than last week: 0 → 5.00 ms, "
            "4,120 and 1,000 requests, p < 0.001.",
        ),
        (
            said("slower", "median", after=side(1000, 510.0), than="yesterday"),
            "takes 4.2 times as long at the median as yesterday: 120 → 510 ms, "
            "4,120 and 1,000 requests, p < 0.001.",
        ),
        (
            said("slower", "p95", after=side(3987, 120.0, 480.0), than="in version 1.0"),
            "is 60 % slower at its slow end (p95) than in version 1.0: 300 → 480 ms, "
            "4,120 and 3,987 requests, p < 0.001.",
        ),
        (
            said("more_errors", "errors", before=side(1000), after=side(1000, share=0.04)),
            "has more errors than last week: 1.0 → 4.0 % of 1,000 and 1,000 requests, p < 0.001.",
        ),
        (
            said("fewer_errors", "errors", before=side(900, share=0.3), after=side(800, share=0.0)),
            "has fewer errors than last week: 30 → 0 % of 900 and 800 requests, p < 0.001.",
        ),
        (
            said("new", before=side(0), than="in the 28 days before"),
            "is new: not requested in the 28 days before, now 3,987 requests of 166 ms at the "
            "median.",
        ),
        (
            said("gone", after=side(0)),
            "is gone: 4,120 requests of 120 ms at the median last week, none since.",
        ),
        (
            said("busier", "load", after=side(per_hour=40.0)),
            "is busier than last week: 12.0 → 40.0 requests an hour, 3.3 times as many.",
        ),
        (
            said("quieter", "load", after=side(per_hour=3.0)),
            "is quieter than last week: 12.00 → 3.00 requests an hour, 25 % of them.",
        ),
        (
            said("unchanged", after=side(3987, 121.0), p=0.3),
            "is unchanged: 120 → 121 ms at the median, 4,120 and 3,987 requests.",
        ),
        (
            said("unchanged", after=side(3987, 123.0)),
            "is unchanged: 120 → 123 ms at the median, 4,120 and 3,987 requests; the difference is "
            "real, but too small to matter.",
        ),
        (
            said("too_little", before=side(12), after=side(0)),
            "was not requested often enough to tell: 12 and 0 times, and 30 are needed each.",
        ),
        (
            said("too_little", "median", before=side(40), after=side(41, 133.0), p=0.214),
            "moved at the median (120 → 133 ms), which may be chance: 40 and 41 requests, "
            "p = 0.21.",
        ),
        (
            said("too_little", "p95", after=side(p95_ms=340.0), p=0.06),
            "moved at its slow end (p95) (300 → 340 ms), which may be chance: "
            "4,120 and 4,120 requests, p = 0.06.",
        ),
        (
            said("too_little", "errors", after=side(share=0.025), p=0.5),
            "moved in its error share (1.0 → 2.5 %), which may be chance: "
            "4,120 and 4,120 requests, p = 0.5.",
        ),
    ],
)
def test_sentences(found: str, expected: str) -> None:
    assert found == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((0.42, 0.63), "0.42 → 0.63 ms"),
        ((1.24, 1.61), "1.24 → 1.61 ms"),
        ((12.4, 166.0), "12.4 → 166.0 ms"),
        ((1450.0, 1900.4), "1,450 → 1,900 ms"),
        ((12_400.0, 166_000.0), "12.4 → 166.0 s"),
        ((0.0, 0.5), "0 → 0.50 ms"),
    ],
)
def test_durations_show_the_digits_that_tell_them_apart(
    values: tuple[float, float], expected: str
) -> None:
    assert milliseconds(*values) == expected


def test_shares() -> None:
    assert percents(0.0005, 0.002) == "0.050 → 0.200 %"
    assert percents(0.0, 0.0) == "0 → 0 %"
    assert percents(0.123) == "12 %"


@pytest.mark.parametrize(
    ("p", "expected"),
    [(0.0, "p < 0.001"), (0.00099, "p < 0.001"), (0.001, "p = 0.001"), (0.05, "p = 0.05"),
     (1.0, "p = 1")],
)  # fmt: skip
def test_p(p: float, expected: str) -> None:
    assert p_text(Significance(p, p, 0.0)) == expected


@pytest.mark.parametrize(
    ("stake_ms", "expected"),
    [
        (250_000.0, "+4.2 min"),
        (-12_000.0, "−12 s"),
        (0.0, "±0 s"),
        (-0.2, "±0 s"),
        (3.6e7, "+10 h"),
        (40.0, "+40 ms"),
    ],
)
def test_time_at_stake(stake_ms: float, expected: str) -> None:
    assert stake_text(stake_ms) == expected
