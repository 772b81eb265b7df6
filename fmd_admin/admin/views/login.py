"""Login and logout."""

from __future__ import annotations

import logging
import math
import time

from flask import flash, make_response, redirect, request, url_for
from flask_admin import expose
from flask_login import current_user
from werkzeug.wrappers import Response

from ...store.accounts import Account, Throttled, authenticate, end_sessions
from ...store.passwords import password_problem
from ...store.throttle import address_subject
from ..access import sign_in, sign_out
from ..forms import LoginForm, submitted
from ..links import local_path, onward
from .pages import Page

logger = logging.getLogger("fmd_admin")


class LoginPage(Page):
    """The one page that answers without a login."""

    def __init__(self) -> None:
        super().__init__("Log in", "login", category="")

    def is_visible(self) -> bool:
        return False

    @expose("/login", methods=("GET", "POST"))
    def index(self) -> Response:
        """Show the form, or check it and begin a session."""
        target = local_path(request.values.get("next"))
        # Who is signed in by the host may have an account as well, with another role.
        if current_user.is_authenticated and not current_user.by_host:
            return redirect(_after_login(target), 303)
        form = LoginForm(submitted())
        if request.method != "POST":
            return self._show(form, target, 200, None)
        if not form.validate():
            return self._show(form, target, 400, None)
        now_ms = time.time_ns() // 1_000_000
        password = form.password.data or ""
        result = authenticate(
            self.panel.store, form.username.data or "", password, request.remote_addr, now_ms
        )
        if isinstance(result, Account):
            return self._enter(result, password, target)
        if isinstance(result, Throttled):
            return self._refuse_for_now(form, target, result.until_ms - now_ms)
        return self._show(form, target, 401, "User name or password is wrong.")

    @expose("/logout", methods=("POST",))
    def logout(self) -> Response:
        """End the account's sessions: a copied cookie must be worth nothing afterwards."""
        if current_user.is_authenticated and not current_user.by_host:
            end_sessions(self.panel.store, current_user.account.id)
        sign_out()
        flash("You are logged out, in your other browsers as well.", "ok")
        return redirect(url_for("login.index"), 303)

    def _enter(self, account: Account, password: str, target: str | None) -> Response:
        sign_in(account)
        if account.last_login is None:
            flash(
                "This is the first login of this account. If somebody gave you the password, "
                "choose one of your own: at the top right, Change password.",
                "warning",
            )
        elif password_problem(account.username, password):
            flash("Your password is easy to guess. Choose another one.", "warning")
        return redirect(_after_login(target), 303)

    def _refuse_for_now(self, form: LoginForm, target: str | None, wait_ms: int) -> Response:
        wait_s = max(1, math.ceil(wait_ms / 1000))
        logger.warning(
            "fmd_admin: too many failed logins, latest from %s; the next try is in %d s",
            # As it is counted: headers of proxies may hold any text.
            address_subject(request.remote_addr),
            wait_s,
        )
        message = (
            f"Too many failed logins. Try again in {_spoken(wait_s)}. If many people are held up, "
            "they share one address: behind a proxy the app needs werkzeug's ProxyFix."
        )
        response = self._show(form, target, 429, message)
        response.headers["Retry-After"] = str(wait_s)
        return response

    def _show(
        self, form: LoginForm, target: str | None, status: int, message: str | None
    ) -> Response:
        page = self.render(
            "fmd_admin/login.html",
            page_title="Log in",
            form=form,
            target=target,
            message=message,
        )
        return make_response(page, status)


def _after_login(target: str | None) -> str:
    return onward(target, url_for("overview.index"))


def _spoken(seconds: int) -> str:
    if seconds < 60:
        return "1 second" if seconds == 1 else f"{seconds} seconds"
    minutes = math.ceil(seconds / 60)
    return "1 minute" if minutes == 1 else f"{minutes} minutes"
