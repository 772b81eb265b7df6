from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

import pytest

from fmd_admin.admin import links
from fmd_admin.admin.links import numbered

IN_QUERY = quote('{a} & {0} % "ü"')


@pytest.mark.parametrize(
    "build",
    [
        lambda first, second: f"/endpoint/{first}/outliers/{second}?range=7d",
        lambda first, second: f"/endpoint/{second}/profiler?profile={first}&version={IN_QUERY}",
        lambda first, second: f"/{{0}}/{{}}/{first}?{second}",
    ],
)
def test_an_address_is_built_once_for_all_rows(build: Callable[[int, int], str]) -> None:
    asked: list[tuple[int, int]] = []

    def counted(first: int, second: int) -> str:
        asked.append((first, second))
        return build(first, second)

    url = numbered(counted, 2)
    for ids in ((1, 2), (2**63 - 1, 17), (17, 17)):
        assert url(*ids) == build(*ids)
    assert len(asked) == 1


def test_digits_of_somebody_elses_query_string_stay() -> None:
    def build(number: int) -> str:
        return f"/details?id={number}&back=%2Flist%3Fsearch%3D{links._STAND_IN}"

    assert numbered(build)(5) == build(5)
