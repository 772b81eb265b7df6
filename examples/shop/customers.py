"""Log in and out, and the customer's own orders."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import (
    Blueprint,
    Flask,
    abort,
    g,
    redirect,
    render_template,
    request,
    session,
    url_for,
)
from flask.typing import ResponseReturnValue
from werkzeug.security import check_password_hash

from .database import database

auth = Blueprint("auth", __name__)
account = Blueprint("account", __name__, url_prefix="/account")


def current_customer() -> sqlite3.Row | None:
    """The customer of this request, by session or by API token."""
    return g.get("customer")


def current_name() -> str:
    """Name of the customer of this request; all others are "visitor"."""
    customer = current_customer()
    return "visitor" if customer is None else customer["name"]


def init_app(app: Flask) -> None:
    """Find out who is asking before each request."""

    @app.before_request
    def load_customer() -> None:
        if request.endpoint == "static":
            return
        authorization = request.authorization
        if authorization is not None and authorization.type == "bearer":
            found = _one("api_token", authorization.token)
        elif "customer" in session:
            found = _one("id", session["customer"])
        else:
            found = None
        g.customer = found


def _one(column: str, value: object) -> sqlite3.Row | None:
    return database().execute(f"SELECT * FROM customer WHERE {column} = ?", (value,)).fetchone()


def login_required(view: Callable[..., Any]) -> Callable[..., Any]:
    """Send visitors to the login page; below /api answer 401."""

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        if current_customer() is None:
            if request.path.startswith("/api/"):
                abort(401, "Send your API token as 'Authorization: Bearer …'.")
            return redirect(url_for("auth.login", next=request.full_path.rstrip("?")))
        return view(*args, **kwargs)

    return guarded


@auth.route("/login", methods=["GET", "POST"])
def login() -> ResponseReturnValue:
    if request.method == "GET":
        return render_template("login.html", message=None)
    customer = _one("name", request.form.get("name", ""))
    password = request.form.get("password", "")
    if customer is None or not check_password_hash(customer["password_hash"], password):
        return render_template("login.html", message="Name or password is wrong."), 401
    session["customer"] = customer["id"]
    g.customer = customer
    target = request.args.get("next", "")
    is_ours = target.startswith("/") and not target.startswith(("//", "/\\"))
    return redirect(target if is_ours else url_for("shop.index"), 303)


@auth.post("/logout")
def logout() -> ResponseReturnValue:
    session.clear()
    return redirect(url_for("shop.index"), 303)


@account.get("/orders")
@login_required
def orders() -> ResponseReturnValue:
    rows = database().execute(
        "SELECT p.id, p.day, p.state, sum(l.quantity * l.price_cents) AS total_cents"
        " FROM purchase p JOIN purchase_line l ON l.purchase_id = p.id"
        " WHERE p.customer_id = ? GROUP BY p.id ORDER BY p.id DESC LIMIT 20",
        (current_customer()["id"],),
    )
    return render_template("orders.html", orders=rows.fetchall())


@account.get("/orders/<int:order_id>")
@login_required
def order(order_id: int) -> ResponseReturnValue:
    purchase, lines = own_order(order_id)
    return render_template("order.html", order=purchase, lines=lines)


def own_order(order_id: int) -> tuple[sqlite3.Row, list[sqlite3.Row]]:
    """One order of the current customer and its lines; 404 for those of others."""
    purchase = (
        database()
        .execute(
            "SELECT id, day, state FROM purchase WHERE id = ? AND customer_id = ?",
            (order_id, current_customer()["id"]),
        )
        .fetchone()
    )
    if purchase is None:
        abort(404, "You have no such order.")
    lines = database().execute(
        "SELECT product_id, name, quantity, l.price_cents, quantity * l.price_cents AS sum_cents"
        " FROM purchase_line l JOIN product p ON p.id = product_id WHERE purchase_id = ?",
        (order_id,),
    )
    return purchase, lines.fetchall()
