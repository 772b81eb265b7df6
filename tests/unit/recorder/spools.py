"""Spools in a folder of a test, with a small ring, and records of all kinds for them."""

from __future__ import annotations

import random
from pathlib import Path

from fmd_admin.recorder import spool_file
from fmd_admin.recorder.left_overs import LeftOver, SpoolFolder
from fmd_admin.recorder.spool import Spool
from fmd_admin.records import Detail, RequestRecord

NAME = "db"
CLOCK_NS = 1_700_000_000_000_000_000


class Seen:
    """A detail that is only carried."""

    weight = 3

    def add_to(self, *_args: object) -> None:
        raise AssertionError


def open_spool(folder: Path, capacity: int = 1 << 16, in_memory: int = 0) -> Spool:
    path = folder / f"{NAME}-w1.spool"
    return spool_file.create(path, "w1", "1.0", capacity, lambda ip: ip, in_memory)


def record(
    number: int,
    endpoint: str = "shop.page",
    ticket: int = 0,
    *,
    status: str = "200 OK",
    group: str | None = "anna",
    ip: str | None = None,
    detail: Detail | None = None,
) -> RequestRecord:
    texts = (endpoint, "GET", status, group, ip)
    return (texts, 1_000 * number, 1_000 * number + 500, detail, ticket)


def any_record(chance: random.Random, number: int) -> RequestRecord:
    """A record of any length, with and without group and address."""
    endpoint = "é" * chance.choice([1, 3, 20, 100, 255])
    group = chance.choice([None, "", "anna", "x" * 255])
    ip = chance.choice([None, "192.0.2.1", "2001:db8::1"])
    detail = chance.choice([None, Seen()])
    return record(number, endpoint, status="404 NOT FOUND", group=group, ip=ip, detail=detail)


def left_overs(folder: Path) -> list[LeftOver]:
    """What a process that starts now would take over; nothing may be unusable."""

    def unusable() -> None:
        raise AssertionError("a spool could not be read")

    return list(SpoolFolder(folder, NAME, 1).left_overs(unusable))


def numbers_left(folder: Path) -> list[int]:
    """Numbers of the records in the only left-over."""
    [found] = left_overs(folder)
    return [number for number, _record in found.records()]
