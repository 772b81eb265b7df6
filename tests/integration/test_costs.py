"""What requests, batches and pages cost, counted and not timed: a bound for each.

A bound that is reached by a change is to be understood, and raised with a reason or not at all.
What it comes to in µs and ms is measured by ``python -m benchmarks``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from flask import Response

from benchmarks import history
from benchmarks.addresses import addresses
from benchmarks.calls import call, environ
from fmd_admin import create_panel
from fmd_admin.admin.views import data_list, data_rows
from fmd_admin.read import measured, sizes
from fmd_admin.records import Batch
from fmd_admin.store import schema, visitors
from fmd_admin.store.models import db
from fmd_admin.store.rollups import merge_deltas
from fmd_admin.store.store import Store
from fmd_admin.store.writer import BatchWriter

from ..cheap_hashes import use_cheap_hashes
from ..counting import calls, counted_sql, scans
from ..support import Bound
from ..unit.admin.browser import Browser

pytestmark = pytest.mark.sqlite_only

DAYS, VERSIONS = 3, 2
FEW, MANY = 4_000, 40_000
#: Of 200, 302, 404, 400 and 500: many errors.
STATUS_WEIGHTS = (560, 40, 120, 140, 140)
#: Outliers and profiles of both.
DETAILS = 16
#: Tables that grow with requests or time; no page reads one of them whole.
BIG = (
    *("fmd_request", "fmd_hour", "fmd_status", "fmd_day", "fmd_day_status", "fmd_visitor_day"),
    *("fmd_graph_value", "fmd_graph_quarter", "fmd_outlier", "fmd_profile"),
)


def filled(folder: Path, requests: int) -> tuple[Store, Browser]:
    """A store with a history, and a browser that is logged in to a panel on it."""
    database = f"sqlite:///{folder}/{requests}.db"
    store = history.open_store(database)
    schema.migrate(store)
    world = history.World(endpoint_count=6, user_count=300, client_count=900)
    # Lists of errors are longer than what is counted in both.
    world.status_weights = STATUS_WEIGHTS
    world.outlier_every = world.profile_every = requests // DETAILS
    now_ms = time.time_ns() // 1_000_000
    history.Filler(store, world, VERSIONS).fill(requests, now_ms, DAYS)
    store.close()
    settings = {"database": database, "timezone": history.ZONE, **history.KEEP_ALL}
    app = create_panel(settings={**settings, "username": "anna", "password": "correct horse"})
    browser = Browser(app, prefix="")
    assert browser.login("anna").status_code == 303
    return app.extensions["fmd_standalone"].store, browser


class Histories:
    """The same pages on a few and on ten times as many requests of the same endpoints and hours."""

    def __init__(self, folder: Path) -> None:
        self.few, self.few_browser = filled(folder, FEW)
        self.many, self.many_browser = filled(folder, MANY)
        ranges = {"of 3 days": {"range": "7d"}}
        self.pages = list(
            zip(addresses(self.few, ranges), addresses(self.many, ranges), strict=True)
        )

    def close(self) -> None:
        self.few.close()
        self.many.close()


@pytest.fixture(scope="module")
def histories(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Histories]:
    patch = pytest.MonkeyPatch()
    use_cheap_hashes(patch)
    made = Histories(tmp_path_factory.mktemp("histories"))
    try:
        yield made
    finally:
        made.close()
        patch.undo()


#: Statements of a page; the session, the settings and the account take two of each.
STATEMENTS = 18
#: The System page asks each table for its rows as well.
STATEMENTS_OF_SYSTEM = 20 + len(db.metadata.tables)
#: The overview's table is of the range and of the one before, and has badges of outliers and of
#: exceptions: two statements each, which may be of days, of hours or of both.
STATEMENTS_OF_OVERVIEW = 22
STATEMENTS_OF = {
    "/overview of 3 days": STATEMENTS_OF_OVERVIEW,
    "/overview/data.json of 3 days": STATEMENTS_OF_OVERVIEW,
    "/system": STATEMENTS_OF_SYSTEM,
    "/system/data.json": STATEMENTS_OF_SYSTEM,
}
#: Pages that count the rows of every table, up to a limit: they begin to go through it.
COUNT_UP_TO_A_LIMIT = ("/system", "/system/data.json")


def test_a_page_runs_few_statements_and_reads_no_big_table_whole(histories: Histories) -> None:
    wrong = []
    for _, page in histories.pages:
        histories.many_browser.get(page.path)
        with counted_sql(histories.many.engine) as sql:
            assert histories.many_browser.get(page.path).status_code == 200, page
        bound = STATEMENTS_OF.get(page.name, STATEMENTS)
        if not 1 <= sql.count <= bound:
            wrong.append(f"{page.name}: {sql.count} statements, at most {bound}")
        if page.name not in COUNT_UP_TO_A_LIMIT:
            wrong += [f"{page.name}: {plan}" for plan in scans(histories.many.engine, sql, BIG)]
    assert not wrong, "\n".join(wrong)


#: How much more SQLite may do for a page where there are ten times the requests, and what it may
#: do anyway: some hours have no request of an endpoint where there are few.
GROWTH, STEPS = 1.3, 1_500
#: What pages count and look through at most, so small that both stores have more.
MOST = 300


def test_pages_read_no_more_where_there_are_ten_times_the_requests(
    histories: Histories, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sizes, "_COUNTED", MOST)
    for module in (data_rows, data_list, measured):
        monkeypatch.setattr(module, "COUNTED", MOST)
    wrong = []
    for few, many in histories.pages:
        with counted_sql(histories.few.engine) as of_few:
            assert histories.few_browser.get(few.path).status_code == 200
        with counted_sql(histories.many.engine) as of_many:
            assert histories.many_browser.get(many.path).status_code == 200
        if of_many.steps > GROWTH * of_few.steps + STEPS:
            wrong.append(f"{many.name}: {of_many.steps} instead of {of_few.steps} steps")
    assert not wrong, "\n".join(wrong)


#: Calls of our functions, and of C from these, for a request at each level: what a request costs
#: in its thread. Nearly all have an answer that is all there; the others end when it is closed.
CALLS = {0: 14, 1: 26, 2: 33, 3: 37}
CALLS_OF_A_STREAM = {0: 21, 1: 51, 2: 61, 3: 65}


@pytest.mark.parametrize("level", CALLS)
def test_calls_of_a_request(bind: Callable[..., Bound], level: int) -> None:
    bound = bind(monitor_level=level)
    bound.app.add_url_rule("/", "index", lambda: "hello")
    bound.app.add_url_rule("/stream", "stream", lambda: Response(iter((b"hello",))))
    for path, bounds in (("/", CALLS), ("/stream", CALLS_OF_A_STREAM)):
        # The first ones open the spool, start threads and fill caches. At level 3 those that end
        # while a look is due are noted for it: there are enough for some in between.
        found = [calls(partial(call, bound.app, [environ(path)])) for _ in range(300)][3:]
        least = min(found, key=lambda one: one.total())
        assert 1 <= least.total() <= bounds[level], (path, least)


#: Statements of a batch whose names are known, of a merge, and of putting users into their days;
#: and the instructions of SQLite for each, of 1,000 requests: 41 for one of them in its batch. Many
#: rows in one statement take six more than one by one, and half of the time.
BATCH, MERGE, VISITORS = (5, 45_000), (12, 5_000), (10, 1_000)


def test_statements_of_a_batch_and_its_merge(store: Store) -> None:
    writer = BatchWriter(store, lambda: 1)
    world = history.World(endpoint_count=6, user_count=300, client_count=900)
    # All in one hour.
    hour_ms = time.time_ns() // 1_000_000 // 3_600_000 * 3_600_000
    rows = world.rows(1_000, hour_ms, hour_ms + 600_000)
    found = []
    for sequence in (1, 2):
        with counted_sql(store.engine) as batch:
            writer.write(Batch("w", sequence, "1.0", rows))
        with counted_sql(store.engine) as merge, store.write() as connection:
            assert merge_deltas(connection, store.timezone)
        with counted_sql(store.engine) as kept:
            assert visitors.tend(store, lambda _connection: None, at=1) == len(rows)
        found = [batch, merge, kept]
    for sql, (count, steps) in zip(found, (BATCH, MERGE, VISITORS), strict=True):
        assert 1 <= sql.count <= count, sql.statements
        assert sql.steps <= steps
