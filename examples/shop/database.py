"""The shop's own SQLite database, one connection a request."""

from __future__ import annotations

import hashlib
import sqlite3
from datetime import date, datetime, timezone
from pathlib import Path

from flask import Flask, current_app, g
from werkzeug.security import generate_password_hash

from . import goods
from .release import Release

_TABLES = """
CREATE TABLE customer (
    id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL, password_hash TEXT NOT NULL,
    api_token TEXT UNIQUE NOT NULL, is_staff INTEGER NOT NULL
);
CREATE TABLE product (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, category TEXT NOT NULL,
    price_cents INTEGER NOT NULL, description TEXT NOT NULL, weight_g INTEGER,
    stock INTEGER NOT NULL, is_limited INTEGER NOT NULL
);
CREATE TABLE review (
    id INTEGER PRIMARY KEY, product_id INTEGER NOT NULL, customer_id INTEGER NOT NULL,
    stars INTEGER NOT NULL, text TEXT NOT NULL
);
CREATE TABLE purchase (
    id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL, day TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'paid'
);
CREATE TABLE purchase_line (
    purchase_id INTEGER NOT NULL, product_id INTEGER NOT NULL, quantity INTEGER NOT NULL,
    price_cents INTEGER NOT NULL
);
CREATE INDEX purchase_customer ON purchase (customer_id);
"""

#: Release 1.x goes without these.
_INDEXES = {
    "review_product": "review (product_id)",
    "purchase_day": "purchase (day)",
    "purchase_line_purchase": "purchase_line (purchase_id)",
}
_SCHEMA_VERSION = 1


def connect(path: str | Path) -> sqlite3.Connection:
    """Open the database at ``path``; transactions are begun by hand."""
    # Flask runs an async view in a thread of its own while the request's thread waits: one
    # connection is used by two threads, but never at the same time.
    connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    return connection


def prepare(path: str | Path, release: Release) -> None:
    """Create and fill the database where it is not there yet, and bring it to ``release``.

    Several processes may do so at once: the first fills it while the others wait.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    connection = connect(path)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN IMMEDIATE")
        if connection.execute("PRAGMA user_version").fetchone()[0] < _SCHEMA_VERSION:
            _create(connection)
        for name, columns in _INDEXES.items():
            if release.has_indexes:
                connection.execute(f"CREATE INDEX IF NOT EXISTS {name} ON {columns}")
            else:  # The demo goes back to the older release when it starts on kept data.
                connection.execute(f"DROP INDEX IF EXISTS {name}")
        connection.execute("COMMIT")
    finally:
        connection.close()


def _create(connection: sqlite3.Connection) -> None:
    for statement in filter(str.strip, _TABLES.split(";")):
        connection.execute(statement)
    # One hash for all: hashing is slow on purpose, and everybody has the same password here.
    password_hash = generate_password_hash(goods.PASSWORD)
    connection.executemany(
        "INSERT INTO customer (name, password_hash, api_token, is_staff) VALUES (?, ?, ?, ?)",
        [(name, password_hash, api_token(name), staff) for name, staff in goods.CUSTOMERS],
    )
    connection.executemany("INSERT INTO product VALUES (?, ?, ?, ?, ?, ?, ?, ?)", goods.products())
    connection.executemany(
        "INSERT INTO review (product_id, customer_id, stars, text) VALUES (?, ?, ?, ?)",
        goods.reviews(),
    )
    prices = dict(connection.execute("SELECT id, price_cents FROM product").fetchall())
    for purchase_id, customer_id, day, lines in goods.orders(today()):
        connection.execute(
            "INSERT INTO purchase (id, customer_id, day) VALUES (?, ?, ?)",
            (purchase_id, customer_id, day),
        )
        connection.executemany(
            "INSERT INTO purchase_line VALUES (?, ?, ?, ?)",
            [(purchase_id, product, quantity, prices[product]) for product, quantity in lines],
        )
    connection.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")


def api_token(name: str) -> str:
    """The API token of a customer. A real shop would draw it by lot."""
    return hashlib.sha256(f"shop demo {name}".encode()).hexdigest()[:32]


def today() -> date:
    """The day in UTC, in which the shop keeps its books."""
    return datetime.now(timezone.utc).date()


def database() -> sqlite3.Connection:
    """The connection of the current request."""
    if "database" not in g:
        g.database = connect(current_app.config["DATABASE"])
    return g.database


def init_app(app: Flask) -> None:
    """Close the connection when a request ends."""

    @app.teardown_appcontext
    def close(_error: BaseException | None) -> None:
        connection = g.pop("database", None)
        if connection is not None:
            connection.close()
