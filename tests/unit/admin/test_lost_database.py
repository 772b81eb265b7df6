"""Pages whose database goes away while they are read."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection, event
from sqlalchemy.exc import TimeoutError as NoConnectionLeft

from fmd_admin.admin import read_again

from ...cuts import cut
from ...support import Bound, get
from .browser import Browser


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_again, "_PAUSES_S", (0.0, 0.0, 0.0))


@pytest.fixture
def one_row(bound: Bound, anna: Browser) -> Browser:
    get(bound.app, "/hello/ben")
    assert len(bound.rows()) == 1
    return anna


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/data/requests", "count(*)"),
        ("/data/endpoints/details?id=1", "WHERE fmd_endpoint.id = ?"),
        ("/overview/data.json", "FROM fmd_endpoint"),
    ],
)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_page_is_read_again(
    bound: Bound, one_row: Browser, path: str, words: str, when: str
) -> None:
    with cut(bound.monitor.store, words, times=3, when=when) as done:
        assert one_row.get(path).status_code == 200
    assert done


def test_a_page_that_cannot_be_read_fails_once(bound: Bound, one_row: Browser) -> None:
    with cut(bound.monitor.store, "count(*)", times=9) as done:
        assert one_row.get("/data/requests").status_code == 503
    assert len(done) == 4
    assert one_row.get("/data/requests").status_code == 200


def test_a_row_that_is_not_there_stays_missing(bound: Bound, one_row: Browser) -> None:
    """Its session ends with a ROLLBACK on a connection that is gone by then."""
    ended: list[int] = []

    def close(connection: Connection) -> None:
        ended.append(1)
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.close()

    event.listen(bound.monitor.store.engine, "rollback", close)
    try:
        assert one_row.get("/data/endpoints/details?id=99").status_code == 404
    finally:
        event.remove(bound.monitor.store.engine, "rollback", close)
    assert ended


def test_a_page_for_which_no_connection_is_left_says_so(
    bound: Bound, one_row: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    """All hang; a page has waited for half a minute by then."""

    def refuse(*_arguments: Any) -> None:
        raise NoConnectionLeft("QueuePool limit reached")

    event.listen(bound.monitor.store.engine, "before_cursor_execute", refuse)
    try:
        answer = one_row.get("/overview")
    finally:
        event.remove(bound.monitor.store.engine, "before_cursor_execute", refuse)
    assert answer.status_code == 503
    assert "The database does not answer" in answer.text
    assert "QueuePool limit reached" in caplog.text
