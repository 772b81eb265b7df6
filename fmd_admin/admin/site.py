"""Builds the panel: a Flask app of its own with Flask-Admin, Flask-Login and CSRF protection."""

from __future__ import annotations

import contextlib
import logging
from datetime import timedelta
from typing import Any

from flask import Flask, Response, redirect, request
from flask_admin import Admin, AdminIndexView, BaseView, expose
from flask_admin.menu import MenuCategory, MenuView
from flask_admin.theme import Bootstrap4Theme
from flask_wtf import CSRFProtect
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.wrappers import Response as BaseResponse

from ..errors import BindError
from ..resources import folder
from ..store.models import db
from .access import SAFE_METHODS, init_access
from .context import EXTENSION, Panel, panel_of
from .headers import init_headers
from .host_models import HostModels
from .links import RowIdConverter, asset, panel_url
from .menu import panel_menu
from .old_pages import init_old_pages
from .problems import init_problems
from .read_again import read_again
from .sessions import COOKIE, PanelSessions
from .views.account import AccountPage
from .views.alerts import AlertsPage
from .views.custom_graphs import CATEGORY as GRAPHS
from .views.custom_graphs import GraphMenu, GraphPage, GraphsPage
from .views.data import (
    EndpointsData,
    ExceptionsData,
    GraphValuesData,
    OutliersData,
    ProfilesData,
    RequestsData,
    VersionsData,
)
from .views.exceptions import ExceptionsPage
from .views.grouped import GroupedPage
from .views.login import LoginPage
from .views.outliers import OutliersPage
from .views.overview import OverviewPage
from .views.pages import COMPARED
from .views.performance import PerformancePage
from .views.profiler import ProfilerPage
from .views.reporting import ReportingPage
from .views.settings import SettingsPage
from .views.status_codes import StatusCodesPage
from .views.summary import SummaryPage
from .views.system import SystemPage
from .views.users import UsersPage
from .views.utilization import DailyPage, HourlyPage
from .views.versions import MultiVersionPage, VersionPerformancePage
from .views.visitors import IpVersionsPage, UserPerformancePage, UserVersionsPage

logger = logging.getLogger("fmd_admin")

#: The groups of the menu, in their order.
CATEGORIES = ("Dashboard", COMPARED, "Problems", GRAPHS, "Data", "Administration")
_MAX_BODY_BYTES = 16 * 1024 * 1024


class PanelApp(Flask):
    """The panel's Flask app. What belongs to sessions is asked when it is needed."""

    session_interface = PanelSessions()

    @property
    def admin(self) -> Admin:
        """The panel's Flask-Admin: any Flask-Admin view can be added to it."""
        return self.extensions["admin"][0]

    @property
    def secret_key(self) -> bytes:  # type: ignore[override]
        """The key of sessions and forms: derived on use, never the host's own."""
        # Sessions are opened before the request is dispatched.
        return read_again(panel_of(self).secret)

    @property
    def permanent_session_lifetime(self) -> timedelta:  # type: ignore[override]
        """How long a session lasts without a request; an admin may change it any time."""
        return timedelta(hours=panel_of(self).config.values.session_hours)

    def full_dispatch_request(self, *context: Any) -> Response:
        """Answer; again where a page only reads and its database went away in the middle."""

        def answer() -> Response:
            return super(PanelApp, self).full_dispatch_request(*context)

        try:
            if request.method not in SAFE_METHODS:
                return answer()
            # The session would go on refusing: its transaction has not ended.
            return read_again(answer, between=_let_go_of_session)
        finally:
            _let_go_of_session()

    @property
    def logger(self) -> logging.Logger:
        """The logger of all of fmd_admin. Flask's own would add a handler to it."""
        return logger


def _let_go_of_session() -> None:
    """End the session; Flask-SQLAlchemy would raise where its connection is gone."""
    try:
        db.session.remove()
    except SQLAlchemyError:
        db.session.registry.clear()


class PanelAdmin(Admin):
    """Flask-Admin's site, mended where its own does not fit a mounted app."""

    host_models: HostModels | None = None

    def add_view(self, view: BaseView) -> None:
        """Add a view of any kind; it lies behind the panel's login like all others."""
        if self.app is not None and view.endpoint in self.app.blueprints:
            raise BindError(
                f"The panel has a view with the endpoint {view.endpoint!r} already. Give "
                f"{type(view).__name__} another one: endpoint='my_{view.endpoint}'."
            )
        if self.host_models is not None:
            self.host_models.use(view)
        super().add_view(view)

    def add_menu(self, category: MenuCategory) -> None:
        """Add a category that knows its own lines."""
        self._menu_categories[category.name] = category
        self._menu.append(category)

    def _add_view_to_menu(self, view: BaseView) -> None:
        # Flask-Admin keeps the first link it made, with that request's mount point.
        self.add_menu_item(MenuView(view.name, view, cache=False), view.category)


class IndexPage(AdminIndexView):
    """The panel's root. It leads to the overview and has no line in the menu."""

    @expose("/")
    def index(self) -> BaseResponse:
        """Go on to the overview."""
        return redirect(panel_url("overview.index"))

    def _run_view(self, fn: Any, *args: Any, **kwargs: Any) -> Any:
        return fn(self, *args, **kwargs)

    def is_visible(self) -> bool:
        return False


def new_panel_app() -> PanelApp:
    """Return the bare app; it answers nothing before :func:`build_site`."""
    app = PanelApp(
        "fmd_admin",
        template_folder=str(folder("templates")),
        static_folder=str(folder("static")),
        static_url_path="/static",
    )
    app.url_map.converters["int"] = RowIdConverter
    app.config.update(
        SESSION_COOKIE_NAME=COOKIE,
        # Flask-Login would clear the host's cookie under its usual name at each logout.
        REMEMBER_COOKIE_NAME="fmd_remember",
        # A form is valid as long as its session.
        WTF_CSRF_TIME_LIMIT=None,
        # Errors end in our own page and log, under a debugger and in tests as well.
        PROPAGATE_EXCEPTIONS=False,
        MAX_CONTENT_LENGTH=_MAX_BODY_BYTES,
    )
    _init_translations(app)
    return app


def _init_translations(app: Flask) -> None:
    """Flask-Admin asks Flask-Babel for its texts where that is installed, and needs one then."""
    with contextlib.suppress(ImportError):
        from flask_babel import Babel  # type: ignore[import-untyped]

        Babel(app, configure_jinja=False)


def build_site(app: Flask, panel: Panel) -> Admin:
    """Register everything on ``app`` (from :func:`new_panel_app`) and return its Flask-Admin."""
    app.extensions[EXTENSION] = panel
    # The gate stands before the check of forms: who may not enter learns nothing else.
    init_access(app, panel)
    host_models = HostModels(app)
    CSRFProtect(app)
    init_problems(app)
    init_headers(app, panel.config.values)
    _init_templates(app, panel)
    admin = PanelAdmin(
        app,
        name=panel.config.values.brand_name,
        index_view=IndexPage(name="Home", endpoint="admin", url="/"),
        theme=Bootstrap4Theme(base_template="fmd_admin/layout.html"),
    )
    for category in CATEGORIES:
        if category == GRAPHS:
            admin.add_menu(GraphMenu(category))
        else:
            admin.add_category(category)
    admin.add_views(
        OverviewPage(),
        HourlyPage(),
        MultiVersionPage(),
        DailyPage(),
        PerformancePage(),
        ReportingPage(),
        VersionPerformancePage(),
        SummaryPage(),
        UserVersionsPage(),
        IpVersionsPage(),
        UserPerformancePage(),
        ProfilerPage(),
        GroupedPage(),
        StatusCodesPage(),
        ExceptionsPage(),
        OutliersPage(),
        GraphsPage(),
        GraphPage(),
        RequestsData(),
        OutliersData(),
        ExceptionsData(),
        ProfilesData(),
        EndpointsData(),
        VersionsData(),
        GraphValuesData(),
        UsersPage(),
        SettingsPage(),
        AlertsPage(),
        SystemPage(),
        AccountPage(),
        LoginPage(),
    )
    admin.host_models = host_models
    init_old_pages(app)
    return admin


def _init_templates(app: Flask, panel: Panel) -> None:
    app.jinja_env.globals.update(panel_url=panel_url, asset=asset, panel_menu=panel_menu)

    def names() -> dict[str, Any]:
        values = panel.config.values
        return {
            "brand_name": values.brand_name,
            "title_name": values.title_name or values.brand_name,
            "description": values.description,
        }

    app.context_processor(names)
