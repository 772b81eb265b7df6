"""Flaskr, the blog of Flask's tutorial, written anew: a factory, blueprints, sqlite3, a session."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from flask import Flask

from . import auth, blog, db


def create_app(instance_path: str, config: Mapping[str, Any] | None = None) -> Flask:
    app = Flask(__name__, instance_path=instance_path)
    app.config.from_mapping(SECRET_KEY="dev", DATABASE=os.path.join(instance_path, "flaskr.sqlite"))
    app.config.from_mapping(config or {})
    os.makedirs(instance_path, exist_ok=True)

    @app.route("/hello")
    def hello() -> str:
        return "Hello, World!"

    db.init_app(app)
    app.register_blueprint(auth.bp)
    app.register_blueprint(blog.bp)
    app.add_url_rule("/", endpoint="index")
    return app
