"""A database server that goes away and comes back, and URLs with several hosts."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, request
from flask_admin import BaseView, expose
from sqlalchemy import make_url, select, text

from fmd_admin.store import schema

from ..support import Bound, database_url, get, new_store, serve, stored_rows
from .panel_session import PanelSession
from .servers import free_port

OUTAGE_S = 3.0
DEADLINE_S = 60.0

pytestmark = [pytest.mark.server, pytest.mark.servers_only]


def test_a_server_that_is_stopped_for_a_while(
    tmp_path: Path, bind: Any, engine: str, database_servers: Any
) -> None:
    server = database_servers.get(engine)
    app = Flask("host", instance_path=str(tmp_path))
    app.add_url_rule("/<int:number>", "numbered", lambda number: str(number))
    bound: Bound = bind(app, flush_interval_s=0.05)
    sent = 0
    began = time.monotonic()
    stopped_at = restarted_at = 0.0
    while not restarted_at or bound.monitor.recorder.depth:
        now = time.monotonic()
        assert now - began < DEADLINE_S, bound.monitor.recorder.depth
        if not stopped_at and now - began > 1.0:
            server.stop()
            stopped_at = time.monotonic()
        if stopped_at and not restarted_at and now - stopped_at > OUTAGE_S:
            server.start()
            restarted_at = time.monotonic()
        if not restarted_at:
            assert get(app, f"/{sent}") == str(sent)
            sent += 1
        time.sleep(0.01)
    bound.monitor.close()
    assert bound.monitor.recorder.dropped == 0
    store = new_store(tmp_path)
    assert len(stored_rows(store)) == sent
    store.close()


def test_the_first_host_of_several_is_gone(tmp_path: Path, engine: str) -> None:
    url = make_url(database_url(tmp_path))
    hosts = (f"127.0.0.1:{free_port()}", f"127.0.0.1:{url.port}")
    several = url.set(host=None, port=None).update_query_dict({"host": hosts})
    store = new_store(tmp_path, database=several.render_as_string(hide_password=False))
    schema.migrate(store)
    with store.read() as connection:
        assert connection.scalar(select(text("1"))) == 1
    store.close()


def test_a_connection_that_the_server_closed_is_not_used(tmp_path: Path, engine: str) -> None:
    store = new_store(tmp_path)
    kill = {"postgresql": "SELECT pg_terminate_backend({})", "mariadb": "KILL {}"}[engine]
    own = {"postgresql": "SELECT pg_backend_pid()", "mariadb": "SELECT connection_id()"}[engine]
    with store.read() as connection:
        pid = connection.scalar(text(own))
    other = new_store(tmp_path)
    with other.write() as connection:
        connection.execute(text(kill.format(pid)))
    other.close()
    with store.read() as connection:
        assert connection.scalar(text(own)) != pid
    store.close()


def test_a_page_whose_connection_is_lost_in_the_middle_is_made_again(
    tmp_path: Path, bind: Any, engine: str
) -> None:
    """As when the node of a cluster that it reads from is lost; what changes something is not."""
    kill = {"postgresql": "SELECT pg_terminate_backend({})", "mariadb": "KILL {}"}[engine]
    own = {"postgresql": "SELECT pg_backend_pid()", "mariadb": "SELECT connection_id()"}[engine]
    bound: Bound = bind(Flask("host", instance_path=str(tmp_path)))
    store, other = bound.monitor.store, new_store(tmp_path)
    calls: list[str] = []

    class Lossy(BaseView):  # type: ignore[misc]
        @expose("/", methods=("GET", "POST"))
        def index(self) -> str:
            calls.append(request.method)
            with store.read() as connection:
                pid = connection.scalar(text(own))
                if len(calls) == 1:
                    with other.write() as killing:
                        killing.execute(text(kill.format(pid)))
                return f"read by {connection.scalar(text(own))}"

    bound.monitor.admin.add_view(Lossy(endpoint="lossy", url="/lossy"))
    with serve(bound.app) as port:
        anna = PanelSession(port).log_in()
        assert anna.get("/lossy/").text.startswith("read by")
        assert calls == ["GET", "GET"]
        calls.clear()
        assert anna.post("/lossy/", {}).status == 503
        assert calls == ["POST"]
    other.close()
