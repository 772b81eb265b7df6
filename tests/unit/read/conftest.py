"""A store full of random measurements for each test of a page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from ...prepared import EmptyDatabase
from .data import KeptWorlds, World, make_world

MakeWorld = Callable[..., World]


@pytest.fixture(scope="session")
def kept_worlds(
    tmp_path_factory: pytest.TempPathFactory, empty_database: EmptyDatabase
) -> KeptWorlds:
    return KeptWorlds(tmp_path_factory.mktemp("worlds"), empty_database)


@pytest.fixture
def world_in(tmp_path: Path, kept_worlds: KeptWorlds) -> Iterator[MakeWorld]:
    """Make a world: ``world_in("Europe/Amsterdam", datetime(2026, 10, 25, 15))``.

    A test that has changed how measurements are written asks for one that is made ``anew``.
    """
    made: list[World] = []

    def make(zone: str, now: datetime, *, anew: bool = False, **options: Any) -> World:
        of = make_world if anew else kept_worlds.copy_to
        made.append(of(tmp_path, zone, now, **options))
        return made[-1]

    yield make
    for world in made:
        world.store.close()


@pytest.fixture
def world(world_in: MakeWorld) -> World:
    return world_in("Europe/Amsterdam", datetime(2026, 10, 28, 15, 20))
