"""For the staff and the books: the monthly report, and downloads."""

from __future__ import annotations

import csv
import io
import time
from calendar import monthrange
from collections.abc import Iterator

from flask import (
    Blueprint,
    Response,
    abort,
    current_app,
    redirect,
    render_template,
    send_file,
    stream_with_context,
    url_for,
)
from flask.typing import ResponseReturnValue

from .customers import current_customer, login_required, own_order
from .database import database, today

report = Blueprint("report", __name__, url_prefix="/report")
download = Blueprint("download", __name__, url_prefix="/download")

#: Stand-in for the bookkeeping system, which the report asks for last year's figures.
BOOKKEEPING_S = 0.180

#: The price list goes out in this many parts, 0.3 s in all: the warehouse system sends it so.
PARTS = 6
PART_S = 0.050


@report.get("")
def current() -> ResponseReturnValue:
    day = today()
    return redirect(url_for("report.monthly", year=day.year, month=day.month))


@report.get("/<int:year>/<int:month>")
@login_required
def monthly(year: int, month: int) -> ResponseReturnValue:
    """Turnover day by day: a query for each day where one for all would do."""
    if not current_customer()["is_staff"]:
        abort(403, "The report is for our staff.")
    if not (1 <= month <= 12 and 2000 <= year <= 2100):
        abort(404, "There is no such month.")
    days = [_day(f"{year}-{month:02}-{n:02}") for n in range(1, monthrange(year, month)[1] + 1)]
    time.sleep(BOOKKEEPING_S)
    orders = sum(count for _, count, _ in days)
    total_cents = sum(cents for _, _, cents in days)
    if not orders and current_app.config["RELEASE"].handles_empty_month:
        average_cents = 0
    else:
        # Release 2.0 fails here for a month without orders: a true ZeroDivisionError.
        average_cents = total_cents // orders
    return render_template(
        "report.html",
        days=days,
        month=f"{year}-{month:02}",
        orders=orders,
        total_cents=total_cents,
        average_cents=average_cents,
    )


def _day(day: str) -> tuple[str, int, int]:
    count, cents = (
        database()
        .execute(
            "SELECT count(DISTINCT p.id), coalesce(sum(quantity * price_cents), 0)"
            " FROM purchase p JOIN purchase_line l ON l.purchase_id = p.id WHERE p.day = ?",
            (day,),
        )
        .fetchone()
    )
    return day, count, cents


@download.get("/price-list.csv")
def price_list() -> ResponseReturnValue:
    """All products as CSV, sent in parts as they come."""
    products = database().execute("SELECT id, name, category, price_cents FROM product").fetchall()
    size = -(-len(products) // PARTS)

    @stream_with_context
    def parts() -> Iterator[str]:
        for start in range(0, len(products), size):
            text = io.StringIO()
            csv.writer(text).writerows(products[start : start + size])
            yield text.getvalue()
            time.sleep(PART_S)

    return Response(parts(), mimetype="text/csv")


@download.get("/invoice/<int:order_id>.txt")
@login_required
def invoice(order_id: int) -> ResponseReturnValue:
    purchase, lines = own_order(order_id)
    text = render_template("invoice.txt", order=purchase, lines=lines)
    return send_file(io.BytesIO(text.encode()), "text/plain", download_name=f"{order_id}.txt")
