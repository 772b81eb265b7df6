"""A host app whose functions know by their own clocks what share of the time each of them takes."""

from __future__ import annotations

import asyncio
import functools
import json
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from flask import Blueprint, Flask, Response, request
from flask.views import View
from pyinstrument import Profiler
from werkzeug.wsgi import ClosingIterator

from fmd_admin import FMDAdmin

#: The functions whose shares are compared; none of them runs inside another.
NAMES = ("busy", "calls", "waits", "reads", "recurses")
#: The paths of the views that spend their time in them.
KINDS = ("plain", "blueprint", "class", "decorated", "async", "stream", "error")
WHOLE = "(request)"

Work = Callable[[float], None]
Plan = list[tuple[str, float]]


class Clocks:
    """Adds up the wall time of the functions of one view, and of its whole requests."""

    def __init__(self) -> None:
        self.spent_s: Counter[str] = Counter()
        self._lock = threading.Lock()

    def add(self, name: str, start_s: float) -> None:
        spent_s = time.perf_counter() - start_s
        with self._lock:
            self.spent_s[name] += spent_s

    def timed(self, function: Work) -> Work:
        @functools.wraps(function)
        def run(ms: float) -> None:
            start_s = time.perf_counter()
            try:
                function(ms)
            finally:
                self.add(function.__name__, start_s)

        return run

    @property
    def shares(self) -> dict[str, float]:
        """The share of each function in the time of the whole requests."""
        return {name: self.spent_s[name] / self.spent_s[WHOLE] for name in NAMES}


def spin(until: float) -> None:
    while time.perf_counter() < until:
        pass


def leaf(number: int) -> int:
    return sum(range(number % 50))


def recurse(depth: int, until: float) -> None:
    if depth:
        recurse(depth - 1, until)
    else:
        spin(until)


def work(clocks: Clocks) -> dict[str, Work]:
    """The named functions; each takes about as many ms as it is told."""

    def busy(ms: float) -> None:
        spin(time.perf_counter() + ms / 1000)

    def calls(ms: float) -> None:
        until = time.perf_counter() + ms / 1000
        number = 0
        while time.perf_counter() < until:
            number += leaf(number)

    def waits(ms: float) -> None:
        time.sleep(ms / 1000)

    def reads(ms: float) -> None:
        one, other = socket.socketpair()
        with one, other:
            one.settimeout(ms / 1000)
            with suppress(TimeoutError):
                one.recv(1)

    def recurses(ms: float) -> None:
        recurse(20, time.perf_counter() + ms / 1000)

    return {f.__name__: clocks.timed(f) for f in (busy, calls, waits, reads, recurses)}


def awaited(clocks: Clocks) -> Callable[[float], Awaitable[None]]:
    """A coroutine in the place of ``waits``."""

    async def waits(ms: float) -> None:
        start_s = time.perf_counter()
        await asyncio.sleep(ms / 1000)
        clocks.add("waits", start_s)

    return waits


class Draw:
    """How the time of a request is divided: at random, yet the same in every run."""

    def __init__(self, seed: int, total_ms: Callable[[random.Random], float]) -> None:
        self._random = random.Random(seed)
        self._total_ms = total_ms
        self._lock = threading.Lock()

    def __call__(self) -> Plan:
        with self._lock:
            total = self._total_ms(self._random)
            weights = {name: self._random.random() * (1 + i) for i, name in enumerate(NAMES)}
            order = self._random.sample(NAMES, len(NAMES))
        whole = sum(weights.values())
        return [(name, total * weights[name] / whole) for name in order]


def long_ms(chance: random.Random) -> float:
    """10 to 500 ms, most of them short: 60 ms on average."""
    return 10.0 * 50.0 ** (chance.random() ** 2.8)


def short_ms(_chance: random.Random) -> float:
    return 2.0


class Timed:
    """Times whole requests from outside, and shows them to pyinstrument as well if it is asked to.

    ``seen_s`` is what pyinstrument saw of the functions below each path, and of the whole.
    """

    def __init__(self, app: Flask, clocks: dict[str, Clocks], peer_s: float | None) -> None:
        self._app = app.wsgi_app
        self._clocks = clocks
        self._peer_s = peer_s
        self._lock = threading.Lock()
        self.seen_s: dict[str, Counter[str]] = {name: Counter() for name in clocks}

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        endpoint = environ["PATH_INFO"].split("/")[1]
        if endpoint not in self._clocks:
            return self._app(environ, start_response)
        peer = Profiler(interval=self._peer_s) if self._peer_s else None
        if peer is not None:
            peer.start()
        start_s = time.perf_counter()

        def end() -> None:
            self._clocks[endpoint].add(WHOLE, start_s)
            if peer is not None:
                self._count(self.seen_s[endpoint], peer.stop().frame_records)

        return ClosingIterator(self._app(environ, start_response), end)

    def _count(self, seen_s: Counter[str], records: list[Any]) -> None:
        with self._lock:
            for stack, spent_s in records:
                names = {identifier.split("\0")[0].split(".")[-1] for identifier in stack}
                for name in (*names.intersection(NAMES), WHOLE):
                    seen_s[name] += spent_s


def make_app(
    folder: str,
    *,
    total_ms: Callable[[random.Random], float] = long_ms,
    peer_s: float | None = None,
    **settings: Any,
) -> Flask:
    """Build the app with fmd_admin at level 3; its database lies in ``folder``."""
    app = Flask("truth", instance_path=folder)
    clocks = {name: Clocks() for name in (*KINDS, "tagged")}
    add_views(app, clocks, Draw(7, total_ms))
    settings.setdefault("monitor_level", 3)
    settings.setdefault("database", f"sqlite:///{Path(folder)}/fmd.db")
    settings |= {"username": "anna", "password": "correct horse"}
    FMDAdmin(app, settings=settings, group_by=number_of_request)
    timed = Timed(app, clocks, peer_s)
    app.wsgi_app = timed  # type: ignore[method-assign]

    @app.get("/truth")
    def truth() -> dict[str, Any]:
        """What all clocks say, and pyinstrument."""
        return {
            "clocks": {name: one.spent_s for name, one in clocks.items()},
            "peer": timed.seen_s,
        }

    return app


def number_of_request() -> str | None:
    number = (request.view_args or {}).get("number")
    return None if number is None else str(number)


def add_views(app: Flask, clocks: dict[str, Clocks], draw: Draw) -> None:
    def spend(endpoint: str) -> str:
        functions = works[endpoint]
        for name, ms in draw():
            functions[name](ms)
        return endpoint

    works = {name: work(clocks[name]) for name in clocks}
    app.add_url_rule("/plain", "plain", lambda: spend("plain"))
    part = Blueprint("part", __name__)
    part.add_url_rule("/blueprint", "blueprint", lambda: spend("blueprint"))
    app.register_blueprint(part)

    class OfClass(View):
        def dispatch_request(self) -> str:
            return spend("class")

    app.add_url_rule("/class", view_func=OfClass.as_view("class"))

    def decorator(view: Callable[[], str]) -> Callable[[], str]:
        @functools.wraps(view)
        def wrapper() -> str:
            return view()

        return wrapper

    app.add_url_rule("/decorated", "decorated", decorator(lambda: spend("decorated")))

    @app.route("/error", endpoint="error")
    def error() -> str:
        spend("error")
        raise LookupError("the view fails")

    @app.route("/stream", endpoint="stream")
    def stream() -> Response:
        def chunks() -> Iterator[str]:
            for name, ms in draw():
                works["stream"][name](ms)
                yield name

        return Response(chunks())

    waits = awaited(clocks["async"])

    async def spend_async() -> None:
        for name, ms in draw():
            if name == "waits":
                await waits(ms)
            else:
                works["async"][name](ms)

    @app.route("/async", endpoint="async")
    async def view() -> str:
        await spend_async()
        return "async"

    @app.route("/tagged/<int:number>", endpoint="tagged")
    def tagged(number: int) -> str:
        own_function(number)(lambda: spend("tagged"))
        return str(number)


def own_function(number: int) -> Callable[[Callable[[], str]], None]:
    """Make a function ``only_<number>`` that no other request calls."""
    names: dict[str, Any] = {}
    source = f"def only_{number}(function):\n    function()\n"
    exec(compile(source, __file__, "exec"), names)
    made: Callable[[Callable[[], str]], None] = names[f"only_{number}"]
    return made


def as_clocks(found: str) -> tuple[dict[str, Clocks], dict[str, Counter[str]]]:
    """Read what ``/truth`` answered: the clocks and what pyinstrument saw, by path."""
    answer = json.loads(found)
    clocks = {}
    for name, spent_s in answer["clocks"].items():
        clocks[name] = Clocks()
        clocks[name].spent_s.update(spent_s)
    return clocks, {name: Counter(seen_s) for name, seen_s in answer["peer"].items()}
