"""The shop as a server runs it, measured by fmd_admin. What it needs is in the environment:

SHOP_VERSION (the release, such as "1.9"), SHOP_FOLDER (where the databases of the shop and of
fmd_admin lie) and SHOP_SECRET_KEY.
"""

from __future__ import annotations

import os

from werkzeug.middleware.proxy_fix import ProxyFix

from fmd_admin import FMDAdmin

from .app import create_app
from .customers import current_name
from .database import database

version = os.environ["SHOP_VERSION"]
app = create_app(version, os.environ["SHOP_FOLDER"], os.environ["SHOP_SECRET_KEY"])

# ---- All that fmd_admin needs -------------------------------------------------------------
fmd = FMDAdmin(
    app,
    settings={"APP_VERSION": version, "BRAND_NAME": "Shop monitor"},
    group_by=current_name,
)
# -------------------------------------------------------------------------------------------


# Two numbers of the shop's own, kept over time.
@fmd.graph("Orders", "interval", seconds=10)
def orders() -> int:
    """How many orders there are."""
    return _number("SELECT count(*) FROM purchase")


@fmd.graph("Units in stock", "interval", seconds=10)
def stock() -> int:
    """How many units of all products there are."""
    return _number("SELECT sum(stock) FROM product")


def _number(query: str) -> int:
    row = database().execute(query).fetchone()
    return int(row[0])


# The load process plays the proxy in front of the shop: it says in X-Forwarded-For whom each
# request is for. Do this only where such a proxy is the only way in.
app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1)  # type: ignore[method-assign]
