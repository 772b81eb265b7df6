"""The System page: the store, what is deleted when, and the processes that measure."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version as installed
from typing import Any

from flask import abort, flash, redirect, request, url_for
from flask_admin import expose
from flask_login import current_user
from werkzeug.wrappers import Response

from ...read.system import System, Worker, system
from ...store import prune_runs
from ...store.prune_runs import Run
from ...store.retention import BY_NAME, FOLLOW, NAMES_LABEL, Amount, keep_days, label_of
from ...store.types import from_millis, to_millis
from .. import format
from .pages import Page, is_admin

_LIBRARIES = ("Flask", "Flask-Admin", "SQLAlchemy", "APScheduler")
#: What a process says of itself and anybody may see; errors may hold what requests sent.
_HIDDEN = frozenset({"fault_rows"})
#: These tell where files lie.
_HIDDEN_OF_SPOOL = frozenset({"path", "why"})
#: What tells a process from all others.
_IDENTITY = ("host", "pid", "began_at")

#: A process, what it says of itself, and whether it is the one that answers.
Current = tuple[Worker, Mapping[str, Any], bool]


class SystemPage(Page):
    """How fmd_admin itself is doing. Viewers see it without addresses and texts of errors."""

    def __init__(self) -> None:
        super().__init__("System", "system", category="Administration")

    @expose("/system")
    def index(self) -> str:
        """Show the page."""
        now_ms = _now_ms()
        found = self._read(now_ms)
        workers = self._current(found.workers)
        page: str = self.render(
            "fmd_admin/system.html",
            page_title="System",
            found=found,
            workers=workers,
            faults=self._faults(workers) if is_admin() else [],
            alone=self._alone(),
            kept={state.kind.name: self._kept(state.kind.name) for state in found.kinds},
            versions=self._versions(found),
            settings=self.panel.config.values,
            spool_folder=self.panel.spool_folder,
            zone=self.panel.store.timezone,
            now_ms=now_ms,
            is_admin=is_admin(),
            moment_of=from_millis,
            label_of=label_of,
            fmt=format,
        )
        return page

    @expose("/system/data.json")
    def data_json(self) -> dict[str, Any]:
        """Return what the page shows."""
        found = self._read(_now_ms())
        storage = found.storage
        return {
            "database": {
                "kind": storage.kind,
                "version": storage.version,
                "url": storage.url if is_admin() else None,
                "size_bytes": storage.size_bytes,
                "free_bytes": storage.free_bytes,
                "log_bytes": storage.log_bytes,
                "revision": found.revision,
            },
            "tables": [{"name": name, **_amount(rows)} for name, rows in found.tables],
            "retention": [
                {
                    "kind": state.kind.name,
                    "label": state.kind.label,
                    "kept": self._kept(state.kind.name),
                    "before_ms": state.before_ms,
                    **_amount(state.amount),
                }
                for state in found.kinds
            ],
            "running": None if found.open_run is None else _run(found.open_run),
            "runs": [_run(run) for run in found.runs],
            "processes": [_process(*one) for one in self._current(found.workers)],
            "dropped_30_days": found.health.dropped,
            "faults_30_days": found.health.faults,
            "versions": dict(self._versions(found)),
        }

    @expose("/system/prune", methods=("GET", "POST"))
    def prune(self) -> Response | str:
        """Ask whether what is too old shall go now; have it deleted once that is confirmed."""
        if not is_admin():
            abort(403)
        if request.method == "POST":
            return self._ask()
        found = self._read(_now_ms())
        zone = self.panel.store.timezone
        names = [
            f"{state.kind.label} before {from_millis(state.before_ms).astimezone(zone):%Y-%m-%d}: "
            f"{state.amount}"
            for state in found.kinds
            if state.before_ms is not None
        ]
        page: str = self.render(
            "fmd_admin/confirm.html",
            page_title="Delete old data now?",
            note="It happens in the background, a little at a time, and cannot be undone. What "
            "fmd_admin did not delete by itself yet is usually less than a day's.",
            ids=[],
            names=[*names, f"{NAMES_LABEL}: those that are left without any"],
            hidden=0,
            action=url_for("system.prune"),
            back=url_for("system.index"),
            back_path="",
            button=f"Delete {found.going} rows" if found.going.rows else "Look for them and delete",
        )
        return page

    def _ask(self) -> Response:
        with self.panel.store.read() as connection:
            running = prune_runs.next_open(connection)
        if running is not None and running.reason != prune_runs.HOURLY:
            flash("Old data is being deleted already. This page shows how far it is.", "error")
        else:
            self.panel.pruning.ask(current_user.username)
            flash("Old data will be deleted now. This page shows how far it is.", "ok")
        return redirect(url_for("system.index"), 303)

    def _read(self, now_ms: int) -> System:
        store = self.panel.store
        plan = self.panel.pruning.everything()
        with store.read() as connection:
            return system(connection, store.engine, plan, now_ms)

    def _kept(self, name: str) -> str:
        """Say for how long a kind is kept, and by what."""
        kind = BY_NAME[name]
        if name in FOLLOW:
            kinds = [BY_NAME[leader].label for leader in FOLLOW[name]]
            return f"as long as {' and '.join(kinds).lower()}"
        days = keep_days(kind, self.panel.config.values)
        weeks = self.panel.pruning.weeks_of(name)
        if weeks is None:
            return _number(days, "day") if days else "for ever"
        scheduled = f"{_number(weeks, 'week')} (on schedule)"
        if name in self.panel.pruning.plan():
            return f"{_number(days, 'day')}, or {scheduled}"
        return scheduled

    def _current(self, workers: Sequence[Worker]) -> list[Current]:
        """Return what each process says of itself: this one knows better than the store."""
        own = self.panel.vitals()
        mine = [own[key] for key in _IDENTITY]
        found = []
        for worker in workers:
            status = worker.process.status
            here = [status.get(key) for key in _IDENTITY] == mine
            found.append((worker, own if here else status, here))
        return found

    def _alone(self) -> Mapping[str, Any] | None:
        """Return what this process says of itself if it is a panel of its own: no app's process."""
        own = self.panel.vitals()
        return own if own.get("standalone") else None

    def _faults(self, workers: Sequence[Current]) -> list[dict[str, Any]]:
        """Return the faults of all processes, the latest first."""
        alone = self._alone()
        said = [status for _, status, _ in workers] + ([] if alone is None else [alone])
        rows = [
            {**row, "process": f"{status.get('host', '')}:{status.get('pid', '')}"}
            for status in said
            for row in status.get("fault_rows", [])
        ]
        return sorted(rows, key=lambda row: -row["last_at"])

    def _versions(self, found: System) -> list[tuple[str, str]]:
        own = self.panel.vitals()
        return [
            ("fmd_admin", self.panel.version),
            ("Schema", found.revision),
            ("Python", own["python"]),
            *((name, installed(name)) for name in _LIBRARIES),
            (found.storage.kind, found.storage.version),
        ]


def _process(worker: Worker, status: Mapping[str, Any], here: bool) -> dict[str, Any]:
    hidden = frozenset() if is_admin() else _HIDDEN
    spool = status.get("spool")
    if spool is not None and not is_admin():
        spool = {name: value for name, value in spool.items() if name not in _HIDDEN_OF_SPOOL}
    return {
        **{name: value for name, value in status.items() if name not in hidden},
        "spool": spool,
        "alive": worker.alive,
        "leads": worker.leads,
        "answers": here,
        "seen_ms": to_millis(worker.process.seen_at),
    }


def _amount(amount: Amount) -> dict[str, Any]:
    return {"rows": amount.rows, "exact": amount.exact, "at_least": amount.least}


def _run(run: Run) -> dict[str, Any]:
    return {
        "reason": run.reason,
        "asked_ms": to_millis(run.asked_at),
        "finished_ms": None if run.finished_at is None else to_millis(run.finished_at),
        "rows": run.rows,
        "deleted": run.deleted,
    }


def _number(count: int, unit: str) -> str:
    return f"{count} {unit}" if count == 1 else f"{count} {unit}s"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
