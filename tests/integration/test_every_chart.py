"""The data of every chart as it leaves over HTTP, where clocks are moved and where they are not.

Stores are filled by the product's own writer with known requests, and JSON and CSV are held
against what :mod:`.charts.truth` works out from these: counts and means exactly, quantiles to 1 %.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import pytest

from fmd_admin.admin.views import pages
from fmd_admin.read.catalog import endpoint_names

from ..cheap_hashes import use_cheap_hashes
from ..support import Bound
from ..unit.admin.browser import Browser
from .charts import checks, graph_checks, report_checks
from .charts.look import KEYS, Filled, Look, read_csv
from .charts.stores import ENDPOINT, PLACES, RANGES, fill, query_of
from .charts.truth import only

PER_ENDPOINT = "/endpoint/<int:endpoint_id>"
#: What checks the data of a rule of the panel's URL map; all of them stand under ``data.json``.
CHECKS: dict[str, Callable[[Look], None]] = {
    "/overview": checks.overview,
    "/hourly-utilization": checks.hourly,
    f"{PER_ENDPOINT}/hourly-utilization": checks.hourly,
    "/daily-utilization": checks.daily,
    "/multi-version-utilization": checks.multi_version,
    "/api-performance": checks.performance,
    "/version-performance": checks.version_performance,
    f"{PER_ENDPOINT}/versions": checks.version_performance,
    "/users-versions": checks.user_versions,
    f"{PER_ENDPOINT}/users-versions": checks.user_versions,
    "/ips-versions": checks.ip_versions,
    f"{PER_ENDPOINT}/ips-versions": checks.ip_versions,
    "/user-performance": checks.user_performance,
    f"{PER_ENDPOINT}/users": checks.user_performance,
    "/status-codes/over-time": checks.statuses_over_time,
    f"{PER_ENDPOINT}/status-codes/over-time": checks.statuses_over_time,
    "/status-codes/by-endpoint": checks.statuses_by_endpoint,
    f"{PER_ENDPOINT}/status-codes/by-endpoint": checks.statuses_by_endpoint,
    PER_ENDPOINT: checks.summary,
    f"{PER_ENDPOINT}/grouped-profiler": graph_checks.grouped,
    "/custom-graph/<int:graph_id>": graph_checks.custom_graph,
}
#: Made of whole days, whatever the range.
VISITORS = (checks.user_versions, checks.ip_versions, checks.user_performance)
#: Has a test of its own below: its intervals are not the panel's range.
REPORTING = "/reporting"
#: Data without a range of time, and why.
WITHOUT_TIME = {
    "/system": "figures of the store as it is now; tests/unit/admin/views/test_system.py",
    f"{PER_ENDPOINT}/profiler/<int:profile_id>": (
        "the tree of one request, whatever the range; tests/unit/admin/views/test_profiler.py"
    ),
}
#: They count exceptions, not the requests of this test.
OF_EXCEPTIONS = dict.fromkeys(
    ("/exceptions", f"{PER_ENDPOINT}/exceptions", "/exceptions/<int:group_id>"),
    "the same check over the same days: tests/unit/read/test_exceptions.py",
)
#: Where the same label stands for another word.
KEYS_OF: dict[Callable[[Look], None], dict[str, str]] = {
    checks.overview: {"Median": "p50_ms", "Errors": "errors"},
    checks.summary: {"Median": "p50_ms", "Errors": "errors", "From": "time"},
    checks.multi_version: {"Endpoint": "endpoint"},
    graph_checks.grouped: {"Requests": "requests"},
}


@pytest.fixture(scope="module", params=PLACES, ids=str)
def stored(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Filled]:
    """A folder with the store of a place, of which each test takes a copy; and what is in it."""
    folder = tmp_path_factory.mktemp("stored")
    return folder, fill(folder, request.param)


@dataclass(frozen=True)
class Panel:
    """The panel over a filled store, and somebody who is logged in."""

    filled: Filled
    browser: Browser
    bound: Bound
    endpoint_id: int

    def get(self, address: str, query: dict[str, Any]) -> Any:
        path = address.replace("<int:endpoint_id>", str(self.endpoint_id))
        path = path.replace("<int:graph_id>", "1")
        answer = self.browser.get(f"{path}?{urlencode(query, doseq=True)}")
        assert answer.status_code == 200, f"{address} {query}: {answer.text[:500]}"
        return answer.get_json() if path.endswith(".json") else answer.text

    def look(self, address: str, query: dict[str, Any]) -> Look:
        """Ask for a chart's JSON (of every page that there is) and for its CSV."""
        found = [self.get(f"{address}/data.json", query)]
        for page in range(2, found[0].get("pages", 1) + 1):
            found.append(self.get(f"{address}/data.json", {**query, "page": page}))
        span = self.filled.clock.asked(query)
        if "range" in found[0]:
            shown = span
            if CHECKS[address] in VISITORS:
                # They are counted by the day.
                shown = self.filled.clock.whole_days(span)
            elif CHECKS[address] is graph_checks.custom_graph:
                # Its values are single ones, of the very range.
                shown = self.filled.clock.exactly(span)
            assert found[0]["range"]["label"] == self.filled.clock.label(shown)
            assert found[0]["range"]["timezone"] == str(self.filled.world.zone)
        keys = {**KEYS, **KEYS_OF.get(CHECKS[address], {})}
        header, table = read_csv(self.get(f"{address}/data.csv", query), keys)
        return Look(
            asked=f"{address} {query}",
            filled=self.filled,
            span=span,
            versions=query.get("version", []),
            endpoint=ENDPOINT if PER_ENDPOINT in address else None,
            json=found[0],
            header=header,
            table=table,
            pages=found,
        )


@pytest.fixture
def panel(
    stored: tuple[Path, Filled],
    tmp_path: Path,
    bind: Callable[..., Bound],
    monkeypatch: pytest.MonkeyPatch,
) -> Panel:
    folder, found = stored
    use_cheap_hashes(monkeypatch)
    for file in folder.glob("fmd.db*"):
        shutil.copy(file, tmp_path)
    bound = bind(timezone=str(found.world.zone))
    # The store is what was written, on any day that this runs: jobs go by the real clock.
    monkeypatch.setattr(bound.monitor.jobs, "tick", lambda **_: None)
    # The only clock of the pages.
    still = SimpleNamespace(time_ns=lambda: found.world.now_ms * 1_000_000)
    monkeypatch.setattr(pages, "time", still)
    browser = Browser(bound.app)
    assert browser.login().status_code == 303
    with bound.monitor.store.read() as connection:
        ids = {name: key for key, name in endpoint_names(connection).items()}
    return Panel(found, browser, bound, ids[ENDPOINT])


def test_every_chart_is_checked(bind: Callable[..., Bound]) -> None:
    monitor = bind().monitor
    views = {view.endpoint: view for view in monitor.admin._views}
    found: dict[str, set[str]] = {"data.json": set(), "data.csv": set()}
    for rule in monitor.panel_app.url_map.iter_rules():
        parts = getattr(views.get(rule.endpoint.split(".")[0]), "parts", ())
        for name in [part.name for part in parts] if "<part>" in rule.rule else [""]:
            address, _, file = rule.rule.replace("<part>", name).rpartition("/")
            found.setdefault(file, set()).add(address)
    # A new chart needs a check in CHECKS.
    assert found["data.json"] == {*CHECKS, REPORTING, *WITHOUT_TIME, *OF_EXCEPTIONS}
    assert found["data.csv"] >= {*CHECKS, REPORTING}


def test_the_ranges_hold_the_change_and_requests_around_it(stored: tuple[Path, Filled]) -> None:
    """What is tested here is there: two hours 2:00, or none; hours that are cut."""
    _, filled = stored
    rows, clock = filled.world.rows, filled.clock
    for name in RANGES:
        query = query_of(filled.place, name)
        span = clock.asked(query)
        offsets = {clock.local(m).utcoffset() for m in (span.start_ms, span.end_ms)}
        assert len(offsets) == (2 if "Amsterdam" in filled.place else 1), name
        assert len(only(rows, span, [])) > 50
        assert (span.exact != (span.start_ms, span.end_ms)) is (query["range"] == "custom")
    today = clock.day(clock.now_ms)
    night = [r.time_ms for r in rows if clock.day(r.time_ms) == today]
    offsets = {clock.local(m).utcoffset() for m in night if clock.local(m).hour == 2}
    expected = {"Amsterdam-October": 2, "Amsterdam-March": 0}
    assert len(offsets) == expected.get(filled.place, 1)


@pytest.mark.parametrize("check", dict.fromkeys(CHECKS.values()), ids=lambda check: check.__name__)
def test_every_chart_shows_what_was_stored(panel: Panel, check: Callable[[Look], None]) -> None:
    for address in [address for address, one in CHECKS.items() if one is check]:
        for name in RANGES:
            check(panel.look(address, query_of(panel.filled.place, name)))


def test_a_report_compares_what_was_stored(panel: Panel) -> None:
    for query in report_checks.queries(panel.filled.place):
        found = panel.get(f"{REPORTING}/data.json", query)
        keys = {"Endpoint": "name"}
        _, table = read_csv(panel.get(f"{REPORTING}/data.csv", query), keys)
        report_checks.report(panel.filled, query, found, table)
