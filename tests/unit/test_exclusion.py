"""EXCLUDE and SAMPLE: what is left out is nowhere, what is sampled is counted all the same."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

import pytest
from flask import Blueprint, Flask
from flask.views import MethodView
from sqlalchemy import func, select

from fmd_admin import capture, exclude
from fmd_admin.errors import SettingsError
from fmd_admin.settings import TABLE
from fmd_admin.store import rollups
from fmd_admin.store.live import save_setting
from fmd_admin.store.models import Day, Endpoint, Hour, HourStatus, Outlier, Profile, Request
from fmd_admin.store.visitor_models import VisitorDay

from ..exceptions import stored_groups
from ..support import Bound, get
from .admin.browser import Browser

Bind = Callable[..., Bound]


@pytest.fixture
def host(tmp_path: object) -> Flask:
    app = Flask("host", instance_path=str(tmp_path))
    for path, name in {"/": "index", "/health": "health", "/health/deep": "deep"}.items():
        app.add_url_rule(path, name, lambda: "hello")
    app.add_url_rule("/two", "two", lambda: "hello")
    app.add_url_rule("/health/two", "two")
    app.add_url_rule("/files/<path:name>", "files", lambda name: name)
    app.add_url_rule("/error", "error", lambda: ("no", 500))
    api = Blueprint("api", "api", url_prefix="/api")
    api.add_url_rule("/list", "list", lambda: "hello")
    app.register_blueprint(api)
    return app


PATHS = ("/", "/health", "/health/deep", "/two", "/health/two", "/files/a/b", "/api/list", "/none")


def endpoints(bound: Bound) -> Counter[str]:
    for path in PATHS:
        get(bound.app, path)
    return Counter(row.endpoint for row in bound.rows())


def names(bound: Bound) -> set[str]:
    bound.monitor.recorder.flush()
    with bound.monitor.store.read() as connection:
        return set(connection.scalars(select(Endpoint.name)))


@pytest.mark.parametrize(
    ("setting", "left_out"),
    [
        ("", set()),
        ("health", {"health"}),
        (r"/health.*", {"health", "deep"}),
        (r"/health.* /two", {"health", "deep", "two"}),
        (r"api\..* files", {"api.list", "files"}),
        (r"/files/.*", {"files"}),
        (r"\(unmatched\)", {"(unmatched)"}),
        ("heal", set()),
        (".*", {"index", "health", "deep", "two", "files", "api.list", "(unmatched)"}),
    ],
)
def test_nothing_is_stored_of_excluded_endpoints(
    bind: Bind, host: Flask, setting: str, left_out: set[str]
) -> None:
    bound = bind(host, exclude=setting)
    expected = Counter(
        ("index", "health", "deep", "two", "two", "files", "api.list", "(unmatched)")
    )
    for name in left_out:
        del expected[name]
    assert endpoints(bound) == expected
    assert names(bound) == set(expected)


@pytest.mark.parametrize("level", [0, 2, 3])
def test_at_no_level(bind: Bind, host: Flask, level: int) -> None:
    bound = bind(host, exclude="index", monitor_level=level)
    for _ in range(3):
        get(host, "/")
    assert names(bound) == set()
    with bound.monitor.store.read() as connection:
        for table in (Request, Outlier, Profile, Hour):
            assert connection.scalar(select(func.count()).select_from(table)) == 0
    assert bound.monitor.faults.total() == 0


def test_exceptions_of_what_is_left_out(bind: Bind, host: Flask) -> None:
    def handled() -> None:
        try:
            raise LookupError("handled")
        except LookupError as error:
            capture(error)

    def fails() -> str:
        handled()
        raise ValueError("unhandled")

    host.add_url_rule("/by-setting", "by_setting", fails)
    host.add_url_rule("/by-decorator", "by_decorator", exclude(lambda: fails()))
    host.add_url_rule("/measured", "measured", fails)
    bound = bind(host, exclude="by_setting")
    for path in ("/by-setting", "/by-decorator"):
        assert host.test_client().get(path).status_code == 500
    assert names(bound) == set()
    assert stored_groups(bound.monitor.store) == {}
    assert bound.monitor.exceptions.raised == {}
    assert host.test_client().get("/measured").status_code == 500
    with host.app_context():
        handled()
    bound.monitor.recorder.flush()
    counts = [one.counts for one in stored_groups(bound.monitor.store).values()]
    assert sorted(sum(count.values()) for count in counts) == [1, 2]
    assert {place[0] for count in counts for place in count} == {"measured", None}


def test_the_decorator(bind: Bind, host: Flask) -> None:
    @host.get("/by-function")
    @exclude
    def by_function() -> str:
        return "hello"

    @exclude
    class ByClass(MethodView):
        def get(self) -> str:
            return "hello"

    host.add_url_rule("/by-class", view_func=ByClass.as_view("by_class"))
    bound = bind(host)
    for path in ("/by-function", "/by-class", "/"):
        assert get(host, path) == "hello"
    assert [row.endpoint for row in bound.rows()] == ["index"]


def test_an_admin_may_change_it_while_it_runs(bind: Bind, host: Flask) -> None:
    bound = bind(host)
    assert endpoints(bound)["health"] == 1
    store = bound.monitor.store
    store.transact(lambda connection: save_setting(connection, "EXCLUDE", "health", "anna"))
    bound.monitor._tick()
    assert endpoints(bound)["health"] == 1
    store.transact(lambda connection: save_setting(connection, "EXCLUDE", "", "anna"))
    bound.monitor._tick()
    assert endpoints(bound)["health"] == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("EXCLUDE", "("),
        ("EXCLUDE", "a *b"),
        ("SAMPLE", "static"),
        ("SAMPLE", "static=2"),
        ("SAMPLE", "static=-0.1"),
        ("SAMPLE", "static=nan"),
        ("SAMPLE", "=0.5"),
        ("SAMPLE", "(=0.5"),
        ("SAMPLE", "static=much"),
    ],
)
def test_what_is_not_understood_is_refused(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"{name}.*allowed: "):
        TABLE[name].parse(value, "code")


REQUESTS = 400


def sampled(bind: Bind, host: Flask, sample: str) -> Bound:
    bound = bind(host, sample=sample, group_by=lambda: "anna")
    client = host.test_client()
    for number in range(REQUESTS):
        client.get("/error" if number % 10 == 0 else "/").close()
    client.get("/health").close()
    bound.monitor.recorder.flush()
    # The flusher gets the lease: two threads must not ask for it at once.
    deadline = time.monotonic() + 30
    while bound.monitor.jobs.began_ms is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    bound.monitor.jobs.merge_rollups()
    bound.monitor.jobs.keep_visitors()
    return bound


def hits(bound: Bound, table: type) -> dict[str, int]:
    with bound.monitor.store.read() as connection:
        rows = connection.execute(
            select(Endpoint.name, func.sum(table.hits))  # type: ignore[attr-defined]
            .select_from(table)
            .join(Endpoint, Endpoint.id == table.endpoint_id)  # type: ignore[attr-defined]
            .group_by(Endpoint.name)
        )
        return {row[0]: row[1] for row in rows}


def test_of_sampled_endpoints_all_is_counted_and_a_part_kept(bind: Bind, host: Flask) -> None:
    bound = sampled(bind, host, "index=0.25 error=0")
    kept = Counter(row.endpoint for row in bound.rows())
    # 360 requests at 0.25: nine standard deviations of 8.2 to each side.
    assert 90 - 74 < kept["index"] < 90 + 74
    assert kept["error"] == 40, "errors are kept"
    assert kept["health"] == 1
    everything = {"index": 360, "error": 40, "health": 1}
    for table in (Hour, Day, HourStatus):
        assert hits(bound, table) == everything


def test_nothing_is_kept_at_zero_and_all_at_one(bind: Bind, host: Flask) -> None:
    bound = sampled(bind, host, "index=0 health=1")
    assert Counter(row.endpoint for row in bound.rows()) == {"error": 40, "health": 1}
    assert hits(bound, Hour)["index"] == 360


def test_counting_again_does_not_forget_what_has_no_rows(bind: Bind, host: Flask) -> None:
    bound = sampled(bind, host, "index=0.1")
    before = [hits(bound, table) for table in (Hour, Day, HourStatus, VisitorDay)]
    report = rollups.rebuild(bound.monitor.store)
    assert [hits(bound, table) for table in (Hour, Day, HourStatus, VisitorDay)] == before
    assert report.kept_hour is not None


def test_the_list_of_requests_says_so(bind: Bind, host: Flask) -> None:
    bound = sampled(bind, host, "index=0.1")
    browser = Browser(bound.app)
    browser.login()
    text = browser.get("/data/requests").text
    assert "index=0.1" in text
    assert "errors and a random part" in text
