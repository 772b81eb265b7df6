"""Flask-Admin's menu as the side bar shows it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from flask import g
from flask_admin.menu import MenuView


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the menu."""

    name: str
    url: str
    active: bool
    target: str | None = None


@dataclass(slots=True)
class Group:
    """A category with its lines; the first one without a name holds what has no category."""

    name: str
    entries: list[Entry] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)


def show_as(view_endpoint: str) -> None:
    """Mark another view's line as the active one, for pages that stand below it."""
    g.fmd_menu_endpoint = view_endpoint


def panel_menu(admin_view: Any) -> list[Group]:
    """Return the groups that the current user may see, in the order they were added."""
    admin = admin_view.admin
    loose = Group("")
    groups = _collect(admin.menu(), admin_view, loose)
    links = Group("", [_entry(item, admin_view) for item in _shown(admin.menu_links())])
    return [group for group in (loose, *groups, links) if group.entries or group.groups]


def _collect(items: Iterable[Any], admin_view: Any, loose: Group) -> list[Group]:
    groups = []
    for item in _shown(items):
        if not item.is_category():
            loose.entries.append(_entry(item, admin_view))
            continue
        group = Group(str(item.name))
        group.groups = _collect(item.get_children(), admin_view, group)
        if group.entries or group.groups:
            groups.append(group)
    return groups


def _shown(items: Iterable[Any]) -> list[Any]:
    # Flask-Admin's dividers have no address; the groups are apart anyway.
    return [
        item
        for item in items
        if item.is_accessible()
        and item.is_visible()
        and (item.is_category() or "dropdown-divider" not in item.get_class_name())
    ]


def _entry(item: Any, admin_view: Any) -> Entry:
    if not isinstance(item, MenuView):
        active = bool(item.is_active(admin_view))
        return Entry(str(item.name), item.get_url(), active, item.target)
    # MenuView.get_url keeps the first address it ever gave, with that request's mount point and
    # query string. Asking its view again gives the one of this request.
    view = item._view
    url = view.get_url(f"{view.endpoint}.{view._default_view}")
    shown = g.get("fmd_menu_endpoint", admin_view.endpoint)
    return Entry(str(item.name), url, view.endpoint == shown, item.target)
