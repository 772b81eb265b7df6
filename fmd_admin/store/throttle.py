"""Slows guessing of passwords down, for all processes on one store together.

Tries are counted per username and per address. A try counts as failed from its beginning, so
that many at once do not slip through while the first ones are still being checked.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, case, delete, insert, select, update
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
    until = _blocked_until(connection, subjects, now_ms)
    if until > now_ms:
        return until
    connection.execute(delete(LoginFailure).where(LoginFailure.last_at < now_ms - KEEP_MS))
    # Sorted, so that two processes lock the rows in the same order.
    for subject in sorted(subjects):
        _count(connection, subject, now_ms)
    return 0


def forgive(connection: Connection, user: str, address: str | None) -> None:
    """Undo what :func:`reserve` counted for a try that turned out right.

    The username starts from zero. The address only loses this one try: whoever has an account
    could clear it again and again while guessing others.
    """
    connection.execute(delete(LoginFailure).where(LoginFailure.subject == user))
    if address is not None:
        connection.execute(
            update(LoginFailure)
            .where(LoginFailure.subject == address, LoginFailure.failures > 0)
            .values(failures=LoginFailure.failures - 1)
        )


def _blocked_until(connection: Connection, subjects: Iterable[str], now_ms: int) -> int:
    rows = connection.execute(
        select(LoginFailure.failures, LoginFailure.last_at)
        .where(LoginFailure.subject.in_(subjects))
        .order_by(LoginFailure.subject)
        .with_for_update()
    ).all()
    until = 0
    for failures, last_at in rows:
        last_ms = to_millis(last_at)
        if now_ms - last_ms < FORGET_AFTER_MS:
            # A clock that was set back must not lengthen the wait.
            until = max(until, min(last_ms, now_ms) + wait_ms(failures))
    return until


def _count(connection: Connection, subject: str, now_ms: int) -> None:
    again = (
        update(LoginFailure)
        .where(LoginFailure.subject == subject)
        .values(
            failures=case(
                (LoginFailure.last_at <= now_ms - FORGET_AFTER_MS, 1),
                else_=LoginFailure.failures + 1,
            ),
            last_at=now_ms,
        )
    )
    if connection.execute(again).rowcount:
        return
    try:
        with connection.begin_nested():
            connection.execute(
                insert(LoginFailure).values(subject=subject, failures=1, last_at=now_ms)
            )
    except IntegrityError:
        # Another process inserted the row in between.
        connection.execute(again)
