"""Real PostgreSQL and MariaDB servers for the tests, on 127.0.0.1 with a data folder of their own.

They are Debian's packages, started without the system's configuration. They die with the process
that started them, and nothing they hold outlives the test run: writes are not even synced to disk.
"""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import MappingProxyType

import pymysql
from pymysql.constants import CLIENT
from sqlalchemy import Engine, NullPool, create_engine
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import OperationalError

from .integration.servers import free_port

START_S = 60.0
_PASSWORD = "of the tests only"
_MEMORY = "/dev/shm"


class DatabaseServer:
    """A server that can be started, stopped and killed; its data stay until :meth:`remove`."""

    package = ""
    scheme = ""

    def __init__(self) -> None:
        # In memory where that is possible: MariaDB syncs each change of a table.
        base = _MEMORY if os.access(_MEMORY, os.W_OK) else None
        self.folder = Path(tempfile.mkdtemp(prefix="fmd-server-", dir=base))
        # Other users must get through: PostgreSQL refuses to run as root.
        self.folder.chmod(0o755)
        self.port = free_port()
        self.log = self.folder / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        #: By database. They keep no connection, only what each asks the server for at first.
        self._engines: dict[str, Engine] = {}

    @classmethod
    def missing(cls) -> bool:
        """Whether the server is not installed."""
        raise NotImplementedError

    def url(self, database: str = "") -> URL:
        """The URL of a database; without a name one that is always there."""
        raise NotImplementedError

    def _install(self) -> None:
        """Make the data folder."""
        raise NotImplementedError

    def _command(self) -> Sequence[str]:
        raise NotImplementedError

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        if not self.log.exists():
            self._install()
        with self.log.open("ab") as log:
            # A killed test run must not leave servers behind.
            command = ["setpriv", *self._user(), "--pdeathsig", "KILL", "--", *self._command()]
            self._process = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, cwd=self.folder
            )
        deadline = time.monotonic() + START_S
        while not self.answers():
            text = self.log.read_text(errors="replace")
            assert self._process.poll() is None, text
            assert time.monotonic() < deadline, text
            time.sleep(0.05)

    def answers(self) -> bool:
        """Whether it takes connections."""
        try:
            self.execute("SELECT 1")
        except OperationalError:
            return False
        return True

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End the server and wait for it."""
        if self._process is not None:
            if self._process.poll() is None:
                self._process.send_signal(how)
            self._process.wait(timeout=60)

    def remove(self) -> None:
        """End the server and delete everything of it."""
        self.stop(signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)

    def execute(self, *statements: str, database: str = "") -> None:
        """Run statements, each in a transaction of its own."""
        if database not in self._engines:
            self._engines[database] = create_engine(
                self.url(database), poolclass=NullPool, isolation_level="AUTOCOMMIT"
            )
        with self._engines[database].connect() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    def create_database(self, name: str) -> URL:
        """Make an empty database, and return its URL."""
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def drop_database(self, name: str) -> None:
        self.execute(f"DROP DATABASE IF EXISTS {name}")

    def copy_database(self, source: str, name: str) -> URL:
        """Make a database that is the same as ``source``, which nobody uses nor changes."""
        raise NotImplementedError

    def _user(self) -> list[str]:
        """Options of setpriv for the user the server runs as."""
        return []


class PostgreSQL(DatabaseServer):
    package = "postgresql"
    scheme = "postgresql+psycopg"
    #: Settings beside those that are quickest for tests.
    settings: Mapping[str, str] = MappingProxyType({})

    @staticmethod
    def _program(name: str) -> str | None:
        found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
        return str(found[-1]) if found else shutil.which(name)

    @classmethod
    def missing(cls) -> bool:
        return cls._program("postgres") is None

    def url(self, database: str = "") -> URL:
        return make_url(f"{self.scheme}://fmd:{_PASSWORD}@127.0.0.1:{self.port}").set(
            database=database or "postgres"
        )

    def _user(self) -> list[str]:
        if os.getuid() != 0:
            return []
        return ["--reuid=postgres", "--regid=postgres", "--clear-groups"]

    def _install(self) -> None:
        password = self.folder / "password"
        password.write_text(_PASSWORD)
        if os.getuid() == 0:
            shutil.chown(self.folder, "postgres")
            shutil.chown(password, "postgres")
        command = [
            *(self._program("initdb") or "initdb", "-D", str(self.folder / "data")),
            *("-U", "fmd", "-A", "scram-sha-256", f"--pwfile={password}"),
            *("-E", "UTF8", "--locale=C.UTF-8", "--no-sync"),
        ]
        subprocess.run(
            ["setpriv", *self._user(), "--", *command],
            check=True,
            capture_output=True,
            cwd=self.folder,
        )

    def _command(self) -> Sequence[str]:
        options = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "shared_buffers": "64MB",
            "max_connections": 200,
            "autovacuum": "off",
            **self.settings,
        }
        settings = [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
        program = self._program("postgres") or "postgres"
        return [program, "-D", str(self.folder / "data"), *settings]

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        # SIGTERM would wait for open connections to end by themselves.
        super().stop(how)

    def drop_database(self, name: str) -> None:
        self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def copy_database(self, source: str, name: str) -> URL:
        self.execute(f"CREATE DATABASE {name} TEMPLATE {source}")
        return self.url(name)


class MariaDB(DatabaseServer):
    package = "mariadb-server"
    scheme = "mysql+pymysql"
    options: tuple[str, ...] = ()
    #: Whose the server and its files are.
    owner = getpass.getuser()

    def __init__(self) -> None:
        super().__init__()
        self._dumps: dict[str, str] = {}

    @classmethod
    def missing(cls) -> bool:
        return shutil.which("mariadbd") is None

    def url(self, database: str = "") -> URL:
        return make_url(f"{self.scheme}://root@127.0.0.1:{self.port}/").set(
            database=database or "mysql"
        )

    def _install(self) -> None:
        command = [
            *("mariadb-install-db", "--no-defaults", f"--datadir={self.folder / 'data'}"),
            *("--auth-root-authentication-method=normal", "--skip-test-db"),
            f"--user={self.owner}",
        ]
        subprocess.run(command, check=True, capture_output=True, cwd=self.folder)

    def _command(self) -> Sequence[str]:
        return [
            *("mariadbd", "--no-defaults", f"--datadir={self.folder / 'data'}"),
            *(f"--port={self.port}", "--bind-address=127.0.0.1"),
            f"--socket={self.folder / 'socket'}",
            f"--user={self.owner}",
            *("--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=0", "--sync-binlog=0"),
            *("--innodb-buffer-pool-size=128M", "--max-connections=200", "--skip-name-resolve"),
            *("--character-set-server=utf8mb4", "--innodb-autoinc-lock-mode=2"),
            *self.options,
        ]

    def copy_database(self, source: str, name: str) -> URL:
        if source not in self._dumps:
            self._dumps[source] = self._dump(source)
        url = self.create_database(name)
        address = url.translate_connect_args(username="user")
        connection = pymysql.connect(
            **address, autocommit=True, client_flag=CLIENT.MULTI_STATEMENTS
        )
        with closing(connection), connection.cursor() as cursor:
            cursor.execute(self._dumps[source])
            while cursor.nextset():
                pass
        return url

    def _dump(self, name: str) -> str:
        command = [
            *("mariadb-dump", "--no-defaults", "--host=127.0.0.1", f"--port={self.port}"),
            *("--user=root", "--default-character-set=utf8mb4", "--skip-comments"),
            *("--skip-add-drop-table", "--skip-add-locks", name),
        ]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


SERVERS: dict[str, type[DatabaseServer]] = {"postgresql": PostgreSQL, "mariadb": MariaDB}
