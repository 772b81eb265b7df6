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

version = os.environ["SHOP_VERSION"]
app = create_app(version, os.environ["SHOP_FOLDER"], os.environ["SHOP_SECRET_KEY"])

# ---- All that fmd_admin needs -------------------------------------------------------------
FMDAdmin(
    app,
    settings={"APP_VERSION": version, "BRAND_NAME": "Shop monitor"},
    group_by=current_name,
)
# -------------------------------------------------------------------------------------------

# The load process plays the proxy in front of the shop: it says in X-Forwarded-For whom each
# request is for. Do this only where such a proxy is the only way in.
app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1)  # type: ignore[method-assign]
