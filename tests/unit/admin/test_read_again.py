from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError

from fmd_admin.admin import read_again as module
from fmd_admin.admin.read_again import read_again


class Time:
    """Stands in for the module: a sleep takes no time."""

    def __init__(self) -> None:
        self.now = 100.0
        self.pauses: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, pause_s: float) -> None:
        self.now += pause_s
        self.pauses.append(pause_s)


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    made = Time()
    monkeypatch.setattr(module, "time", made)
    return made


class DriverError(Exception):
    """What a driver raised, with the marks that errors of connecting have."""

    def __init__(self, *arguments: object, connecting: bool = False, soon: bool = False) -> None:
        super().__init__(*arguments)
        self.fmd_connecting = connecting
        self.fmd_there_soon = soon


def raised(error: DriverError, *, lost: bool = False) -> DBAPIError:
    found: Any = DBAPIError.instance(
        "SELECT 1", {}, error, DriverError, connection_invalidated=lost
    )
    assert isinstance(found, DBAPIError)
    return found


def fails(errors: list[DBAPIError], time: Time) -> tuple[int, list[float]]:
    """How often what raises ``errors``, the last one for ever, is tried, and the pauses."""
    tries = 0

    def read() -> None:
        nonlocal tries
        tries += 1
        raise errors[min(tries, len(errors)) - 1]

    with pytest.raises(DBAPIError):
        read_again(read)
    return tries, time.pauses


def test_a_lost_connection_is_tried_thrice_again(time: Time) -> None:
    assert fails([raised(DriverError("cut"), lost=True)], time) == (4, [0.0, 0.3, 1.0])


def test_so_is_what_was_given_up_for_another_transaction(time: Time) -> None:
    assert fails([raised(DriverError(1213, "deadlock"))], time) == (4, [0.0, 0.3, 1.0])


def test_a_single_host_that_is_not_there_is_not_waited_for(time: Time) -> None:
    error = raised(DriverError(2003, connecting=True), lost=True)
    assert fails([error], time) == (1, [])


def test_other_errors_are_none_of_a_moment(time: Time) -> None:
    assert fails([raised(DriverError(1064, "syntax"))], time) == (1, [])


def test_a_cluster_that_finds_itself_is_waited_for(time: Time) -> None:
    error = raised(DriverError(2003, connecting=True, soon=True), lost=True)
    tries, pauses = fails([raised(DriverError("cut"), lost=True), error], time)
    assert pauses == [0.0, *[0.5] * 20]
    assert tries == len(pauses) + 1


def test_what_is_read_in_the_end_is_the_answer(time: Time) -> None:
    errors = [raised(DriverError(2003, connecting=True, soon=True), lost=True)] * 4
    between: list[int] = []

    def read() -> str:
        if errors:
            raise errors.pop()
        return "read"

    assert read_again(read, between=lambda: between.append(len(errors))) == "read"
    assert between == [3, 2, 1, 0]
    assert time.pauses == [0.5] * 4
