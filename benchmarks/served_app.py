"""The app that ``throughput`` has gunicorn serve; what watches it stands in the environment.

Or several in one process, each below its name, with the same functions as views.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

from flask import Flask
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from .apps import make_app


def _made() -> Any:
    if "BENCHED_TOGETHER" in os.environ:
        return _together(os.environ["BENCHED_TOGETHER"].split(","))
    kind, folder = os.environ["BENCHED_KIND"], os.environ["BENCHED_FOLDER"]
    level = int(os.environ["BENCHED_LEVEL"])
    return _watched(make_app("served", float(os.environ["BENCHED_STEPS"])), kind, level, folder)


def _together(names: list[str]) -> Any:
    """Return the apps of some folders, named by kind and level: ``bare-0`` or ``ours-3-x``."""
    steps, folder = float(os.environ["BENCHED_STEPS"]), Path(os.environ["BENCHED_FOLDER"])
    views = make_app("served", steps).view_functions
    mounted = {}
    for name in names:
        app = make_app("served", steps)
        # The same work may take a tenth longer in a twin of a function.
        app.view_functions.update(views)
        kind, level = name.split("-")[:2]
        mounted[f"/{name}"] = _watched(app, kind, int(level), str(folder / name))
        app.add_url_rule("/flush", "flush", partial(_flush, app))
    return DispatcherMiddleware(Flask("none"), mounted)


def _flush(app: Flask) -> str:
    if "fmd_admin" in app.extensions:
        app.extensions["fmd_admin"].recorder.flush()
    return "stored"


def _watched(app: Flask, kind: str, level: int, folder: str) -> Flask:
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
