"""Connections that are lost, and transactions that are given up, at chosen statements."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, OperationalError

from fmd_admin.store.store import Store


@contextmanager
def cut(store: Store, words: str, times: int = 1, when: str = "before") -> Iterator[list[str]]:
    """Close the connection before or after a statement with ``words``; keeps what was cut."""
    done: list[str] = []

    def close(_connection: Any, cursor: Any, statement: str, *_more: Any) -> None:
        if words in statement and len(done) < times:
            done.append(statement)
            cursor.connection.close()

    name = f"{when}_cursor_execute"
    event.listen(store.engine, name, close)
    try:
        yield done
    finally:
        event.remove(store.engine, name, close)


@contextmanager
def fails(store: Store, words: str, error: DBAPIError, times: int = 1) -> Iterator[list[str]]:
    """Have statements with ``words`` raise ``error``; keeps those that did."""
    done: list[str] = []

    def refuse(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        if words in statement and len(done) < times:
            done.append(statement)
            raise error

    event.listen(store.engine, "before_cursor_execute", refuse)
    try:
        yield done
    finally:
        event.remove(store.engine, "before_cursor_execute", refuse)


@contextmanager
def conflicts(store: Store, words: str, times: int = 1) -> Iterator[list[str]]:
    """Have statements with ``words`` fail as where a cluster gives a transaction up."""
    # MySQL's number counts whatever the engine.
    error = OperationalError(words, {}, RuntimeError(1213, "Deadlock found"))
    with fails(store, words, error, times) as done:
        yield done
