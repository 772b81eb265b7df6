from __future__ import annotations

import logging
import subprocess
import sys
import time
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, text

from fmd_admin.errors import SchemaError
from fmd_admin.store import schema
from fmd_admin.store.models import db
from fmd_admin.store.store import Store

from ...support import new_store

pytestmark = pytest.mark.every_engine

START = """
import sys
import time
from pathlib import Path
from tests.support import new_store
from fmd_admin.store import schema
store = new_store(Path(sys.argv[1]))
print(schema.migrate(store))
store.close()
"""


def test_migrations_make_what_the_models_say(store: Store, engine: str) -> None:
    with store.read() as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": schema.VERSION_TABLE, "compare_type": True}
        )
        found = compare_metadata(context, db.metadata)
    if engine == "mariadb":
        # MySQL knows no partial index, and Alembic does not ask where an index is made.
        found = [one for one in found if one[1].name != "fmd_request_errors"]
    assert found == []


def test_migrating_twice_does_nothing(store: Store) -> None:
    assert schema.migrate(store) is False
    schema.check_schema(store)


def test_eight_processes_start_at_once_on_an_empty_database(tmp_path: Path) -> None:
    command = [sys.executable, "-c", START, str(tmp_path)]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    results = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0] * 8, results
    assert sorted(out.strip() for out, _ in results) == ["False"] * 7 + ["True"]


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


def test_lines_of_code_that_were_there_before_count_from_the_upgrade(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    config, _ = schema._alembic()
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
    config, _ = schema._alembic()
    with store.write() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
        left = set(inspect(connection).get_table_names())
    assert left == {schema.VERSION_TABLE}
    assert schema.migrate(store)
