"""The JSON API: a blueprint with the orders as a blueprint of its own inside."""

from __future__ import annotations

from flask import Blueprint, current_app, request, url_for
from flask.typing import ResponseReturnValue

from .customers import current_customer, login_required, own_order
from .database import database
from .errors import BadOrderError
from .trade import place

api = Blueprint("api", __name__, url_prefix="/api")
orders = Blueprint("orders", __name__, url_prefix="/orders")


@api.get("/status")
def status() -> ResponseReturnValue:
    return {"version": current_app.config["RELEASE"].version, "open": True}


@orders.get("")
@login_required
def list() -> ResponseReturnValue:
    limit = min(100, max(1, request.args.get("limit", 20, type=int)))
    rows = database().execute(
        "SELECT id, day, state FROM purchase WHERE customer_id = ? ORDER BY id DESC LIMIT ?",
        (current_customer()["id"], limit),
    )
    return {"orders": [dict(row) for row in rows]}


@orders.post("")
@login_required
def create() -> ResponseReturnValue:
    """Order ``{"lines": [{"product": 3, "quantity": 1}, …], "card": "…"}``."""
    content = request.get_json()
    wanted = _wanted(content.get("lines") if isinstance(content, dict) else None)
    card = str(content.get("card", ""))
    number = place(database(), current_customer()["id"], wanted, card)
    location = url_for("api.orders.show", order_id=number)
    return {"order": number}, 201, {"Location": location}


def _wanted(lines: object) -> dict[int, int]:
    try:
        wanted = {int(line["product"]): int(line["quantity"]) for line in lines}  # type: ignore[attr-defined]
    except (TypeError, KeyError, ValueError):
        raise BadOrderError("'lines' must be a list of {product, quantity}.") from None
    if any(quantity < 1 for quantity in wanted.values()):
        raise BadOrderError("Each quantity must be 1 or more.")
    return wanted


@orders.get("/<int:order_id>")
@login_required
def show(order_id: int) -> ResponseReturnValue:
    purchase, lines = own_order(order_id)
    return {**dict(purchase), "lines": [dict(line) for line in lines]}


@orders.delete("/<int:order_id>")
@login_required
def cancel(order_id: int) -> ResponseReturnValue:
    own_order(order_id)
    database().execute("UPDATE purchase SET state = 'cancelled' WHERE id = ?", (order_id,))
    return "", 204


api.register_blueprint(orders)
