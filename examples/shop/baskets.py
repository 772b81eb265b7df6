"""Basket and checkout."""

from __future__ import annotations

import sqlite3

from flask import Blueprint, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask.views import MethodView

from .customers import current_customer, login_required
from .database import database
from .errors import BadOrderError
from .trade import place

basket = Blueprint("basket", __name__)


class BasketView(MethodView):
    """The basket; it lives in the customer's session as {product id: quantity}."""

    def get(self) -> ResponseReturnValue:
        lines, total_cents = _lines()
        return render_template("basket.html", lines=lines, total_cents=total_cents)

    def post(self) -> ResponseReturnValue:
        """Put a product in, change its quantity, or take it out with quantity 0."""
        product_id = request.form.get("product", type=int)
        quantity = request.form.get("quantity", 1, type=int)
        if product_id is None or not 0 <= quantity <= 20:
            raise BadOrderError("Say which product, and a quantity from 0 to 20.")
        content = dict(session.get("basket", {}))
        if quantity:
            content[str(product_id)] = quantity
        else:
            content.pop(str(product_id), None)
        session["basket"] = content
        return redirect(url_for("basket.basket"), 303)


basket.add_url_rule("/basket", view_func=BasketView.as_view("basket"))


@basket.get("/checkout")
@login_required
def checkout() -> ResponseReturnValue:
    lines, total_cents = _lines()
    return render_template("checkout.html", lines=lines, total_cents=total_cents)


@basket.post("/checkout")
@login_required
def pay() -> ResponseReturnValue:
    wanted = {int(product): quantity for product, quantity in session.get("basket", {}).items()}
    card = request.form.get("card", "")
    number = place(database(), current_customer()["id"], wanted, card)
    session.pop("basket", None)
    return redirect(url_for("account.order", order_id=number), 303)


def _lines() -> tuple[list[tuple[sqlite3.Row, int]], int]:
    lines = []
    for product_id, quantity in session.get("basket", {}).items():
        row = database().execute("SELECT * FROM product WHERE id = ?", (product_id,)).fetchone()
        if row is not None:
            lines.append((row, quantity))
    return lines, sum(row["price_cents"] * quantity for row, quantity in lines)
