"""Errors of the trade, which the shop answers with a page or JSON of its own."""

from __future__ import annotations

from flask import Flask, jsonify, render_template, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException


class ShopError(Exception):
    """Something a customer can mend. ``status`` is the HTTP status of the answer."""

    status = 422


class EmptyBasketError(ShopError):
    """There is nothing to order."""


class BadOrderError(ShopError):
    """An order does not say clearly what is wanted."""


class OutOfStockError(ShopError):
    """More is wanted than there is."""

    status = 409


class PaymentDeclinedError(ShopError):
    """The payment provider said no."""

    status = 402


def init_app(app: Flask) -> None:
    """Answer our own errors and HTTP errors, as JSON below /api."""

    @app.errorhandler(ShopError)
    def shop_error(error: ShopError) -> ResponseReturnValue:
        return _answer(str(error), error.status)

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> ResponseReturnValue:
        response = _answer(error.description or error.name, error.code or 500)
        # Keeps what belongs to the error, such as Allow for a 405.
        kept = [item for item in error.get_headers() if item[0] != "Content-Type"]
        return (*response, kept)


def _answer(message: str, status: int) -> tuple[object, int]:
    if request.path.startswith("/api/"):
        return jsonify(error=message), status
    return render_template("error.html", message=message, status=status), status
