"""Who runs the jobs: one process at a time, agreed on through the database alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache, partial

from sqlalchemy import Connection, Update, bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError

from ..errors import LeaseLostError
from .job_models import Lease as LeaseRow
from .store import Store

#: The owner of a lease that was given back.
FREE = ""


def pause_holders(connection: Connection) -> None:
    """Keep the holders of leases from changing anything until this write transaction ends."""
    connection.execute(select(LeaseRow.term).with_for_update())


@cache
def _raise_beat() -> Update:
    # Built once: it runs in each transaction of a job, and once a second.
    mine = (
        LeaseRow.name == bindparam("of_name"),
        LeaseRow.owner == bindparam("of_owner"),
        LeaseRow.term == bindparam("of_term"),
    )
    return update(LeaseRow).where(*mine).values(beat=LeaseRow.beat + 1)


class Lease:
    """A lease named ``name`` that at most one ``owner`` holds; owners are unique to a process.

    The holder raises ``beat`` about once a second. Another process takes over when it has seen
    (owner, term, beat) unmoved for ``ttl_s`` on its own monotonic clock, so it does not matter
    whether the machines' clocks agree. A holder that was only frozen finds ``term`` moved:
    :meth:`fence` in each of its transactions keeps it from doing harm until it knows.

    Meant for one thread, but for ``fence``, which may be called in any.
    """

    def __init__(
        self,
        store: Store,
        name: str,
        owner: str,
        ttl_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._name = name
        self._owner = owner
        self._ttl_s = ttl_s
        self._clock = clock
        self._term: int | None = None
        self._seen: tuple[str, int, int] | None = None
        self._seen_at = 0.0

    @property
    def held(self) -> bool:
        """Whether this process held the lease at the last tick."""
        return self._term is not None

    def tick(self) -> bool:
        """Give a sign of life, or try to take the lease over; return whether it is held.

        To be called about once a second. Database errors are raised; the lease may then be held
        or not, which the next tick finds out.
        """
        if self._term is not None:
            if self._store.transact(partial(self._raise_beat, term=self._term)):
                return True
            self._term = self._seen = None
        return self._try_take()

    def fence(self, connection: Connection) -> None:
        """Make this write transaction fail unless the lease is held; call it first.

        It locks the lease's row, so nobody takes over before the transaction has ended. Raises
        LeaseLostError.
        """
        term = self._term
        if term is not None and self._raise_beat(connection, term):
            return
        raise LeaseLostError(
            f"The lease {self._name!r} is held by another process now. Nothing needs to be done: "
            "that one runs the jobs."
        )

    def release(self) -> None:
        """Give the lease back, if it is held, so that another process need not wait for it."""
        if self._term is None:
            return
        term = self._term
        self._term = self._seen = None
        # The row stays: its term must never go back to a number it had before.
        self._change(
            update(LeaseRow)
            .where(
                LeaseRow.name == self._name, LeaseRow.owner == self._owner, LeaseRow.term == term
            )
            .values(owner=FREE)
        )

    def forget(self) -> None:
        """Know nothing of a lease any more, as a child after a fork."""
        self._term = self._seen = None

    def _change(self, statement: Update) -> int:
        """Run an update in a transaction of its own; return how many rows it met."""
        return self._store.transact(lambda connection: connection.execute(statement).rowcount)

    def _raise_beat(self, connection: Connection, term: int) -> int:
        """Show that its holder lives; return 0 if that is another one."""
        mine = {"of_name": self._name, "of_owner": self._owner, "of_term": term}
        return connection.execute(_raise_beat(), mine).rowcount

    def _try_take(self) -> bool:
        with self._store.read() as connection:
            row = connection.execute(
                select(LeaseRow.owner, LeaseRow.term, LeaseRow.beat).where(
                    LeaseRow.name == self._name
                )
            ).one_or_none()
        if row is None:
            return self._create()
        found = (row.owner, row.term, row.beat)
        if row.owner == FREE:
            return self._take_over(found)
        now = self._clock()
        if found != self._seen:
            self._seen, self._seen_at = found, now
            return False
        if now - self._seen_at < self._ttl_s:
            return False
        return self._take_over(found)

    def _create(self) -> bool:
        try:
            with self._store.write() as connection:
                connection.execute(
                    insert(LeaseRow).values(name=self._name, owner=self._owner, term=1, beat=0)
                )
        except IntegrityError:
            return False  # Another process was faster.
        self._term = 1
        return True

    def _take_over(self, found: tuple[str, int, int]) -> bool:
        owner, term, beat = found
        taken = self._change(
            update(LeaseRow)
            .where(
                LeaseRow.name == self._name,
                LeaseRow.owner == owner,
                LeaseRow.term == term,
                LeaseRow.beat == beat,
            )
            .values(owner=self._owner, term=term + 1, beat=0)
        )
        self._seen = None
        if not taken:
            return False
        self._term = term + 1
        return True
