"""fmd_admin: an admin panel that measures a Flask application from inside.

``FMDAdmin(app)`` binds it. ``import fmd_admin as dashboard; dashboard.bind(app)`` does the same
for those who come from Flask-MonitoringDashboard.
"""

from .compat.dashboard import (
    add_database_pruning_schedule,
    add_graph,
    bind,
    blueprint,
    capture,
    capture_exception,
    config,
)
from .extension import FMDAdmin
from .patterns import exclude
from .sign_on import header_auth
from .standalone import create_panel
from .version import __version__

__all__ = [
    "FMDAdmin",
    "__version__",
    "add_database_pruning_schedule",
    "add_graph",
    "bind",
    "blueprint",
    "capture",
    "capture_exception",
    "config",
    "create_panel",
    "exclude",
    "header_auth",
]
