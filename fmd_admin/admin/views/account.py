"""One's own account: the change of the password."""

from __future__ import annotations

import time

from flask import abort, flash, make_response, redirect, request, url_for
from flask_admin import expose
from flask_login import current_user
from werkzeug.wrappers import Response

from ...errors import AccountError
from ...store.accounts import Account, Throttled, authenticate, update_user
from ..access import sign_in
from ..forms import OwnPasswordForm, submitted
from .pages import Page


class AccountPage(Page):
    """Everybody's own account, viewers included."""

    def __init__(self) -> None:
        super().__init__("Account", "account", category="")

    def is_visible(self) -> bool:
        return False

    @expose("/account", methods=("GET", "POST"))
    def index(self) -> Response:
        """Show the form, or change the password and end the account's other sessions."""
        if current_user.by_host:
            abort(404, "You are signed in by the application, and have no account here.")
        form = OwnPasswordForm(submitted())
        if request.method != "POST":
            return self._show(form, 200)
        if not form.validate():
            return self._show(form, 400)
        account: Account = current_user.account
        # Counted like a login, so that an open browser is no place to guess the password.
        checked = authenticate(
            self.panel.store,
            account.username,
            form.current.data or "",
            request.remote_addr,
            time.time_ns() // 1_000_000,
            own=True,
        )
        if isinstance(checked, Throttled):
            form.current.errors = ["Too many wrong passwords. Try again in a few minutes."]
            return self._show(form, 429)
        if checked is None:
            form.current.errors = ["The current password is wrong."]
            return self._show(form, 400)
        try:
            changed = update_user(self.panel.store, account.id, password=form.password.data)
        except AccountError as error:
            form.password.errors = [str(error)]
            return self._show(form, 400)
        sign_in(changed)
        flash("Your password is changed. Your other sessions have ended.", "ok")
        return redirect(url_for("account.index"), 303)

    def _show(self, form: OwnPasswordForm, status: int) -> Response:
        page = self.render("fmd_admin/account.html", page_title="Account", form=form)
        return make_response(page, status)
