"""Counts what code does, where a clock would depend on the machine."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

import fmd_admin

OURS = str(Path(fmd_admin.__file__).parent)
#: SQLite tells after so many of its instructions; it reads or skips a row in a few of them.
STEPS = 50


@dataclass
class Sql:
    """The statements that an engine ran with their parameters, and SQLite's instructions."""

    statements: list[tuple[str, Any]] = field(default_factory=list)
    steps: int = 0

    @property
    def count(self) -> int:
        """How many there were; beginning and ending transactions does not count."""
        return len(self.statements)


@contextmanager
def counted_sql(engine: Engine) -> Iterator[Sql]:
    """Count what ``engine`` does inside the block; connections are opened anew for it."""
    found = Sql()

    def step() -> int:
        found.steps += STEPS
        return 0

    def connect(connection: Any, _record: Any) -> None:
        connection.set_progress_handler(step, STEPS)

    def execute(
        _connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool
    ) -> None:
        if not statement.startswith(("BEGIN", "PRAGMA")):
            found.statements.append((statement, parameters[0] if many else parameters))

    engine.dispose()
    event.listen(engine, "connect", connect)
    event.listen(engine, "before_cursor_execute", execute)
    try:
        yield found
    finally:
        event.remove(engine, "connect", connect)
        event.remove(engine, "before_cursor_execute", execute)
        engine.dispose()


def scans(engine: Engine, sql: Sql, tables: tuple[str, ...]) -> list[str]:
    """Return the steps of SQLite's query plans in which one of ``tables`` is read whole."""
    found = []
    with engine.connect() as connection:
        for statement, parameters in sql.statements:
            if not statement.lstrip().startswith(("SELECT", "WITH")):
                continue
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            for row in plan.all():
                words = str(row[3]).split()
                # "SCAN t USING … INDEX" goes through an index from end to end as well.
                if words[0] == "SCAN" and words[1] in tables:
                    found.append(f"{row[3]}: {statement}")
    return found


def calls(work: Callable[[], object]) -> Counter[str]:
    """Return the calls of our own Python functions in ``work``, and what these call in C.

    Only of this thread. A name is that of our file and function.
    """
    found: Counter[str] = Counter()

    def profile(frame: Any, what: str, argument: Any) -> None:
        code = frame.f_code
        if what in {"call", "c_call"} and code.co_filename.startswith(OURS):
            name = f"{code.co_filename[len(OURS) + 1 :]} {code.co_name}"
            found[name if what == "call" else f"{name} > {argument.__name__}"] += 1

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(before)
    return found
