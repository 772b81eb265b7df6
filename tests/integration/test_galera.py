"""A cluster of three MariaDB nodes: one after the other is killed while three servers write."""

from __future__ import annotations

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import func, select

from fmd_admin.store.models import Hour, Request, RollupDelta
from fmd_admin.store.rollups import merge_deltas

from ..galera import PACKAGES, Cluster
from ..support import DATABASE_URL, missing, new_store
from .load import Load, assert_once, spools, stored, wait_for, write_app
from .panel_session import PanelSession
from .servers import Server, gunicorn
from .test_faults import state

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("warm_servers")]

#: What a node's log says when members come and go, or it may not answer any more.
_MEMBERSHIP = re.compile(r"non-Primary|Server status change|suspecting|members\(|wsrep_ready")


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    if Cluster.missing():
        missing("Galera is not installed", f"apt-get install {PACKAGES}")
    made = Cluster()
    try:
        made.start()
        yield made
    finally:
        made.remove()


class Reader:
    """Somebody who looks at the panel again and again; keeps what was answered, and how soon."""

    def __init__(self, port: int) -> None:
        self._panel = PanelSession(port).log_in()
        self._end = threading.Event()
        self.answers: Counter[int] = Counter()
        self.slowest_s = 0.0
        self._thread = threading.Thread(target=self._read)

    def __enter__(self) -> Reader:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._end.set()
        self._thread.join()

    def _read(self) -> None:
        while not self._end.wait(0.2):
            began = time.monotonic()
            self.answers[self._panel.get("/overview/data.json").status] += 1
            self.slowest_s = max(self.slowest_s, time.monotonic() - began)


def folder_of(tmp_path: Path, cluster: Cluster, node: int) -> Path:
    """A server's folder; its first host is ``node``."""
    folder = tmp_path / str(node)
    folder.mkdir()
    url = cluster.url("fmd", first=node).render_as_string(hide_password=False)
    (folder / DATABASE_URL).write_text(url)
    write_app(folder)
    return folder


def check_rollups(folder: Path) -> None:
    store = new_store(folder)
    try:
        with store.write() as connection:
            merge_deltas(connection, store.timezone)
            assert connection.scalar(select(func.count()).select_from(RollupDelta)) == 0
            rows = connection.scalar(select(func.count()).select_from(Request))
            assert connection.scalar(select(func.sum(Hour.hits))) == rows
    finally:
        store.close()


def told(readers: list[Reader], servers: list[Server], cluster: Cluster) -> str:
    """What everybody who looked was answered, the ends of the logs, and what the nodes saw."""
    lines = [f"answered to each: {[dict(reader.answers) for reader in readers]}"]
    for number, node in enumerate(cluster.nodes):
        log = node.log.read_text(errors="replace")
        seen = [line for line in log.splitlines() if _MEMBERSHIP.search(line)]
        lines += [f"-- node {number}:", *seen[-40:]]
    for number, server in enumerate(servers):
        lines += [f"-- server {number}:", server.log[-8_000:]]
    return "\n".join(lines)


def stored_by(server: Server) -> int:
    return int(state(server.port)["stored"])


def test_nodes_are_killed_one_after_the_other(tmp_path: Path, cluster: Cluster) -> None:
    cluster.nodes[0].create_database("fmd")
    folders = [folder_of(tmp_path, cluster, node) for node in range(3)]
    with ExitStack() as stack:
        # All at once on an empty database, each on a node of its own.
        servers = [
            stack.enter_context(gunicorn("loaded:app", folder, "-k", "gthread", "--threads", "4"))
            for folder in folders
        ]
        loads = [
            Load(server.port, connections=2, prefix=name, pause_s=0.02)
            for server, name in zip(servers, "abc", strict=True)
        ]
        with ExitStack() as sending:
            for load in loads:
                sending.enter_context(load)
            for server in servers:
                wait_for(lambda server=server: stored_by(server) > 100, "it stores")
            readers = [sending.enter_context(Reader(server.port)) for server in servers]

            def all_go_on(why: str) -> None:
                for server, load in zip(servers, loads, strict=True):
                    before = stored_by(server)
                    load.wait_for_more(50)
                    wait_for(lambda s=server, n=before: stored_by(s) > n, f"stored {why}")

            all_go_on("by three nodes")
            cluster.kill(0)
            all_go_on("by two nodes")
            cluster.bring_back(0)
            cluster.wait_for_members(3)
            all_go_on("by three again")
            cluster.kill(1)
            all_go_on("after another one was lost")
        answered = [name for load in loads for name in load.answered]
        assert all(set(reader.answers) == {200} for reader in readers), told(
            readers, servers, cluster
        )
        assert_once(folders[2], answered)
        assert [state(server.port)["dropped"] for server in servers] == [0, 0, 0]
        for server in servers:
            assert server.stop() == 0
    assert [spools(folder) for folder in folders] == [[], [], []]
    check_rollups(folders[2])
    # The node that came back has it all as well.
    assert stored(folders[0]) == stored(folders[2])
    slowest = max(reader.slowest_s for reader in readers)
    print(json.dumps({"answered": len(answered), "slowest_page_s": round(slowest, 2)}))
