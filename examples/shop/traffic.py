"""Sends real HTTP requests to the shop, as several people at once, in a process of its own.

    python -m examples.shop.traffic http://127.0.0.1:5000 --seconds 60

Every request carries the present time, so that a day's rhythm would take a day. It is squeezed:
a "day" takes --day-s seconds (240), with few requests in its night and many in its evening.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from .client import Browser, Tally
from .database import api_token
from .goods import CUSTOMERS
from .journeys import CUSTOMER, ROBOT, STAFF, VISITOR, Journey, Person, next_journey, tour

#: How busy each hour of a day is, from midnight on; 1 is the busiest.
RHYTHM = (
    *(0.15, 0.10, 0.08, 0.06, 0.06, 0.10, 0.20, 0.35, 0.55, 0.65, 0.70, 0.75),
    *(0.85, 0.75, 0.65, 0.60, 0.65, 0.75, 0.90, 1.00, 1.00, 0.80, 0.50, 0.30),
)
#: The demo begins at this hour of the squeezed day, when the shop is busy.
FIRST_HOUR = 9.0
VISITORS = 4
SAVE_EVERY_S = 2.0


def busyness(elapsed_s: float, day_s: float) -> float:
    """How busy the shop is after ``elapsed_s`` seconds, 0.06 to 1."""
    hour = (FIRST_HOUR + elapsed_s / day_s * 24) % 24
    before = int(hour)
    share = hour - before
    return RHYTHM[before] * (1 - share) + RHYTHM[(before + 1) % 24] * share


class Traffic:
    """All people and their threads. ``peak_rate`` is requests a second at the busiest hour."""

    def __init__(self, base_url: str, *, peak_rate: float, day_s: float, seed: int = 1) -> None:
        self.tally = Tally()
        self.stopping = threading.Event()
        self._day_s = day_s
        self._started = time.monotonic()
        crowd = [(name, is_staff) for name, is_staff in CUSTOMERS] + [("", False)] * (VISITORS + 1)
        self._pause_s = len(crowd) / peak_rate
        self._threads = []
        for index, (name, is_staff) in enumerate(crowd):
            address = f"203.0.113.{index + 10}"
            browser = Browser(base_url, address, self.tally)
            program = Browser(base_url, address, self.tally, token=api_token(name or "anna"))
            person = Person(name, is_staff, browser, program, random.Random(seed * 100 + index))
            is_robot = index == len(crowd) - 1
            choices = ROBOT if is_robot else STAFF if is_staff else CUSTOMER if name else VISITOR
            self._threads.append(threading.Thread(target=self._live, args=(person, choices)))

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let everybody finish the request they are at."""
        self.stopping.set()
        for thread in self._threads:
            thread.join()

    def _live(self, person: Person, choices: dict[Journey, int]) -> None:
        if person.is_staff:
            # So that the panel shows every route soon.
            for _ in tour(person):
                if self.stopping.wait(0.1):
                    return
        while not self.stopping.is_set():
            for _ in next_journey(person, choices):
                if self.stopping.wait(self._pause(person.dice)):
                    return
            if self.stopping.wait(self._pause(person.dice)):
                return

    def _pause(self, dice: random.Random) -> float:
        mean_s = self._pause_s / busyness(time.monotonic() - self._started, self._day_s)
        # Nobody thinks so long that the night of a short day would pass unseen.
        return min(dice.expovariate(1 / mean_s), 20.0)


def main(argv: Sequence[str] | None = None) -> int:
    """Run until told to stop, until --seconds are over, or until the parent process is gone."""
    parser = argparse.ArgumentParser(prog="python -m examples.shop.traffic", description=__doc__)
    parser.add_argument("url", help="where the shop is, such as http://127.0.0.1:5000")
    parser.add_argument("--peak-rate", type=float, default=14.0, help="requests a second (14)")
    parser.add_argument("--day-s", type=float, default=240.0, help="seconds of a day (240)")
    parser.add_argument("--seconds", type=float, help="stop after so many seconds")
    parser.add_argument("--tally", type=Path, help="write what was sent to this JSON file")
    options = parser.parse_args(argv)

    traffic = Traffic(options.url, peak_rate=options.peak_rate, day_s=options.day_s)
    told = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: told.set())
    parent = os.getppid()
    end = None if options.seconds is None else time.monotonic() + options.seconds
    traffic.start()
    while not told.wait(0.25 if end is not None else SAVE_EVERY_S):
        if options.tally is not None:
            traffic.tally.save(options.tally)
        if os.getppid() != parent or (end is not None and time.monotonic() >= end):
            break
    traffic.stop()
    if options.tally is not None:
        traffic.tally.save(options.tally)
    print(f"{traffic.tally.total()} requests answered, {traffic.tally.unanswered} not", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
