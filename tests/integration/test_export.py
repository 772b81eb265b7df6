"""CSV from a panel with 300,000 requests: complete, exact, harmless, at once, in little memory."""

from __future__ import annotations

import csv
import io
import random
import re
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import pytest

from fmd_admin.read import overview
from fmd_admin.read.performance import Performance
from fmd_admin.records import Batch, Row
from fmd_admin.store import schema
from fmd_admin.store.rollups import merge_deltas
from fmd_admin.store.store import Store
from fmd_admin.store.types import METHODS
from fmd_admin.store.writer import BatchWriter

from ..support import new_store
from .panel_session import PanelSession
from .servers import Server, gunicorn

pytestmark = pytest.mark.server

REQUESTS = 300_000
BATCH = 5_000
DAYS = 20
DAY_MS = 24 * 3_600_000
VERSIONS = ("1.0", "1.1", "2.0")
#: Endpoint, weight among all, median in ms.
ENDPOINTS = [
    ("shop.index", 20, 4.0),
    ("shop.item", 30, 9.0),
    ("shop.search", 12, 35.0),
    ("basket.add", 10, 6.0),
    ("basket.pay", 4, 120.0),
    ("api.v1.orders", 14, 15.0),
    ("api.v1.stock", 8, 2.5),
    ("report.monthly", 1, 900.0),
    ("static", 1, 0.6),
]
STATUSES = ([200] * 90) + ([302] * 4) + ([404] * 4) + [500, 503]
#: What a spreadsheet would take for a formula, as endpoint, group and client of some requests.
FORMULAS = ('=HYPERLINK("http://x","y")', "+1+1", "-1+1", "@SUM(A1)", "\t=1+1", "\r=1+1", "=a.view")
FORMULA_VERSION = "=2.0"
START_S = 1.0
GROWTH_BYTES = 20 * 1024 * 1024
APP = """
from flask import Flask
from fmd_admin import FMDAdmin

app = Flask("big", instance_path={folder!r})
FMDAdmin(app, settings={{"database": "sqlite:///{folder}/fmd.db", "app_version": "2.0",
    "username": "anna", "password": "correct horse"}})
"""
ROWS = """
select r.time, e.name, r.method, r.status, r.duration_ms, v.name, g.name, c.name
from fmd_request r join fmd_endpoint e on e.id = r.endpoint_id
join fmd_version v on v.id = r.version_id
left join fmd_group g on g.id = r.group_id left join fmd_client c on c.id = r.client_id
where {where} order by r.time desc, r.id desc
"""


def measured(now_ms: int) -> Iterator[Row]:
    """REQUESTS requests of the last DAYS days, the oldest first."""
    chance = random.Random(300)
    names, weights, medians = zip(*ENDPOINTS, strict=True)
    median_of = dict(zip(names, medians, strict=True))
    chosen = chance.choices(names, weights, k=REQUESTS)
    step_ms = DAYS * DAY_MS / REQUESTS
    for number, endpoint in enumerate(chosen):
        yield Row(
            time_ms=int(now_ms - DAYS * DAY_MS + number * step_ms),
            endpoint=endpoint,
            duration_ms=median_of[endpoint] * chance.lognormvariate(0, 0.5),
            status=chance.choice(STATUSES),
            method="POST" if endpoint.startswith("basket.") else "GET",
            group=f"user {chance.randrange(200)}" if chance.random() < 0.7 else None,
            ip=f"192.0.2.{chance.randrange(250)}",
        )


def formulas(now_ms: int) -> list[Row]:
    return [
        Row(now_ms - DAY_MS + number, name, 5.0 + number, 200, "GET", name, name)
        for number, name in enumerate(FORMULAS)
        for _ in range(3)
    ]


def fill(store: Store) -> None:
    """Write everything as the flusher would, and merge it into the rollups."""
    writer = BatchWriter(store, lambda: 1)
    now_ms = time.time_ns() // 1_000_000
    rows = list(measured(now_ms))
    for sequence, start in enumerate(range(0, REQUESTS, BATCH), 1):
        version = VERSIONS[start * len(VERSIONS) // REQUESTS]
        writer.write(Batch("one", sequence, version, rows[start : start + BATCH]))
    writer.write(Batch("one", sequence + 1, FORMULA_VERSION, formulas(now_ms)))
    merged = 1
    while merged:
        with store.write() as connection:
            merged = merge_deltas(connection, store.timezone)


@dataclass
class Big:
    """The served panel, somebody who is logged in, and the database behind it."""

    server: Server
    anna: PanelSession
    database: Path

    def select(self, where: str = "1", *values: object) -> list[tuple[Any, ...]]:
        connection = sqlite3.connect(self.database)
        try:
            return connection.execute(ROWS.format(where=where), values).fetchall()
        finally:
            connection.close()

    def csv(self, path: str) -> list[list[str]]:
        answer = self.anna.get(path)
        assert answer.status == 200, answer.text
        assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
        return parsed(answer.body)

    def worker(self) -> psutil.Process:
        (worker,) = psutil.Process(self.server.process.pid).children()
        return worker


def parsed(body: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(body.decode(), newline=""), strict=True))


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Big]:
    folder = tmp_path_factory.mktemp("big")
    (folder / "big.py").write_text(APP.format(folder=str(folder)))
    store = new_store(folder)
    schema.migrate(store)
    fill(store)
    store.close()
    with gunicorn("big:app", folder, "-w", "1", "-k", "gthread", "--threads", "4") as server:
        yield Big(server, PanelSession(server.port).log_in(), folder / "fmd.db")
        assert "Traceback" not in server.log
        assert "ERROR" not in server.log


def harmless(text: str | None) -> str:
    """A name as a cell holds it."""
    if text is None:
        return ""
    return "'" + text if text[0] in "=+-@\t\r" else text


def as_exported(row: tuple[Any, ...]) -> list[str]:
    """A row of ROWS as the file holds it; the duration apart."""
    time_ms, endpoint, method, status, _, version, group, client = row
    moment = datetime.fromtimestamp(time_ms / 1000, timezone.utc)
    return [
        moment.isoformat(timespec="milliseconds"),
        harmless(endpoint),
        METHODS[method],
        str(status),
        harmless(version),
        harmless(group),
        harmless(client),
    ]


def check_rows(exported: list[list[str]], stored: list[tuple[Any, ...]]) -> None:
    """The file holds exactly the stored rows, in their order."""
    assert len(exported) == len(stored) + 1
    header = "Time,Endpoint,Method,Status,Duration (ms),Version,Group,Client"
    assert exported[0] == header.split(",")
    for cells, row in zip(exported[1:], stored, strict=True):
        duration_ms = float(cells.pop(4))
        assert cells == as_exported(row)
        assert abs(duration_ms - row[4]) <= 1e-6


@pytest.mark.parametrize(
    ("query", "where"),
    [
        ("endpoint=shop.item&status=404", "e.name = 'shop.item' and r.status = 404"),
        ("version=1.1&version=2.0&status=5xx", "v.name in ('1.1', '2.0') and r.status >= 500"),
        ("method=POST&min_ms=250", f"r.method = {METHODS.index('POST')} and duration_ms >= 250"),
        ("group=user+7&search=API", "g.name = 'user 7' and e.name like '%api%'"),
        (
            "ip=192.0.2.7&status=302,404&page=3&sort=status",
            "c.name = '192.0.2.7' and r.status in (302, 404)",
        ),
        ("endpoint=nobody.asked", "0"),
    ],
)
def test_filtered_requests(big: Big, query: str, where: str) -> None:
    stored = big.select(where)
    assert len(stored) < REQUESTS / 2
    assert stored or where == "0"
    check_rows(big.csv(f"/data/requests/data.csv?range=30d&{query}"), stored)


def test_a_range_in_minutes(big: Big) -> None:
    middle_ms = time.time_ns() // 1_000_000 - 10 * DAY_MS
    start_ms = middle_ms // 60_000 * 60_000
    end_ms = start_ms + 95 * 60_000
    words = [
        datetime.fromtimestamp(ms / 1000, timezone.utc).strftime("%Y-%m-%dT%H:%M")
        for ms in (start_ms, end_ms)
    ]
    stored = big.select("r.time >= ? and r.time < ?", start_ms, end_ms)
    assert stored
    query = f"range=custom&from={words[0]}&to={words[1]}"
    check_rows(big.csv(f"/data/requests/data.csv?{query}"), stored)


def test_a_filter_that_is_not_understood_gives_no_file(big: Big) -> None:
    for query in ("status=fast", "range=fortnight", "range=custom&from=soon"):
        answer = big.anna.get(f"/data/requests/data.csv?{query}")
        assert answer.status == 400, query
        assert "text/csv" not in answer.headers["Content-Type"]


def test_the_export_of_everything_starts_at_once(big: Big) -> None:
    """Its first row, that is: the header would come at once in any case."""
    times_s = []
    for _ in range(3):
        start = time.monotonic()
        with big.anna.open("/data/requests/data.csv?range=30d") as response:
            assert response.status == 200
            assert response.readline().startswith(b"Time,")
            assert response.readline().endswith(b"\r\n")
            times_s.append(time.monotonic() - start)
    assert min(times_s) < START_S, times_s


def test_all_requests_in_little_memory(big: Big) -> None:
    """Every stored row is there, and the process that sends them does not grow with them."""
    big.csv("/data/requests/data.csv?range=30d&endpoint=report.monthly")
    worker = big.worker()
    before = highest = worker.memory_info().rss
    pieces = []
    with big.anna.open("/data/requests/data.csv?range=30d") as response:
        while piece := response.read(256 * 1024):
            pieces.append(piece)
            highest = max(highest, worker.memory_info().rss)
    assert len(pieces) > 50
    check_rows(parsed(b"".join(pieces)), big.select())
    assert highest - before < GROWTH_BYTES, f"{(highest - before) / 2**20:.1f} MiB"


def test_overview_is_what_its_json_says(big: Big) -> None:
    keys = [column.key for column in overview.COLUMNS]
    for query in ("range=7d", "range=30d&version=1.1&q=api&sort=p95_ms&desc=0"):
        around, exported = read_between(big, "overview", query)
        assert exported[0] == [column.label for column in overview.COLUMNS]
        assert exported[1:] in [
            [[as_cell(row[key]) for key in keys] for row in found["rows"]] for found in around
        ]
        assert len(exported) > 2


def test_charts_are_what_their_json_says(big: Big) -> None:
    endpoint = big.anna.get("/overview/data.json?q=shop.item").json["rows"][0]
    paths = ("hourly-utilization", f"endpoint/{endpoint['id']}/hourly-utilization")
    for query in ("range=7d", "range=30d&version=1.0&version=2.0"):
        for path in paths:
            around, exported = read_between(big, path, query)
            assert exported[0] == ["Day", *(f"{hour:02}:00" for hour in range(24))]
            assert exported[1:] in [hourly_rows(found) for found in around]
            assert around[0]["total"] > 0

        around, exported = read_between(big, "daily-utilization", query)
        assert exported[0][:2] == ["Day", "All"]
        assert exported in [daily_rows(found) for found in around]

        around, exported = read_between(big, "api-performance", query)
        columns = Performance([]).table().columns
        keys = ["name", *(column.key for column in columns[1:])]
        assert exported[0] == [column.label for column in columns]
        assert exported[1:] in [
            [[as_cell(box[key]) for key in keys] for box in found["boxes"]] for found in around
        ]
        assert len(exported) > 5


def read_between(big: Big, path: str, query: str) -> tuple[list[Any], list[list[str]]]:
    """The JSON before and after the CSV was read: an hour may begin in between."""
    before = big.anna.get(f"/{path}/data.json?{query}").json
    exported = big.csv(f"/{path}/data.csv?{query}")
    return [before, big.anna.get(f"/{path}/data.json?{query}").json], exported


def as_cell(value: Any) -> str:
    """A value of the JSON as the file holds it."""
    if value is None:
        return ""
    if isinstance(value, float):
        return str(round(value, 6))
    if isinstance(value, str) and value[4:5] == "-" and "T" in value:
        return datetime.fromisoformat(value).isoformat(timespec="milliseconds")
    return harmless(value) if isinstance(value, str) else str(value)


def hourly_rows(found: Any) -> list[list[str]]:
    days = zip(found["days"], found["hits"], strict=True)
    return [[day, *(as_cell(hits) for hits in row)] for day, row in days]


def daily_rows(found: Any) -> list[list[str]]:
    names = [harmless(series["name"]) for series in found["series"]]
    rows = [["Day", "All", *names]]
    for number, day in enumerate(found["days"]):
        hits = [series["hits"][number] for series in found["series"]]
        rows.append([day, str(sum(hits)), *map(str, hits)])
    return rows


def test_formulas_are_harmless(big: Big) -> None:
    query = f"range=7d&version={quote(FORMULA_VERSION)}"
    wanted = {"'" + name for name in FORMULAS}
    found = big.csv(f"/data/requests/data.csv?{query}")
    assert len(found) == 3 * len(FORMULAS) + 1
    for column in (1, 6, 7):
        assert {row[column] for row in found[1:]} == wanted
    assert {row[5] for row in found[1:]} == {"'" + FORMULA_VERSION}
    files = {
        "requests": found,
        "overview": big.csv(f"/overview/data.csv?{query}"),
        "daily": big.csv(f"/daily-utilization/data.csv?{query}"),
        "performance": big.csv(f"/api-performance/data.csv?{query}"),
        "endpoints": big.csv("/data/endpoints/data.csv"),
    }
    for name, rows in files.items():
        cells = [cell for row in rows for cell in row]
        assert wanted <= set(cells), name
        assert [cell for cell in cells if cell[:1] in set("=+-@\t\r")] == [], name
    assert "'=a" in [row[1] for row in files["overview"]], "a blueprint's name is a formula too"
    assert "'" + FORMULA_VERSION in [row[0] for row in big.csv("/data/versions/data.csv")]


def test_file_names_are_harmless(big: Big) -> None:
    for row in big.anna.get("/overview/data.json?q=1").json["rows"]:
        answer = big.anna.get(f"/endpoint/{row['id']}/hourly-utilization/data.csv")
        assert re.fullmatch(
            r'attachment; filename="hourly-utilization-[\w.-]+\.csv"',
            answer.headers["Content-Disposition"],
        )
