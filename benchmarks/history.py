"""Fills a store with a long history, as it would be there after ninety days of an app.

    python -m benchmarks history --database sqlite:////tmp/fmd-10m.db [--requests 10000000]

50 endpoints, 90 days, 20 versions of which two answer at a time, 5,000 users and 20,000 client
addresses with a heavy tail, a daily and weekly rhythm; one in 2,000 requests is an outlier, one in
5,000 has a profile; two custom graphs, one with a value every 15 s. All of it goes through the
product's own writer, merge and upkeep, hour by hour, so what is measured on it is what these made.
The file is about 75 bytes a request; ten million take some minutes.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import accumulate, pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

from flask import Flask
from sqlalchemy import insert

from fmd_admin import settings
from fmd_admin.records import Batch, Frame, Outlier, Profile, ProfileNode, Row
from fmd_admin.store import graph_sums, schema, visitor_weeks, visitors
from fmd_admin.store.calendar import HOUR_MS, Calendar
from fmd_admin.store.job_models import CustomGraph, CustomGraphValue
from fmd_admin.store.rollups import merge_deltas
from fmd_admin.store.store import Store
from fmd_admin.store.writer import BatchWriter

ZONE = "Europe/Amsterdam"
ENDPOINTS, DAYS, VERSIONS, USERS, CLIENTS = 50, 90, 20, 5_000, 20_000
REQUESTS = 10_000_000
OUTLIER_EVERY, PROFILE_EVERY, PROFILE_LINES = 2_000, 5_000, 200
#: Pauses between the values of the two graphs.
GRAPH_PAUSES_MS = {"Orders a minute": 60_000, "Queue length": 15_000}
#: How busy each hour of the day is: quiet at night, busiest before noon and in the evening.
_HOURS = (
    15,
    9,
    6,
    5,
    5,
    8,
    18,
    40,
    70,
    90,
    100,
    98,
    85,
    88,
    90,
    88,
    82,
    78,
    80,
    85,
    80,
    62,
    40,
    25,
)
_HOURS_WEIGHT = {"work day": 1.0, "weekend": 0.55}
_STATUSES, _STATUS_WEIGHTS = (200, 302, 404, 400, 500), (930, 40, 18, 8, 4)
_METHODS = ("GET", "GET", "GET", "POST", "PUT")
#: Hours that are written before they are merged.
_MERGED_HOURS = 24
_DAY_MS = 24 * HOUR_MS


def open_store(database: str, **more: object) -> Store:
    """Return the store at the URL ``database``, in which nothing is deleted by age."""
    code = {"database": database, "timezone": ZONE, **KEEP_ALL, **more}
    return Store(Flask("history"), settings.load(environ={}, code=code).values)


#: Settings with which a history of ninety days stays as it is.
KEEP_ALL = {
    f"keep_{kind}_days": 0
    for kind in ("requests", "profiles", "outliers", "rollups", "graph_values")
}


def endpoint_name(number: int) -> str:
    """Return the name of an endpoint, from 0; the first are asked most."""
    return f"shop.endpoint_{number:02d}"


def user_name(number: int) -> str:
    """Return the name of a user, from 0."""
    return f"user{number:04d}"


def address(number: int) -> str:
    """Return a client address, from 0."""
    return f"10.{number // 62_500}.{number // 250 % 250}.{number % 250 + 1}"


@dataclass
class World:
    """Draws requests; the same ones for the same ``seed``."""

    seed: int = 1
    endpoint_count: int = ENDPOINTS
    user_count: int = USERS
    client_count: int = CLIENTS
    profile_lines: int = PROFILE_LINES
    outlier_every: int = OUTLIER_EVERY
    profile_every: int = PROFILE_EVERY
    status_weights: tuple[int, ...] = _STATUS_WEIGHTS

    def __post_init__(self) -> None:
        self.rnd = random.Random(self.seed)
        self.endpoints = [endpoint_name(number) for number in range(self.endpoint_count)]
        self.users = [user_name(number) for number in range(self.user_count)]
        self.clients = [address(number) for number in range(self.client_count)]
        self.endpoint_weights = list(accumulate(1 / (n + 3) for n in range(self.endpoint_count)))
        self.user_weights = list(accumulate(1 / (n + 8) for n in range(self.user_count)))
        self.client_weights = list(accumulate(1 / (n + 8) for n in range(self.client_count)))

    def rows(self, count: int, start_ms: int, end_ms: int) -> list[Row]:
        """Return ``count`` requests from ``start_ms`` to ``end_ms``, oldest first."""
        rnd = self.rnd
        random_, gauss = rnd.random, rnd.lognormvariate
        times = sorted([start_ms + int((end_ms - start_ms) * random_()) for _ in range(count)])
        found = rnd.choices(range(self.endpoint_count), cum_weights=self.endpoint_weights, k=count)
        statuses = rnd.choices(_STATUSES, weights=self.status_weights, k=count)
        # A fifth is not signed in; each user comes from four addresses, mostly from the first.
        users = rnd.choices(range(self.user_count), cum_weights=self.user_weights, k=count)
        others = rnd.choices(range(self.client_count), cum_weights=self.client_weights, k=count)
        rows = []
        for at, endpoint, status, user, other in zip(
            times, found, statuses, users, others, strict=True
        ):
            signed_in = random_() < 0.8
            place = (
                (user * 4 + int(5 * random_() ** 3) % 4) % self.client_count if signed_in else other
            )
            rows.append(
                Row(
                    at,
                    self.endpoints[endpoint],
                    gauss(1.2 + endpoint / 15, 0.6),
                    status,
                    _METHODS[endpoint % len(_METHODS)],
                    self.users[user] if signed_in else None,
                    self.clients[place],
                )
            )
        return rows

    @cached_property
    def frames(self) -> list[Frame]:
        """The lines of code of all profiles."""
        return [
            Frame(
                f"{'shop' if n % 3 else 'sqlalchemy'}/module_{n % 37}.py",
                n,
                f"function_{n}",
                bool(n % 3),
            )
            for n in range(1, 4 * self.profile_lines)
        ]

    def profile(self, row: Row) -> Profile:
        """Return a profile of ``row`` with ``profile_lines`` lines."""
        # Most of it is the same in all of them, and a quarter is now this and now that.
        lines = self.profile_lines
        same = lines * 3 // 4
        first = self.rnd.randrange(same, len(self.frames) - lines + same)
        frames = self.frames[:same] + self.frames[first : first + lines - same]
        nodes = [ProfileNode(frame, 0.0, 1) for frame in frames]
        for number, node in enumerate(nodes[1:], 1):
            nodes[number // 2 if number % 3 else number - 1].children.append(node)
        _share_out(nodes[0], row.duration_ms * 0.95)
        return Profile(*_fields(row), samples=lines, period_ms=5.0, roots=[nodes[0]])

    def outlier(self, row: Row) -> Outlier:
        """Return an outlier like ``row``, five times as long."""
        row = Row(*_fields(row))
        row.duration_ms *= 5
        return Outlier(
            *_fields(row),
            limit_ms=row.duration_ms / 2,
            stack=self.frames[:20],
            stack_at_ms=row.duration_ms / 2,
            cpu_percent=[20.0, 30.0],
            process_cpu_percent=40.0,
            process_memory_mib=120.0,
            memory_percent=60.0,
            memory_available_mib=3000.0,
            url=f"http://shop.example/{row.endpoint}?page=2",
            headers=[("Host", "shop.example"), ("Accept", "text/html")],
            environ={"PATH_INFO": f"/{row.endpoint}"},
        )


def _fields(row: Row) -> tuple[int, str, float, int, str, str | None, str | None]:
    return (
        row.time_ms,
        row.endpoint,
        row.duration_ms,
        row.status,
        row.method,
        row.group,
        row.ip,
    )


def _share_out(node: ProfileNode, total_ms: float) -> None:
    node.total_ms = total_ms
    for child in node.children:
        _share_out(child, total_ms * 0.9 / len(node.children))


@dataclass
class Hour:
    """One hour of the history: when, how many requests, and which two versions answer them."""

    start_ms: int
    end_ms: int
    requests: int
    newest: int
    share_of_newest: float


def hours(requests: int, now_ms: int, days: int = DAYS, versions: int = VERSIONS) -> Iterator[Hour]:
    """Yield the hours of ``days`` up to ``now_ms``, with about ``requests`` in all."""
    calendar = Calendar(ZoneInfo(ZONE))
    begins = [calendar.hour_start(now_ms - days * _DAY_MS)]
    while begins[-1] < now_ms:
        begins.append(calendar.next_hour(begins[-1]))
    weights = [_weight(calendar.local(moment)) for moment in begins[:-1]]
    per_weight = requests / sum(weights)
    sent = owed = 0.0
    for number, (start_ms, end_ms) in enumerate(pairwise(begins)):
        owed += weights[number] * per_weight
        count = round(owed - sent)
        sent += count
        release = number * versions / len(weights)
        # The first day of a release it shares the work with the one before, later it has most.
        new = release % 1 < versions / days
        yield Hour(start_ms, min(end_ms, now_ms), count, int(release), 0.5 if new else 0.9)


def _weight(local: datetime) -> float:
    kind = "weekend" if local.weekday() >= 5 else "work day"
    return _HOURS[local.hour] * _HOURS_WEIGHT[kind]


class Filler:
    """Writes a history into ``store``, which is migrated already."""

    def __init__(self, store: Store, world: World | None = None, versions: int = VERSIONS) -> None:
        self.store = store
        self.world = world or World()
        self.versions = versions
        self.writers = [BatchWriter(store, lambda: 1) for _ in range(versions)]
        self.sequences = [0] * versions
        self.written = 0

    def fill(self, requests: int, now_ms: int, days: int = DAYS) -> None:
        """Write ``requests`` requests over the days before ``now_ms``, and merge them."""
        started = time.monotonic()
        for number, hour in enumerate(hours(requests, now_ms, days, self.versions), 1):
            self._hour(hour)
            if number % _MERGED_HOURS == 0:
                merge(self.store, hour.end_ms)
                rate = self.written / (time.monotonic() - started)
                if number % (10 * _MERGED_HOURS) == 0:
                    print(f"  {self.written:>12,} requests, {rate:,.0f} a second", flush=True)
        merge(self.store, now_ms)
        self._graphs(now_ms, days)

    def _hour(self, hour: Hour) -> None:
        rows = self.world.rows(hour.requests, hour.start_ms, hour.end_ms)
        newest, former = hour.newest, max(hour.newest - 1, 0)
        shares: dict[int, list[Row]] = {former: [], newest: []}
        random_ = self.world.rnd.random
        for row in rows:
            shares[newest if random_() < hour.share_of_newest else former].append(row)
        for version, part in shares.items():
            if part:
                self._write(version, part)

    def _write(self, version: int, rows: Sequence[Row]) -> None:
        self.sequences[version] += 1
        batch = Batch(f"history {version}", self.sequences[version], f"{version + 1}.0", list(rows))
        before, self.written = self.written, self.written + len(rows)
        world = self.world
        for every, made, kept in (
            (world.outlier_every, world.outlier, batch.outliers),
            (world.profile_every, world.profile, batch.profiles),
        ):
            for number in range(before // every + 1, self.written // every + 1):
                kept.append(made(rows[number * every - 1 - before]))  # type: ignore[operator,attr-defined]
        self.writers[version].write(batch)

    def _graphs(self, now_ms: int, days: int) -> None:
        first_ms = now_ms - days * _DAY_MS
        with self.store.write() as connection:
            for number, (title, pause_ms) in enumerate(GRAPH_PAUSES_MS.items(), 1):
                connection.execute(
                    insert(CustomGraph).values(
                        id=number, title=title, first_seen=first_ms, schedule="on and on"
                    )
                )
                moments = range(first_ms - first_ms % pause_ms + pause_ms, now_ms, pause_ms)
                connection.execute(
                    insert(CustomGraphValue),
                    [
                        {"graph_id": number, "time": at, "value": self.world.rnd.gauss(50, 12)}
                        for at in moments
                    ],
                )
        graph_sums.tend(self.store, lambda _connection: None)


def merge(store: Store, now_ms: int, *, at: int = visitors.MERGE_AT) -> None:
    """What the holder of the lease does, without one; visitors are merged where ``at`` wait."""
    with store.write() as connection:
        while merge_deltas(connection, store.timezone):
            pass
    visitors.tend(store, lambda _connection: None, at=at)
    with store.read() as connection:
        cells = visitors.unsummed(connection, now_ms)
    for cell in cells:
        with store.write() as connection:
            visitors.sum_endpoints(connection, cell)
    sum_weeks(store, now_ms)


def sum_weeks(store: Store, now_ms: int) -> None:
    """Sum the weeks of visitors that are over, as the holder of the lease does bit by bit."""
    calendar = Calendar(store.timezone)
    with store.read() as connection:
        weeks = visitor_weeks.unsummed(connection, calendar, now_ms)
    for week in weeks:
        with store.write() as connection:
            visitor_weeks.sum_days(connection, calendar, week)


def ensure(database: str, requests: int) -> Store:
    """Return a store with a history of ``requests``; one that is there and whole is used again."""
    store = open_store(database)
    path = Path(store.engine.url.database or "")
    is_file = store.engine.dialect.name == "sqlite"
    done = Path(f"{path}.filled")
    if is_file and done.exists():
        return store
    if is_file and path.exists() and path.stat().st_size:
        store.close()
        raise SystemExit(f"{path} is there but not a whole history. Delete it first.")
    schema.migrate(store)
    now_ms = time.time_ns() // 1_000_000
    started = time.monotonic()
    Filler(store).fill(requests, now_ms)
    with store.engine.connect() as connection:
        if is_file:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    took_s = time.monotonic() - started
    print(f"{requests:,} requests in {took_s:.0f} s, {requests / took_s:,.0f} a second", flush=True)
    if is_file:
        done.write_text(f"{now_ms}\n")
    return store


def main(arguments: list[str] | None = None) -> int:
    """The command; see the module's text."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks history", description=__doc__.split("\n", 1)[0]
    )
    parser.add_argument("--database", required=True, help="a URL as the setting DATABASE")
    parser.add_argument("--requests", type=int, default=REQUESTS)
    options = parser.parse_args(arguments)
    store = ensure(options.database, options.requests)
    path = store.engine.url.database
    if store.engine.dialect.name == "sqlite" and path:
        size = Path(path).stat().st_size
        print(f"{path}: {size / 1e6:,.0f} MB, {size / options.requests:.1f} bytes a request in all")
    store.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
