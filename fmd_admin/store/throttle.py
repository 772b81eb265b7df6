"""Slows guessing of passwords down, for all processes on one store together.

Tries are counted per client and account together, and, with higher limits, for each. A try counts
as failed from its beginning, so that many at once do not slip through while the first ones are
still being checked.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from .models import LoginFailure
from .types import to_millis

FIRST_WAIT_MS = 2_000


@dataclass(frozen=True)
class Limit:
    """So many tries may fail before the first wait; waits double up to the longest."""

    free_tries: int
    longest_wait_ms: int


#: By the kind of a subject. One client at one account has few tries. An account and an address by
#: themselves have many: else anybody could lock somebody out, or all who share an address.
LIMITS = {
    "pair": Limit(5, 300_000),
    "own": Limit(5, 300_000),
    "user": Limit(100, 60_000),
    "address": Limit(50, 30_000),
}
#: Without a failure for this time the count starts again.
FORGET_AFTER_MS = 15 * 60_000
#: Rows older than this are deleted.
KEEP_MS = 24 * 60 * 60_000


def wait_ms(failures: int, limit: Limit) -> int:
    """Return how long the next try has to wait after so many failed ones."""
    if failures < limit.free_tries:
        return 0
    # The exponent is bounded: a large count must not become a huge number first.
    doublings = min(failures - limit.free_tries, 20)
    return min(FIRST_WAIT_MS << doublings, limit.longest_wait_ms)


def login_subjects(username: str, address: str | None) -> list[str]:
    """Name in the table what a login counts against: client and account, each, and together."""
    name, client = _hashed(username), address_subject(address)
    return [f"pair:{_hashed(name + client)}", f"user:{name}", client]


def own_subjects(username: str) -> list[str]:
    """Name what counts when somebody who is logged in confirms the own password.

    Nothing of the public login counts there: strangers could take the password change away.
    """
    return [f"own:{_hashed(username)}"]


def _hashed(text: str) -> str:
    """Hashed, for people type passwords into the wrong field."""
    plain = text.strip().casefold().encode("utf-8", "replace")
    return hashlib.sha256(plain).hexdigest()[:40]


def address_subject(address: str | None) -> str:
    """Name an address in the table (IPv6 by its /64); all that are none share one name."""
    text = (address or "").partition("%")[0].strip()
    # Some load balancers add the port.
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        parsed = ipaddress.ip_address(text)
    except ValueError:
        return "address:unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return f"address:{parsed.ipv4_mapped}"
        return f"address:{ipaddress.ip_network((parsed, 64), strict=False)}"
    return f"address:{parsed}"


def reserve(connection: Connection, subjects: Sequence[str], now_ms: int) -> int:
    """Count one try as failed and return 0, or return until when (UTC ms) none is allowed.

    A try that has to wait is not counted, so that waiting always ends. To be called in a write
    transaction.
    """
    # Without making rows first: a flood of tries that have to wait must not fill the table.
    blocked_ms = max(_failures(connection, subject, now_ms)[1] for subject in subjects)
    if blocked_ms > now_ms:
        return blocked_ms
    # One after the other and sorted: two processes never wait for each other's rows in a ring.
    counts = {
        subject: _locked_failures(connection, subject, now_ms) for subject in sorted(subjects)
    }
    until_ms = max((until for _, until in counts.values()), default=0)
    if until_ms > now_ms:
        return until_ms
    for subject, (failures, _) in counts.items():
        connection.execute(
            update(LoginFailure)
            .where(LoginFailure.subject == subject)
            .values(failures=failures + 1, last_at=now_ms)
        )
    return 0


def forgive(connection: Connection, subjects: Sequence[str]) -> None:
    """Undo what :func:`reserve` counted for a try that turned out right.

    This client starts from zero at this account. The account and the address by themselves only
    lose this one try: whoever has an account could clear them again and again while guessing.
    """
    for subject in sorted(subjects):
        if _kind(subject) in {"pair", "own"}:
            connection.execute(delete(LoginFailure).where(LoginFailure.subject == subject))
        else:
            connection.execute(
                update(LoginFailure)
                .where(LoginFailure.subject == subject, LoginFailure.failures > 0)
                .values(failures=LoginFailure.failures - 1)
            )


def forget_old(connection: Connection, now_ms: int) -> None:
    """Delete some of the rows that do not count any more, more than one login can add."""
    old = LoginFailure.last_at < now_ms - KEEP_MS
    subjects = connection.scalars(
        select(LoginFailure.subject).where(old).order_by(LoginFailure.subject).limit(100)
    ).all()
    if subjects:
        connection.execute(delete(LoginFailure).where(LoginFailure.subject.in_(subjects), old))


def _kind(subject: str) -> str:
    return subject.partition(":")[0]


def _locked_failures(connection: Connection, subject: str, now_ms: int) -> tuple[int, int]:
    """Return what :func:`_failures` does, of a row that is made if need be, and locked.

    So of many tries at once each sees those before it. SQLite's write transaction is a lock
    already.
    """
    found = _failures(connection, subject, now_ms, lock=True)
    if found is _NO_ROW:
        try:
            with connection.begin_nested():
                connection.execute(
                    insert(LoginFailure).values(subject=subject, failures=0, last_at=now_ms)
                )
        except IntegrityError:
            # Another process made it in between.
            found = _failures(connection, subject, now_ms, lock=True)
    return found


_NO_ROW = (0, -1)


def _failures(
    connection: Connection, subject: str, now_ms: int, *, lock: bool = False
) -> tuple[int, int]:
    """Return the failures of ``subject`` and until when it is blocked (UTC ms)."""
    query = select(LoginFailure.failures, LoginFailure.last_at).where(
        LoginFailure.subject == subject
    )
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        return _NO_ROW
    # A clock that was set back must not lengthen the wait.
    last_ms = min(to_millis(row.last_at), now_ms)
    if now_ms - last_ms >= FORGET_AFTER_MS:
        return 0, 0
    return row.failures, last_ms + wait_ms(row.failures, LIMITS[_kind(subject)])
