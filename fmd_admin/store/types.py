"""Column types: UTC integers that read as aware datetimes, and HTTP methods as small codes."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, Double, SmallInteger, String
from sqlalchemy.dialects import mysql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.types import TypeDecorator

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

#: Methods by their stored code. 0 stands for any other one.
METHODS = ("OTHER", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT")
METHOD_CODES = {name: code for code, name in enumerate(METHODS)}


class _ExactVarchar(mysql.VARCHAR):
    """Compares every character: MySQL's own collations ignore case and blanks at the end."""


@compiles(_ExactVarchar, "mysql", "mariadb")
def _exact_varchar(column: _ExactVarchar, compiler: Any, **_options: Any) -> str:
    collation = "utf8mb4_nopad_bin" if compiler.dialect.is_mariadb else "utf8mb4_0900_bin"
    return f"VARCHAR({column.length}) CHARACTER SET utf8mb4 COLLATE {collation}"


def exact(length: int) -> String:
    """Return the type of a text of ``length`` characters at most that is compared as it is."""
    return String(length).with_variant(_ExactVarchar(length), "mysql", "mariadb")


def to_millis(moment: datetime) -> int:
    """Return an aware datetime as UTC milliseconds since the epoch."""
    return (moment - EPOCH) // timedelta(milliseconds=1)


def from_millis(millis: int) -> datetime:
    """Return UTC milliseconds since the epoch as an aware datetime in UTC."""
    return EPOCH + timedelta(milliseconds=millis)


class UTCMillis(TypeDecorator[datetime]):
    """A BIGINT of UTC milliseconds since the epoch; an aware datetime in Python."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> int | None:  # noqa: ARG002
        if value is None or isinstance(value, int):
            return value
        return to_millis(value)

    def process_result_value(self, value: Any, dialect: Any) -> datetime | None:  # noqa: ARG002
        return None if value is None else from_millis(value)


class Method(TypeDecorator[str]):
    """An HTTP method stored as a small code; an unknown one reads as OTHER."""

    impl = SmallInteger
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> int | None:  # noqa: ARG002
        return value if value is None or isinstance(value, int) else METHOD_CODES.get(value, 0)

    def process_result_value(self, value: Any, dialect: Any) -> str | None:  # noqa: ARG002
        return None if value is None else METHODS[value]


class AllDigits(TypeDecorator[Decimal]):
    """A float that reads as the Decimal with just the digits that tell it from others."""

    impl = Double
    cache_ok = True

    def process_result_value(self, value: Any, dialect: Any) -> Decimal | None:  # noqa: ARG002
        return None if value is None else all_digits(value)


def all_digits(value: float) -> Decimal:
    """Return a finite float with just the digits that tell it from others: 0.1, 3, 1E-9."""
    return Decimal(int(value)) if value.is_integer() and abs(value) < 1e15 else Decimal(repr(value))
