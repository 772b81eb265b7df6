"""A database that the real Flask-MonitoringDashboard 5.1.0 made, brought over and compared.

What it shows itself, through its JSON routes over HTTP, is what must be here afterwards.
"""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import BigInteger, func, select, type_coerce
from sqlalchemy.engine import make_url

from fmd_admin.compat.fmd_database import FMDDatabase, open_fmd
from fmd_admin.compat.import_fmd import import_fmd
from fmd_admin.compat.import_report import ImportReport
from fmd_admin.read import exception_page
from fmd_admin.store import imports, outlier_detail, schema, trees
from fmd_admin.store.accounts import Account, authenticate
from fmd_admin.store.engine import with_driver
from fmd_admin.store.exception_models import ExceptionDay, ExceptionGroup, ExceptionRow
from fmd_admin.store.import_models import Imported
from fmd_admin.store.job_models import CustomGraph, CustomGraphValue
from fmd_admin.store.models import (
    CodeLine,
    Day,
    Endpoint,
    Hour,
    Outlier,
    Profile,
    Request,
    RollupDelta,
    Version,
)
from fmd_admin.store.store import Store
from fmd_admin.store.visitor_models import VisitorDay, VisitorDelta

from ..cached_venv import cached_venv
from ..support import database_url, new_store, stored_rows
from .fmd_facts import ADMIN, LEVELS, SECRETS, USERS

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("fmd_app.py")
REQUIREMENTS = (
    *("Flask-MonitoringDashboard==5.1.0", "setuptools<81"),
    *("psycopg[binary]>=3.1", "PyMySQL>=1.1"),
)
#: How often the requests of the small database are in the large one.
COPIES = 600
NOT_FOUND = (
    "404 Not Found: The requested URL was not found on the server. If you entered the URL manually "
    "please check your spelling and try again."
)
Truth = dict[str, Any]

pytestmark = pytest.mark.server


def run_fmd(folder: Path, url: str, versions: tuple[str, ...]) -> Truth:
    """Run the app with the old product once for each version; return what it shows at the end."""
    python = cached_venv("fmd", *REQUIREMENTS)
    for number, version in enumerate(versions, 1):
        command = [python, SCRIPT, url, version, "", folder / "truth.json", str(number)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
    found: Truth = json.loads((folder / "truth.json").read_text())
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Truth]:
    """The old database and what the old product shows of it."""
    folder = tmp_path_factory.mktemp("fmd")
    truth = run_fmd(folder, f"sqlite:///{folder}/old.db", ("1.0", "2.0"))
    return folder / "old.db", truth


def bring_over(url: str, store: Store, prefix: str | None = None) -> ImportReport:
    old: FMDDatabase = open_fmd(url, prefix)
    try:
        return import_fmd(old, store, store.settings)
    finally:
        old.close()


@pytest.fixture(scope="module")
def once(
    made: tuple[Path, Truth], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, ImportReport]:
    """A store that it was brought over to, closed."""
    folder = tmp_path_factory.mktemp("imported")
    store = new_store(folder)
    schema.migrate(store)
    report = bring_over(f"sqlite:///{made[0]}", store)
    store.close()
    return folder / "fmd.db", report


@pytest.fixture
def imported(
    made: tuple[Path, Truth], once: tuple[Path, ImportReport], tmp_path: Path
) -> Iterator[tuple[Store, Truth, ImportReport]]:
    shutil.copy(once[0], tmp_path / "fmd.db")
    store = new_store(tmp_path)
    yield store, made[1], once[1]
    store.close()


def agrees(store: Store, truth: Truth) -> None:
    """Endpoints, levels, counts, versions, durations, groups, addresses and statuses."""
    rows = stored_rows(store)
    hits = Counter(row.endpoint for row in rows)
    assert hits == {one["name"]: one["hits"] for one in truth["hits"] if one["hits"]}
    for name, of in truth["of"].items():
        mine = [row for row in rows if row.endpoint == name]
        for part in of["durations"]:
            durations = sorted(row.duration_ms for row in mine if row.version == part["version"])
            assert durations == pytest.approx(sorted(part["values"] or []), rel=1e-5)
        groups = Counter(row.group for row in mine)
        assert groups == {one["user"]: one["hits"] for one in of["groups"]}
        assert Counter(row.ip for row in mine) == {one["ip"]: one["hits"] for one in of["ips"]}
        statuses = Counter(row.status for row in mine)
        shares = {int(code): share for code, share in of["statuses"].items()}
        assert {code: n / len(mine) for code, n in statuses.items()} == pytest.approx(shares)
    names = [one["name"] for one in truth["endpoints"]]
    table = Counter((row.endpoint, row.version) for row in rows)
    whole = Counter(row.version for row in rows)
    for name, shares in zip(names, truth["multi_version"], strict=True):
        found = [100 * table[name, version] / whole[version] for version in truth["versions"]]
        assert found == pytest.approx(shares)
    with store.read() as connection:
        levels = {
            row[0]: row[1] for row in connection.execute(select(Endpoint.name, Endpoint.level))
        }
        last = {
            row[0]: row[1]
            for row in connection.execute(select(Endpoint.name, Endpoint.last_requested))
        }
    assert levels == LEVELS
    for one in truth["overview"]:
        if one["last-accessed"]:
            at = datetime.strptime(one["last-accessed"], "%a, %d %b %Y %H:%M:%S GMT")
            assert last[one["name"]].replace(tzinfo=None, microsecond=0) == at


def test_counts_durations_levels_groups_and_statuses(
    imported: tuple[Store, Truth, ImportReport],
) -> None:
    store, truth, report = imported
    agrees(store, truth)
    assert report.imported["requests"] == sum(one["hits"] for one in truth["hits"])
    assert report.left_out["endpoints", "never requested; they begin when they are"] == 1
    assert not [kind for kind, _ in report.left_out if kind == "exceptions"]


def test_rollups_and_visitors_are_merged(imported: tuple[Store, Truth, ImportReport]) -> None:
    store, truth, _ = imported
    total = sum(one["hits"] for one in truth["hits"])
    with store.read() as connection:
        assert connection.scalar(select(func.sum(Hour.hits))) == total
        assert connection.scalar(select(func.sum(Day.hits))) == total
        assert connection.scalar(select(func.count()).select_from(RollupDelta)) == 0
        assert connection.scalar(select(func.count()).select_from(VisitorDelta)) == 0
        per_kind = connection.execute(
            select(VisitorDay.kind, func.sum(VisitorDay.hits))
            .where(VisitorDay.endpoint_id.is_not(None))
            .group_by(VisitorDay.kind)
        ).all()
    assert [hits for _, hits in per_kind] == [total, total]


def test_users_log_in_as_before(imported: tuple[Store, Truth, ImportReport]) -> None:
    store, truth, report = imported
    for name, password in (ADMIN, *USERS):
        account = authenticate(store, name, password, None, 0)
        if (name, password) == ("guest", "guest"):
            assert account is None
            continue
        assert isinstance(account, Account)
        [old] = [user for user in truth["users"] if user["username"] == name]
        assert account.is_admin is old["is_admin"]
    assert any("guest" in why for kind, why in report.left_out if kind == "users")


def test_outliers(imported: tuple[Store, Truth, ImportReport]) -> None:
    store, truth, _ = imported
    expected = {
        (of_name, round(float(one["request"]["duration"]), 6)): one
        for of_name, of in truth["of"].items()
        for one in of["outliers"]
    }
    assert any(name == "slow" for name, _ in expected)
    with store.read() as connection:
        query = select(Endpoint.name, Outlier.duration_ms, Outlier.method, Outlier.detail)
        found = connection.execute(query.join(Endpoint, Endpoint.id == Outlier.endpoint_id)).all()
    assert {(name, round(ms, 6)) for name, ms, *_ in found} == expected.keys()
    for name, duration_ms, method, data in found:
        old, detail = expected[name, round(duration_ms, 6)], outlier_detail.decode(data)
        assert method == "GET"
        frames = [
            f'File: "{frame.file}", line {frame.line}, in "{frame.function}": "{frame.source}"'
            for frame in detail.stack
        ]
        assert [line.rpartition("/")[2] for line in frames] == [
            line.rpartition("/")[2] for line in old["stacktrace"].split("<br />") if line
        ]
        assert str(detail.cpu_percent) == old["cpu_percent"]
        assert f"percent={detail.memory_percent}," in old["memory"]
        assert detail.url.split("?")[0] == old["request_url"].split("?")[0]
        assert ("X-User" in dict(detail.headers)) is ("X-User" in old["request_header"])
        for secret in SECRETS:
            assert secret not in json.dumps(detail, default=str)
            assert secret.encode() not in data
    slow = [outlier_detail.decode(data) for name, *_, data in found if name == "slow"]
    asked = [detail for detail in slow if "page" in detail.values]
    assert asked
    assert all(detail.values["page"] == ["7"] for detail in asked)
    assert all("password" in detail.values for detail in asked)
    assert any(frame.own and frame.function == "slow" for frame in asked[0].stack)


def test_exceptions_as_often_as_there(
    imported: tuple[Store, Truth, ImportReport], made: tuple[Path, Truth]
) -> None:
    store, truth, report = imported
    there: dict[tuple[str, str], list[Any]] = {}
    for one in truth["exceptions"]:
        there.setdefault((one["type"], one["endpoint"]), []).append(one)
    assert {key: sum(one["count"] for one in ones) for key, ones in there.items()} == {
        ("ValueError", "failing"): 4,
        ("LookupError", "checkout"): 6,
        ("RuntimeError", "checkout"): 6,
        ("NotFound", "checkout"): 2,
        ("TimeoutError", "slow"): 2,
    }
    here = exceptions_of(store)
    assert {key[:2] for key in here} == there.keys()
    for (kind, endpoint), ones in there.items():
        found = [spans for key, spans in here.items() if key[:2] == (kind, endpoint)]
        assert sum(spans[0] for spans in found) == sum(one["count"] for one in ones)
        assert min(spans[1] for spans in found) // 1000 == min(
            seconds(one["first_timestamp"]) for one in ones
        )
        assert max(spans[2] for spans in found) // 1000 == max(
            seconds(one["latest_timestamp"]) for one in ones
        )
    # By version, and to the millisecond, which it does not show.
    assert here == exceptions_there(made[0])
    assert report.imported["exceptions"] == sum(spans[0] for spans in here.values())
    first_seen = type_coerce(ExceptionGroup.first_seen, BigInteger)
    with store.read() as connection:
        rows = connection.execute(select(ExceptionGroup.type, first_seen)).all()
    assert {row[0]: row[1] for row in rows} == {
        kind: min(spans[1] for key, spans in here.items() if key[0] == kind) for kind, _ in there
    }


def test_exceptions_can_be_read(imported: tuple[Store, Truth, ImportReport]) -> None:
    store, truth, _ = imported
    texts: set[tuple[str, str, str]] = set()
    with store.read() as connection:
        ids = connection.scalars(select(ExceptionGroup.id)).all()
        assert len(ids) == 5
        for id in ids:
            group = exception_page.group_info(connection, id)
            assert group is not None
            query = select(ExceptionRow.id).where(ExceptionRow.group_key == id)
            for occurrence in connection.scalars(query).all():
                shown = exception_page._shown(connection, id, occurrence)
                assert shown is not None
                texts.add(_checked(group.type, shown, truth))
    assert texts == {
        ("ValueError", "it fails", "no"),
        ("LookupError", "there is no card 17", "yes"),
        ("LookupError", "there is no card 18", "yes"),
        ("RuntimeError", "the bank refuses token=[hidden]", "no"),
        ("NotFound", NOT_FOUND, "no"),
        # The secret is known from the URL that came with the request.
        ("TimeoutError", "nobody answers to [hidden]", "no"),
    }
    secrets = [secret.encode() for secret in SECRETS]
    with store.read() as connection:
        for data in connection.scalars(select(ExceptionRow.detail)):
            assert not any(secret in zlib.decompress(data) for secret in secrets)


def _checked(kind: str, shown: Any, truth: Truth) -> tuple[str, str, str]:
    """Compare the stack of an exception with the one there; return type, message, handled."""
    [link] = shown.detail.links
    frames = [
        (frame.file.rpartition("/")[2], frame.line, frame.function, frame.first_line)
        for frame in link.frames
    ]
    of = truth["of"][shown.row.endpoint]
    stacks = [
        sorted(one["stack_trace_snapshot"], key=lambda line: line["position"])
        for one in of["exceptions"]
        if one["type"] == kind
    ]
    assert frames in [
        [
            (
                line["full_file_path"].rpartition("/")[2],
                line["line_number"],
                line["function_name"],
                line["function_start_line_number"],
            )
            for line in stack
        ]
        for stack in stacks
    ]
    texts = {line["function_name"]: line["function_definition_id"] for line in stacks[0]}
    for frame in link.frames:
        if frame.own:
            code = truth["functions"][str(texts[frame.function])]
            assert shown.sources[frame.source_id] == code.rstrip()
    assert link.frames[0].own
    assert shown.row.status == {"NotFound": 404}.get(kind, 500)
    return kind, link.message, "yes" if shown.row.handled else "no"


def seconds(text: str) -> int:
    moment = datetime.strptime(text, "%a, %d %b %Y %H:%M:%S GMT")
    return int(moment.replace(tzinfo=timezone.utc).timestamp())


Spans = dict[tuple[str, str, str], tuple[int, int, int]]


def exceptions_of(store: Store) -> Spans:
    """Return how many there are by type, endpoint and version, and the first and last time."""
    names = (ExceptionGroup.type, Endpoint.name, Version.name)
    first, last = (
        type_coerce(column, BigInteger) for column in (ExceptionDay.first_at, ExceptionDay.last_at)
    )
    query = (
        select(*names, func.sum(ExceptionDay.hits), func.min(first), func.max(last))
        .join(ExceptionGroup, ExceptionGroup.id == ExceptionDay.group_key)
        .join(Endpoint, Endpoint.id == ExceptionDay.endpoint_id)
        .join(Version, Version.id == ExceptionDay.version_id)
        .group_by(*names)
    )
    with store.read() as connection:
        return {
            (row[0], row[1], row[2]): (row[3], row[4], row[5]) for row in connection.execute(query)
        }


def exceptions_there(old: Path) -> Spans:
    """Return the same of the old database."""
    connection = sqlite3.connect(old)
    rows = connection.execute(
        "SELECT type, name, version_requested, count(*), min(time_requested), max(time_requested) "
        "FROM ExceptionOccurrence JOIN Request ON Request.id = request_id "
        "JOIN Endpoint ON Endpoint.id = endpoint_id "
        "JOIN ExceptionType ON ExceptionType.id = exception_type_id GROUP BY 1, 2, 3"
    ).fetchall()
    connection.close()
    return {tuple(row[:3]): (row[3], millis(row[4]), millis(row[5])) for row in rows}


def millis(text: str) -> int:
    moment = datetime.fromisoformat(text).replace(tzinfo=timezone.utc)
    return int(moment.timestamp()) * 1000 + moment.microsecond // 1000


def test_the_merged_tree_of_an_endpoint(imported: tuple[Store, Truth, ImportReport]) -> None:
    store, truth, _ = imported
    with store.read() as connection:
        query = select(Profile.tree).join(Endpoint, Endpoint.id == Profile.endpoint_id)
        found = connection.scalars(query.where(Endpoint.name == "profiled")).all()
        lines = {row[0]: row[1] for row in connection.execute(select(CodeLine.id, CodeLine.source))}
    merged = trees.merge([trees.decode(tree) for tree in found])
    # It gives decorators the time of the whole request, too, before the function itself.
    expected = [
        (one["indent"], one["code"], one["hits"], pytest.approx(one["duration"], abs=0.01))
        for one in truth["of"]["profiled"]["grouped"]
        if not one["code"].startswith("@")
    ]
    assert len(expected) > 3
    assert sorted(
        (row.depth, lines[row.line_id], row.requests, row.total_us / 1000) for row in merged
    ) == sorted(expected, key=lambda one: one[:3])
    assert len(found) == len(truth["of"]["profiled"]["profiles"])


def test_custom_graphs(imported: tuple[Store, Truth, ImportReport]) -> None:
    store, truth, _ = imported
    with store.read() as connection:
        titles = connection.scalars(select(CustomGraph.title)).all()
        moment = type_coerce(CustomGraphValue.time, BigInteger)
        values = connection.execute(select(moment, CustomGraphValue.value)).all()
    assert list(titles) == [graph["title"] for graph in truth["graphs"]]
    [old] = truth["graph_values"].values()
    assert len(values) == len(old) > 1
    assert {value for _, value in values} == {42.0}


def table_texts(store: Store) -> dict[str, str]:
    """Every row of every table, but for the lease, whose beat moves."""
    with sqlite3.connect(str(store.engine.url.database)) as connection:
        lines = list(connection.iterdump())
    connection.close()
    return {"dump": "\n".join(line for line in lines if "fmd_lease" not in line)}


def test_a_second_run_changes_nothing(
    imported: tuple[Store, Truth, ImportReport], made: tuple[Path, Truth]
) -> None:
    store = imported[0]
    before = table_texts(store)
    again = bring_over(f"sqlite:///{made[0]}", store)
    assert sum(again.imported.values()) == 0
    assert table_texts(store) == before


def test_what_an_admin_changed_since_stays(
    imported: tuple[Store, Truth, ImportReport], made: tuple[Path, Truth]
) -> None:
    from fmd_admin.store import live

    store = imported[0]
    with store.read() as connection:
        id = connection.scalar(select(Endpoint.id).where(Endpoint.name == "quick"))
    assert id is not None
    store.transact(lambda connection: live.set_levels(connection, [id], 3))
    bring_over(f"sqlite:///{made[0]}", store)
    with store.read() as connection:
        assert connection.scalar(select(Endpoint.level).where(Endpoint.id == id)) == 3


def test_old_numbers_of_endpoints_are_known(imported: tuple[Store, Truth, ImportReport]) -> None:
    store, truth, _ = imported
    with store.read() as connection:
        for one in truth["endpoints"]:
            mine = imports.endpoint_of(connection, int(one["id"]))
            name = connection.scalar(select(Endpoint.name).where(Endpoint.id == mine))
            assert name == (one["name"] if one["name"] != "never" else None)


def enlarged(old: Path, folder: Path) -> Path:
    """A copy of the old database with ``COPIES`` times its requests, over two weeks."""
    shutil.copy(old, folder / "large.db")
    columns = "endpoint_id, duration, version_requested, group_by, ip, status_code"
    raised = "exception_type_id, exception_msg_id, stack_trace_snapshot_id, is_user_captured"
    last = last_id(old)
    with sqlite3.connect(folder / "large.db") as connection:
        for number in range(1, COPIES):
            back = f"strftime('%Y-%m-%d %H:%M:%f000', time_requested, '-{number * 33} minutes')"
            connection.execute(
                f"INSERT INTO Request ({columns}, time_requested) SELECT {columns}, {back} "
                f"FROM Request WHERE id <= {last} ORDER BY id"
            )
            connection.execute(
                f"INSERT INTO ExceptionOccurrence (request_id, {raised}) "
                f"SELECT request_id + {number * last}, {raised} "
                f"FROM ExceptionOccurrence WHERE request_id <= {last}"
            )
    connection.close()
    return folder / "large.db"


def last_id(old: Path) -> int:
    connection = sqlite3.connect(old)
    found: int = connection.execute("SELECT max(id) FROM Request").fetchone()[0]
    connection.close()
    return found


def sums(old: Path) -> dict[tuple[str, str], tuple[int, float]]:
    connection = sqlite3.connect(old)
    rows = connection.execute(
        "SELECT name, version_requested, count(*), sum(duration) FROM Request "
        "JOIN Endpoint ON Endpoint.id = endpoint_id GROUP BY 1, 2"
    ).fetchall()
    connection.close()
    return {(name, version): (hits, ms) for name, version, hits, ms in rows}


def test_killed_in_the_middle_and_started_again(
    made: tuple[Path, Truth], store: Store, tmp_path: Path
) -> None:
    old = enlarged(made[0], tmp_path)
    command = [sys.executable, str(ROOT / "manage.py")]
    command += ["--database", store.engine.url.render_as_string(), "import-fmd", f"sqlite:///{old}"]
    running = subprocess.Popen(
        command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE
    )
    deadline = time.monotonic() + 60
    while not (reached := mark(store)):
        assert time.monotonic() < deadline
        assert running.poll() is None, running.communicate()
        time.sleep(0.005)
    running.send_signal(signal.SIGKILL)
    running.communicate()
    reached = mark(store)
    assert 0 < reached < last_id(old)
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert again.returncode == 0, again.stderr
    assert "requests: 0" not in again.stdout
    expected = sums(old)
    rows = stored_rows(store)
    assert len(rows) == sum(hits for hits, _ in expected.values())
    names = (Endpoint.name, Version.name)
    with store.read() as connection:
        for table in (Hour, Day):
            found = connection.execute(
                select(*names, func.sum(table.hits), func.sum(table.sum_ms))
                .select_from(table)
                .join(Endpoint, Endpoint.id == table.endpoint_id)
                .join(Version, Version.id == table.version_id)
                .group_by(*names)
            ).all()
            assert {(row[0], row[1]): row[2] for row in found} == {
                key: hits for key, (hits, _) in expected.items()
            }
            for row in found:
                assert row[3] == pytest.approx(expected[row[0], row[1]][1], rel=1e-9)
        raw = connection.execute(
            select(*names, func.count())
            .select_from(Request)
            .join(Endpoint, Endpoint.id == Request.endpoint_id)
            .join(Version, Version.id == Request.version_id)
            .group_by(*names)
        ).all()
    assert {(row[0], row[1]): row[2] for row in raw} == {
        key: hits for key, (hits, _) in expected.items()
    }
    raised = exceptions_there(old)
    assert exceptions_of(store) == raised
    assert sum(spans[0] for spans in raised.values()) == 20 * COPIES


def mark(store: Store) -> int:
    with store.read() as connection:
        return connection.scalar(select(func.max(Imported.last_request))) or 0


def test_with_a_prefix_and_beside_our_own_tables(made: tuple[Path, Truth], tmp_path: Path) -> None:
    """TABLE_PREFIX, the store in the same file, and no tables of exceptions, as in version 3."""
    shutil.copy(made[0], tmp_path / "fmd.db")
    with sqlite3.connect(tmp_path / "fmd.db") as connection:
        query = "SELECT name FROM sqlite_master WHERE type = 'table'"
        for (name,) in connection.execute(query).fetchall():
            if name.startswith(("Exception", "Function", "File", "StackTrace", "Alert")):
                connection.execute(f'DROP TABLE "{name}"')
            else:
                connection.execute(f'ALTER TABLE "{name}" RENAME TO "old_{name}"')
    connection.close()
    store = new_store(tmp_path)
    schema.migrate(store)
    report = bring_over(f"sqlite:///{tmp_path}/fmd.db", store)
    agrees(store, made[1])
    assert not [kind for kind, _ in report.left_out if kind == "exceptions"]
    store.close()


@pytest.mark.servers_only
def test_from_a_server(tmp_path: Path) -> None:
    """The old product's tables on a server, and ours in the same database."""
    truth = run_fmd(tmp_path, driver_url(tmp_path), ("1.0",))
    store = new_store(tmp_path)
    try:
        schema.migrate(store)
        bring_over(database_url(tmp_path), store)
        agrees(store, truth)
        there: Counter[tuple[str, str]] = Counter()
        for one in truth["exceptions"]:
            there[one["type"], one["endpoint"]] += one["count"]
        assert {key[:2]: spans[0] for key, spans in exceptions_of(store).items()} == there
        assert sum(there.values()) == 10
        again = bring_over(database_url(tmp_path), store)
        assert sum(again.imported.values()) == 0
    finally:
        store.close()


def driver_url(folder: Path) -> str:
    """The database with a driver that the old product's environment has."""
    return with_driver(make_url(database_url(folder))).render_as_string(hide_password=False)
