"""What can be wrong with a database that is to be brought over, and version 3's tables."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import func, select
from werkzeug.security import generate_password_hash

from fmd_admin import cli
from fmd_admin.compat.fmd_database import open_fmd
from fmd_admin.compat.import_fmd import import_fmd
from fmd_admin.compat.import_report import TAKEN, ImportReport
from fmd_admin.errors import ImportSourceError
from fmd_admin.store.models import Endpoint, Hour, User
from fmd_admin.store.store import Store

from ...cheap_hashes import METHOD
from ...support import new_store, stored_rows

#: As its version 3.0.6 makes them; there were no users yet.
VERSION_3 = """
CREATE TABLE "Endpoint" (id INTEGER NOT NULL PRIMARY KEY, name VARCHAR(250) NOT NULL UNIQUE,
    monitor_level INTEGER, time_added DATETIME, version_added VARCHAR(100),
    last_requested DATETIME);
CREATE TABLE "Request" (id INTEGER NOT NULL PRIMARY KEY, endpoint_id INTEGER,
    duration FLOAT NOT NULL, time_requested DATETIME, version_requested VARCHAR(100),
    group_by VARCHAR(100), ip VARCHAR(100) NOT NULL, status_code INTEGER);
CREATE TABLE "Outlier" (id INTEGER NOT NULL PRIMARY KEY, request_id INTEGER, request_header TEXT,
    request_environment TEXT, request_url VARCHAR(2100), cpu_percent VARCHAR(150), memory TEXT,
    stacktrace TEXT);
CREATE TABLE "CodeLine" (id INTEGER NOT NULL PRIMARY KEY, filename VARCHAR(250) NOT NULL,
    line_number INTEGER NOT NULL, function_name VARCHAR(250) NOT NULL, code VARCHAR(250) NOT NULL);
CREATE TABLE "StackLine" (request_id INTEGER NOT NULL, code_id INTEGER, position INTEGER NOT NULL,
    indent INTEGER NOT NULL, duration FLOAT NOT NULL, PRIMARY KEY (request_id, position));
CREATE TABLE "CustomGraph" (graph_id INTEGER NOT NULL PRIMARY KEY,
    title VARCHAR(250) NOT NULL UNIQUE, time_added DATETIME, version_added VARCHAR(100));
CREATE TABLE "CustomGraphData" (id INTEGER NOT NULL PRIMARY KEY, graph_id INTEGER, time DATETIME,
    value FLOAT);
INSERT INTO "Endpoint" VALUES
    (1, 'index', 2, '2026-01-05 10:00:00.000000', '1', '2026-01-05 12:00:00.500000'),
    (2, 'never', 1, '2026-01-05 10:00:00.000000', '1', NULL);
INSERT INTO "Request" VALUES
    (1, 1, 12.5, '2026-01-05 11:59:59.250000', '1.0', 'None', '192.0.2.7', 200),
    (2, 1, 13.5, '2026-01-05 11:59:59.750000', NULL, '(User,3)', '192.0.2.8', NULL),
    (3, 9, 1.0, '2026-01-05 12:00:00.000000', '1.0', 'None', '192.0.2.7', 200),
    (4, 1, 1.0, NULL, '1.0', 'None', '192.0.2.7', 200);
INSERT INTO "Outlier" VALUES (1, 4, '', '', '', '', '', ''), (2, 77, '', '', '', '', '', '');
INSERT INTO "CustomGraph" VALUES (1, 'Users', '2026-01-05 10:00:00.000000', '1');
INSERT INTO "CustomGraphData" VALUES
    (1, 1, '2026-01-05 10:00:00.000000', 3), (2, 1, '2026-01-05 10:00:00.000000', 4),
    (3, 1, NULL, 5), (4, 8, '2026-01-05 10:00:00.000000', 6), (5, 1, '2026-01-05 11:00:00', NULL);
"""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    connection = sqlite3.connect(tmp_path / "old.db")
    connection.executescript(VERSION_3)
    connection.close()
    return tmp_path / "old.db"


def execute(old: Path, script: str) -> None:
    connection = sqlite3.connect(old)
    connection.executescript(script)
    connection.close()


def manage(store: Store, *arguments: str) -> Result:
    url = store.engine.url.render_as_string()
    return CliRunner().invoke(cli.manage, ["--database", url, "import-fmd", *arguments])


def test_version_3(old: Path, store: Store) -> None:
    done = manage(store, f"sqlite:///{old}")
    assert done.exit_code == 0, done.output
    assert "requests: 2" in done.stdout
    said = done.stdout.splitlines()
    assert "  requests: 1 (their endpoint is not there)" in said
    assert "  requests: 1 (they have no time or duration)" in said
    assert "  outliers: 2 (their request is not there, or was left out)" in said
    assert "  custom graph values: 1 (their graph has one of that moment)" in said
    assert "  custom graph values: 2 (their graph or their time is not there)" in said
    assert "  custom graph values: 1 (they are no numbers)" in said
    assert "  endpoints: 1 (never requested; they begin when they are)" in said
    first, second = stored_rows(store)
    assert (first.version, first.group, first.ip, first.status) == ("1.0", None, "192.0.2.7", 200)
    assert (second.version, second.group, second.status) == ("", "(User,3)", 0)
    assert first.time_ms == 1_767_614_399_250
    with store.read() as connection:
        assert connection.scalar(select(func.sum(Hour.hits))) == 2
        assert connection.scalar(select(Endpoint.level)) == 2
    again = manage(store, f"sqlite:///{old}")
    assert "requests: 0" in again.stdout
    assert len(stored_rows(store)) == 2


def test_what_comes_later_comes_with_the_next_run(old: Path, store: Store) -> None:
    manage(store, f"sqlite:///{old}")
    execute(
        old,
        """INSERT INTO "Request" VALUES
        (5, 2, 1.0, '2026-01-06 12:00:00.000000', '1.0', 'None', '192.0.2.7', 200);
        UPDATE "Endpoint" SET last_requested = '2026-01-06 12:00:00' WHERE id = 2;""",
    )
    assert "requests: 1" in manage(store, f"sqlite:///{old}").stdout
    assert [row.endpoint for row in stored_rows(store)] == ["index", "index", "never"]


def test_of_two_imports_at_once_each_counts_what_it_brought_over(
    old: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports = []

    def run() -> ImportReport:
        found = open_fmd(f"sqlite:///{old}")
        try:
            return import_fmd(found, store, store.settings)
        finally:
            found.close()

    def overtake(*_: object) -> None:
        # The first one knows already how far the database was brought over.
        monkeypatch.undo()
        reports.append(run())

    monkeypatch.setattr("fmd_admin.compat.import_fmd.import_users", overtake)
    report = run()
    [other] = reports
    assert (other.imported["requests"], other.imported["custom graph values"]) == (2, 1)
    assert (report.imported["requests"], report.imported["custom graph values"]) == (0, 0)
    assert report.left_out["requests", TAKEN] == 4
    assert report.left_out["custom graph values", TAKEN] == 5
    assert {kind for kind, why in report.left_out if why != TAKEN} <= {"endpoints", "outliers"}
    assert len(stored_rows(store)) == 2


@pytest.mark.parametrize(("ip", "expected"), [("off", None), ("anonymized", "192.0.2.0")])
def test_addresses_follow_the_setting(
    old: Path, tmp_path: Path, ip: str, expected: str | None
) -> None:
    from fmd_admin.store import schema

    store = new_store(tmp_path, ip=ip)
    schema.migrate(store)
    found = open_fmd(f"sqlite:///{old}")
    import_fmd(found, store, store.settings)
    found.close()
    assert {row.ip for row in stored_rows(store)} == {expected}
    store.close()


def hashed(password: str) -> str:
    return generate_password_hash(password, method=METHOD)


@pytest.fixture
def with_users(old: Path) -> Path:
    users = [
        (1, "admin", hashed("admin"), 1),
        (2, "olga", hashed("olgas password"), 1),
        (3, "Anna", hashed("annas password"), 0),
        (4, "old", "sha256$salt$" + "0" * 64, 0),
        (5, " blank", hashed("a good password"), 0),
    ]
    connection = sqlite3.connect(old)
    connection.execute(
        'CREATE TABLE "User" (id INTEGER NOT NULL PRIMARY KEY, username VARCHAR(250), '
        "password_hash VARCHAR(162), is_admin BOOLEAN)"
    )
    connection.executemany('INSERT INTO "User" VALUES (?, ?, ?, ?)', users)
    connection.commit()
    connection.close()
    return old


def test_users_that_cannot_come_are_named(with_users: Path, store: Store) -> None:
    from fmd_admin.store.accounts import create_user

    create_user(store, "anna", "correct horse", "admin")
    said = manage(store, f"sqlite:///{with_users}").stdout
    assert "users: 1" in said
    for name, why in {
        "admin": "tried first",
        "Anna": "already",
        "old": "cannot be checked",
        " blank": "no blank",
    }.items():
        assert any(f"({name}: " in line and why in line for line in said.splitlines()), (name, said)
    with store.read() as connection:
        rows = connection.execute(select(User.username, User.role)).all()
    assert {(row[0], row[1]) for row in rows} == {("anna", "admin"), ("olga", "admin")}


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense", "no database URL"),
        ("sqlite:///nowhere.db", "There is no file nowhere.db"),
        ("sqlite://", "There is no file"),
        ("oracle://x", "driver"),
    ],
)
def test_what_is_no_database(store: Store, url: str, message: str) -> None:
    done = manage(store, url)
    assert done.exit_code == 1
    assert message in done.stderr
    assert done.stderr.startswith("Error: ")


def test_a_database_of_something_else(tmp_path: Path, store: Store) -> None:
    execute(tmp_path / "else.db", "CREATE TABLE x (id INTEGER)")
    assert "no tables Endpoint and Request" in manage(store, f"sqlite:///{tmp_path}/else.db").stderr
    (tmp_path / "text.db").write_text("no database at all, but a text that is long enough" * 20)
    assert "cannot be read" in manage(store, f"sqlite:///{tmp_path}/text.db").stderr


def test_a_database_of_version_2(old: Path, store: Store) -> None:
    execute(old, 'ALTER TABLE "Request" DROP COLUMN status_code')
    assert "2 or older" in manage(store, f"sqlite:///{old}").stderr


def test_several_prefixes(old: Path, store: Store) -> None:
    execute(old, re.sub(r'"([A-Z]\w+)"', r'"two_\1"', VERSION_3))
    url = f"sqlite:///{old}"
    with pytest.raises(ImportSourceError, match=r"several prefixes: '', 'two_'"):
        open_fmd(url)
    assert "requests: 2" in manage(store, url, "--table-prefix", "two_").stdout
    assert "no tables three_Endpoint" in manage(store, url, "--table-prefix", "three_").stderr


def test_the_old_database_is_only_read(old: Path, store: Store) -> None:
    before = old.read_bytes()
    old.chmod(0o444)
    manage(store, f"sqlite:///{old}")
    assert old.read_bytes() == before


def test_an_empty_one(old: Path, store: Store) -> None:
    for name in ("Endpoint", "Request", "Outlier", "CustomGraph", "CustomGraphData"):
        execute(old, f'DELETE FROM "{name}"')
    done = manage(store, f"sqlite:///{old}")
    assert done.exit_code == 0
    assert "requests: 0" in done.stdout
