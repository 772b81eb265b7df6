from __future__ import annotations

from sqlalchemy import text

from fmd_admin.read import catalog
from fmd_admin.records import Batch
from fmd_admin.store.store import Store
from fmd_admin.store.types import to_millis
from fmd_admin.store.writer import BatchWriter

from .data import ENDPOINTS, VERSIONS, World


def touch(store: Store, endpoint: str, time_ms: int) -> None:
    BatchWriter(store, lambda: 2).write(Batch("t", 1, "1.0", [], {endpoint: time_ms}))


def test_versions_in_the_order_first_seen(world: World) -> None:
    with world.store.write() as connection:
        for time_ms, name in enumerate(("2.0", "1.0", "1.1"), 1):
            connection.execute(
                text("UPDATE fmd_version SET first_seen = :time WHERE name = :name"),
                {"time": time_ms, "name": name},
            )
    with world.store.read() as connection:
        found = catalog.versions(connection)
    assert [version.name for version in found] == ["2.0", "1.0", "1.1"]
    assert to_millis(found[0].first_seen) == 1
    assert {version.name for version in found} == set(VERSIONS)


def test_an_endpoint_by_its_id(world: World) -> None:
    with world.store.read() as connection:
        ids = {name: key for key, name in catalog.endpoint_names(connection).items()}
        found = catalog.endpoint(connection, ids["shop.api.basket"])
    assert found is not None
    assert (found.name, found.blueprint, found.level) == ("shop.api.basket", "shop.api", 1)
    assert set(ids) == set(ENDPOINTS[:-1])


def test_its_last_request_may_still_wait_to_be_merged(world: World) -> None:
    late = world.now_ms + 10**10
    touch(world.store, "index", late)
    with world.store.read() as connection:
        ids = {name: key for key, name in catalog.endpoint_names(connection).items()}
        found = catalog.endpoint(connection, ids["index"])
    assert found is not None
    assert to_millis(found.last_requested) == late


def test_an_endpoint_that_there_is_none(store: Store) -> None:
    with store.read() as connection:
        assert catalog.endpoint(connection, 77) is None
        assert catalog.versions(connection) == []


def test_blueprints() -> None:
    assert catalog.blueprint_of("index") is None
    assert catalog.blueprint_of("shop.item") == "shop"
    assert catalog.blueprint_of("shop.api.basket") == "shop.api"
