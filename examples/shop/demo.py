"""Runs the whole demo: the shop under gunicorn with the panel, and the load process.

``python manage.py demo`` calls :func:`main`. Everything it starts ends with it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from sqlalchemy import func, select

from fmd_admin import settings
from fmd_admin.extension import open_store
from fmd_admin.store import accounts, schema
from fmd_admin.store.models import Request

from .. import server
from . import history

FIRST, SECOND = history.NEWER, "2.0"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo until Ctrl-C, SIGTERM or --seconds; return 0, or 1 where something broke."""
    options = _parser().parse_args(argv)
    told = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: told.set())
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        with (
            _folder(options.keep) as folder,
            server.listening(options.host, options.port) as listener,
        ):
            Demo(folder, listener, options, told).run()
    except server.ServerError as error:
        print(f"demo: {error}", file=sys.stderr, flush=True)
        return 1
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="manage.py demo",
        description="Start a small shop with the panel, and send it real HTTP requests.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument(
        "--port", type=int, default=5000, help="port, or the next free one (5000); 0: any"
    )
    parser.add_argument("--seconds", type=float, help="end by itself after so many seconds")
    parser.add_argument(
        "--history", action="store_true", help="add two weeks of generated requests"
    )
    parser.add_argument(
        "--version-switch-s",
        type=float,
        default=60.0,
        metavar="N",
        help=f"replace release {FIRST} of the shop by {SECOND} after so many seconds (60)",
    )
    parser.add_argument(
        "--peak-rate", type=float, default=14.0, metavar="N", help="requests a second at most (14)"
    )
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="keep all data in DIR and use it again next time"
    )
    return parser


@contextlib.contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="fmd-admin-demo-") as name:
        yield Path(name).resolve()


class Demo:
    """What runs, and the order in which it starts and ends."""

    def __init__(
        self,
        folder: Path,
        listener: socket.socket,
        options: argparse.Namespace,
        told: threading.Event,
    ) -> None:
        self.folder = folder
        self.listener = listener
        self.options = options
        self.told = told
        host, port = server.address_of(listener)
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        self.tally = folder / "traffic.json"
        self.store = open_store(settings.load().values, folder)
        self.panel = f"/{self.store.settings.link.strip('/')}"
        self.server: server.Gunicorn | None = None
        self.traffic: subprocess.Popen[bytes] | None = None

    def run(self) -> None:
        try:
            self._prepare()
            stored_before = self._count()
            try:
                if self._start_server(FIRST):
                    self._start_traffic()
                    self._watch()
            finally:
                self._stop()
            self._sum_up(self._count() - stored_before)
        finally:
            self.store.close()

    def _prepare(self) -> None:
        self.tally.unlink(missing_ok=True)
        schema.migrate(self.store)
        credentials = accounts.first_start(self.store, self.store.settings, False)
        _say(f"Shop      {self.url}/")
        _say(f"Panel     {self.url}{self.panel}/")
        if credentials is not None:
            _say(f"User      {credentials.username}")
            _say(f"Password  {credentials.password}   (shown once)")
        else:
            _say("Sign in   with the account that is there already")
        _say(f"Data      {self.folder}{'' if self.options.keep else ' (deleted at the end)'}")
        _say()
        if self.options.history:
            count = history.add(self.store, int(time.time() * 1000))
            _say(
                f"history: {count:,} generated requests over {history.DAYS} days; everything from "
                "now on is measured from real HTTP requests"
                if count
                else "history: there are requests already, so none were added"
            )

    def _start_server(self, version: str) -> bool:
        """Start the shop and wait until it answers; False if told to stop meanwhile."""
        environ = server.environment(
            {
                "SHOP_VERSION": version,
                "SHOP_FOLDER": str(self.folder),
                "SHOP_SECRET_KEY": self._secret_key(),
            }
        )
        log = self.folder / "server.log"
        self.server = server.Gunicorn("examples.shop.wsgi:app", self.listener, environ, log)
        # The panel's own pages are not measured: asking for one leaves the figures alone.
        return self.server.wait(f"{self.panel}/login", self.told.is_set)

    def _start_traffic(self) -> None:
        command = [sys.executable, "-m", "examples.shop.traffic", self.url]
        command += ["--peak-rate", str(self.options.peak_rate), "--tally", str(self.tally)]
        self.traffic = subprocess.Popen(
            command,
            cwd=server.ROOT,
            env=server.environment({}),
            stdout=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        _say(f"Release {FIRST} of the shop runs, and a load process sends it requests as several")
        _say("customers; a day of theirs takes 4 minutes. Press Ctrl-C to end everything.")

    def _watch(self) -> None:
        """Change the release in time; return when it is time to end."""
        started = time.monotonic()
        has_switched = False
        while not self.told.wait(0.2):
            elapsed_s = time.monotonic() - started
            if self.server is not None:
                self.server.check()
            if self.traffic is not None and self.traffic.poll() is not None:
                raise server.ServerError("the load process ended by itself")
            if self.options.seconds is not None and elapsed_s >= self.options.seconds:
                return
            if not has_switched and elapsed_s >= self.options.version_switch_s:
                has_switched = True
                self._switch()

    def _switch(self) -> None:
        if self.server is not None:
            self.server.end()
        if self._start_server(SECOND):
            _say(f"Release {SECOND} of the shop has taken over.")

    def _stop(self) -> None:
        """End the load first, so that nobody asks a server that is gone."""
        if self.traffic is not None:
            server.end(self.traffic)
        if self.server is not None:
            self.server.end()

    def _sum_up(self, stored: int) -> None:
        if not self.tally.exists():
            return
        content = json.loads(self.tally.read_text(encoding="utf-8"))
        sent = sum(row[3] for row in content["answered"])
        _say()
        _say(f"{sent:,} requests sent and answered, {stored:,} requests measured.")
        if content["unanswered"]:
            _say(f"{content['unanswered']:,} requests were not answered.")

    def _secret_key(self) -> str:
        """The shop's key, the same for both releases, so that nobody is logged out between."""
        path = self.folder / "secret_key"
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(secrets.token_hex(32), encoding="ascii")
        return path.read_text(encoding="ascii")

    def _count(self) -> int:
        with self.store.read() as connection:
            return int(connection.scalar(select(func.count()).select_from(Request)) or 0)


def _say(text: str = "") -> None:
    print(text, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
