"""Connections that are cut around a COMMIT: every request is stored exactly once.

15 times by default; CUTS=50 takes a minute more.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import func, make_url, select

from fmd_admin.store import schema
from fmd_admin.store.models import Hour, RollupDelta
from fmd_admin.store.rollups import merge_deltas

from ..support import Bound, database_url, get, new_store, stored_rows
from .cutting_proxy import CuttingProxy

CUTS = int(os.environ.get("CUTS", "15"))
#: Only what writes sends a COMMIT, and after each cut it waits for a while.
DEADLINE_S = 40.0 + 4.0 * CUTS

pytestmark = [pytest.mark.server, pytest.mark.servers_only]


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[CuttingProxy]:
    port = make_url(database_url(tmp_path)).port
    assert port is not None
    made = CuttingProxy(port, CUTS)
    yield made
    made.close()


def test_rows_are_there_exactly_once(tmp_path: Path, proxy: CuttingProxy, bind: object) -> None:
    store = new_store(tmp_path)
    schema.migrate(store)
    app = Flask("host", instance_path=str(tmp_path))
    app.add_url_rule("/<int:number>", "numbered", lambda number: str(number))
    through = make_url(database_url(tmp_path)).set(port=proxy.port)
    bound: Bound = bind(  # type: ignore[operator]
        app,
        database=through.render_as_string(hide_password=False),
        flush_interval_s=0.05,
        rollup_interval_s=0.2,
    )
    sent = 0
    deadline = time.monotonic() + DEADLINE_S
    while proxy.done < CUTS:
        assert time.monotonic() < deadline, f"{proxy.done} of {CUTS} connections were cut"
        assert get(app, f"/{sent}") == str(sent)
        sent += 1
        time.sleep(0.005)
    while bound.monitor.recorder.depth:
        assert time.monotonic() < deadline, "the buffer was not stored"
        time.sleep(0.05)
    bound.monitor.close()
    assert bound.monitor.recorder.dropped == 0

    assert len(stored_rows(store)) == sent
    with store.write() as connection:
        merge_deltas(connection, store.timezone)
        assert connection.scalar(select(func.count()).select_from(RollupDelta)) == 0
        assert connection.scalar(select(func.sum(Hour.hits))) == sent
    store.close()
