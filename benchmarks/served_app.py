"""The app that ``throughput`` has gunicorn serve; what watches it stands in the environment."""

from __future__ import annotations

import os
from typing import Any

from .apps import make_app


def _made() -> Any:
    kind, folder = os.environ["BENCHED_KIND"], os.environ["BENCHED_FOLDER"]
    level = int(os.environ["BENCHED_LEVEL"])
    app = make_app("served", float(os.environ["BENCHED_STEPS"]))
    if kind == "ours":
        # Not there in the environments of the peers.
        from fmd_admin import FMDAdmin

        settings = {
            "database": f"sqlite:///{folder}/ours.db",
            "monitor_level": level,
            "username": "bench",
            "password": "not a secret at all",
        }
        FMDAdmin(app, settings=settings)
    elif kind != "bare":
        from .peer_apps import KINDS

        app.extensions["watched"] = KINDS[kind](app, level, folder)
    return app


app = _made()
