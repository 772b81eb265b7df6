"""Random measurements, and what anybody would compute from them by hand."""

from __future__ import annotations

import math
import random
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from fmd_admin.read.scope import Scope, parse_scope
from fmd_admin.records import Batch, Row
from fmd_admin.store import schema, visitors
from fmd_admin.store.rollups import merge_deltas
from fmd_admin.store.store import Store
from fmd_admin.store.writer import BatchWriter

from ...prepared import EmptyDatabase
from ...support import database_url, new_store

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
ENDPOINTS = ("index", "shop.item", "shop.list", "shop.api.basket", "login")
VERSIONS = ("1.0", "1.1", "2.0")

#: Zones with a moment shortly after their clocks were moved, and ordinary ones.
ZONES_AND_DAYS = [
    ("UTC", datetime(2026, 11, 22, 15, 20)),
    ("Asia/Kolkata", datetime(2026, 11, 22, 15, 20)),
    ("Europe/Amsterdam", datetime(2026, 10, 25, 15, 20)),
    ("Europe/Amsterdam", datetime(2026, 3, 30, 9, 0)),
    ("Africa/Cairo", datetime(2026, 4, 24, 10, 10)),
    ("America/Havana", datetime(2026, 11, 2, 23, 59)),
    ("Australia/Lord_Howe", datetime(2026, 4, 5, 12, 0)),
]


@dataclass(frozen=True)
class Measured:
    """One request as it was written."""

    time_ms: int
    endpoint: str
    version: str
    duration_ms: float
    status: int
    group: str | None
    ip: str | None


@dataclass
class World:
    """A store and the requests that are in it, some merged and some still waiting."""

    store: Store
    rows: list[Measured]
    now_ms: int

    @property
    def zone(self) -> ZoneInfo:
        return self.store.timezone

    def scope(self, endpoint_id: int | None = None, **args: str | list[str]) -> Scope:
        """Parse a scope; ``since`` stands for the word ``from``."""
        words = {
            ("from" if word == "since" else word): [value] if isinstance(value, str) else value
            for word, value in args.items()
        }
        with self.store.read() as connection:
            return parse_scope(
                connection,
                words,
                zone=self.zone,
                default_range="7d",
                now_ms=self.now_ms,
                endpoint_id=endpoint_id,
            )

    def inside(self, scope: Scope) -> list[Measured]:
        """The rows that the scope asks for, compared one by one."""
        return [
            row
            for row in self.rows
            if scope.start_ms <= row.time_ms < scope.end_ms
            and (not scope.versions or row.version in scope.versions)
        ]

    def local(self, time_ms: int) -> datetime:
        return datetime.fromtimestamp(time_ms / 1000, self.zone)


def make_world(
    folder: Path, zone: str, now: datetime, *, days: float = 40, hits: int = 1500, seed: int = 5
) -> World:
    """Write ``hits`` requests over ``days`` before ``now`` (on the wall clock of ``zone``)."""
    store = new_store(folder, timezone=zone)
    schema.migrate(store)
    rnd = random.Random(seed)
    now_ms = round(now.replace(tzinfo=store.timezone).timestamp() * 1000)
    whom = random.Random(seed)
    rows = [_request(rnd, whom, now_ms, days) for _ in range(hits)]
    writers = {version: BatchWriter(store, lambda: 1) for version in VERSIONS}
    step = max(1, hits // 12)
    for number, start in enumerate(range(0, hits, step)):
        for version, writer in writers.items():
            part = [row for row in rows[start : start + step] if row.version == version]
            writer.write(Batch(f"w{version}", number + 1, version, [_stored(row) for row in part]))
        if number == 8:  # What comes later stays in the deltas.
            with store.write() as connection:
                merge_deltas(connection, store.timezone)
            visitors.tend(store, bool, at=1)
    return World(store, rows, now_ms)


class KeptWorlds:
    """The worlds of a test run: each is made once, and a test on SQLite gets a copy."""

    def __init__(self, folder: Path, empty: EmptyDatabase) -> None:
        self._folder = folder
        self._empty = empty
        self._kept: dict[object, tuple[Path, list[Measured], int]] = {}

    def copy_to(self, folder: Path, zone: str, now: datetime, **options: Any) -> World:
        """As :func:`make_world`."""
        target = folder / "fmd.db"
        if database_url(folder) != f"sqlite:///{target}" or target.exists():
            return make_world(folder, zone, now, **options)
        key = (zone, now, *sorted(options.items()))
        if key not in self._kept:
            self._kept[key] = self._make(zone, now, options)
        file, rows, now_ms = self._kept[key]
        shutil.copy(file, target)
        return World(new_store(folder, timezone=zone), list(rows), now_ms)

    def _make(
        self, zone: str, now: datetime, options: dict[str, Any]
    ) -> tuple[Path, list[Measured], int]:
        folder = self._folder / str(len(self._kept))
        folder.mkdir()
        self._empty.copy_to(folder)
        world = make_world(folder, zone, now, **options)
        world.store.close()
        return folder / "fmd.db", world.rows, world.now_ms


def _request(rnd: random.Random, whom: random.Random, now_ms: int, days: float) -> Measured:
    # More of them shortly before now, so that every range has some.
    age_ms = int(days * DAY_MS * rnd.random() ** 3)
    number = rnd.randrange(len(ENDPOINTS) - 1)
    return Measured(
        time_ms=now_ms - age_ms,
        endpoint=ENDPOINTS[number],
        version=rnd.choice(VERSIONS),
        duration_ms=rnd.lognormvariate(1 + number, 0.8),
        status=rnd.choice((200, 200, 200, 302, 399, 400, 404, 500)),
        # A few come often and many now and then; some requests are nobody's.
        group=f"user{int(40 * whom.random() ** 2)}" if whom.random() < 0.8 else None,
        ip=f"192.0.2.{int(90 * whom.random() ** 2)}" if whom.random() < 0.9 else None,
    )


def _stored(row: Measured) -> Row:
    return Row(row.time_ms, row.endpoint, row.duration_ms, row.status, "GET", row.group, row.ip)


def quantile(values: Iterable[float], q: float) -> float:
    ordered = sorted(values)
    return ordered[max(math.ceil(q * len(ordered)), 1) - 1]


def local_days(scope: Scope) -> list[str]:
    """Every date the scope touches, found by going through it in steps of ten minutes."""
    zone = scope.zone
    return list(
        dict.fromkeys(
            datetime.fromtimestamp(time_ms / 1000, zone).date().isoformat()
            for time_ms in range(scope.start_ms, scope.end_ms, 600_000)
        )
    )


def count_by(
    rows: Sequence[Measured], key: Callable[[Measured], object]
) -> dict[object, list[Measured]]:
    found: dict[object, list[Measured]] = {}
    for row in rows:
        found.setdefault(key(row), []).append(row)
    return found
