"""What a test run makes once and many tests take a copy of."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import URL
from werkzeug.routing import Rule

from fmd_admin.store import schema

from .support import database_url, new_store


def make_tables(folder: Path, url: URL) -> None:
    """Make the tables of this version in the database of ``url``."""
    store = new_store(folder, database=url.render_as_string(hide_password=False))
    schema.migrate(store)
    store.close()


class EmptyDatabase:
    """An SQLite file with the tables of this version and nothing in them."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "fmd.db"
        store = new_store(folder)
        schema.migrate(store)
        store.close()

    def copy_to(self, folder: Path) -> None:
        """Put a copy where a test's database is going to be, if it is on SQLite."""
        target = folder / "fmd.db"
        if database_url(folder) == f"sqlite:///{target}" and not target.exists():
            shutil.copy(self._file, target)


def keep_url_builders(patch: pytest.MonkeyPatch) -> None:
    """Have each rule of a URL map compiled once for all apps of this process.

    Werkzeug writes and compiles two functions for each rule of each app: more than half of the
    time that the start of a panel takes. They follow from the texts of the rule alone.
    """
    kept: dict[Any, Callable[..., tuple[str, str]]] = {}
    compiled = Rule._compile_builder

    def compile_builder(rule: Rule, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        if rule.defaults:
            return compiled(rule, append_unknown)
        key = (rule.rule, tuple(rule._trace), append_unknown)
        if key not in kept:
            kept[key] = compiled(rule, append_unknown)
        return kept[key]

    patch.setattr(Rule, "_compile_builder", compile_builder)
