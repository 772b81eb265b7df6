"""Figures and times as people read them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from fmd_admin.admin import format
from fmd_admin.read.table import Kind

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
NOON = datetime(2026, 11, 22, 12, 0, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.0, "0.00 ms"),
        (0.4216, "0.42 ms"),
        (0.996, "1.0 ms"),
        (9.12, "9.1 ms"),
        (9.96, "10 ms"),
        (1450.4, "1,450 ms"),
        (99_999, "99,999 ms"),
        (125_000, "125 s"),
    ],
)
def test_durations(value: float | None, text: str) -> None:
    assert format.ms(value) == text


@pytest.mark.parametrize(
    ("share", "fine", "text"),
    [
        (None, False, "–"),
        (0, True, "0 %"),
        (0.34, False, "34 %"),
        (0.0034, True, "0.34 %"),
        (0.0611, True, "6.1 %"),
        (0.34, True, "34 %"),
        (0.000001, True, "< 0.01 %"),
        (0.002, False, "< 1 %"),
        (1, True, "100 %"),
    ],
)
def test_shares_never_hide_what_is_not_zero(share: float | None, fine: bool, text: str) -> None:
    assert format.percent(share, fine=fine) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "now"), (0, "now"), (14, "14 s"), (75, "1 min"), (7200, "2 h"), (500_000, "5 d")],
)
def test_ago(seconds: int, text: str) -> None:
    now_ms = int(NOON.timestamp() * 1000)
    assert format.ago(NOON - timedelta(seconds=seconds), now_ms) == text


def test_ago_has_its_suffix_behind_a_unit_only() -> None:
    now_ms = int(NOON.timestamp() * 1000)
    assert format.ago(NOON, now_ms, " ago") == "now"
    assert format.ago(NOON - timedelta(minutes=3), now_ms, " ago") == "3 min ago"
    assert format.ago(None, now_ms, " ago") == "–"


def test_times_stand_in_the_configured_zone() -> None:
    assert format.exact(NOON, AMSTERDAM) == "2026-11-22 13:00:00 CET"
    assert format.exact(None, AMSTERDAM) == "–"


@pytest.mark.parametrize(
    ("item", "kind", "text"),
    [
        (None, "count", "–"),
        (1234567, "count", "1,234,567"),
        (12.5, "ms", "12 ms"),
        (0.5, "percent", "50 %"),
        (NOON, "time", "2026-11-22 13:00:00 CET"),
        ("2026-11-22", "date", "Sun 2026-11-22"),
        ("shop.index", "text", "shop.index"),
    ],
)
def test_values_by_the_kind_of_their_column(item: object, kind: Kind, text: str) -> None:
    assert format.value(item, kind, AMSTERDAM) == text


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (12.34, "rate", "12"),
        (0.456, "rate", "0.46"),
        (12_345.6, "rate", "12,346"),
        (0.38, "change", "+38 %"),
        (-0.042, "change", "\N{MINUS SIGN}4.2 %"),
        (0.0, "change", "\N{PLUS-MINUS SIGN}0 %"),
        (12.5, "change", "+1,250 %"),
        (0.0123, "p", "0.012"),
        (0.0, "p", "< 0.001"),
        (1.0, "p", "1"),
        (None, "change", format.NONE),
    ],
)
def test_values_of_reports(value: float | None, kind: Kind, expected: str) -> None:
    assert format.value(value, kind, ZoneInfo("UTC")) == expected
