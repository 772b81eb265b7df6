"""The range and version controls: links and forms that keep the rest of the address."""

from __future__ import annotations

from datetime import datetime, timezone
from zoneinfo import ZoneInfo

from fmd_admin.admin.scope_bar import ScopeBar, scope_bar
from fmd_admin.read.catalog import VersionInfo
from fmd_admin.read.scope import Scope

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=timezone.utc)
VERSIONS = [VersionInfo(1, "1.9", NOON), VersionInfo(2, "2.0", NOON)]
HOUR_MS = 3_600_000


def bar(
    *pairs: tuple[str, str], range_name: str = "7d", versions: tuple[str, ...] = ()
) -> ScopeBar:
    now_ms = int(NOON.timestamp() * 1000)
    scope = Scope(
        range_name=range_name,
        start_ms=now_ms - 48 * HOUR_MS,
        end_ms=now_ms,
        versions=versions,
        version_ids=None,
        endpoint_id=None,
        zone=ZoneInfo("UTC"),
        now_ms=now_ms,
        exact_start_ms=now_ms - 48 * HOUR_MS,
        exact_end_ms=now_ms,
    )
    return scope_bar(scope, VERSIONS, "/dashboard/overview", pairs)


def test_range_links_keep_filters_and_forget_page_and_old_range() -> None:
    made = bar(
        ("range", "custom"),
        ("from", "2026-11-01T00:00"),
        ("to", "2026-11-02T00:00"),
        ("page", "3"),
        ("q", "a&b"),
        ("version", "2.0"),
    )
    assert made.ranges[0].target == "/dashboard/overview?range=1h&q=a%26b&version=2.0"
    assert made.keep_for_range == [("q", "a&b"), ("version", "2.0")]


def test_chosen_range_is_marked() -> None:
    assert [choice.label for choice in bar().ranges if choice.chosen] == ["7 days"]
    made = bar(range_name="custom")
    assert made.custom
    assert not any(choice.chosen for choice in made.ranges)
    assert (made.from_text, made.to_text) == ("2026-11-20T12:00", "2026-11-22T12:00")


def test_version_form_keeps_the_range_and_not_the_versions() -> None:
    made = bar(("range", "24h"), ("version", "1.9"), ("version", "2.0"), ("page", "2"))
    assert made.keep_for_versions == [("range", "24h")]


def test_versions_are_newest_first() -> None:
    made = bar(versions=("1.9",))
    assert [(choice.target, choice.chosen) for choice in made.versions] == [
        ("2.0", False),
        ("1.9", True),
    ]


def test_label_of_the_versions() -> None:
    assert bar().versions_label == "All versions"
    assert bar(versions=("1.9",)).versions_label == "1.9"
    assert bar(versions=("",)).versions_label == "(no version)"
    assert bar(versions=("1.9", "2.0")).versions_label == "2 versions"
