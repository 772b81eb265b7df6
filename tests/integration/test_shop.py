"""The demo's shop: its load reaches every route, and its releases differ as they say."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import func, select
from werkzeug.exceptions import HTTPException

from examples.shop import history
from examples.shop.app import create_app
from examples.shop.client import Browser, Tally
from examples.shop.database import api_token
from examples.shop.goods import NO_WEIGHT_EVERY, PASSWORD
from examples.shop.journeys import CUSTOMER, ROBOT, STAFF, VISITOR, Person, tour
from examples.shop.traffic import busyness
from fmd_admin.records import UNMATCHED
from fmd_admin.store.models import Request, Version
from fmd_admin.store.store import Store
from tests.support import serve


def shop(folder: Path, version: str = "1.9") -> Flask:
    return create_app(version, folder, "a key for tests")


def endpoints(app: Flask) -> set[str]:
    return {rule.endpoint for rule in app.url_map.iter_rules()}


def by_endpoint(app: Flask, tally: Tally) -> Counter[str]:
    """Answered requests per endpoint, found by the paths alone."""
    rules = app.url_map.bind("localhost")
    counts: Counter[str] = Counter()
    for (method, path, _), count in tally.answered.items():
        try:
            counts[rules.match(path, method)[0]] += count
        except HTTPException:
            counts[UNMATCHED] += count
    return counts


def person(port: int, name: str, tally: Tally) -> Person:
    url = f"http://127.0.0.1:{port}"
    browser = Browser(url, "203.0.113.9", tally)
    program = Browser(url, "203.0.113.9", tally, token=api_token(name or "anna"))
    return Person(name, name == "anna", browser, program, random.Random(5))


@pytest.mark.parametrize("version", ["1.9", "2.0"])
def test_tour_asks_for_every_route(tmp_path: Path, version: str) -> None:
    app, tally = shop(tmp_path, version), Tally()
    with serve(app) as port:
        list(tour(person(port, "anna", tally)))
    assert set(by_endpoint(app, tally)) == endpoints(app)
    assert tally.unanswered == 0
    assert {status for _, _, status in tally.answered if status >= 400} == set()


def test_every_journey_is_answered(tmp_path: Path) -> None:
    tally = Tally()
    with serve(shop(tmp_path, "2.0")) as port:
        for name, choices in (("anna", STAFF), ("bart", CUSTOMER), ("", VISITOR), ("", ROBOT)):
            someone = person(port, name, tally)
            for journey in choices:
                list(journey(someone))
    assert tally.unanswered == 0
    # A month without orders breaks the report of release 2.0; nothing else may break.
    broken = {path for _, path, status in tally.answered if status >= 500}
    assert broken == {"/report/2020/1"}


def test_releases_fail_in_their_own_ways(tmp_path: Path) -> None:
    statuses = {}
    for version in ("1.9", "2.0"):
        client = shop(tmp_path, version).test_client()
        client.post("/login", data={"name": "anna", "password": PASSWORD})
        statuses[version] = (
            client.get(f"/product/{NO_WEIGHT_EVERY}").status_code,
            client.get("/report/2020/1").status_code,
        )
    assert statuses == {"1.9": (500, 200), "2.0": (200, 500)}


def test_two_processes_may_make_the_database(tmp_path: Path) -> None:
    first, second = shop(tmp_path), shop(tmp_path)
    for app in (first, second):
        assert app.test_client().get("/search?q=tent").status_code == 200


def test_history_knows_every_endpoint(tmp_path: Path) -> None:
    known = {habit.endpoint for habit in history.HABITS}
    assert known == endpoints(shop(tmp_path)) | {UNMATCHED}


def test_history_is_stored_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "REQUESTS_PER_DAY", 100)
    now_ms = 1_795_000_000_000
    count = history.add(store, now_ms)
    assert history.add(store, now_ms) == 0
    with store.read() as connection:
        times = select(func.min(Request.time), func.max(Request.time), func.count())
        first, last, stored = connection.execute(times).one()
        names = connection.scalars(select(Version.name).order_by(Version.first_seen)).all()
    assert stored == count > 500
    assert (last - first).days in (history.DAYS - 1, history.DAYS)
    assert last.timestamp() * 1000 < now_ms
    assert names == [history.OLDER, history.NEWER]


def test_a_day_has_a_night() -> None:
    day = [busyness(elapsed_s, 240) for elapsed_s in range(240)]
    assert max(day) > 8 * min(day) > 0
