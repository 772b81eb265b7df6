"""Groups of exceptions against a count by hand, over days of 23, 24 and 25 hours."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import update

from fmd_admin.errors import ScopeError
from fmd_admin.read import exception_page, exceptions
from fmd_admin.read.exceptions import GroupList, Wanted
from fmd_admin.read.measured import Asked
from fmd_admin.read.scope import Scope, parse_scope
from fmd_admin.records import Batch, ExceptionKey, Link, Occurrence, RaisedCount
from fmd_admin.store import exceptions as rows
from fmd_admin.store import schema
from fmd_admin.store.exception_models import ExceptionGroup
from fmd_admin.store.store import Store
from fmd_admin.store.writer import BatchWriter

from ...support import new_store
from .data import DAY_MS, ZONES_AND_DAYS

KEYS: list[ExceptionKey] = [
    (("ValueError", "shop.basket", "total"),),
    (("ShopError", "shop.order", "send"), ("KeyError", "shop.order", "find")),
    (("LookupError", "shop.Basket", "find"),),
]
ENDPOINTS = ("basket", "order", "")
VERSIONS = ("1.0", "2.0")
QUARTER_MS = 15 * 60_000


@dataclass(frozen=True)
class Raised:
    time_ms: int
    key: ExceptionKey
    endpoint: str
    version: str


@dataclass
class Shop:
    store: Store
    raised: list[Raised]
    now_ms: int

    def scope(self, endpoint_id: int | None = None, **words: str) -> Scope:
        with self.store.read() as connection:
            return parse_scope(
                connection,
                {word: [value] for word, value in words.items()},
                zone=self.store.timezone,
                default_range="7d",
                now_ms=self.now_ms,
                endpoint_id=endpoint_id,
            )

    def date(self, time_ms: int) -> str:
        return datetime.fromtimestamp(time_ms / 1000, self.store.timezone).date().isoformat()

    def inside(self, scope: Scope) -> list[Raised]:
        """Those of the dates that the range touches, found one by one."""
        dates = {self.date(moment) for moment in range(scope.start_ms, scope.end_ms, 10 * 60_000)}
        return [
            one
            for one in self.raised
            if self.date(one.time_ms) in dates
            and (not scope.versions or one.version in scope.versions)
        ]

    def groups(
        self, scope: Scope, wanted: Wanted | None = None, asked: Asked | None = None
    ) -> GroupList:
        asked = asked or Asked("last", page_size=50)
        with self.store.read() as connection:
            return exceptions.groups(connection, scope, asked, wanted or Wanted("all"))


def make_shop(folder: Path, zone: str, now: datetime) -> Shop:
    store = new_store(folder, timezone=zone)
    schema.migrate(store)
    chance = random.Random(3)
    now_ms = round(now.replace(tzinfo=store.timezone).timestamp() * 1000)
    raised = sorted(
        (
            Raised(
                now_ms - int(20 * DAY_MS * chance.random() ** 2),
                chance.choice(KEYS),
                chance.choice(ENDPOINTS),
                chance.choice(VERSIONS),
            )
            for _ in range(600)
        ),
        key=lambda one: one.time_ms,
    )
    for version in VERSIONS:
        writer = BatchWriter(store, lambda: 1)
        mine = [one for one in raised if one.version == version]
        for number in range(0, len(mine), 50):
            batch = Batch(version, number + 1, version)
            for one in mine[number : number + 50]:
                count(batch, one)
            writer.write(batch)
    rows.tidy(store, lambda _connection: None)
    return Shop(store, raised, now_ms)


def count(batch: Batch, one: Raised) -> None:
    place = (one.key, one.endpoint, one.time_ms - one.time_ms % QUARTER_MS)
    found = batch.raised.get(place)
    if found is None:
        batch.raised[place] = RaisedCount(1, one.time_ms, one.time_ms)
    else:
        found.hits += 1
        found.last_ms = one.time_ms
    made = Occurrence(one.time_ms, one.endpoint, 1.0, 500, "GET", None, None, one.key, False)
    made.links = [Link(one.key[0][0], f"at {one.time_ms}", "")]
    batch.exceptions.append(made)


@pytest.mark.parametrize(("zone", "now"), ZONES_AND_DAYS[:4])
def test_counts_are_those_of_every_exception(tmp_path: Path, zone: str, now: datetime) -> None:
    shop = make_shop(tmp_path, zone, now)
    for words in ({}, {"range": "30d"}, {"range": "24h"}, {"version": "2.0"}):
        scope = shop.scope(**words)
        expected = shop.inside(scope)
        found = shop.groups(scope)
        assert found.hits == len(expected)
        assert {row.group.type: row.hits for row in found.rows} == Counter(
            one.key[0][0] for one in expected
        )
        for row in found.rows:
            mine = [one for one in shop.raised if one.key[0][0] == row.group.type]
            assert row.first.timestamp() * 1000 == mine[0].time_ms
            assert row.last.timestamp() * 1000 == mine[-1].time_ms
            with shop.store.read() as connection:
                page = exception_page.group_page(connection, scope, row.group, None)
            here = [one for one in expected if one.key[0][0] == row.group.type]
            by_day = Counter((shop.date(one.time_ms), one.version) for one in here)
            drawn = {
                (day, series.name): hits
                for series in page.trend.series
                for day, hits in zip(page.trend.days, series.hits, strict=True)
                if hits
            }
            assert drawn == by_day
            assert {part.name: part.hits for part in page.endpoints} == Counter(
                one.endpoint or exception_page.NO_REQUEST for one in here
            )
            assert {part.name: part.hits for part in page.versions} == Counter(
                one.version for one in here
            )
            total = [sum(line[2:]) for line in page.trend.table().rows]  # type: ignore[arg-type]
            assert sum(total) == page.hits == len(here)
    shop.store.close()


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = make_shop(tmp_path, "UTC", datetime(2026, 11, 22, 15, 20))
    yield made
    made.store.close()


def test_the_latest_message_stands_for_a_group(shop: Shop) -> None:
    for row in shop.groups(shop.scope()).rows:
        assert row.message is not None
        assert row.message.startswith("at ")
        assert row.group.place.startswith("shop.")


def test_words_and_states_narrow_it_down(shop: Shop) -> None:
    scope = shop.scope(range="30d")

    def types(state: str = "all", search: str = "") -> list[str]:
        found = shop.groups(scope, Wanted(state, search), Asked("type", False, 1, 50))
        return [row.group.type for row in found.rows]

    assert types() == ["LookupError", "ShopError", "ValueError"]
    assert types(search="BASKET") == ["LookupError", "ValueError"]
    assert types(search="basket total") == ["ValueError"]
    assert types(search="keyerror") == ["ShopError"]
    assert types(search="%") == []
    for state in ("resolved", "returned"):
        assert types(state) == []
    with pytest.raises(ScopeError, match="open, returned, resolved, all"):
        types("closed")
    with pytest.raises(ScopeError, match="Cannot sort by 'hat'"):
        shop.groups(scope, None, Asked("hat"))


def test_pages_and_orders(shop: Shop) -> None:
    scope = shop.scope(range="30d")
    hits = [row.hits for row in shop.groups(scope, None, Asked("hits", True, 1, 50)).rows]
    assert hits == sorted(hits, reverse=True)
    pages = [shop.groups(scope, None, Asked("hits", True, page, 2)) for page in (1, 2, 9)]
    assert [[row.hits for row in page.rows] for page in pages] == [hits[:2], hits[2:], hits[2:]]
    assert [(page.total, page.pages, page.hits) for page in pages] == [(3, 2, sum(hits))] * 3
    assert len(shop.groups(scope, None, Asked("hits", True, 1, None)).rows) == 3


@pytest.mark.every_engine
def test_a_resolved_group_comes_back_in_a_newer_version_only(store: Store) -> None:
    now_ms = 1_764_000_000_000
    key = KEYS[0]

    def happen(version: str, time_ms: int) -> None:
        batch = Batch(f"{version} {time_ms}", 1, version)
        count(batch, Raised(time_ms, key, "basket", version))
        BatchWriter(store, lambda: 1).write(batch)

    def state() -> str:
        scope_words = {"range": ["30d"]}
        with store.read() as connection:
            scope = parse_scope(
                connection,
                scope_words,
                zone=store.timezone,
                default_range="7d",
                now_ms=now_ms + DAY_MS,
            )
            found = exceptions.groups(connection, scope, Asked("last"), Wanted("all"))
            counts = exceptions.counts(connection, scope)
        [row] = found.rows
        assert counts.total == (0 if row.group.state == "resolved" else row.hits)
        return row.group.state

    happen("1.0", now_ms)
    happen("1.1", now_ms + 1000)
    assert state() == "open"
    with store.write() as connection:
        assert rows.resolve(connection, [1], now_ms + 2000, "anna") == 1
    assert state() == "resolved"
    happen("1.0", now_ms + 3000)
    happen("1.1", now_ms + 3000)
    assert state() == "resolved"
    happen("2.0", now_ms + 4000)
    assert state() == "returned"
    with store.write() as connection:
        rows.resolve(connection, [1], now_ms + 5000, "anna")
    assert state() == "resolved"
    with store.write() as connection:
        rows.reopen(connection, [1])
    assert state() == "open"


def test_counts_are_by_endpoint(shop: Shop) -> None:
    scope = shop.scope()
    with shop.store.read() as connection:
        found = exceptions.counts(connection, scope)
    expected = Counter(one.endpoint for one in shop.inside(scope))
    assert found.total == sum(expected.values())
    assert sorted(found.by_endpoint.values()) == sorted(expected.values())
    assert found.by_endpoint[None] == expected[""]


def test_a_resolved_one_is_not_counted_as_new(shop: Shop) -> None:
    scope = shop.scope()
    with shop.store.write() as connection:
        connection.execute(update(ExceptionGroup).values(first_seen=shop.now_ms - DAY_MS))
        assert exceptions.counts(connection, scope).new == 3
        rows.resolve(connection, [2], shop.now_ms + DAY_MS, "anna")
        assert exceptions.counts(connection, scope).new == 2
