"""What an order does to the stock and the books; used by the pages and by the API."""

from __future__ import annotations

import sqlite3
import time
import zlib
from collections.abc import Mapping

from flask import current_app

from .database import today
from .errors import EmptyBasketError, OutOfStockError, PaymentDeclinedError

#: Stand-ins for calls to other companies: how long they take.
PAYMENT_S = 0.060
FRAUD_CHECK_S = 0.045

#: The supplier brings this many when few are left.
REFILL = 60
FEW = 6


def place(
    database: sqlite3.Connection, customer_id: int, wanted: Mapping[int, int], card: str = ""
) -> int:
    """Pay for ``wanted`` (product id → quantity), write the order and return its number.

    Raises EmptyBasketError, OutOfStockError or PaymentDeclinedError.
    """
    if not wanted:
        raise EmptyBasketError("Your basket is empty.")
    _check_stock(database, wanted)
    _pay(customer_id, card)
    # Short: the payment must not happen while others wait for the database.
    database.execute("BEGIN IMMEDIATE")
    try:
        prices = _check_stock(database, wanted)
        number = database.execute(
            "INSERT INTO purchase (customer_id, day) VALUES (?, ?)",
            (customer_id, today().isoformat()),
        ).lastrowid
        for product_id, quantity in wanted.items():
            database.execute(
                "INSERT INTO purchase_line VALUES (?, ?, ?, ?)",
                (number, product_id, quantity, prices[product_id]),
            )
            database.execute(
                "UPDATE product SET stock = stock - ? + CASE WHEN stock - ? < ? THEN ? ELSE 0 END"
                " WHERE id = ?",
                (quantity, quantity, FEW, REFILL, product_id),
            )
    except BaseException:
        database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")
    assert number is not None
    return number


def _check_stock(database: sqlite3.Connection, wanted: Mapping[int, int]) -> dict[int, int]:
    """Return the price of each product; raise OutOfStockError where there are too few."""
    prices = {}
    for product_id, quantity in wanted.items():
        row = database.execute(
            "SELECT name, stock, price_cents FROM product WHERE id = ?", (product_id,)
        ).fetchone()
        if row is None or row["stock"] < quantity:
            name = "This product" if row is None else row["name"]
            raise OutOfStockError(f"{name} is sold out.")
        prices[product_id] = row["price_cents"]
    return prices


def _pay(customer_id: int, card: str) -> None:
    # Takes a little longer for some than for others, as providers do.
    time.sleep(PAYMENT_S * (1 + zlib.crc32(f"{customer_id} {card}".encode()) % 100 / 100))
    if card.endswith("0000"):
        raise PaymentDeclinedError("Your bank declined the payment.")
    if current_app.config["RELEASE"].checks_for_fraud:
        time.sleep(FRAUD_CHECK_S)
