"""A pytest plugin for the tests of Flask's tutorial: each app that they make is bound.

At the end it writes what the tests asked for and what was stored to the file MONITORED_FLASKR.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import flaskr
import pytest
from flask import Flask, Response
from flask.testing import FlaskClient

from fmd_admin import FMDAdmin
from fmd_admin.extension import of

from ..support import stored_rows

_made: list[Flask] = []
_asked: Counter[str] = Counter()
_stored: Counter[str] = Counter()
_create_app = flaskr.create_app
_open = FlaskClient.open


def create_app(test_config: Mapping[str, Any] | None = None) -> Flask:
    app: Flask = _create_app(test_config)
    FMDAdmin(app, settings={"DATABASE": f"sqlite:///{Path.cwd()}/fmd.db", "MONITOR_LEVEL": 3})
    _made.append(app)
    return app


def ask(self: FlaskClient, *args: Any, **kwargs: Any) -> Response:
    answer = _open(self, *args, **kwargs)
    _asked[f"{answer.request.method} {answer.status_code}"] += 1
    answer.close()
    return answer


flaskr.create_app = create_app
FlaskClient.open = ask  # type: ignore[method-assign,assignment]


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    for app in _made:
        monitor = of(app)
        monitor.recorder.flush()
        _stored.clear()
        _stored.update(f"{row.method} {row.status}" for row in stored_rows(monitor.store))
        monitor.close()
    _made.clear()


def pytest_sessionfinish() -> None:
    found = {"asked": _asked, "stored": _stored}
    Path(os.environ["MONITORED_FLASKR"]).write_text(json.dumps(found))
