"""The settings that may change at run time, and what the others are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask import flash, make_response, redirect, request, url_for
from flask_admin import expose
from flask_login import current_user
from sqlalchemy import Connection
from werkzeug.wrappers import Response
from wtforms import Form

from ...setting_specs import Spec
from ...settings import TABLE, Loaded
from ...store.live import reset_setting, save_setting
from ..forms import as_text, runtime_specs, settings_form
from .pages import Page, is_admin

#: How the page names the sources.
SOURCES = {
    "default": "default",
    "file": "config file",
    "environment": "environment",
    "app.config": "app.config",
    "code": "code",
    "here": "here",
}
HERE = "here"


@dataclass(frozen=True, slots=True)
class Fixed:
    """A setting that only changes with a restart, as the page shows it."""

    spec: Spec
    value: str
    source: str


class SettingsPage(Page):
    """Change what is changed at run time; see the rest."""

    def __init__(self) -> None:
        super().__init__("Settings", "settings", category="Administration")

    def is_accessible(self) -> bool:
        return is_admin()

    @expose("/settings", methods=("GET", "POST"))
    def index(self) -> Response:
        """Show all settings, or save those of the form that differ."""
        self._refresh()
        loaded = self.panel.config.loaded
        form = settings_form(loaded.values)
        if request.method != "POST":
            return self._show(form, loaded, 200)
        if not form.validate():
            return self._show(form, loaded, 400)
        changed = _changes(form, loaded)
        username = current_user.username

        def save(connection: Connection) -> None:
            for name, text in changed.items():
                save_setting(connection, name, text, username)

        self.panel.store.transact(save)
        self._refresh()
        flash(f"Saved: {', '.join(changed)}." if changed else "Nothing was changed.", "ok")
        return redirect(url_for("settings.index"), 303)

    @expose("/settings/reset", methods=("POST",))
    def reset(self) -> Response:
        """Forget what was saved here for one setting."""
        name = request.form.get("name", "")
        spec = TABLE.get(name)
        if spec is None or not spec.runtime:
            flash("This setting cannot be reset here.", "error")
            return redirect(url_for("settings.index"), 303)
        self.panel.store.transact(lambda connection: reset_setting(connection, name))
        self._refresh()
        value = getattr(self.panel.config.values, name.lower())
        source = SOURCES[self.panel.config.loaded.sources[name]]
        flash(f"{name} is {as_text(value)} again ({source}).", "ok")
        return redirect(url_for("settings.index"), 303)

    def _refresh(self) -> None:
        # Another process may have saved something since this one last looked.
        with self.panel.store.read() as connection:
            self.panel.config.refresh(connection)
        for refusal in self.panel.config.refused:
            flash(refusal, "error")

    def _show(self, form: Form, loaded: Loaded, status: int) -> Response:
        page = self.render(
            "fmd_admin/settings.html",
            page_title="Settings",
            form=form,
            specs=runtime_specs(),
            sources={name: SOURCES[source] for name, source in loaded.sources.items()},
            here=HERE,
            shown={
                spec.name: as_text(getattr(loaded.values, spec.name.lower()))
                for spec in TABLE.values()
            },
            fixed=_fixed(loaded),
        )
        return make_response(page, status)


def _changes(form: Form, loaded: Loaded) -> dict[str, str]:
    """Return the settings that were changed in the form, as text.

    What somebody else saved since the form was opened is not undone: only what differs from the
    value that the form showed counts.
    """
    changed = {}
    for spec in runtime_specs():
        wanted: Any = spec.parse(form[spec.name].data, "this form")
        now = getattr(loaded.values, spec.name.lower())
        was = request.form.get(f"was_{spec.name}", as_text(now))
        if as_text(wanted) != was and wanted != now:
            changed[spec.name] = as_text(wanted)
    return changed


def _fixed(loaded: Loaded) -> list[Fixed]:
    rows = []
    for spec in TABLE.values():
        if spec.runtime:
            continue
        value = getattr(loaded.values, spec.name.lower())
        shown = as_text(value)
        if spec.secret:
            shown = "(hidden)" if value else ""
        rows.append(Fixed(spec, shown, SOURCES[loaded.sources[spec.name]]))
    return rows
