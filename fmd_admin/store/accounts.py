"""Accounts of the panel: users, roles, passwords, and the first admin.

Sessions carry the account's ``session_key``. It changes with the password, the role and with
deactivation, which ends all sessions of that account at their next request.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from werkzeug.security import check_password_hash, generate_password_hash

from ..errors import AccountError, SettingsError
from ..settings import Settings
from . import live, throttle
from .models import User
from .passwords import LONGEST_PASSWORD, password_problem, username_problem
from .store import Store

logger = logging.getLogger("fmd_admin")

ADMIN = "admin"
VIEWER = "viewer"
ROLES = (ADMIN, VIEWER)

#: What an unknown username is checked against, so that it takes as long as a known one.
_NOBODY = "scrypt:32768:8:1$fmdadminNobodys0$" + "0" * 128


@dataclass(frozen=True, slots=True)
class Account:
    """One user of the panel. Times are aware, in UTC."""

    id: int
    username: str
    role: str
    active: bool
    session_key: str
    created_at: datetime
    last_login: datetime | None

    @property
    def is_admin(self) -> bool:
        return self.role == ADMIN


@dataclass(frozen=True, slots=True)
class Throttled:
    """Too many failed logins: no password is looked at before ``until_ms`` (UTC ms)."""

    until_ms: int


@dataclass(frozen=True, slots=True)
class Credentials:
    """A generated first login, to be shown once on the console and nowhere else."""

    username: str
    password: str


_COLUMNS = (
    User.id,
    User.username,
    User.role,
    User.active,
    User.session_key,
    User.created_at,
    User.last_login,
)


def accounts(connection: Connection) -> list[Account]:
    """Return all accounts by username."""
    rows = connection.execute(select(*_COLUMNS).order_by(User.username))
    return [Account(*row) for row in rows]


def find(connection: Connection, user_id: int) -> Account | None:
    """Return the account with this id, or None."""
    row = connection.execute(select(*_COLUMNS).where(User.id == user_id)).one_or_none()
    return None if row is None else Account(*row)


def create_user(
    store: Store, username: str, password: str, role: str, *, now_ms: int | None = None
) -> Account:
    """Create an active account. Raises AccountError for what is not allowed, with the mend."""
    username = username.strip()
    _require(username_problem(username) or password_problem(username, password))
    _require_role(role)
    hashed = generate_password_hash(password)
    return store.transact(lambda connection: _insert(connection, username, hashed, role, now_ms))


def update_user(
    store: Store,
    user_id: int,
    *,
    role: str | None = None,
    active: bool | None = None,
    password: str | None = None,
) -> Account:
    """Change what is given; return the account as it is then.

    A new password or role, and any change of ``active``, ends the account's sessions. Raises
    AccountError if no active admin would remain, or for a value that is not allowed.
    """
    if role is not None:
        _require_role(role)
    with store.read() as connection:
        before = _existing(connection, user_id)
    hashed = None
    if password is not None:
        _require(password_problem(before.username, password))
        # Outside the transaction: this is slow on purpose, and writers would wait.
        hashed = generate_password_hash(password)

    def change(connection: Connection) -> Account:
        # First, so that this row serialises changes of accounts on servers as well.
        live.bump(connection)
        now = _existing(connection, user_id)
        values: dict[str, Any] = {}
        if hashed is not None:
            values["password_hash"] = hashed
        if role is not None and role != now.role:
            values["role"] = role
        if active is not None and active != now.active:
            values["active"] = active
        if not values:
            return now
        values["session_key"] = _session_key()
        connection.execute(update(User).where(User.id == user_id).values(**values))
        _require_an_admin(connection)
        return _existing(connection, user_id)

    return store.transact(change)


def authenticate(
    store: Store,
    username: str,
    password: str,
    address: str | None,
    now_ms: int,
    *,
    own: bool = False,
) -> Account | Throttled | None:
    """Check a login. None means a wrong name or password, or an account that is not active.

    Unknown names take as long as known ones. ``address`` is the client's, None if unknown.
    ``own`` is for somebody who is logged in and confirms the own password.
    """
    username = username.strip()
    if own:
        subjects = throttle.own_subjects(username)
    else:
        subjects = throttle.login_subjects(username, address)
    until_ms = store.transact(lambda connection: throttle.reserve(connection, subjects, now_ms))
    if until_ms:
        return Throttled(until_ms)
    account, hashed = _by_name(store, username)
    right = check_password_hash(hashed, password[: LONGEST_PASSWORD + 1])
    if account is None or not right or not account.active:
        store.transact(lambda connection: throttle.forget_old(connection, now_ms))
        return None
    store.transact(partial(_welcome, account.id, subjects, now_ms))
    return account


def _welcome(user_id: int, subjects: Sequence[str], now_ms: int, connection: Connection) -> None:
    throttle.forgive(connection, subjects)
    connection.execute(update(User).where(User.id == user_id).values(last_login=now_ms))


def first_start(
    store: Store, settings: Settings, debug: bool, *, now_ms: int | None = None
) -> Credentials | None:
    """Make the first admin if there are no users; return the login if it was generated.

    Of many processes that start at once exactly one makes it and gets its credentials. Raises
    SettingsError outside debug if the settings hold a weak password, users or not: it would
    stand in a file and may have been used while debugging.
    """
    username = settings.username or "admin"
    problem = username_problem(username)
    if problem:
        raise SettingsError(f"Setting USERNAME cannot be used: {problem}")
    weak = settings.password and password_problem(username, settings.password)
    if weak and not debug:
        raise SettingsError(
            f"Setting PASSWORD cannot be used: {weak} Set another one, or remove USERNAME and "
            "PASSWORD: the first start then prints a one-time password. With FLASK_DEBUG=1 in the "
            "environment it is taken; app.run(debug=True) comes too late for that."
        )
    with store.read() as connection:
        if _has_users(connection):
            return None
    password = settings.password or secrets.token_urlsafe(12)
    hashed = generate_password_hash(password)

    def make(connection: Connection) -> bool:
        if _has_users(connection):
            return False
        _insert(connection, username, hashed, ADMIN, now_ms)
        return True

    try:
        made = store.transact(make)
    except AccountError:
        made = False  # Another process made the same user first.
    if not made:
        return None
    if weak:
        logger.warning(
            "fmd_admin: user %r was made with a weak password (%s) because this is debug mode. "
            "The panel will not start with it outside debug mode.",
            username,
            weak.rstrip("."),
        )
    return None if settings.password else Credentials(username, password)


def _insert(
    connection: Connection, username: str, hashed: str, role: str, now_ms: int | None
) -> Account:
    taken = connection.scalars(select(User.username)).all()
    if username.casefold() in {name.casefold() for name in taken}:
        raise AccountError(_taken(username))
    try:
        result = connection.execute(
            insert(User).values(
                username=username,
                password_hash=hashed,
                role=role,
                active=True,
                session_key=_session_key(),
                created_at=int(time.time() * 1000) if now_ms is None else now_ms,
            )
        )
    except IntegrityError:
        raise AccountError(_taken(username)) from None
    key: Sequence[Any] | None = result.inserted_primary_key
    if key is None:
        raise AccountError(f"User {username!r} was not stored. Try again.")
    return _existing(connection, key[0])


def _taken(username: str) -> str:
    return f"There is a user {username!r} already. Choose another name."


def _existing(connection: Connection, user_id: int) -> Account:
    account = find(connection, user_id)
    if account is None:
        raise AccountError("This user does not exist any more. Go back to the list of users.")
    return account


def _by_name(store: Store, username: str) -> tuple[Account | None, str]:
    # PostgreSQL refuses NUL in text; no name holds one.
    wanted = username.replace("\0", "")
    with store.read() as connection:
        row = connection.execute(
            select(User.password_hash, *_COLUMNS).where(User.username == wanted)
        ).one_or_none()
    # Some collations ignore case or trailing blanks; names do not.
    if row is None or row.username != username:
        return None, _NOBODY
    return Account(*row[1:]), row.password_hash


def _has_users(connection: Connection) -> bool:
    return connection.scalar(select(User.id).limit(1)) is not None


def end_sessions(store: Store, user_id: int) -> None:
    """End all sessions of an account, copies of their cookies included."""
    new = update(User).where(User.id == user_id).values(session_key=_session_key())
    store.transact(lambda connection: connection.execute(new))


def _session_key() -> str:
    return secrets.token_hex(16)


def _require(problem: str | None) -> None:
    if problem:
        raise AccountError(problem)


def _require_role(role: str) -> None:
    if role not in ROLES:
        raise AccountError(f"Role {role!r} does not exist. Allowed: {', '.join(ROLES)}.")


def _require_an_admin(connection: Connection) -> None:
    left = connection.scalar(
        select(func.count()).select_from(User).where(User.role == ADMIN, User.active.is_(True))
    )
    if not left:
        raise AccountError(
            "This is the last active admin, and one must remain. Make another user admin first."
        )
