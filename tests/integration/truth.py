"""A host app whose functions know by their own clocks what share of the time each of them takes."""

from __future__ import annotations

import functools
import random
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress

#: The functions whose shares are compared; none of them runs inside another.
NAMES = ("busy", "calls", "waits", "reads", "recurses")


class Clocks:
    """Adds up the wall time of functions, in the functions' own threads."""

    def __init__(self) -> None:
        self.spent_s: dict[str, float] = dict.fromkeys(NAMES, 0.0)
        self._lock = threading.Lock()

    def timed(self, function: Callable[[float], None]) -> Callable[[float], None]:
        @functools.wraps(function)
        def run(ms: float) -> None:
            start = time.perf_counter()
            try:
                function(ms)
            finally:
                spent = time.perf_counter() - start
                with self._lock:
                    self.spent_s[function.__name__] += spent

        return run


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


def work(clocks: Clocks) -> dict[str, Callable[[float], None]]:
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


class Draw:
    """How the time of a request is divided: at random, yet the same in every run."""

    def __init__(self, seed: int, total_ms: Callable[[random.Random], float]) -> None:
        self._random = random.Random(seed)
        self._total_ms = total_ms
        self._lock = threading.Lock()

    def __call__(self) -> list[tuple[str, float]]:
        with self._lock:
            total = self._total_ms(self._random)
            weights = {name: self._random.random() * (1 + i) for i, name in enumerate(NAMES)}
            order = self._random.sample(NAMES, len(NAMES))
        whole = sum(weights.values())
        return [(name, total * weights[name] / whole) for name in order]
