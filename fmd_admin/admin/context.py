"""What the panel's views work with: one object per panel, found through the current app."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flask import Flask, current_app

from ..errors import BindError
from ..jobs.pruning import Pruning
from ..store.live import LiveConfig
from ..store.store import Store

if TYPE_CHECKING:
    # It needs Flask-Login, which apps that only measure do not import.
    from .host_users import HostUsers

EXTENSION = "fmd_panel"


@dataclass(frozen=True)
class Panel:
    """The parts a panel is built from; made by the extension, one for each panel app.

    ``vitals`` gives all that this process knows of itself. ``pruning`` says what is deleted by age,
    and when. ``started`` is called on each request of the panel, and raises SchemaError for tables
    that it cannot show. ``secret`` gives the key that signs sessions; it is asked on each use, so
    that a host key set late counts. ``spool_folder`` is None where spools are off. ``host_users``
    asks the host who its current user is, if it has said how.
    """

    store: Store
    config: LiveConfig
    vitals: Callable[[], Mapping[str, Any]]
    pruning: Pruning
    started: Callable[[], None]
    secret: Callable[[], bytes]
    version: str
    spool_folder: str | None = None
    host_users: HostUsers | None = None


def panel_of(app: Flask) -> Panel:
    """Return the panel that ``app`` shows. Raises BindError if it shows none."""
    panel = app.extensions.get(EXTENSION)
    if not isinstance(panel, Panel):
        raise BindError(
            f"The app {app.name!r} is not a panel of fmd_admin. Build it with build_site()."
        )
    return panel


def current_panel() -> Panel:
    """Return the panel of the request that is being answered."""
    return panel_of(current_app._get_current_object())  # type: ignore[attr-defined]
