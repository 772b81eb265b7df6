"""A real cluster of three MariaDB nodes on 127.0.0.1, from Debian's packages."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import OperationalError

from .database_servers import MariaDB
from .integration.servers import free_port

PROVIDER = Path("/usr/lib/galera/libgalera_smm.so")
#: The programs that a new node gets its data with.
_PROGRAMS = ("rsync", "lsof", "socat")
PACKAGES = "mariadb-server galera-4 rsync lsof socat"
SYNCED_S = 60.0
_PROVIDER_OPTIONS = {
    # A node that is gone is noticed in two seconds; signs of life must come more often than that.
    "evs.keepalive_period": "PT0.5S",
    "evs.inactive_check_period": "PT0.5S",
    "evs.suspect_timeout": "PT2S",
    "evs.inactive_timeout": "PT5S",
    "gcache.size": "32M",
    "pc.recovery": "false",
}


class Node(MariaDB):
    """One node. Without ``others`` it begins a cluster, else it joins theirs."""

    # As root, the rsync that copies the data would write as nobody.
    owner = "mysql" if os.getuid() == 0 else MariaDB.owner

    def __init__(self) -> None:
        super().__init__()
        if os.getuid() == 0:
            shutil.chown(self.folder, self.owner)
        self.group_port, self.state_port, self.copy_port = (free_port() for _ in range(3))
        self.others: Sequence[Node] = ()

    @property
    def group_address(self) -> str:
        return f"127.0.0.1:{self.group_port}"

    @property
    def options(self) -> tuple[str, ...]:  # type: ignore[override]
        provider = {
            **_PROVIDER_OPTIONS,
            "gmcast.listen_addr": f"tcp://{self.group_address}",
            "ist.recv_addr": f"127.0.0.1:{self.state_port}",
        }
        others = ",".join(node.group_address for node in self.others)
        return (
            *("--binlog-format=ROW", "--wsrep-on=ON", f"--wsrep-provider={PROVIDER}"),
            *("--wsrep-cluster-name=fmd", f"--wsrep-cluster-address=gcomm://{others}"),
            *(f"--wsrep-node-address={self.group_address}", "--wsrep-sst-method=rsync"),
            f"--wsrep-sst-receive-address=127.0.0.1:{self.copy_port}",
            "--wsrep-provider-options=" + ";".join(f"{k}={v}" for k, v in provider.items()),
        )

    def _user(self) -> list[str]:
        if os.getuid() != 0:
            return []
        return [f"--reuid={self.owner}", f"--regid={self.owner}", "--clear-groups"]

    def _install(self) -> None:
        if not self.others:
            super()._install()
            return
        # One that joins gets everything from the others.
        data = self.folder / "data"
        data.mkdir()
        shutil.chown(data, self.owner)

    def answers(self) -> bool:
        """Whether it is a member of the cluster that has all data."""
        return self._status("wsrep_local_state_comment") == "Synced"

    def members(self) -> int:
        """How many nodes it sees, itself included; 0 if it does not answer."""
        return int(self._status("wsrep_cluster_size") or 0)

    def _status(self, name: str) -> str | None:
        engine = create_engine(self.url(), poolclass=NullPool)
        try:
            with engine.connect() as connection:
                row = connection.execute(text(f"SHOW STATUS LIKE '{name}'")).one()
        except OperationalError:
            return None
        return str(row[1])


class Cluster:
    """Three nodes; each can be killed and started again."""

    def __init__(self) -> None:
        self.nodes = [Node() for _ in range(3)]

    @staticmethod
    def missing() -> bool:
        """Whether a program of it is not installed."""
        programs = all(shutil.which(program) for program in _PROGRAMS)
        return MariaDB.missing() or not PROVIDER.exists() or not programs

    def start(self) -> None:
        """Start all nodes, and wait until they are one cluster."""
        for count, node in enumerate(self.nodes):
            node.others = self.nodes[:count]
            node.start()
        self.wait_for_members(3)

    def kill(self, number: int) -> None:
        self.nodes[number].stop(signal.SIGKILL)

    def bring_back(self, number: int) -> None:
        """Start a node that was killed, and wait until it has caught up."""
        node = self.nodes[number]
        node.others = [other for other in self.nodes if other is not node]
        node.start()

    def wait_for_members(self, count: int) -> None:
        """Wait until every node that runs sees so many."""
        deadline = time.monotonic() + SYNCED_S
        while any(node.running and node.members() != count for node in self.nodes):
            assert time.monotonic() < deadline, [node.members() for node in self.nodes]
            time.sleep(0.1)

    def url(self, database: str, first: int = 0) -> URL:
        """The URL of a database with all nodes as hosts, beginning with node ``first``."""
        nodes = [*self.nodes[first:], *self.nodes[:first]]
        hosts = tuple(f"127.0.0.1:{node.port}" for node in nodes)
        url = self.nodes[0].url(database).set(host=None, port=None)
        return url.update_query_dict({"host": hosts})

    def remove(self) -> None:
        for node in self.nodes:
            node.remove()
