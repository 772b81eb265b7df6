"""Deletes the rows of endpoints or versions in transactions so short that writers hardly wait.

There may be millions, and no index leads to them. What they were counted in stays until the end, so
that no figure is half gone: the last transaction deletes that with the names
(:mod:`fmd_admin.store.live`), and what came in meanwhile.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from sqlalchemy import Connection, delete, func, select

from .exception_models import ExceptionRow
from .models import Outlier, Profile, Request
from .rollup_rows import chunks
from .store import Store

#: Tables with a row a request.
_TABLES = (Request, Profile, Outlier, ExceptionRow)
#: What a transaction aims at; SQLite's other writers wait for it.
_TARGET_S = 0.02
_FIRST_ROWS = 200
_LEAST_ROWS = 20
_MOST_ROWS = 10_000
#: Pause between two transactions at least, for those who wait.
_PAUSE_S = 0.01
#: Rows that others may delete meanwhile from SQLite's end of a table, where ids come again then.
_SPARE_IDS = 100_000


class Emptying:
    """Takes away the rows whose ``column`` (``endpoint_id`` or ``version_id``) is in ``ids``.

    ``deleted`` counts them. ``above`` says what is left for the last transaction: by table, the id
    above which rows may have come in meanwhile; a table that is not in it is to be read as a whole.
    """

    def __init__(self, store: Store, column: str, ids: Sequence[int]) -> None:
        self._store = store
        self._column = column
        self._ids = ids
        self._left: deque[Any] = deque(_TABLES)
        self._rows = _FIRST_ROWS
        self._read_to = 0
        # Servers give each id once, but a row may come after one with a higher id.
        self._ids_grow = store.engine.dialect.name == "sqlite"
        self._lowest_end: dict[Any, int] = {}
        self.deleted = 0

    @property
    def above(self) -> Mapping[Any, int]:
        return {table: max(end - _SPARE_IDS, 0) for table, end in self._lowest_end.items()}

    def work(self, budget_s: float) -> bool:
        """Work for about ``budget_s``; return whether all that was there is gone."""
        end = time.monotonic() + budget_s
        while self._left:
            began = time.monotonic()
            more = self._step(self._left[0])
            now = time.monotonic()
            # Who starts anew has to come further: tables without rows do not count.
            if more and now >= end:
                return False
            time.sleep(max(_PAUSE_S, min(now - began, _TARGET_S)))
        return True

    def _step(self, table: Any) -> bool:
        """Do one transaction; return whether there may be more rows in ``table``."""
        wanted = self._rows
        with self._store.read() as connection:
            # Found without a lock: with few of them among many this takes longest.
            query = select(table.id).where(
                table.id > self._read_to, getattr(table, self._column).in_(self._ids)
            )
            found = connection.scalars(query.order_by(table.id).limit(wanted)).all()
        began = time.monotonic()
        self._store.transact(partial(self._delete, table, found))
        took_s = time.monotonic() - began
        if len(found) < wanted:
            self._left.popleft()
            self._rows, self._read_to = _FIRST_ROWS, 0
            return False
        self._read_to = found[-1]
        # Towards the target, by at most a factor of two at a time.
        factor = min(max(_TARGET_S / max(took_s, 1e-6), 0.5), 2.0)
        self._rows = min(max(int(wanted * factor), _LEAST_ROWS), _MOST_ROWS)
        return True

    def _delete(self, table: Any, ids: Sequence[int], connection: Connection) -> None:
        gone = 0
        for chunk in chunks(ids):
            gone += connection.execute(delete(table).where(table.id.in_(chunk))).rowcount
        if self._ids_grow:
            end = connection.scalar(select(func.max(table.id))) or 0
            self._lowest_end[table] = min(end, self._lowest_end.get(table, end))
        self.deleted += gone
