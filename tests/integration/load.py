"""Requests with names of their own, sent by many connections while something bad happens."""

from __future__ import annotations

import http.client
import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import func, select

from fmd_admin.store.models import Group, Request

from ..support import database_url, new_store

APP = """
import os
from pathlib import Path
from flask import Flask, Response, request, send_file
from fmd_admin import FMDAdmin
from fmd_admin.extension import of

app = Flask("loaded", instance_path={folder!r})
app.add_url_rule("/", "index", lambda: str(os.getpid()))
app.add_url_rule("/stream", "stream", lambda: Response(str(os.getpid()) for _ in "x"))
app.add_url_rule("/file", "file", lambda: send_file({folder!r} + "/a.txt"))


@app.route("/state")
def state():
    return {{"pid": os.getpid(), **of(app).counters(), "spool": of(app).vitals()["spool"]}}


Path({folder!r}, "a.txt").write_text("a file")
FMDAdmin(app, group_by=lambda: request.headers.get("X-Id"), settings={{
    "database": {database!r}, "username": "anna", "password": "correct horse",
    "flush_interval_s": 0.2, **{settings!r}}})
"""
PATHS = ("/", "/stream", "/file")


def write_app(folder: Path, **settings: object) -> None:
    """Write the module ``loaded`` with an app whose requests are grouped under their X-Id."""
    database = database_url(folder)
    (folder / "loaded.py").write_text(
        APP.format(folder=str(folder), database=database, settings=settings)
    )


class Load:
    """Sends requests until it is stopped, over connections that are made anew when they break.

    ``answered`` are the names of requests whose answer came whole. Each connection waits for
    ``pause_s`` between two requests.
    """

    def __init__(
        self, port: int, connections: int, prefix: str = "n", pause_s: float = 0.0
    ) -> None:
        self._port = port
        self._pause_s = pause_s
        self._prefix = prefix
        self.end = threading.Event()
        self._numbers = itertools.count()
        self.answered: list[str] = []
        self.times_s: list[float] = []
        self._threads = [threading.Thread(target=self._work) for _ in range(connections)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.end.set()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        client = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        while not self.end.is_set():
            number = next(self._numbers)
            name = f"{self._prefix}{number}"
            try:
                began = time.perf_counter()
                client.request("GET", PATHS[number % len(PATHS)], headers={"X-Id": name})
                response = client.getresponse()
                response.read()
            except (OSError, http.client.HTTPException):
                client.close()
                time.sleep(0.01)
                continue
            self.times_s.append(time.perf_counter() - began)
            assert response.status == 200
            self.answered.append(name)
            if self._pause_s:
                time.sleep(self._pause_s)
        client.close()

    def wait_for_more(self, answers: int, limit_s: float = 60.0) -> None:
        """Wait until so many more requests are answered."""
        goal = len(self.answered) + answers
        wait_for(lambda: len(self.answered) >= goal, f"{answers} answers", limit_s)


def wait_for(is_so: Callable[[], bool], what: str, limit_s: float = 60.0) -> None:
    deadline = time.monotonic() + limit_s
    while not is_so():
        assert time.monotonic() < deadline, f"not within {limit_s} s: {what}"
        time.sleep(0.05)


def stored(folder: Path) -> Counter[str]:
    """How often each request with a name is stored."""
    store = new_store(folder)
    try:
        with store.read() as connection:
            rows = connection.execute(
                select(Group.name, func.count())
                .join(Request, Request.group_id == Group.id)
                .group_by(Group.name)
            )
            return Counter(dict(rows.all()))
    finally:
        store.close()


def spools(folder: Path) -> list[Path]:
    """The files of requests that are not stored yet, of processes that live or not."""
    found = (folder / "fmd.db-spool", folder / "fmd_admin-spool")
    return sorted(path for one in found for path in one.glob("*.spool"))


def assert_once(folder: Path, answered: list[str]) -> None:
    """Wait until all that was answered is stored; nothing may be there twice."""
    names = set(answered)
    assert len(names) == len(answered)
    wait_for(lambda: names <= stored(folder).keys(), "everything answered is stored")
    assert {name: hits for name, hits in stored(folder).items() if hits != 1} == {}
