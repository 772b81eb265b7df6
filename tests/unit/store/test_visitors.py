from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import BigInteger, Connection, delete, func, select, type_coerce, update

from fmd_admin.errors import StoreError
from fmd_admin.records import Batch, Row
from fmd_admin.store import (
    histogram,
    schema,
    visitor_deltas,
    visitor_parts,
    visitor_weeks,
    visitors,
)
from fmd_admin.store.calendar import Calendar
from fmd_admin.store.live import delete_endpoints, delete_versions
from fmd_admin.store.models import Endpoint, Request, Version
from fmd_admin.store.rollups import rebuild
from fmd_admin.store.store import Store
from fmd_admin.store.types import to_millis
from fmd_admin.store.visitor_models import WEEK, Kind, VisitorDay, VisitorDelta
from fmd_admin.store.visitor_parts import OTHER, Part, encode, entry_of, histograms_of
from fmd_admin.store.writer import BatchWriter

from ...prepared import EmptyDatabase
from ...support import new_store

HOUR_MS = 3_600_000
ZONES = ("UTC", "Europe/Amsterdam", "Asia/Kolkata", "America/Havana", "Australia/Lord_Howe")
#: Around this moment Amsterdam, Havana (a week later) and Lord Howe move their clocks.
START_MS = to_millis(datetime(2026, 10, 24, 12, tzinfo=timezone.utc))
LATER_MS = START_MS + 40 * 24 * HOUR_MS
ENDPOINTS = ("shop.index", "shop.item", "login")

MakeStore = Callable[..., Store]


@pytest.fixture
def make_store(tmp_path: Path, empty_database: EmptyDatabase) -> Iterator[MakeStore]:
    made: list[Store] = []

    def make(zone: str = "UTC") -> Store:
        empty_database.copy_to(tmp_path)
        store = new_store(tmp_path, timezone=zone)
        schema.migrate(store)
        made.append(store)
        return store

    yield make
    for store in made:
        store.close()


class Feeder:
    """Writes batches of visitors with a heavy tail; some requests have no group, or no client."""

    def __init__(self, store: Store, seed: int = 1, visitors: int = 60) -> None:
        self._rnd = random.Random(seed)
        self._seed = seed
        self._visitors = visitors
        self._writers = {version: BatchWriter(store, lambda: 1) for version in ("1.0", "2.0")}
        self._sequence = 0

    def write(self, rows: int, *, days: float = 5, endpoint: str | None = None) -> None:
        rnd = self._rnd
        self._sequence += 1
        version = rnd.choice(list(self._writers))
        batch = Batch(
            writer=f"{self._seed}-{version}",
            sequence=self._sequence,
            version=version,
            rows=[
                Row(
                    time_ms=START_MS + rnd.randrange(int(days * 24 * HOUR_MS)),
                    endpoint=endpoint or rnd.choice(ENDPOINTS),
                    duration_ms=rnd.lognormvariate(3, 1),
                    status=200,
                    method="GET",
                    group=self._name("user") if rnd.random() < 0.8 else None,
                    ip=self._name("192.0.2.") if rnd.random() < 0.9 else None,
                )
                for _ in range(rows)
            ],
        )
        self._writers[version].write(batch)

    def _name(self, stem: str) -> str:
        return f"{stem}{int(self._visitors * self._rnd.random() ** 3)}"


def merge(store: Store, at: int = 1, fence: Callable[[Connection], None] = bool) -> int:
    return visitors.tend(store, fence, at=at)


def waiting(store: Store) -> visitors.Waiting:
    with store.read() as connection:
        return visitors.waiting(connection)


def sum_days(store: Store) -> None:
    with store.write() as connection:
        for cell in visitors.unsummed(connection, LATER_MS):
            visitors.sum_endpoints(connection, cell)


def local_day(time_ms: int, zone: ZoneInfo) -> object:
    return datetime.fromtimestamp(time_ms / 1000, zone).date()


def naive(store: Store, *, by_endpoint: bool = True) -> dict[Any, Any]:
    """Visitors of each day as anybody would compute them from the raw rows."""
    query = select(
        type_coerce(Request.time, BigInteger),
        Request.endpoint_id,
        Request.version_id,
        Request.group_id,
        Request.client_id,
        Request.duration_ms,
    )
    found: dict[Any, list[float]] = {}
    with store.read() as connection:
        for (
            time_ms,
            endpoint_id,
            version_id,
            group_id,
            client_id,
            duration_ms,
        ) in connection.execute(query):
            day = local_day(time_ms, store.timezone)
            endpoint = endpoint_id if by_endpoint else None
            for kind, id in ((Kind.GROUP, group_id), (Kind.CLIENT, client_id)):
                if id is not None:
                    found.setdefault((kind, day, endpoint, version_id, id), []).append(duration_ms)
    return {key: figures(durations, key[0]) for key, durations in found.items()}


def figures(durations: list[float], kind: Kind) -> tuple[Any, ...]:
    total = pytest.approx(sum(durations), rel=1e-6)
    if kind == Kind.CLIENT:
        return (len(durations), total)
    counts: dict[int, int] = {}
    for duration_ms in durations:
        number = histogram.bucket(round(duration_ms * 1e6) / 1e6)
        counts[number] = counts.get(number, 0) + 1
    extremes = [pytest.approx(x, abs=1e-6) for x in (min(durations), max(durations))]
    return (len(durations), total, *extremes, dict(sorted(counts.items())))


def stored(store: Store, *, by_endpoint: bool = True) -> dict[Any, Any]:
    """Visitors of each day as the rows hold them."""
    summed = VisitorDay.endpoint_id.is_(None)
    with store.read() as connection:
        rows = connection.execute(
            select(
                VisitorDay.kind,
                visitors.day_column,
                VisitorDay.endpoint_id,
                VisitorDay.version_id,
                VisitorDay.hits,
                VisitorDay.histogram,
                VisitorDay.figures,
                VisitorDay.shapes,
            ).where(VisitorDay.kind.in_(tuple(Kind)), ~summed if by_endpoint else summed)
        ).all()
    found = {}
    for kind, day, endpoint_id, version_id, hits, all_of_them, data, shapes in rows:
        entries = Part(data).entries(shapes)
        assert hits == sum(histogram.counts(all_of_them).values())
        if kind == Kind.GROUP:
            parts = histograms_of(entries.values())
            assert histogram.counts(all_of_them) == histogram.add(parts)
        assert hits == sum(entry[0] for entry in entries.values())
        for id, entry in entries.items():
            key = (Kind(kind), local_day(day, store.timezone), endpoint_id, version_id, id)
            assert key not in found
            found[key] = (entry[0], entry[1] / 1e6)
            if kind == Kind.GROUP:
                shape = (entry[2] / 1e6, entry[3] / 1e6)
                (shown,) = histograms_of([entry])
                found[key] += (*shape, histogram.counts(shown))  # type: ignore[assignment]
    return found


def check(store: Store) -> None:
    """Hold every day against the raw rows, by endpoint and over all of them."""
    assert stored(store) == naive(store)
    sum_days(store)
    assert stored(store, by_endpoint=False) == naive(store, by_endpoint=False)


def count(store: Store, table: Any) -> int:
    with store.read() as connection:
        return connection.scalar(select(func.count()).select_from(table)) or 0


@pytest.mark.parametrize("zone", ZONES)
def test_merged_days_are_those_of_the_raw_rows(make_store: MakeStore, zone: str) -> None:
    store = make_store(zone)
    feeder = Feeder(store)
    for _ in range(8):
        feeder.write(80, days=9)
        merge(store)
    assert count(store, VisitorDelta) == 0
    check(store)


def test_requests_wait_until_there_are_many(make_store: MakeStore) -> None:
    store = make_store()
    feeder = Feeder(store)
    for _ in range(3):
        feeder.write(50)
    assert merge(store, at=200) == 0
    assert (count(store, VisitorDelta), count(store, VisitorDay)) == (3, 0)
    feeder.write(60)
    found = waiting(store)
    assert found.small_rows == 4
    assert 190 < found.requests <= 210
    assert merge(store, at=found.requests) == found.requests
    check(store)


def test_few_requests_do_not_wait_for_ever(make_store: MakeStore) -> None:
    store = make_store()
    feeder = Feeder(store)
    feeder.write(20, days=1)
    found = waiting(store).requests
    assert visitors.tend_old(store, bool, START_MS + 13 * HOUR_MS) == 0
    assert count(store, VisitorDay) == 0
    assert visitors.tend_old(store, bool, LATER_MS) == found
    assert visitors.tend_old(store, bool, LATER_MS) == 0
    check(store)


def test_many_rows_are_put_together(make_store: MakeStore) -> None:
    store = make_store("Europe/Amsterdam")
    feeder = Feeder(store)
    for _ in range(30):
        feeder.write(5)
    before = waiting(store)
    assert before.small_rows == 30
    assert visitors.tend(store, bool, at=1000, join_at=30) == 0
    assert waiting(store) == visitors.Waiting(before.requests, 2)
    merge(store)
    check(store)


def test_full_rows_are_left_alone(make_store: MakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visitors, "FULL_ROW", 40)
    store = make_store()
    feeder = Feeder(store)
    for rows in (90, 90, 5, 5, 5, 5):
        feeder.write(rows)
    visitors.tend(store, bool, at=1000, join_at=4)
    assert waiting(store).small_rows <= 2
    assert count(store, VisitorDelta) <= 4
    merge(store)
    check(store)


def test_more_than_one_transaction_merges(
    make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visitors, "_MERGE_AT_ONCE", 100)
    store = make_store()
    feeder = Feeder(store)
    for _ in range(6):
        feeder.write(50)
    transactions: list[Connection] = []
    merge(store, fence=transactions.append)
    assert len(transactions) > 1
    assert count(store, VisitorDelta) == 0
    check(store)


def test_a_late_batch_undoes_the_sum_of_its_day(make_store: MakeStore) -> None:
    store = make_store()
    feeder = Feeder(store)
    feeder.write(300)
    merge(store)
    check(store)
    feeder.write(40)
    merge(store)
    check(store)


def weeks_of(store: Store) -> list[tuple[int, int, int, int]]:
    """(kind, beginning, version id, hits) of the weeks that are summed."""
    day = type_coerce(VisitorDay.day, BigInteger)
    columns = (VisitorDay.kind, day, VisitorDay.version_id, VisitorDay.hits)
    with store.read() as connection:
        rows = connection.execute(select(*columns).where(VisitorDay.kind > max(Kind))).all()
    return sorted((row[0], row[1], row[2], row[3]) for row in rows)


def sum_weeks(store: Store) -> None:
    calendar = Calendar(store.timezone)
    with store.write() as connection:
        for week in visitor_weeks.unsummed(connection, calendar, LATER_MS):
            visitor_weeks.sum_days(connection, calendar, week)


@pytest.mark.parametrize("zone", ZONES)
def test_weeks_are_those_of_the_raw_rows_whatever_comes_late_or_goes(
    make_store: MakeStore, zone: str
) -> None:
    store = make_store(zone)
    feeder = Feeder(store)

    def check_weeks() -> None:
        sum_days(store)
        sum_weeks(store)
        calendar = Calendar(store.timezone)
        expected: dict[tuple[int, int, int], int] = {}
        with store.read() as connection:
            rows = connection.execute(
                select(
                    type_coerce(Request.time, BigInteger),
                    Request.version_id,
                    Request.group_id,
                    Request.client_id,
                )
            ).all()
        for time_ms, version_id, group_id, client_id in rows:
            local = calendar.local(time_ms)
            monday = local.date() - timedelta(days=local.weekday())
            for kind, visitor in ((Kind.GROUP, group_id), (Kind.CLIENT, client_id)):
                if visitor is not None:
                    key = (kind + WEEK, calendar.date_start(monday), version_id)
                    expected[key] = expected.get(key, 0) + 1
        assert weeks_of(store) == sorted((*key, hits) for key, hits in expected.items())

    for _ in range(3):
        feeder.write(100, days=16)
    merge(store)
    check_weeks()
    assert len({week[1] for week in weeks_of(store)}) >= 3
    before = weeks_of(store)
    feeder.write(60, days=16)
    merge(store)
    # Those of the days that changed are gone, and come back.
    assert weeks_of(store) != before
    check_weeks()
    with store.write() as connection:
        id = connection.scalar(select(Endpoint.id).where(Endpoint.name == "shop.item"))
        delete_endpoints(connection, [id])
    check_weeks()
    rebuild(store)
    check_weeks()
    with store.write() as connection:
        id = connection.scalar(select(Version.id).where(Version.name == "1.0"))
        delete_versions(connection, [id])
    check_weeks()


def test_days_that_are_not_over_are_not_summed(make_store: MakeStore) -> None:
    store = make_store()
    Feeder(store).write(100, days=1)
    merge(store)
    with store.read() as connection:
        assert visitors.unsummed(connection, START_MS + 13 * HOUR_MS) == []
        assert len(visitors.unsummed(connection, LATER_MS)) == 4


def test_no_visitors_no_rows(make_store: MakeStore) -> None:
    store = make_store()
    row = Row(START_MS, "index", 1.5, 200, "GET", None, None)
    BatchWriter(store, lambda: 1).write(Batch("w", 1, "1.0", [row]))
    assert count(store, VisitorDelta) == 0


def test_a_batch_that_comes_twice_counts_once(make_store: MakeStore) -> None:
    store = make_store()
    row = Row(START_MS, "index", 1.5, 200, "GET", "anna", "192.0.2.1")
    for _ in range(2):
        BatchWriter(store, lambda: 1).write(Batch("w", 1, "1.0", [row]))
    merge(store)
    check(store)
    assert [entry[0] for entry in stored(store).values()] == [1, 1]


def test_merge_that_fails_leaves_everything(
    make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store()
    Feeder(store).write(50)

    def fail(connection: Connection, prepared: Any) -> bool:
        assert apply(connection, prepared)
        raise RuntimeError("power cut")

    apply = visitors._apply
    with monkeypatch.context() as patch:
        patch.setattr(visitors, "_apply", fail)
        with pytest.raises(RuntimeError):
            merge(store)
    assert (count(store, VisitorDelta), count(store, VisitorDay)) == (1, 0)
    merge(store)
    check(store)


@pytest.mark.parametrize("by", ["endpoint", "version", "rebuild"])
def test_what_goes_while_a_merge_is_computed_stays_gone(make_store: MakeStore, by: str) -> None:
    store = make_store()
    feeder = Feeder(store)
    for _ in range(4):
        feeder.write(60)
    merge(store)
    for _ in range(4):
        feeder.write(60)
    with store.read() as connection:
        prepared = visitors._prepare(connection)
    if by == "rebuild":
        rebuild(store)
    else:
        with store.write() as connection:
            if by == "endpoint":
                delete_endpoints(connection, [1])
            else:
                delete_versions(connection, [1])
    with store.write() as connection:
        assert not visitors._apply(connection, prepared)
    merge(store)
    check(store)


def test_what_is_over_the_cap_is_counted_together(
    make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visitors, "MOST_OF_ENDPOINT", 10)
    monkeypatch.setattr(visitors, "MOST_OF_APP", 12)
    store = make_store()
    feeder = Feeder(store)
    for _ in range(4):
        feeder.write(400, days=1)
        merge(store)
    sum_days(store)
    for by_endpoint, most in ((True, 10), (False, 12)):
        raw, kept = naive(store, by_endpoint=by_endpoint), stored(store, by_endpoint=by_endpoint)
        cells = {key[:4] for key in raw}
        assert cells == {key[:4] for key in kept}
        for cell in cells:
            expected = {key[4]: row for key, row in raw.items() if key[:4] == cell}
            found = {key[4]: row for key, row in kept.items() if key[:4] == cell}
            assert len(found) == most + 1
            assert OTHER in found
            # Nothing is lost, and nobody has more than is true.
            assert sum(row[0] for row in found.values()) == sum(r[0] for r in expected.values())
            for id, row in found.items():
                assert id == OTHER or row[0] <= expected[id][0]
            # Who comes much more often than others is counted in full.
            first = max(expected, key=lambda id: expected[id][0])
            assert found[first] == expected[first]


@pytest.mark.parametrize("waiting", [False, True])
def test_an_endpoint_goes_with_all_its_visitors(make_store: MakeStore, waiting: bool) -> None:
    store = make_store()
    feeder = Feeder(store)
    for _ in range(4):
        feeder.write(100)
    if not waiting:
        merge(store)
        sum_days(store)
    with store.write() as connection:
        id = connection.scalar(select(Endpoint.id).where(Endpoint.name == "shop.item"))
        delete_endpoints(connection, [id])
    # SQLite gives the highest id once more: nothing of the old endpoint may stand under it.
    feeder.write(30, endpoint="new")
    merge(store)
    check(store)
    assert {key[2] for key in stored(store)} == {key[2] for key in naive(store)}


def test_an_endpoint_alone_in_its_batch_goes_while_it_waits(make_store: MakeStore) -> None:
    store = make_store()
    Feeder(store).write(20, endpoint="login")
    with store.write() as connection:
        delete_endpoints(connection, connection.scalars(select(Endpoint.id)).all())
    assert count(store, VisitorDelta) == 0


def test_what_comes_back_of_an_endpoint_that_is_gone_is_left_out(make_store: MakeStore) -> None:
    """On servers small rows may be put together while an endpoint is deleted."""
    store = make_store()
    feeder = Feeder(store)
    for _ in range(6):
        feeder.write(60)
    columns = (VisitorDelta.version_id, VisitorDelta.requests, VisitorDelta.payload)
    with store.read() as connection:
        before = [dict(row) for row in connection.execute(select(*columns)).mappings()]
    with store.write() as connection:
        delete_endpoints(connection, [1])
        connection.execute(delete(VisitorDelta))
        connection.execute(VisitorDelta.__table__.insert(), before)
    merge(store)
    check(store)
    assert count(store, VisitorDelta) == 0
    assert {key[2] for key in stored(store)} == {2, 3}


@pytest.mark.parametrize("waiting", [False, True])
def test_a_version_goes_with_all_its_visitors(make_store: MakeStore, waiting: bool) -> None:
    store = make_store()
    feeder = Feeder(store)
    for _ in range(6):
        feeder.write(60)
    if not waiting:
        merge(store)
        sum_days(store)
    with store.write() as connection:
        id = connection.scalar(select(Version.id).where(Version.name == "1.0"))
        delete_versions(connection, [id])
    merge(store)
    check(store)
    assert len({key[3] for key in stored(store)}) == 1


@pytest.mark.parametrize("zone", ZONES)
def test_rebuild_mends_wrong_days(make_store: MakeStore, zone: str) -> None:
    store = make_store(zone)
    feeder = Feeder(store)
    for _ in range(4):
        feeder.write(80, days=9)
    merge(store)
    sum_days(store)
    feeder.write(80, days=9)
    with store.write() as connection:
        # The oldest day is left alone when it knows more than the rows: lower it.
        connection.execute(
            update(VisitorDay).values(hits=0, histogram=b"", figures=b"nonsense", shapes=b"")
        )
        connection.execute(delete(VisitorDay).where(VisitorDay.kind == Kind.CLIENT))
    rebuild(store)
    assert count(store, VisitorDelta) == 0
    check(store)


def test_rebuild_of_right_days_changes_nothing(make_store: MakeStore) -> None:
    store = make_store("Europe/Amsterdam")
    feeder = Feeder(store)
    feeder.write(300)
    merge(store)
    feeder.write(300)
    for _ in range(2):
        rebuild(store)
        check(store)


def test_rebuild_keeps_what_has_no_raw_rows_any_more(make_store: MakeStore) -> None:
    store = make_store("Europe/Amsterdam")
    Feeder(store).write(400)
    merge(store)
    sum_days(store)
    before = stored(store), stored(store, by_endpoint=False)
    with store.write() as connection:
        time = type_coerce(Request.time, BigInteger)
        times = list(connection.scalars(select(time).order_by(time)))
        # Pruned in the middle of a day.
        cut_ms = next(
            later
            for earlier, later in pairwise(times[200:])
            if local_day(earlier, store.timezone) == local_day(later, store.timezone)
        )
        connection.execute(delete(Request).where(time < cut_ms))
    rebuild(store)
    sum_days(store)
    assert (stored(store), stored(store, by_endpoint=False)) == before


@pytest.mark.parametrize("waiting", [False, True])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("UTC", "Asia/Kolkata"),
        ("Asia/Kolkata", "UTC"),
        ("UTC", "Europe/Amsterdam"),
        ("America/Havana", "Australia/Lord_Howe"),
        ("Australia/Lord_Howe", "Europe/Amsterdam"),
    ],
)
def test_rebuild_after_a_change_of_the_time_zone(
    make_store: MakeStore, before: str, after: str, waiting: bool
) -> None:
    old = make_store(before)
    Feeder(old).write(200)
    if not waiting:
        merge(old)
        sum_days(old)
    new = make_store(after)
    rebuild(new)
    assert count(new, VisitorDelta) == 0
    check(new)


def test_batches_and_merges_go_on_while_it_is_rebuilt(make_store: MakeStore) -> None:
    store = make_store("Europe/Amsterdam")
    feeder = Feeder(store)
    feeder.write(300)

    def meanwhile(_hour: datetime, requests: int) -> None:
        feeder.write(20)
        if requests % 2:
            merge(store)

    rebuild(store, meanwhile)
    merge(store)
    check(store)


def test_waiting_requests_that_cannot_be_read(make_store: MakeStore) -> None:
    store = make_store()
    Feeder(store).write(20)
    with store.write() as connection:
        connection.execute(update(VisitorDelta).values(payload=b"\x09nonsense"))
    with pytest.raises(Exception, match="rebuild-rollups"):
        merge(store)


def test_deltas_come_back_as_they_were() -> None:
    visits = [
        (START_MS, 1, 0, 7, 0),
        (START_MS + 86_400_000, 300, 70_000, 0, 2**40),
        (START_MS, 2, 3, 2**31 - 1, 5),
    ]
    assert list(visitor_deltas.decode(visitor_deltas.encode(visits))) == visits


@pytest.mark.parametrize("block", [1, 7, 132, 133, 512])
def test_few_and_many_visitors_of_a_part_are_the_same(
    monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    # There are 133.
    monkeypatch.setattr(visitor_parts, "BLOCK", block)
    entries = {
        id: entry_of([id * 1_000 + n for n in range(id % 5 + 1)], shaped=True)
        for id in range(3, 400, 3)
    }
    figures, shapes = encode(entries, shaped=True)
    for wanted in ({3}, {4}, {6, 399, 400}, set(range(0, 500, 9)), set(range(500))):
        part = Part(figures)
        places = part.among(wanted)
        assert {id for _, id in places} == wanted & entries.keys()
        assert all(part.ids[index] == id for index, id in places)
        assert dict(part.chosen(places, shapes)) == {id: entries[id] for _, id in places}
    assert Part(figures).entries(shapes) == entries
    with pytest.raises(StoreError, match="rebuild-rollups"):
        Part(figures).entries(shapes[: len(shapes) // 2])
