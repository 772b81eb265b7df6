"""What a process does with the store before it uses it, whether it measures or only shows."""

from __future__ import annotations

import hashlib
import hmac
import secrets

import click

from .store import accounts, schema
from .store.live import LiveConfig, internal_value, keep_timezone, kept_timezone, known_value
from .store.store import Store

#: In click's context while ``flask fmd migrate`` runs.
MIGRATING = "fmd_admin.migrating"
_KEY = "_secret_key"
_SESSION_LABEL = b"fmd_admin panel session"


def migrating() -> bool:
    """Whether ``flask fmd migrate`` runs: it binds the app first and makes the tables then."""
    context = click.get_current_context(silent=True)
    return context is not None and MIGRATING in context.meta


def prepare(store: Store, config: LiveConfig, *, login: str, debug: bool = False) -> None:
    """Bring the tables up, make the first account, read levels and settings.

    ``login`` is the path that a first admin is told. Raises SchemaError and what the database
    raises.
    """
    if config.values.auto_migrate:
        schema.migrate(store)
    else:
        schema.check_schema(store)
    credentials = accounts.first_start(store, config.values, debug)
    if credentials is not None:
        announce(credentials, login)
    with store.read() as connection:
        config.refresh(connection)


def say_timezone(store: Store) -> None:
    """Keep the time zone that this app counts hours and days in, for panels on their own."""
    name = store.settings.timezone
    with store.read() as connection:
        if kept_timezone(connection) == name:
            return
    store.transact(lambda connection: keep_timezone(connection, name))


def derived_secret(key: str | bytes) -> bytes:
    """Return the session key of a panel whose host has the secret key ``key``."""
    raw = key.encode() if isinstance(key, str) else key
    return hmac.new(raw, _SESSION_LABEL, hashlib.sha256).digest()


def kept_secret(store: Store) -> bytes:
    """Return the session key that all panels on this database share, made on first use."""
    # It is there but for the first time ever; who writes waits for others that do.
    with store.read() as connection:
        found = known_value(connection, _KEY)
    if found is None:
        found = store.transact(
            lambda connection: internal_value(connection, _KEY, lambda: secrets.token_hex(32))
        )
    return found.encode()


def announce(credentials: accounts.Credentials, login: str) -> None:
    """Print the first admin's one-time password on the console, once for all processes."""
    click.echo(
        f"\n * fmd_admin: first start. Sign in at {login}\n"
        f" *   user:     {credentials.username}\n"
        f" *   password: {credentials.password}\n"
        " *   It is shown once; change it under Account.\n",
        err=True,
    )
