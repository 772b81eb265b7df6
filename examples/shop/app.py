"""The shop's application factory."""

from __future__ import annotations

from pathlib import Path

from flask import Flask

from . import customers, database, errors
from .api import api
from .baskets import basket
from .goods import CATEGORIES
from .office import download, report
from .pages import shop
from .release import release


def create_app(version: str, folder: str | Path, secret_key: str) -> Flask:
    """Return the shop in release ``version`` with its database, shop.db, in ``folder``.

    The database is made and filled on the first start.
    """
    app = Flask(__name__, instance_path=str(Path(folder).resolve()))
    database_path = Path(app.instance_path) / "shop.db"
    app.config.update(
        SECRET_KEY=secret_key,
        SESSION_COOKIE_NAME="shop",
        SESSION_COOKIE_SAMESITE="Lax",
        DATABASE=str(database_path),
        RELEASE=release(version),
    )
    database.prepare(database_path, app.config["RELEASE"])
    for part in (database, errors, customers):
        part.init_app(app)
    for blueprint in (shop, basket, customers.auth, customers.account, report, download, api):
        app.register_blueprint(blueprint)
    app.add_url_rule("/health", "health", lambda: ("ok\n", {"Content-Type": "text/plain"}))
    app.add_template_filter(money)

    @app.context_processor
    def always() -> dict[str, object]:
        return {
            "customer": customers.current_customer(),
            "categories": CATEGORIES,
            "release": app.config["RELEASE"],
        }

    return app


def money(cents: int) -> str:
    """An amount as shown to customers: 123450 → "€ 1,234.50"."""
    return f"€ {cents / 100:,.2f}"
