"""Alerts: what is decided, once; and what reaches real servers, once."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import DBAPIError

from fmd_admin.errors import LeaseLostError
from fmd_admin.jobs import alerts as module
from fmd_admin.jobs.alerts import Alerts, Configured
from fmd_admin.jobs.senders import REPEAT
from fmd_admin.records import Batch, RaisedCount, Row
from fmd_admin.settings import Settings
from fmd_admin.store import alerts as rows
from fmd_admin.store import exceptions, retention
from fmd_admin.store.alert_models import Alert, AlertDelivery, AlertRule, AlertTarget
from fmd_admin.store.models import Endpoint, OutlierSkipped, Version, Writer
from fmd_admin.store.presence import Presence
from fmd_admin.store.sealing import seal
from fmd_admin.store.store import Store
from fmd_admin.store.writer import BatchWriter

from ...cuts import cut
from ...profiles import store_batch
from ...receivers import mail_server, webhook

HOUR_MS = 3_600_000
KEY = b"the app's key"


@dataclass
class Process:
    """One process that may run the jobs; ``now_ms`` is its clock."""

    store: Store
    now_ms: int
    holds: bool = True
    faults: list[str] = field(default_factory=list)
    configured: Configured | None = None

    def __post_init__(self) -> None:
        self.alerts = Alerts(
            self.store,
            fence=self._fence,
            secret=lambda: KEY,
            report=self.faults.append,
            clock_ms=lambda: self.now_ms,
            configured=self.configured,
        )

    def _fence(self, _connection: Connection) -> None:
        if not self.holds:
            raise LeaseLostError("another one holds it")

    def run(self) -> None:
        """Decide, and send what is due."""
        self.alerts.decide()
        self.alerts.deliver(100)


@pytest.fixture
def now_ms() -> int:
    # In the middle of an hour, so that a minute more or less is in the same one.
    return time.time_ns() // 1_000_000 // HOUR_MS * HOUR_MS + HOUR_MS // 2


@pytest.fixture
def process(store: Store, now_ms: int) -> Iterator[Process]:
    made = Process(store, now_ms)
    yield made
    assert made.faults == []


def target(store: Store, address: str, kind: str = "webhook") -> int:
    with store.write() as connection:
        values = {"name": f"target {address[:80]}", "kind": kind, "hint": "…", "active": True}
        made = connection.execute(insert(AlertTarget).values(**values, secret=seal(address, KEY)))
        return int((made.inserted_primary_key or (0,))[0])


def rule(store: Store, kind: str, target_id: int, **more: Any) -> int:
    values = {
        "name": f"rule {kind} {more}",
        "kind": kind,
        "scope": "app",
        "threshold": 0.0,
        "window_h": 1,
        "cooldown_min": 60,
        "severity": "warning",
        "targets": str(target_id),
        "active": True,
        "since": 0,
        **more,
    }
    with store.write() as connection:
        made = connection.execute(insert(AlertRule).values(**values))
        return int((made.inserted_primary_key or (0,))[0])


def raise_(store: Store, function: str, version: str = "1.0", hits: int = 1) -> None:
    moment = time.time_ns() // 1_000_000
    key = (("ValueError", "shop", function),)
    place = (key, "basket", moment - moment % 900_000)
    batch = Batch(f"{function} {version} {moment} {hits}", 1, version)
    batch.raised = {place: RaisedCount(hits, moment, moment)}
    BatchWriter(store, lambda: 1).write(batch)


def request(
    store: Store, time_ms: int, number: int, *, status: int = 200, ms: float = 5.0, to: str = "a"
) -> None:
    made = [Row(time_ms, to, ms, status, "GET", None, None) for _ in range(number)]
    writer = BatchWriter(store, lambda: 1)
    writer.write(Batch(f"{time_ms} {status} {ms} {to} {number}", 1, "1.0", made))


def titles(store: Store) -> list[str]:
    with store.read() as connection:
        return list(connection.scalars(select(Alert.title).order_by(Alert.id)))


def states(store: Store) -> list[tuple[str, int, int, str | None]]:
    with store.read() as connection:
        columns = (AlertDelivery.state, AlertDelivery.attempts, AlertDelivery.repeats)
        query = select(*columns, AlertDelivery.error).order_by(AlertDelivery.id)
        return [tuple(row) for row in connection.execute(query)]  # type: ignore[misc]


@pytest.mark.every_engine
def test_each_new_exception_is_told_once_over_all_processes(
    store: Store, process: Process, now_ms: int
) -> None:
    other = Process(store, now_ms)
    with webhook() as hook:
        rule(store, "new_exception", target(store, hook.url))
        for number in range(5):
            raise_(store, f"f{number}", hits=100)
        for one in (process, other, process, other):
            one.run()
        raise_(store, "f1", hits=7)
        raise_(store, "f9")
        for one in (other, process):
            one.run()
    assert sorted(call["title"] for call in hook.accepted) == [
        f"New exception: ValueError in shop.f{number}" for number in (0, 1, 2, 3, 4, 9)
    ]
    assert len({call["id"] for call in hook.accepted}) == 6
    assert states(store) == [("sent", 1, 0, None)] * 6


def test_a_webhook_is_signed_json(store: Store, process: Process) -> None:
    with webhook() as hook:
        rule(store, "new_exception", target(store, f"{hook.url} the-key"), severity="critical")
        raise_(store, "f")
        process.run()
    [(headers, body)] = hook.calls
    signed = f"{headers['X-Fmd-Timestamp']}.".encode() + body
    expected = hmac.new(b"the-key", signed, hashlib.sha256).hexdigest()
    assert headers["X-Fmd-Signature"] == f"sha256={expected}"
    assert abs(int(headers["X-Fmd-Timestamp"]) - time.time()) < 60
    [alert] = hook.accepted
    assert (alert["severity"], alert["kind"], alert["repeat"]) == (
        "critical",
        "new_exception",
        False,
    )


@pytest.mark.every_engine
def test_what_fails_twice_arrives_once(store: Store, process: Process) -> None:
    with webhook(failures=2) as hook:
        rule(store, "new_exception", target(store, hook.url))
        raise_(store, "f")
        tries = []
        for _ in range(80):
            process.run()
            tries.append(len(hook.calls))
            process.now_ms += 1_000
    assert len(hook.accepted) == 1
    # After 10 s, and after 20 s more.
    assert (tries.index(2), tries.index(3), tries[-1]) == (10, 30, 3)
    assert states(store) == [("sent", 3, 0, None)]


def test_what_never_arrives_is_given_up_and_said(store: Store, process: Process) -> None:
    with webhook(failures=1000) as hook:
        rule(store, "new_exception", target(store, hook.url))
        raise_(store, "f")
        for _ in range(30):
            process.run()
            process.now_ms += HOUR_MS
    assert len(hook.calls) == rows.MAX_ATTEMPTS
    assert states(store) == [("failed", 10, 0, "The webhook answered with 503.")]


def test_nobody_listens(store: Store, process: Process) -> None:
    with webhook() as hook:
        pass
    rule(store, "new_exception", target(store, hook.url))
    raise_(store, "f")
    process.run()
    [(state, attempts, _, error)] = states(store)
    assert (state, attempts) == ("waiting", 1)
    assert error is not None
    assert "cannot be reached" in error
    assert "127.0.0.1" not in error


def test_mails_arrive_through_apprise(store: Store, process: Process) -> None:
    with mail_server(failures=2) as box:
        address = f"mailto://127.0.0.1:{box.port}?from=fmd@example.org&to=anna@example.org"
        rule(store, "new_exception", target(store, address, "apprise"))
        raise_(store, "f")
        for _ in range(6):
            process.run()
            process.now_ms += 20_000
    [mail] = box.mails
    assert mail["Subject"] == "New exception: ValueError in shop.f"
    assert "anna@example.org" in mail["To"]
    assert "See Exceptions" in mail.as_string()
    assert states(store) == [("sent", 3, 0, None)]


def test_a_leader_that_is_killed_before_sending(
    store: Store, process: Process, now_ms: int
) -> None:
    with webhook() as hook:
        rule(store, "new_exception", target(store, hook.url))
        raise_(store, "f")
        process.alerts.decide()
        Process(store, now_ms + 6_000).run()
    assert [call["repeat"] for call in hook.accepted] == [False]


def test_a_leader_that_is_killed_while_sending(store: Store, process: Process) -> None:
    with webhook() as hook:
        rule(store, "new_exception", target(store, hook.url))
        raise_(store, "f")
        process.alerts.decide()
        # It got through, and then the process was killed.
        due = store.transact(process.alerts._claim)
        assert due is not None
        process.alerts._send(due)
        follower = Process(store, process.now_ms + 60_000)
        follower.run()
        assert len(hook.accepted) == 1
        follower.now_ms += rows.BROKEN_OFF_MS
        for _ in range(3):
            follower.run()
            follower.now_ms += HOUR_MS
    assert [call["repeat"] for call in hook.accepted] == [False, True]
    assert states(store) == [("sent", 2, 1, None)]


def test_after_a_second_such_end_it_is_given_up(store: Store, process: Process) -> None:
    with webhook() as hook:
        rule(store, "new_exception", target(store, hook.url))
        raise_(store, "f")
        process.alerts.decide()
        for _ in range(3):
            store.transact(process.alerts._claim)
            process.now_ms += rows.BROKEN_OFF_MS + 1
        process.run()
    assert hook.calls == []
    assert states(store) == [("failed", 2, 1, rows.UNKNOWN)]


def test_a_mail_says_that_it_may_be_a_repeat(store: Store, process: Process) -> None:
    with mail_server() as box:
        address = f"mailto://127.0.0.1:{box.port}?from=fmd@example.org&to=anna@example.org"
        rule(store, "new_exception", target(store, address, "apprise"))
        raise_(store, "f")
        process.alerts.decide()
        store.transact(process.alerts._claim)
        process.now_ms += rows.BROKEN_OFF_MS + 1
        process.run()
    [mail] = box.mails
    assert REPEAT[:30] in mail.as_string().replace("=\n", "")


def test_without_the_lease_nothing_is_decided_or_sent(store: Store, process: Process) -> None:
    with webhook() as hook:
        rule(store, "new_exception", target(store, hook.url))
        raise_(store, "f")
        process.holds = False
        with pytest.raises(LeaseLostError):
            process.alerts.decide()
        process.holds = True
        process.alerts.decide()
        process.holds = False
        with pytest.raises(LeaseLostError):
            process.alerts.deliver(1)
    assert hook.calls == []
    assert len(titles(store)) == 1


def test_a_resolved_exception_that_comes_back(store: Store, process: Process) -> None:
    with webhook() as hook:
        rule(store, "returned", target(store, hook.url))
        raise_(store, "f", "1.0")
        process.run()
        with store.write() as connection:
            exceptions.resolve(connection, [1], time.time_ns() // 1_000_000, "anna")
        raise_(store, "f", "1.0", hits=2)
        process.run()
        assert hook.calls == []
        time.sleep(0.01)
        raise_(store, "f", "2.0")
        for _ in range(3):
            process.run()
    assert [call["title"] for call in hook.accepted] == ["Came back: ValueError in shop.f"]


def test_an_exception_that_is_resolved_is_not_new_once_more(
    store: Store, process: Process, now_ms: int
) -> None:
    rule(store, "new_exception", target(store, "env:X"))
    raise_(store, "f")
    process.alerts.decide()
    with store.write() as connection:
        exceptions.resolve(connection, [1], now_ms, "anna")
    process.alerts.decide()
    assert titles(store) == ["New exception: ValueError in shop.f"]


@pytest.mark.parametrize("kind", ["new_exception", "returned"])
def test_what_the_log_has_forgotten_is_not_told_again(
    store: Store, process: Process, kind: str
) -> None:
    rule(store, kind, target(store, "env:X"))
    raise_(store, "f", "1.0")
    with store.write() as connection:
        connection.execute(update(Version).values(first_seen=1))
        exceptions.resolve(connection, [1], 2, "anna")
    raise_(store, "f", "2.0")
    process.alerts.decide()
    assert len(titles(store)) == 1
    zone, settings = store.timezone, Settings()
    for days in (30, 79, 91, 200):
        now_ms = process.now_ms + days * 24 * HOUR_MS
        before_ms = retention.plan(settings, zone, now_ms)["alerts"]
        with store.write() as connection:
            for aged in retention.BY_NAME["alerts"].tables:
                retention.delete_oldest(connection, aged, before_ms, 100)
        later = Process(store, now_ms)
        later.alerts.decide()
        assert len(titles(store)) == (1 if days < 91 else 0)
        assert later.faults == []


def test_what_came_back_before_the_rule_was_there_is_no_news(
    store: Store, process: Process
) -> None:
    raise_(store, "f", "1.0")
    now_ms = time.time_ns() // 1_000_000
    with store.write() as connection:
        exceptions.resolve(connection, [1], now_ms - 1, "anna")
    time.sleep(0.01)
    raise_(store, "f", "2.0")
    time.sleep(0.01)
    rule(store, "returned", target(store, "env:X"), since=time.time_ns() // 1_000_000)
    process.alerts.decide()
    assert titles(store) == []


Fill = Callable[[Store, int], None]


def errors_of_one(store: Store, now_ms: int) -> None:
    request(store, now_ms, 90)
    request(store, now_ms, 10, status=500)
    request(store, now_ms, 30, to="b")


LEVEL_RULES: list[tuple[str, dict[str, Any], Fill, list[str]]] = [
    ("error_share", {"threshold": 7.0}, errors_of_one, ["Error share of all endpoints: 7.7 %"]),
    ("error_share", {"threshold": 8.0}, errors_of_one, []),
    (
        "error_share",
        {"threshold": 8.0, "scope": "each"},
        errors_of_one,
        ["Error share of a: 10.0 %"],
    ),
    ("error_share", {"threshold": 1.0}, lambda s, n: request(s, n, 19, status=500), []),
    (
        "p95",
        {"threshold": 99.0},
        lambda s, n: request(s, n, 30, ms=100),
        ["95th percentile of all"],
    ),
    ("median", {"threshold": 102.0}, lambda s, n: request(s, n, 30, ms=100), []),
    ("no_requests", {}, lambda s, n: request(s, n - 3 * HOUR_MS, 5), ["No requests to all"]),
    ("no_requests", {"window_h": 4}, lambda s, n: request(s, n - 3 * HOUR_MS, 5), []),
    (
        "outliers",
        {"threshold": 2.0},
        lambda s, n: store_outliers(s, n, 3),
        ["Outlier burst of all endpoints: 3.0 outliers"],
    ),
    ("outliers", {"threshold": 3.0}, lambda s, n: store_outliers(s, n, 3), []),
    (
        # Those over the cap count as well.
        "outliers",
        {"threshold": 10.0, "scope": "each"},
        lambda s, n: store_outliers(s, n, 3, left_out={"shop.search": 40, "shop.basket": 11}),
        ["Outlier burst of shop.search: 43.0", "Outlier burst of shop.basket: 11.0"],
    ),
]


def store_outliers(store: Store, now_ms: int, number: int, **more: Any) -> None:
    from ...profiles import outlier

    store_batch(store, outliers=[outlier(time_ms=now_ms - n) for n in range(number)], **more)
    # They are stored at the moment that they are written.
    with store.write() as connection:
        connection.execute(update(OutlierSkipped).values(time=now_ms))


@pytest.mark.parametrize(("kind", "more", "fill", "expected"), LEVEL_RULES)
def test_limits(
    store: Store,
    process: Process,
    now_ms: int,
    kind: str,
    more: dict[str, Any],
    fill: Fill,
    expected: list[str],
) -> None:
    rule(store, kind, target(store, "http://127.0.0.1:1/"), **more)
    fill(store, now_ms)
    process.alerts.decide()
    found = titles(store)
    assert [title[: len(start)] for title, start in zip(found, expected, strict=True)] == expected


def test_a_cool_down_keeps_quiet_about_the_same_thing(
    store: Store, process: Process, now_ms: int
) -> None:
    rule(store, "error_share", target(store, "http://127.0.0.1:1/"), scope="each", threshold=1.0)
    for hours in range(6):
        request(store, now_ms + hours * HOUR_MS, 40, status=500)
        process.alerts.decide()
        process.now_ms += HOUR_MS // 4
        process.alerts.decide()
        process.now_ms += HOUR_MS * 3 // 4
    assert len(titles(store)) == 6


def test_a_regression_of_the_report(store: Store, process: Process, now_ms: int) -> None:
    rule(store, "regression", target(store, "http://127.0.0.1:1/"), scope="each")
    for days in range(35):
        ms = 30.0 if days < 7 else 10.0
        request(store, now_ms - days * 24 * HOUR_MS - 1, 40, ms=ms)
    process.alerts.decide()
    process.alerts.decide()
    assert titles(store) == ["Regression: a"]
    # Its cool-down of an hour is over, but nothing new is said within a day.
    process.now_ms += 5 * HOUR_MS
    process.alerts.decide()
    assert len(titles(store)) == 1
    process.now_ms += 19 * HOUR_MS
    process.alerts.decide()
    assert len(titles(store)) == 2


def test_requests_that_we_dropped(store: Store, process: Process) -> None:
    rule(store, "drops", target(store, "http://127.0.0.1:1/"))
    request(store, process.now_ms, 1)
    process.alerts.decide()
    assert titles(store) == []
    with store.write() as connection:
        connection.execute(update(Writer).values(dropped=12))
    for _ in range(3):
        process.alerts.decide()
    assert titles(store) == ["fmd_admin dropped 12 requests"]
    with store.write() as connection:
        connection.execute(update(Writer).values(dropped=40))
    process.alerts.decide()
    assert len(titles(store)) == 1
    process.now_ms += 61 * 60_000
    process.alerts.decide()
    assert titles(store)[1:] == ["fmd_admin dropped 40 requests"]


def test_what_was_dropped_before_the_rule_was_there_is_no_news(
    store: Store, process: Process
) -> None:
    presence, dropped = Presence(store, lambda: 0.0), [12]

    def beat(mark: int) -> None:
        presence.beat("w", 0, lambda: {"dropped": dropped[0], "faults": 0}, mark)

    beat(1)
    time.sleep(0.01)
    rule(store, "drops", target(store, "env:X"), since=time.time_ns() // 1_000_000)
    time.sleep(0.01)
    beat(2)
    process.alerts.decide()
    assert titles(store) == []
    # A batch says it first; then the process does, or it came to no more.
    with store.write() as connection:
        connection.execute(update(Writer).values(dropped=13))
    process.alerts.decide()
    assert titles(store) == ["fmd_admin dropped 13 requests"]
    dropped[0] = 14
    beat(3)
    process.now_ms += 61 * 60_000
    process.alerts.decide()
    assert titles(store)[1:] == ["fmd_admin dropped 14 requests"]


def raise_ours(_connection: Any) -> None:
    raise RuntimeError("ours")


def send_nonsense(connection: Any) -> None:
    """PostgreSQL refuses whatever follows in its transaction."""
    connection.exec_driver_sql("SELECT nothing FROM nowhere")


@pytest.mark.parametrize("fail", [raise_ours, send_nonsense])
def test_one_rule_that_fails_stops_no_other(
    store: Store, now_ms: int, monkeypatch: pytest.MonkeyPatch, fail: Callable[[Any], None]
) -> None:
    process = Process(store, now_ms)
    rule(store, "median", target(store, "http://127.0.0.1:1/"))
    rule(store, "new_exception", 1)
    raise_(store, "f")
    true = module.findings

    def broken(connection: Any, one: Any, *rest: Any) -> Any:
        if one.kind == "median":
            fail(connection)
        return true(connection, one, *rest)

    monkeypatch.setattr(module, "findings", broken)
    process.alerts.decide()
    assert len(titles(store)) == 1
    assert process.faults == ["evaluating a rule of alerts (median)"]


def test_a_lost_connection_has_all_rules_evaluated_again(
    store: Store, process: Process, now_ms: int
) -> None:
    rule(store, "regression", target(store, "http://127.0.0.1:1/"), scope="each")
    rule(store, "new_exception", 1)
    raise_(store, "f")
    for days in range(35):
        ms = 30.0 if days < 7 else 10.0
        request(store, now_ms - days * 24 * HOUR_MS - 1, 40, ms=ms)
    with cut(store, "FROM fmd_exception") as done, pytest.raises(DBAPIError):
        process.alerts.decide()
    assert done
    assert (titles(store), process.faults) == ([], [])
    process.alerts.decide()
    assert len(titles(store)) == 2


def test_rules_that_are_off_and_targets_that_are_gone(store: Store, process: Process) -> None:
    with webhook() as hook:
        one = target(store, hook.url)
        rule(store, "new_exception", one, active=False, name="off")
        raise_(store, "f")
        process.run()
        assert titles(store) == []
        rule(store, "new_exception", one)
        process.alerts.decide()
        with store.write() as connection:
            rows.delete_target(connection, one)
        process.run()
    assert hook.calls == []
    assert states(store) == [("failed", 1, 0, "The target was deleted.")]


def test_the_thread_sends_and_ends(store: Store, process: Process) -> None:
    with webhook() as hook:
        rule(store, "new_exception", target(store, hook.url))
        raise_(store, "f")
        process.alerts.step()
        deadline = time.monotonic() + 10
        while not hook.accepted and time.monotonic() < deadline:
            time.sleep(0.01)
        process.alerts.stop(5.0)
    assert len(hook.accepted) == 1


def test_an_endpoint_takes_its_rules_along(store: Store, now_ms: int) -> None:
    from fmd_admin.store import live

    request(store, now_ms, 1)
    with store.write() as connection:
        [one] = connection.scalars(select(Endpoint.id)).all()
    rule(store, "p95", 1, scope="one", endpoint_id=one)
    with store.write() as connection:
        live.delete_endpoints(connection, [one])
        assert connection.scalars(select(AlertRule.id)).all() == []
