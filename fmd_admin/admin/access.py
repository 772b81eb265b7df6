"""Who may do what: deny by default, one gate before every request of the panel.

Without a login only the login page and static files answer. Viewers may read; whatever changes
something needs an admin, in views added by the host as well.
"""

from __future__ import annotations

import hmac

from flask import Flask, Request, Response, abort, g, jsonify, redirect, request, session, url_for
from flask_login import (
    AnonymousUserMixin,
    LoginManager,
    UserMixin,
    current_user,
    login_user,
    logout_user,
)
from werkzeug.exceptions import Forbidden
from werkzeug.wrappers import Response as BaseResponse

from ..errors import SchemaError
from ..store.accounts import Account, find
from .context import Panel, current_panel
from .host_users import HostUser, Refused
from .links import here

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
#: Our static files and those of Flask-Admin.
STATIC = frozenset({"static", "admin.static"})
PUBLIC = STATIC | {"login.index"}
#: What viewers may change: their own account.
OWN_ACCOUNT = frozenset({"login.logout", "account.index"})


#: In the request's ``g``: the host says that its user may not enter.
_REFUSED = "fmd_refused"
#: Bytes of a query string. Each of a page's links repeats it, and there may be a thousand of them.
LONGEST_QUERY = 16_384


class EntryRefused(Forbidden):
    """The host knows the visitor, who may not enter."""

    description = "Your user of the application may not enter this panel."


class PanelUser(UserMixin):
    """The account behind a session. Its id for the session carries the account's key."""

    by_host = False

    def __init__(self, account: Account) -> None:
        self.account = account

    @property
    def username(self) -> str:
        return self.account.username

    @property
    def role(self) -> str:
        return self.account.role

    @property
    def is_admin(self) -> bool:
        return self.account.is_admin

    @property
    def is_active(self) -> bool:
        return self.account.active

    def get_id(self) -> str:
        return f"{self.account.id}:{self.account.session_key}"


class PanelLogins(LoginManager):
    """Flask-Login without its remember-me cookie.

    Its signature needs ``config["SECRET_KEY"]``, which the panel does not have; a cookie that
    anybody may send must not lead there.
    """

    def _load_user_from_remember_cookie(self, cookie: str) -> None:  # noqa: ARG002
        return None


class Nobody(AnonymousUserMixin):
    """Who is not logged in, with what templates ask of a user."""

    username = ""
    role = ""
    is_admin = False
    by_host = False


def init_access(app: Flask, panel: Panel) -> None:
    """Install the login manager and the gate; the gate must come before any other hook."""
    app.before_request(_gate)
    manager = PanelLogins(app)
    manager.anonymous_user = Nobody
    # Addresses change on the way through mobile networks and proxies; the session key is enough.
    manager.session_protection = None

    def load(session_id: str) -> PanelUser | None:
        return _load_user(panel, session_id)

    manager.user_loader(load)
    if panel.host_users is not None:
        # Asked where there is no session of ours.
        manager.request_loader(_load_host_user)


def sign_in(account: Account) -> None:
    """Begin a new session for ``account``; nothing of the one before it remains."""
    session.clear()
    session.permanent = True
    login_user(PanelUser(account))


def sign_out() -> None:
    """End the session of this browser."""
    logout_user()
    session.clear()


def wants_page() -> bool:
    """Tell whether the client expects an HTML page, rather than data for a script or a file."""
    if request.path.endswith((".json", ".csv")):
        return False
    if request.headers.get("Sec-Fetch-Dest") == "empty":
        return False
    offers = ["text/html", "application/json"]
    return request.accept_mimetypes.best_match(offers, "text/html") == "text/html"


def plain_answer(status: int, message: str) -> Response:
    """Return ``message`` in the form that a client wants which expects no page."""
    if request.path.endswith(".csv"):
        response = Response(message + "\n", mimetype="text/plain")
    else:
        response = jsonify(message=message)
    response.status_code = status
    return response


def _gate() -> BaseResponse | None:
    endpoint = request.endpoint
    try:
        current_panel().started()
    except SchemaError:
        # The page that says so needs its styles.
        if endpoint not in STATIC:
            raise
    if len(request.query_string) > LONGEST_QUERY:
        abort(414, "The address is too long. Choose fewer versions.")
    if endpoint in PUBLIC:
        return None
    if not current_user.is_authenticated:
        if g.get(_REFUSED):
            raise EntryRefused
        return _ask_to_log_in()
    if request.method in SAFE_METHODS or current_user.is_admin or endpoint in OWN_ACCOUNT:
        return None
    abort(403)


def _load_host_user(_request: Request) -> HostUser | None:
    host_users = current_panel().host_users
    found = None if host_users is None else host_users.find(request.environ)
    if isinstance(found, Refused):
        setattr(g, _REFUSED, True)
        return None
    return found


def _ask_to_log_in() -> BaseResponse:
    if not wants_page():
        return plain_answer(401, "You are not logged in, or your session has ended.")
    if request.method not in SAFE_METHODS:
        # What was sent is lost; going on to its address would be a different request.
        return redirect(url_for("login.index"), 303)
    path = here()
    return redirect(url_for("login.index", next=None if path == "/" else path))


def _load_user(panel: Panel, session_id: str) -> PanelUser | None:
    user_id, _, key = session_id.partition(":")
    if not user_id.isdecimal():
        return None
    with panel.store.read() as connection:
        account = find(connection, int(user_id))
    if account is None or not account.active:
        return None
    if not hmac.compare_digest(account.session_key.encode(), key.encode()):
        return None
    return PanelUser(account)
