"""Accounts of the panel, for admins."""

from __future__ import annotations

from flask import abort, flash, make_response, redirect, request, url_for
from flask_admin import expose
from flask_login import current_user
from werkzeug.wrappers import Response

from ...errors import AccountError
from ...store.accounts import Account, accounts, create_user, find, update_user
from .. import format
from ..access import sign_in
from ..forms import NewUserForm, UserForm, submitted
from .pages import MAX_ID, Page, is_admin


class UsersPage(Page):
    """List, create and change accounts. None is deleted: its name stays with what it did."""

    def __init__(self) -> None:
        super().__init__("Users", "users", category="Administration")

    def is_accessible(self) -> bool:
        return is_admin()

    @expose("/users")
    def index(self) -> str:
        """List all accounts."""
        with self.panel.store.read() as connection:
            rows = accounts(connection)
        zone = self.panel.store.timezone
        page: str = self.render(
            "fmd_admin/users.html", page_title="Users", users=rows, fmt=format, zone=zone
        )
        return page

    @expose("/users/new", methods=("GET", "POST"))
    def new(self) -> Response:
        """Show the form of a new account, or make it."""
        form = NewUserForm(submitted())
        if request.method == "POST" and form.validate():
            try:
                account = create_user(
                    self.panel.store,
                    form.username.data or "",
                    form.password.data or "",
                    form.role.data,
                )
            except AccountError as error:
                return self._show(form, None, 400, str(error))
            flash(f"User {account.username} is created.", "ok")
            return redirect(url_for("users.index"), 303)
        return self._show(form, None, 400 if form.errors else 200)

    @expose("/users/<int:user_id>", methods=("GET", "POST"))
    def edit(self, user_id: int) -> Response:
        """Show an account's form, or change the account."""
        with self.panel.store.read() as connection:
            account = find(connection, user_id) if user_id <= MAX_ID else None
        if account is None:
            abort(404)
        form = UserForm(submitted(), data={"role": account.role, "active": account.active})
        if request.method == "POST" and form.validate():
            return self._change(form, account)
        return self._show(form, account, 400 if form.errors else 200)

    def _change(self, form: UserForm, account: Account) -> Response:
        try:
            changed = update_user(
                self.panel.store,
                account.id,
                role=form.role.data,
                active=bool(form.active.data),
                password=form.password.data or None,
            )
        except AccountError as error:
            return self._show(form, account, 400, str(error))
        if account.id == current_user.account.id and changed.active:
            # The own session goes on; the account's other ones have ended.
            sign_in(changed)
        ended = changed.session_key != account.session_key
        flash(
            f"User {changed.username} is changed."
            + (" Sessions of this account have ended." if ended else ""),
            "ok",
        )
        return redirect(url_for("users.index"), 303)

    def _show(
        self,
        form: NewUserForm | UserForm,
        account: Account | None,
        status: int,
        message: str | None = None,
    ) -> Response:
        page = self.render(
            "fmd_admin/user_form.html",
            page_title="New user" if account is None else f"User {account.username}",
            form=form,
            account=account,
            message=message,
        )
        return make_response(page, status)
