"""The places of the tests of charts, what is stored there, and what is asked about it."""

from __future__ import annotations

import math
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import update

from fmd_admin.store import graphs
from fmd_admin.store.models import Version
from fmd_admin.store.types import from_millis

from ... import profiles as made
from ...profiles import DECODE, FIND, VIEW, node
from ...unit.read.data import HOUR_MS, World, make_world
from .look import Filled

ENDPOINT = "shop.item"
MINUTE_MS = 60_000
#: (zone, now on its clock): each a day on which Amsterdam moves its clock, after that.
PLACES = {
    "Amsterdam-October": ("Europe/Amsterdam", datetime(2026, 10, 25, 15, 20)),
    "Amsterdam-March": ("Europe/Amsterdam", datetime(2026, 3, 29, 15, 20)),
    "Kolkata": ("Asia/Kolkata", datetime(2026, 10, 25, 15, 20)),
    "UTC": ("UTC", datetime(2026, 10, 25, 15, 20)),
}
#: The end of the night's custom range: in the middle of the hour that comes twice, or is left out.
NIGHT_ENDS = {
    "Amsterdam-October": "2026-10-25T02:30+01:00",
    "Amsterdam-March": "2026-03-29T03:30",
    "Kolkata": "2026-10-25T02:30",
    "UTC": "2026-10-25T02:30",
}
RANGES = ("24h", "7d", "30d of two versions", "cut hours", "night")


def fill(folder: Path, place: str) -> Filled:
    """Fill the store of a place; some of it is merged into rollups, and some still waits."""
    zone, now = PLACES[place]
    world = make_world(folder, zone, now, hits=3000)
    seen_ms = {
        "1.0": world.now_ms - 60 * 24 * HOUR_MS,
        "1.1": world.now_ms - 5 * 24 * HOUR_MS - 7 * MINUTE_MS,
        # In the night of the change, while the clock shows the same hour for the first time.
        "2.0": round(now.replace(hour=1, minute=50, tzinfo=world.zone).timestamp() * 1000)
        + 20 * MINUTE_MS,
    }
    with world.store.write() as connection:
        for name, time_ms in seen_ms.items():
            connection.execute(
                update(Version).where(Version.name == name).values(first_seen=from_millis(time_ms))
            )
    found = Filled(place, world, seen_ms, fill_graph(world), fill_profiles(world))
    world.store.close()
    return found


def fill_graph(world: World) -> dict[int, float]:
    """Store a value every six minutes over more than seven days, as the runs of a graph do."""
    step_ms = 6 * MINUTE_MS
    end_ms = world.now_ms // step_ms * step_ms
    values = {
        end_ms - n * step_ms: 100 + 50 * math.sin(n / 40) + n % 7 / 10 for n in range(1_800, 0, -1)
    }
    with world.store.write() as connection:
        graph = graphs.register(connection, "Users", "every 6 minutes", min(values), end_ms)
        for time_ms, value in values.items():
            graphs.keep_value(connection, graph.id, time_ms, value)
    return values


def fill_profiles(world: World) -> list[Any]:
    """Store twenty profiled requests of ten days, each with a sample every 5 ms."""
    found = []
    for n in range(20):
        inner = [node(FIND, 20.0 + 5 * (n % 4))] if n % 3 else []
        roots = [node(VIEW, 60.0 + 5 * (n % 5), *inner), *([node(DECODE, 10.0)] if n % 2 else [])]
        time_ms = world.now_ms - n * 12 * HOUR_MS - 1
        found.append(made.profile(roots, time_ms=time_ms, endpoint=ENDPOINT, duration_ms=100.0))
    made.store_batch(world.store, profiles=found)
    return found


def query_of(place: str, name: str) -> dict[str, Any]:
    """What the address of a chart asks for in one of ``RANGES``."""
    month, day = f"{PLACES[place][1]:%Y-%m}", PLACES[place][1].day
    # Where no clock is moved it ends a day earlier, so that there are dates behind it.
    last = day if "Amsterdam" in place else day - 1
    queries: dict[str, dict[str, Any]] = {
        "24h": {"range": "24h"},
        "7d": {"range": "7d"},
        "30d of two versions": {"range": "30d", "version": ["1.0", "2.0"]},
        "cut hours": {
            "range": "custom",
            "from": f"{month}-{last - 2}T09:40",
            "to": f"{month}-{last}T10:10",
        },
        "night": {
            "range": "custom",
            "from": f"{month}-{day - 1}T22:15",
            "to": NIGHT_ENDS[place],
        },
    }
    return queries[name]
