from __future__ import annotations

import logging
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import event, inspect, text

from fmd_admin.errors import SchemaError
from fmd_admin.store import migrating, schema
from fmd_admin.store.models import db
from fmd_admin.store.store import Store

from ...support import new_store

pytestmark = pytest.mark.every_engine

#: Forked with all modules: they start within a millisecond, not as their imports end.
START = """
import os
import sys
from multiprocessing import get_context
from pathlib import Path
from tests.support import new_store
from fmd_admin.store import migrating, schema


def start():
    together.wait(30)
    store = new_store(Path(sys.argv[1]))
    # In one write, whether Python buffers or not: the others write there too.
    os.write(1, f"{schema.migrate(store)}\\n".encode())
    store.close()


context = get_context("fork")
together = context.Barrier(8)
processes = [context.Process(target=start) for _ in range(8)]
for process in processes:
    process.start()
for process in processes:
    process.join()
print(*(process.exitcode for process in processes))
"""


KILLED = """
import os
import signal
import sys
from pathlib import Path
from sqlalchemy import event
from tests.support import new_store
from fmd_admin.store import migrating, schema
store = new_store(Path(sys.argv[1]))


def kill(_connection, _cursor, statement, *_rest):
    if "CREATE TABLE fmd_writer" in statement:
        os.kill(os.getpid(), signal.SIGKILL)


event.listen(store.engine, "after_cursor_execute", kill)
schema.migrate(store)
"""
FIRST_ENDPOINT = (
    "INSERT INTO fmd_endpoint (id, name, level, first_seen, last_requested) "
    "VALUES (1, 'old', 1, 0, 0)"
)
FIRST_VERSION = "INSERT INTO fmd_version (id, name, first_seen) VALUES (1, '1.0', 0)"
FIRST_REQUEST = (
    "INSERT INTO fmd_request (time, endpoint_id, version_id, duration_ms, status, method) "
    "VALUES (1000, 1, 1, 2.5, 200, 1)"
)


def assert_models(store: Store, engine: str) -> None:
    """The tables are what the models say."""
    with store.read() as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": schema.VERSION_TABLE, "compare_type": True}
        )
        found = compare_metadata(context, db.metadata)
    if engine == "mariadb":
        # MySQL knows no partial index, and Alembic does not ask where an index is made.
        found = [one for one in found if not one[1].name.startswith("fmd_request_errors")]
    assert found == []


def test_migrations_make_what_the_models_say(tmp_path: Path, engine: str) -> None:
    store = new_store(tmp_path)
    assert schema.migrate(store)
    assert_models(store, engine)
    store.close()


def test_migrating_twice_does_nothing(store: Store) -> None:
    assert schema.migrate(store) is False
    schema.check_schema(store)


def test_eight_processes_start_at_once_on_an_empty_database(tmp_path: Path) -> None:
    command = [sys.executable, "-c", START, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    *migrated, exit_codes = done.stdout.splitlines()
    assert sorted(migrated) == ["False"] * 7 + ["True"]
    assert exit_codes.split() == ["0"] * 8


def test_a_process_that_is_killed_while_it_migrates(tmp_path: Path, engine: str) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    assert subprocess.run(command, timeout=60).returncode == -signal.SIGKILL
    store = new_store(tmp_path)
    with pytest.raises(SchemaError, match="missing or older"):
        schema.check_schema(store)
    # The server may still hold the lock for the dead process: who comes next waits for it.
    assert schema.migrate(store)
    assert_models(store, engine)
    store.close()


def test_the_hosts_tables_and_loggers_are_left_alone(tmp_path: Path) -> None:
    logger = logging.getLogger("the.host")
    store = new_store(tmp_path)
    with store.write() as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num TEXT)"))
        connection.execute(text("INSERT INTO alembic_version VALUES ('the host')"))
    schema.migrate(store)
    assert logger.disabled is False
    with store.read() as connection:
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == "the host"
        names = set(inspect(connection).get_table_names()) - {"alembic_version"}
    assert all(name.startswith("fmd_") for name in names)
    store.close()


def test_missing_and_newer_tables_are_refused_with_the_mend(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    with pytest.raises(SchemaError, match="flask fmd migrate"):
        schema.check_schema(store)
    schema.migrate(store)
    with store.write() as connection:
        connection.execute(text("UPDATE fmd_alembic_version SET version_num = '9999'"))
    with pytest.raises(SchemaError, match="pip install --upgrade"):
        schema.migrate(store)
    store.close()


class Interrupted(Exception):
    """Ends a migration as a killed process does."""


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_migration_that_is_interrupted_at_each_change_goes_on(
    tmp_path: Path, engine: str, after: bool
) -> None:
    """Each run gets one change of a table further than the one before; then it all is there."""
    store = new_store(tmp_path)
    config, _ = migrating.alembic()
    with store.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        connection.execute(text(FIRST_ENDPOINT))
        connection.execute(text(FIRST_VERSION))
        connection.execute(text(FIRST_REQUEST))
    made = interrupted = 0
    most = 1

    def count(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        nonlocal made
        if statement.lstrip().startswith(("CREATE", "ALTER")):
            made += 1
            if made == (most if after else most + 1):
                raise Interrupted

    event.listen(store.engine, f"{'after' if after else 'before'}_cursor_execute", count)
    while True:
        made = 0
        try:
            assert schema.migrate(store)
            break
        except Interrupted:
            interrupted += 1
            # On MariaDB what a run has made remains, elsewhere nothing does.
            most += engine != "mariadb"
    assert interrupted >= 9
    schema.check_schema(store)
    assert_models(store, engine)
    with store.read() as connection:
        assert connection.scalars(text("SELECT version FROM fmd_config")).all() == [1]
        settings = connection.scalars(text("SELECT name FROM fmd_setting")).all()
    assert settings == ["_visitors_from"]
    store.close()


def test_lines_of_code_that_were_there_before_count_from_the_upgrade(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    config, _ = migrating.alembic()
    with store.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        line = "'d', 'views.py', 1, 'index', 'return 1', true"
        connection.execute(
            text(
                "INSERT INTO fmd_code_line (digest, file, line, function, source, own) "
                f"VALUES ({line})"
            )
        )
    assert schema.migrate(store)
    with store.read() as connection:
        seen_ms = connection.scalar(text("SELECT seen_at FROM fmd_code_line")) or 0
    assert abs(seen_ms / 1000 - time.time()) < 60
    store.close()


def test_every_migration_can_be_taken_back(store: Store) -> None:
    config, _ = migrating.alembic()
    with store.write() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
        left = set(inspect(connection).get_table_names())
    assert left == {schema.VERSION_TABLE}
    assert schema.migrate(store)


def test_the_revisions_are_those_that_their_files_are_named_by() -> None:
    """Starts tell by the names whether the tables are those of this version."""
    _, script = migrating.alembic()
    assert schema._known() == {revision.revision for revision in script.walk_revisions()}
    assert script.get_heads() == [max(schema._known())]


@pytest.mark.sqlite_only
def test_a_start_on_tables_of_this_version_does_without_alembic(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    schema.migrate(store)
    with store.read() as connection:
        assert schema.revision(connection) == max(schema._known())
    url = str(store.engine.url)
    store.close()
    start = f"""
import sys
from flask import Flask
from fmd_admin import FMDAdmin
app = Flask("host")
FMDAdmin(app, settings={{"database": {url!r}, "username": "anna", "password": "correct horse"}})
app.test_client().get("/dashboard/login").close()
assert not {{"alembic", "mako"}} & set(sys.modules)
"""
    found = subprocess.run(
        [sys.executable, "-c", start], check=False, capture_output=True, text=True, timeout=60
    )
    assert found.returncode == 0, found.stderr
