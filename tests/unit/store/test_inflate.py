"""Stored values are inflated up to a size."""

from __future__ import annotations

import tracemalloc
import zlib

import pytest

from fmd_admin.errors import StoreError
from fmd_admin.store import outlier_detail, trees
from fmd_admin.store.inflate import LARGEST, deflate, inflate, wrap
from fmd_admin.store.visitor_parts import Part


@pytest.mark.parametrize("size", [0, 1, 99, 100])
def test_what_fits_comes_back(size: int) -> None:
    data = bytes(range(size))
    assert inflate(zlib.compress(data), 100) == data


@pytest.mark.parametrize("size", [0, 1, 2_000, 2_999, 3_000, 3_001, 100_000])
def test_what_was_deflated_comes_back_from_as_few_bytes_as_zlibs(size: int) -> None:
    data = b"".join(b"%d," % (number * number % 1009) for number in range(size))[:size]
    assert len(data) == size
    assert inflate(deflate(data)) == data
    assert len(deflate(data)) <= len(zlib.compress(data)) + 8


@pytest.mark.parametrize("size", [0, 1, 300, 65_535])
def test_what_was_wrapped_comes_back_as_from_any_zlib(size: int) -> None:
    data = (bytes(range(256)) * 256)[:size]
    assert inflate(wrap(data)) == zlib.decompress(wrap(data)) == data
    assert len(wrap(data)) == size + 11
    with pytest.raises(zlib.error):
        inflate(wrap(data)[:-1])


def test_what_is_larger_or_cut_off_is_refused() -> None:
    for data in (zlib.compress(bytes(101)), zlib.compress(bytes(range(100)))[:-1], b"", b"no"):
        with pytest.raises(zlib.error):
            inflate(data, 100)


def test_a_bomb_does_not_fill_the_memory() -> None:
    packer = zlib.compressobj(9)
    bomb = b"".join(packer.compress(bytes(LARGEST)) for _ in range(8)) + packer.flush()
    assert len(bomb) < 300_000
    tracemalloc.start()
    try:
        with pytest.raises(StoreError):
            Part(bomb)
        for decode in (trees.decode, outlier_detail.decode):
            with pytest.raises(zlib.error):
                decode(bomb)
        assert tracemalloc.get_traced_memory()[1] < 3 * LARGEST
    finally:
        tracemalloc.stop()
