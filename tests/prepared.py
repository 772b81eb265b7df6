"""What a test run makes once and many tests take a copy of."""

from __future__ import annotations

import shutil
from pathlib import Path

from fmd_admin.store import schema

from .support import database_url, new_store


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
