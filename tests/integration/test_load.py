"""6,000 requests through four processes: what is stored is what was answered, to the row.

``python -m benchmarks.load`` does the same with 60,000, and stops the database for longer.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.load import run

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("warm_servers")]


@pytest.mark.every_engine
def test_rows_are_the_requests_that_were_answered(tmp_path: Path, engine: str) -> None:
    assert run(engine, 6_000, 0.0, compare=False) == []


def test_postgresql_is_stopped_in_the_middle(database_servers: object) -> None:
    database_servers.get("postgresql")  # type: ignore[attr-defined] # Skips if it is not there.
    assert run("postgresql", 6_000, 8.0, compare=False) == []
