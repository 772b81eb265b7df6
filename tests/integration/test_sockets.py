"""A WebSocket of flask-sock on a real server."""

from __future__ import annotations

from pathlib import Path

import pytest
from simple_websocket import Client, ConnectionClosed

from ..exceptions import stored_groups
from ..support import new_store, stored_rows
from .servers import gunicorn

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("warm_servers")]

APP = """
from flask import Flask
from flask_sock import Sock
from fmd_admin import FMDAdmin

app = Flask("talks", instance_path={folder!r})
sock = Sock(app)


@sock.route("/echo")
def echo(ws):
    for _ in range(2):
        ws.send(ws.receive())


FMDAdmin(app, settings={{"database": "sqlite:///{folder}/fmd.db", "username": "anna",
    "password": "correct horse"}})
"""


def test_a_session_is_stored_as_what_it_was(tmp_path: Path) -> None:
    (tmp_path / "talks.py").write_text(APP.format(folder=str(tmp_path)))
    with gunicorn("talks:app", tmp_path, "-w", "1", "--threads", "2") as server:
        client = Client(f"ws://127.0.0.1:{server.port}/echo")
        for text in ("one", "two"):
            client.send(text)
            assert client.receive(timeout=30) == text
        # The server has no more to say.
        with pytest.raises(ConnectionClosed):
            client.receive(timeout=30)
        assert server.stop() == 0
    store = new_store(tmp_path)
    try:
        assert [(row.endpoint, row.status) for row in stored_rows(store)] == [("echo", 101)]
        assert stored_groups(store) == {}
    finally:
        store.close()
    assert "Traceback" not in server.log
