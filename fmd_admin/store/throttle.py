"""Slows guessing of passwords down, for all processes on one store together.

Tries are counted per username and per address. A try counts as failed from its beginning, so
that many at once do not slip through while the first ones are still being checked.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Sequence

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from .models import LoginFailure
from .types import to_millis

#: So many tries may fail before the first wait.
FREE_TRIES = 5
FIRST_WAIT_MS = 2_000
LONGEST_WAIT_MS = 300_000
#: Without a failure for this time the count starts again.
FORGET_AFTER_MS = 15 * 60_000
#: Rows older than this are deleted.
KEEP_MS = 24 * 60 * 60_000


def wait_ms(failures: int) -> int:
    """Return how long the next try has to wait after so many failed ones."""
    if failures < FREE_TRIES:
        return 0
    # The exponent is bounded: a large count must not become a huge number first.
    doublings = min(failures - FREE_TRIES, 20)
    return min(FIRST_WAIT_MS << doublings, LONGEST_WAIT_MS)


def user_subject(username: str) -> str:
    """Name a username in the table: hashed, for people type passwords into the wrong field."""
    digest = hashlib.sha256(username.strip().casefold().encode("utf-8", "replace")).hexdigest()
    return f"user:{digest[:40]}"


def address_subject(address: str | None) -> str | None:
    """Name an address in the table (IPv6 by its /64), or return None where there is none."""
    try:
        parsed = ipaddress.ip_address((address or "").partition("%")[0])
    except ValueError:
        return None
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


def forgive(connection: Connection, user: str, address: str | None) -> None:
    """Undo what :func:`reserve` counted for a try that turned out right.

    The username starts from zero. The address only loses this one try: whoever has an account
    could clear it again and again while guessing others.
    """
    if address is not None:
        connection.execute(
            update(LoginFailure)
            .where(LoginFailure.subject == address, LoginFailure.failures > 0)
            .values(failures=LoginFailure.failures - 1)
        )
    connection.execute(delete(LoginFailure).where(LoginFailure.subject == user))


def forget_old(connection: Connection, now_ms: int) -> None:
    """Delete some of the rows that do not count any more, more than one login can add."""
    old = LoginFailure.last_at < now_ms - KEEP_MS
    subjects = connection.scalars(
        select(LoginFailure.subject).where(old).order_by(LoginFailure.subject).limit(100)
    ).all()
    if subjects:
        connection.execute(delete(LoginFailure).where(LoginFailure.subject.in_(subjects), old))


def _locked_failures(connection: Connection, subject: str, now_ms: int) -> tuple[int, int]:
    """Return the failures of ``subject`` and until when it is blocked (UTC ms).

    Its row is made if there is none, and locked, so that of many tries at once each sees those
    before it. SQLite's write transaction is a lock already.
    """
    query = (
        select(LoginFailure.failures, LoginFailure.last_at)
        .where(LoginFailure.subject == subject)
        .with_for_update()
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        try:
            with connection.begin_nested():
                connection.execute(
                    insert(LoginFailure).values(subject=subject, failures=0, last_at=now_ms)
                )
        except IntegrityError:
            # Another process made it in between.
            row = connection.execute(query).one_or_none()
    if row is None:
        return 0, 0
    # A clock that was set back must not lengthen the wait.
    last_ms = min(to_millis(row.last_at), now_ms)
    if now_ms - last_ms >= FORGET_AFTER_MS:
        return 0, 0
    return row.failures, last_ms + wait_ms(row.failures)
