"""An office with Flask-Admin, Flask-Login, Flask-SQLAlchemy and CSRFProtect of its own.

These are what the panel is made of, too; neither must get in the other's way.
"""

from __future__ import annotations

from typing import Any

from flask import Flask, abort, redirect, render_template_string, request
from flask_admin import Admin, AdminIndexView, expose
from flask_admin.contrib.sqla import ModelView
from flask_login import (
    LoginManager,
    UserMixin,
    current_user,
    login_required,
    login_user,
    logout_user,
)
from flask_sqlalchemy import SQLAlchemy
from flask_wtf import CSRFProtect

LOGIN = """<form method="post"><input type="hidden" name="csrf_token" value="{{ csrf_token() }}">
<input name="name"><button>Log in</button></form>"""


class Clerk(UserMixin):
    def __init__(self, name: str) -> None:
        self.id = name


def create_app(instance_path: str) -> Flask:
    app = Flask("office", instance_path=instance_path)
    app.config.update(
        SECRET_KEY="of the office",
        SQLALCHEMY_DATABASE_URI=f"sqlite:///{instance_path}/office.db",
    )
    db = SQLAlchemy(app)
    CSRFProtect(app)
    logins = LoginManager(app)
    logins.login_view = "login"
    logins.user_loader(Clerk)

    class Letter(db.Model):  # type: ignore[name-defined,misc]
        id = db.Column(db.Integer, primary_key=True)
        subject = db.Column(db.String(80), nullable=False)

    class Guarded:
        def is_accessible(self) -> bool:
            return bool(current_user.is_authenticated)

    class LetterView(Guarded, ModelView):  # type: ignore[misc]
        pass

    class Index(Guarded, AdminIndexView):  # type: ignore[misc]
        @expose("/")
        def index(self) -> str:
            return f"Hello {current_user.get_id()}"

    admin = Admin(app, name="Office", index_view=Index())
    admin.add_view(LetterView(Letter, db.session))

    @app.route("/login", methods=("GET", "POST"))
    def login() -> Any:
        if request.method == "POST":
            login_user(Clerk(request.form["name"]))
            return redirect("/desk")
        return render_template_string(LOGIN)

    @app.route("/desk")
    @login_required
    def desk() -> str:
        return f"{current_user.get_id()}: {Letter.query.count()} letters"

    @app.route("/logout", methods=("POST",))
    def logout() -> Any:
        logout_user()
        return redirect("/login")

    @app.before_request
    def closed() -> None:
        if request.args.get("closed"):
            abort(503, "The office is closed.")

    @app.route("/<path:anything>")
    def everything_else(anything: str) -> tuple[str, int]:
        return f"Nobody here knows {anything}.", 404

    with app.app_context():
        db.create_all()
    return app
