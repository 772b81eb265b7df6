from __future__ import annotations

import random
from array import array

import pytest

from fmd_admin.store.columns import more_than, pack, unpack


@pytest.mark.parametrize("highest", [0, 1, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**64 - 1])
def test_numbers_come_back_as_they_were(highest: int) -> None:
    numbers = [0, 1, highest, highest // 2]
    data = b"xx" + pack(numbers) + b"yy"
    column, end = unpack(data, 2, len(numbers))
    assert list(column) == numbers
    assert data[end:] == b"yy"


def test_the_width_is_that_of_the_highest_number() -> None:
    assert [len(pack([0, highest])) for highest in (255, 256, 65_536, 2**32)] == [3, 5, 9, 17]
    assert pack([]) == b"\x01"


@pytest.mark.parametrize("data", [b"", b"\x03abc", b"\x02ab", b"\x08abcdefg"])
def test_what_is_cut_off_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="cut off"):
        unpack(data, 0, 2)


@pytest.mark.parametrize("code", ["B", "H", "I", "Q"])
@pytest.mark.parametrize("limit", [1, 2])
def test_more_than_is_that_of_each_number(code: str, limit: int) -> None:
    rnd = random.Random(1)
    most = min(2 ** (8 * array(code).itemsize) - 1, 2**40)
    numbers = [0, 1, 2, 3, most, 256 % (most + 1), *(rnd.randint(0, most) for _ in range(50))]
    found = more_than(array(code, numbers), limit)
    assert list(found) == [int(number > limit) for number in numbers]
    assert more_than(array(code), limit) == b""
