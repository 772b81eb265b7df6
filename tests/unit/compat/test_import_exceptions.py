"""Exceptions of old databases, as versions 4.0 and later keep them."""

from __future__ import annotations

import importlib
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from sqlalchemy import BigInteger, func, select, type_coerce

from fmd_admin.collect.held import INNER, OUTER
from fmd_admin.compat.fmd_database import open_fmd
from fmd_admin.compat.import_fmd import import_fmd
from fmd_admin.compat.import_report import ImportReport
from fmd_admin.store import exception_detail
from fmd_admin.store.exception_models import ExceptionDay, ExceptionGroup, ExceptionRow, SourceBlock
from fmd_admin.store.exceptions import KEPT_A_DAY
from fmd_admin.store.store import Store

from ...support import Bound

#: As its version 5.1.0 makes them.
TABLES = """
CREATE TABLE "Endpoint" (id INTEGER PRIMARY KEY, name TEXT, monitor_level INTEGER,
    time_added DATETIME, version_added TEXT, last_requested DATETIME);
CREATE TABLE "Request" (id INTEGER PRIMARY KEY, endpoint_id INTEGER, duration FLOAT,
    time_requested DATETIME, version_requested TEXT, group_by TEXT, ip TEXT, status_code INTEGER);
CREATE TABLE "Outlier" (id INTEGER PRIMARY KEY, request_id INTEGER, request_header TEXT,
    request_environment TEXT, request_url TEXT, cpu_percent TEXT, memory TEXT, stacktrace TEXT);
CREATE TABLE "ExceptionType" (id INTEGER PRIMARY KEY, type TEXT);
CREATE TABLE "ExceptionMessage" (id INTEGER PRIMARY KEY, message TEXT);
CREATE TABLE "StackTraceSnapshot" (id INTEGER PRIMARY KEY, hash TEXT);
CREATE TABLE "ExceptionOccurrence" (id INTEGER PRIMARY KEY, request_id INTEGER,
    exception_type_id INTEGER, exception_msg_id INTEGER, stack_trace_snapshot_id INTEGER,
    is_user_captured BOOLEAN);
CREATE TABLE "FunctionDefinition" (id INTEGER PRIMARY KEY, name TEXT, code TEXT, code_hash TEXT);
CREATE TABLE "FilePath" (id INTEGER PRIMARY KEY, path TEXT);
CREATE TABLE "FunctionLocation" (id INTEGER PRIMARY KEY, file_path_id INTEGER,
    function_definition_id INTEGER, function_start_line_number INTEGER);
CREATE TABLE "ExceptionFrame" (id INTEGER PRIMARY KEY, function_location_id INTEGER,
    line_number INTEGER);
CREATE TABLE "ExceptionStackLine" (stack_trace_snapshot_id INTEGER, exception_frame_id INTEGER,
    position INTEGER);
INSERT INTO "Endpoint" VALUES
    (1, 'pay', 1, '2026-01-05 10:00:00.000000', '1', '2026-01-05 12:00:00.500000');
INSERT INTO "ExceptionType" VALUES (1, 'ValueError');
INSERT INTO "ExceptionMessage" VALUES (1, 'no card'), (2, 'refused: password=hunter2hunter2');
INSERT INTO "FilePath" VALUES (1, '/srv/shop/views.py'), (2, '/x/site-packages/lib/core.py');
INSERT INTO "FunctionDefinition" VALUES
    (1, 'pay', 'def pay():' || char(10) || '    charge(token="written-in-code")', 'a'),
    (2, 'charge', 'def charge(token):' || char(10) || '    raise ValueError', 'b');
INSERT INTO "FunctionLocation" VALUES (1, 1, 1, 10), (2, 2, 2, 4);
INSERT INTO "ExceptionFrame" VALUES (1, 1, 11), (2, 2, 5);
INSERT INTO "ExceptionStackLine" VALUES (1, 2, 1), (1, 1, 0);
"""
#: 2026-01-05 12:00 UTC
NOON_MS = 1_767_614_400_000


@pytest.fixture
def old(tmp_path: Path) -> Path:
    execute(tmp_path / "old.db", TABLES)
    return tmp_path / "old.db"


def execute(old: Path, script: str) -> None:
    connection = sqlite3.connect(old)
    connection.executescript(script)
    connection.close()


def fail(old: Path, *, times: int = 1, message: int = 1, stack: int = 1, at: str = "12:00") -> None:
    """Add requests a second apart, each with an exception."""
    connection = sqlite3.connect(old)
    for second in range(times):
        cursor = connection.execute(
            'INSERT INTO "Request" VALUES (NULL, 1, 1.0, ?, ?, ?, ?, 500)',
            (f"2026-01-05 {at}:{second:02}.000000", "1.0", "None", "192.0.2.7"),
        )
        connection.execute(
            'INSERT INTO "ExceptionOccurrence" VALUES (NULL, ?, 1, ?, ?, 0)',
            (cursor.lastrowid, message, stack),
        )
    connection.commit()
    connection.close()


def bring_over(old: Path, store: Store) -> ImportReport:
    found = open_fmd(f"sqlite:///{old}")
    try:
        return import_fmd(found, store, store.settings)
    finally:
        found.close()


def groups(store: Store) -> list[Any]:
    first = type_coerce(ExceptionGroup.first_seen, BigInteger)
    query = select(ExceptionGroup.type, ExceptionGroup.module, ExceptionGroup.function, first)
    with store.read() as connection:
        return [tuple(row) for row in connection.execute(query)]


def details(store: Store) -> list[exception_detail.ExceptionDetail]:
    with store.read() as connection:
        query = select(ExceptionRow.detail).order_by(ExceptionRow.time)
        return [exception_detail.decode(data) for data in connection.scalars(query)]


def hits(store: Store) -> int:
    with store.read() as connection:
        return connection.scalar(select(func.sum(ExceptionDay.hits))) or 0


def test_a_stack_with_its_functions(old: Path, store: Store) -> None:
    fail(old)
    report = bring_over(old, store)
    assert report.imported["exceptions"] == 1
    # The innermost line of the app's own code counts as the place.
    assert groups(store) == [("ValueError", "/srv/shop/views.py", "pay", NOON_MS)]
    [detail] = details(store)
    [link] = detail.links
    assert [(frame.file, frame.line, frame.own, frame.first_line) for frame in link.frames] == [
        ("/srv/shop/views.py", 11, True, 10),
        ("lib/core.py", 5, False, 4),
    ]
    with store.read() as connection:
        texts = set(connection.scalars(select(SourceBlock.text)))
    assert texts == {
        'def pay():\n    charge(token="[hidden]")',
        "def charge(token):\n    raise ValueError",
    }


def test_secrets_in_messages(old: Path, store: Store) -> None:
    fail(old, message=2)
    bring_over(old, store)
    with store.read() as connection:
        assert connection.scalar(select(ExceptionRow.message)) == "refused: password=[hidden]"
    [detail] = details(store)
    assert detail.links[0].message == "refused: password=[hidden]"


def test_the_newest_of_a_day_are_kept_and_all_counted(old: Path, store: Store) -> None:
    fail(old, times=KEPT_A_DAY + 5)
    report = bring_over(old, store)
    assert hits(store) == report.imported["exceptions"] == KEPT_A_DAY + 5
    assert any(f"the {KEPT_A_DAY} newest are kept" in note for note in report.notes)
    with store.read() as connection:
        times = connection.scalars(select(type_coerce(ExceptionRow.time, BigInteger))).all()
    assert sorted(times) == [NOON_MS + 1000 * number for number in range(5, KEPT_A_DAY + 5)]


def test_what_belongs_to_no_request(old: Path, store: Store) -> None:
    fail(old)
    execute(
        old,
        """INSERT INTO "Request" VALUES (5, 9, 1.0, '2026-01-05 12:00:00', '', '', '', 500);
        INSERT INTO "ExceptionOccurrence" VALUES
            (11, NULL, 1, 1, 1, 0), (12, 77, 1, 1, 1, 0), (13, 3, 1, 1, 1, 0), (14, 5, 1, 1, 1, 0);
        """,
    )
    report = bring_over(old, store)
    gone = "their request is not there, or was left out"
    assert report.left_out["exceptions", gone] == 4
    assert hits(store) == 1


def test_what_is_not_known(old: Path, store: Store) -> None:
    """No stack, no message, no such type: the exception counts all the same."""
    fail(old, message=9, stack=9)
    execute(old, 'DELETE FROM "ExceptionType"')
    bring_over(old, store)
    assert groups(store) == [("Exception", "", "", NOON_MS)]
    [detail] = details(store)
    assert (detail.links[0].message, detail.links[0].frames) == ("", [])


def test_a_recursion_is_cut_in_the_middle(old: Path, store: Store) -> None:
    fail(old)
    lines = ", ".join(f"(1, 1, {position})" for position in range(2, 200))
    execute(old, f'INSERT INTO "ExceptionStackLine" VALUES {lines}')
    bring_over(old, store)
    [detail] = details(store)
    assert len(detail.links[0].frames) == OUTER + INNER
    assert detail.links[0].cut == 200 - OUTER - INNER


def test_a_group_that_is_here_already_was_seen_before(old: Path, store: Store) -> None:
    fail(old, at="13:00")
    bring_over(old, store)
    assert groups(store)[0][-1] == NOON_MS + 3_600_000
    # A later request with an earlier time, in another run.
    fail(old)
    report = bring_over(old, store)
    assert report.imported["exceptions"] == 1
    assert [row[-1] for row in groups(store)] == [NOON_MS]
    fail(old, at="14:00")
    bring_over(old, store)
    assert [row[-1] for row in groups(store)] == [NOON_MS]
    assert hits(store) == 3


def test_a_stack_belongs_to_the_module_that_is_loaded(
    old: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the same exception goes on in the same group when it comes again."""
    fail(old)
    module = ModuleType("shop.views")
    module.__file__ = "/srv/shop/views.py"
    monkeypatch.setitem(sys.modules, module.__name__, module)
    bring_over(old, store)
    assert groups(store)[0][1] == "shop.views"


SHOP = """
from flask import Flask


def create_app():
    app = Flask(__name__)

    @app.get("/")
    def pay():
        raise ValueError("no card")

    return app
"""


def test_what_comes_again_joins_the_group_of_the_old_ones(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bind: Callable[..., Bound]
) -> None:
    """A view in a factory: the old product calls it "pay", here it is "create_app.<locals>.pay"."""
    (tmp_path / "later_shop.py").write_text(SHOP)
    monkeypatch.syspath_prepend(tmp_path)
    try:
        bound = bind(importlib.import_module("later_shop").create_app())
        fail(old)
        execute(
            old,
            f"""UPDATE "FilePath" SET path = '{tmp_path}/later_shop.py' WHERE id = 1;
            UPDATE "FunctionLocation" SET function_start_line_number = 8 WHERE id = 1;
            UPDATE "ExceptionFrame" SET line_number = 10 WHERE id = 1;
            DELETE FROM "ExceptionStackLine" WHERE position = 1;""",
        )
        monitor = bound.monitor
        bring_over(old, monitor.store)
        bound.app.test_client().get("/").close()
        monitor.recorder.flush()
    finally:
        sys.modules.pop("later_shop", None)
    [(kind, module, function, _)] = groups(monitor.store)
    assert (kind, module) == ("ValueError", "later_shop")
    assert function.endswith("pay")
    assert hits(monitor.store) == 2


def test_without_the_tables(old: Path, store: Store) -> None:
    fail(old)
    for table in ("ExceptionOccurrence", "ExceptionStackLine", "ExceptionFrame", "FilePath"):
        execute(old, f'DROP TABLE "{table}"')
    report = bring_over(old, store)
    assert report.imported["requests"] == 1
    assert hits(store) == 0
    assert not report.left_out
