"""Deletes what is too old, in transactions so short that writers hardly wait."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping

from sqlalchemy import Connection

from .retention import BY_NAME, NAMES, Aged, Kind, any_before, delete_oldest, tables_of
from .store import Store
from .unused_names import Fence, remove_unused

#: What a transaction aims at; SQLite's other writers wait for it.
_TARGET_S = 0.02
_FIRST_ROWS = 500
_LEAST_ROWS = 20
#: Pause between two transactions at least, for those who wait.
_PAUSE_S = 0.01
#: Pause after names were deleted: every process reads its ids anew.
_NAMES_PAUSE_S = 1.0

#: Called in each transaction with all that went so far.
Record = Callable[[Connection, Mapping[str, int]], None]


class Pruner:
    """Works off a plan (kind → before when, UTC ms), of which ``deleted`` rows went already.

    ``fence`` begins and ``record`` ends each write transaction. With ``always_names`` groups and
    clients without data are looked for even if nothing else went.
    """

    def __init__(
        self,
        store: Store,
        plan: Mapping[str, int],
        *,
        fence: Fence,
        record: Record,
        deleted: Mapping[str, int] | None = None,
        always_names: bool = True,
    ) -> None:
        self._store = store
        self._fence = fence
        self._record = record
        self.deleted: Counter[str] = Counter(deleted or {})
        self._always_names = always_names
        self._left: deque[tuple[Kind, Aged, int]] = deque(
            (BY_NAME[name], aged, before_ms)
            for name, before_ms in plan.items()
            if name in BY_NAME
            for aged in tables_of(BY_NAME[name])
        )
        self._with_names = NAMES in plan
        self._rows = _FIRST_ROWS
        self._names: Iterator[bool] | None = None

    def work(self, budget_s: float, wait: Callable[[float], bool]) -> bool:
        """Work for about ``budget_s``; return whether everything is done.

        ``wait`` pauses for some seconds and returns True when the work must end now.
        """
        end = time.monotonic() + budget_s
        while True:
            began = time.monotonic()
            pause = self._step()
            if pause is None:
                return True
            now = time.monotonic()
            if pause and wait(max(pause, now - began)):
                return False
            if time.monotonic() >= end:
                return False

    def _step(self) -> float | None:
        """Do one transaction; return for how long to pause then, None when all is done."""
        if self._left:
            return self._delete_rows(*self._left[0])
        if not self._with_names or not (self._always_names or self.deleted):
            return None
        if self._names is None:
            self._names = remove_unused(self._store, self._fence, self._count_names)
        deleted = next(self._names, None)
        if deleted is None:
            return None
        return _NAMES_PAUSE_S if deleted else _PAUSE_S

    def _delete_rows(self, kind: Kind, aged: Aged, before_ms: int) -> float:
        with self._store.read() as connection:
            if not any_before(connection, aged, before_ms):
                self._left.popleft()
                self._rows = _FIRST_ROWS
                return 0.0
        most = min(self._rows, kind.chunk)
        with self._store.write() as connection:
            began = time.monotonic()
            self._fence(connection)
            gone = delete_oldest(connection, aged, before_ms, most)
            self.deleted[kind.name] += gone
            self._record(connection, self.deleted)
        took_s = time.monotonic() - began
        # Towards the target, by at most a factor of two at a time.
        factor = min(max(_TARGET_S / max(took_s, 1e-6), 0.5), 2.0)
        self._rows = max(int(most * factor), _LEAST_ROWS)
        return _PAUSE_S

    def _count_names(self, connection: Connection, gone: int) -> None:
        self.deleted[NAMES] += gone
        self._record(connection, self.deleted)
