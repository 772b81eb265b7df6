"""Scripts of the CDN with their hashes, its origin, and the drawings made on the server."""

from __future__ import annotations

import base64
import re
from xml.etree import ElementTree

import pytest

from fmd_admin.admin import charts
from fmd_admin.errors import SettingsError
from fmd_admin.settings import Settings


def test_every_asset_has_a_version_and_a_sha384() -> None:
    for asset in charts.ASSETS:
        assert re.fullmatch(r"(@\w+/)?[\w.-]+@\d+\.\d+\.\d+/[\w./-]+\.min\.js", asset.path)
        assert len(base64.b64decode(asset.sha384)) == 48


def test_scripts_are_what_was_asked_for_in_the_fixed_order() -> None:
    found = charts.scripts(Settings(), ["chartjs-chart-matrix", "chart.js"])
    assert [script.src for script in found] == [
        "https://cdn.jsdelivr.net/npm/chart.js@4.6.1/dist/chart.umd.min.js",
        "https://cdn.jsdelivr.net/npm/chartjs-chart-matrix@3.1.0/dist/chartjs-chart-matrix.min.js",
    ]
    assert all(script.integrity.startswith("sha384-") for script in found)


def test_package_with_a_scope_is_found() -> None:
    (script,) = charts.scripts(Settings(), ["@sgratzl/chartjs-chart-boxplot"])
    assert "/@sgratzl/chartjs-chart-boxplot@" in script.src


def test_another_place_keeps_the_integrity() -> None:
    there = charts.scripts(Settings(assets_url="https://intra.example/js/"), ["chart.js"])
    usual = charts.scripts(Settings(), ["chart.js"])
    assert there[0].src.startswith("https://intra.example/js/chart.js@")
    assert there[0].integrity == usual[0].integrity


def test_unknown_package_is_refused() -> None:
    with pytest.raises(KeyError):
        charts.scripts(Settings(), ["leftpad"])


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://cdn.jsdelivr.net/npm/", "https://cdn.jsdelivr.net"),
        ("http://intra:8080/x/", "http://intra:8080"),
        ("https://[::1]:8443/", "https://[::1]:8443"),
        ("https://user:secret@intra.example/js/", "https://intra.example"),
    ],
)
def test_origin_for_the_policy(url: str, origin: str) -> None:
    assert charts.asset_origin(Settings(assets_url=url)) == origin


@pytest.mark.parametrize(
    "url", ["https://a;script-src */", "https://a b/", "https:///", "https://a:port/", "https://*/"]
)
def test_origin_that_would_widen_the_policy(url: str) -> None:
    with pytest.raises(SettingsError, match="ASSETS_URL"):
        charts.asset_origin(Settings(assets_url=url))


def test_sparkline_has_a_point_a_value_between_its_edges() -> None:
    svg = ElementTree.fromstring(charts.sparkline([0, 5, 10], "Requests", width=84, height=22))
    points = svg[0].attrib["points"].split()
    pairs = [tuple(map(float, point.split(","))) for point in points]
    assert pairs == [(1, 20), (42, 11), (83, 2)]
    assert svg.attrib["aria-label"] == "Requests"


@pytest.mark.parametrize("values", [[], [3], [0, 0, 0]])
def test_sparkline_without_a_course_is_flat(values: list[int]) -> None:
    svg = ElementTree.fromstring(charts.sparkline(values, "Requests"))
    assert svg.attrib["class"] == "spark spark-flat"


def test_hostile_label_is_inert() -> None:
    markup = charts.sparkline([1, 2], '"><script>alert(1)</script>')
    assert "<script" not in markup


@pytest.mark.parametrize(
    ("share", "width"), [(0, 0), (0.001, 4), (0.34, 34), (1, 100), (1.7, 100), (-1, 0)]
)
def test_share_bar_stays_within_its_track(share: float, width: float) -> None:
    svg = ElementTree.fromstring(charts.share_bar(share))
    assert float(svg[1].attrib["width"]) == width


def test_drawings_carry_no_styles() -> None:
    assert "style" not in charts.sparkline([1, 2], "x") + charts.share_bar(0.5)
