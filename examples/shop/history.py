"""Generated requests of the last two weeks, for a demo that has something to look back on.

They never went over a wire. They are stored through fmd_admin's own batch writer, under two
releases of the shop, with about the figures that real requests to release 1.9 have.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from sqlalchemy import func, select, update

from fmd_admin.records import UNMATCHED, Batch, ExceptionKey, RaisedCount, Row
from fmd_admin.store.exception_models import ExceptionGroup
from fmd_admin.store.models import Endpoint, Request, Version
from fmd_admin.store.store import Store
from fmd_admin.store.writer import BatchWriter

from .goods import CUSTOMERS
from .traffic import RHYTHM

DAYS = 14
#: Requests on a working day; fewer at the weekend.
REQUESTS_PER_DAY = 5_000
#: The older release, and how many days ago the newer one replaced it.
OLDER, NEWER = "1.8", "1.9"
REPLACED_DAYS_AGO = 5
BATCH_SIZE = 1_000

#: What release 1.x raises for a product without a weight.
WEIGHTLESS: ExceptionKey = (("TypeError", "examples.shop.pages", "_weight"),)

_HOUR_MS = 3_600_000
_QUARTER_MS = 900_000
_DAY_MS = 24 * _HOUR_MS
_WEEKDAYS = (0.9, 0.95, 1.0, 1.0, 1.1, 0.8, 0.6)


@dataclass(frozen=True)
class Habit:
    """How an endpoint is used: ``weight`` among all, medians in ms, answers with their weight."""

    endpoint: str
    weight: float
    older_ms: float
    newer_ms: float
    spread: float = 0.35
    answers: tuple[tuple[str, int, float], ...] = (("GET", 200, 1),)
    who: str = "all"


_SEE_OTHER = (("POST", 303, 0.93), ("POST", 422, 0.04), ("POST", 409, 0.03))

HABITS = (
    Habit("shop.index", 90, 3.6, 3.4),
    Habit("shop.category", 45, 2.9, 2.9, answers=(("GET", 200, 0.98), ("GET", 404, 0.02))),
    Habit(
        "shop.product",
        160,
        4.1,
        4.4,
        answers=(("GET", 200, 0.975), ("GET", 404, 0.015), ("GET", 500, 0.01)),
    ),
    Habit("shop.availability", 24, 55, 54, 0.08),
    Habit("shop.search", 85, 24, 46, 0.45),
    Habit("basket.basket", 62, 2.1, 2.0, answers=(("POST", 303, 0.5), ("GET", 200, 0.5))),
    Habit("basket.checkout", 16, 3.0, 3.1, answers=(("GET", 200, 0.9), ("GET", 302, 0.1))),
    Habit("basket.pay", 15, 96, 98, 0.15, (*_SEE_OTHER, ("POST", 402, 0.06)), "customers"),
    Habit("auth.login", 22, 60, 62, 0.1, (("POST", 303, 0.9), ("POST", 401, 0.1)), "customers"),
    Habit("auth.logout", 6, 0.9, 0.9, answers=(("POST", 303, 1),), who="customers"),
    Habit("account.orders", 14, 12, 13, who="customers"),
    Habit("account.order", 18, 3.2, 3.3, who="customers"),
    Habit("download.invoice", 8, 4.4, 4.5, who="customers"),
    Habit("download.price_list", 7, 304, 304, 0.02),
    Habit("report.current", 1.6, 0.6, 0.6, answers=(("GET", 302, 1),), who="staff"),
    Habit("report.monthly", 3, 260, 212, 0.2, who="staff"),
    Habit("api.status", 20, 0.5, 0.5, who="visitor"),
    Habit("api.orders.list", 34, 2.0, 2.1, who="customers"),
    Habit(
        "api.orders.create",
        13,
        97,
        99,
        0.15,
        (("POST", 201, 0.92), ("POST", 422, 0.05), ("POST", 409, 0.03)),
        "customers",
    ),
    Habit("api.orders.show", 11, 2.2, 2.2, who="customers"),
    Habit("api.orders.cancel", 2, 3.1, 3.0, answers=(("DELETE", 204, 1),), who="customers"),
    Habit("health", 30, 0.4, 0.4, who="visitor"),
    Habit("static", 150, 0.7, 0.7, answers=(("GET", 200, 0.6), ("GET", 304, 0.4))),
    Habit(UNMATCHED, 12, 1.0, 1.0, answers=(("GET", 404, 0.9), ("POST", 405, 0.1)), who="visitor"),
)


def add(store: Store, now_ms: int) -> int:
    """Store the history that ends at ``now_ms`` (UTC ms); return the number of requests.

    Adds nothing where there are requests already.
    """
    with store.read() as connection:
        if connection.scalar(select(func.count()).select_from(Request)):
            return 0
    start_ms = now_ms - DAYS * _DAY_MS
    replaced_ms = now_ms - REPLACED_DAYS_AGO * _DAY_MS
    writer = BatchWriter(store, lambda: store.settings.monitor_level)
    name = f"history-{uuid.uuid4().hex}"
    dice = random.Random(11)
    spans = ((OLDER, start_ms, replaced_ms), (NEWER, replaced_ms, now_ms))
    sequence = total = 0
    for version, first_ms, end_ms in spans:
        rows = requests(dice, first_ms, end_ms, is_newer=version == NEWER)
        while part := list(islice(rows, BATCH_SIZE)):
            sequence += 1
            total += len(part)
            batch = Batch(name, sequence, version, part)
            _count_exceptions(batch)
            writer.write(batch)
    _date_back(store, start_ms, replaced_ms)
    return total


def _count_exceptions(batch: Batch) -> None:
    """Count what each request with a 500 raised: it is the one that really fails, and its group."""
    for row in batch.rows:
        if row.status == 500:
            place = (WEIGHTLESS, row.endpoint, row.time_ms - row.time_ms % _QUARTER_MS)
            found = batch.raised.setdefault(place, RaisedCount(0, row.time_ms, row.time_ms))
            found.hits += 1
            found.last_ms = row.time_ms


def _date_back(store: Store, start_ms: int, replaced_ms: int) -> None:
    """Endpoints and versions were first seen when the history says so, not just now."""
    with store.write() as connection:
        connection.execute(update(Endpoint).values(first_seen=start_ms, last_requested=start_ms))
        connection.execute(update(ExceptionGroup).values(first_seen=start_ms))
        for version, since_ms in ((OLDER, start_ms), (NEWER, replaced_ms)):
            connection.execute(
                update(Version).where(Version.name == version).values(first_seen=since_ms)
            )


def requests(dice: random.Random, start_ms: int, end_ms: int, *, is_newer: bool) -> Iterator[Row]:
    """Yield made-up requests from ``start_ms`` to ``end_ms`` (UTC ms), hour by hour in order."""
    people = [(name, f"203.0.113.{index + 10}") for index, (name, _) in enumerate(CUSTOMERS)]
    visitors = [("visitor", f"203.0.113.{18 + index}") for index in range(5)]
    groups = {
        "all": people + visitors * 2,
        "customers": people,
        "staff": [people[index] for index, (_, is_staff) in enumerate(CUSTOMERS) if is_staff],
        "visitor": visitors,
    }
    weights = [habit.weight for habit in HABITS]
    hour_ms = start_ms - start_ms % _HOUR_MS
    while hour_ms < end_ms:
        moment = time.gmtime(hour_ms / 1000)
        share = RHYTHM[moment.tm_hour] / sum(RHYTHM) * _WEEKDAYS[moment.tm_wday]
        count = round(REQUESTS_PER_DAY * share * dice.uniform(0.85, 1.15))
        times = sorted(dice.randrange(hour_ms, hour_ms + _HOUR_MS) for _ in range(count))
        for time_ms, habit in zip(times, dice.choices(HABITS, weights, k=count), strict=True):
            if start_ms <= time_ms < end_ms:
                yield _request(dice, time_ms, habit, groups[habit.who], is_newer)
        hour_ms += _HOUR_MS


def _request(
    dice: random.Random, time_ms: int, habit: Habit, people: list[tuple[str, str]], is_newer: bool
) -> Row:
    median_ms = habit.newer_ms if is_newer else habit.older_ms
    duration_ms = median_ms * dice.lognormvariate(0, habit.spread)
    if dice.random() < 0.01:
        duration_ms *= dice.uniform(2, 8)  # Now and then something else keeps the machine busy.
    method, status, _ = dice.choices(habit.answers, [answer[2] for answer in habit.answers])[0]
    name, address = dice.choice(people)
    return Row(time_ms, habit.endpoint, duration_ms, status, method, name, address)
