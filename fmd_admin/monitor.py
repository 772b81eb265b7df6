"""Monitor: everything that fmd_admin has for one host app. The only place that knows all parts."""

from __future__ import annotations

import logging
import secrets
import sys
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from flask import Flask
from sqlalchemy.exc import DBAPIError

from . import lifecycle, opening
from . import settings as settings_table
from .admin.context import Panel
from .admin.mount import Mount
from .collect.address import anonymized
from .collect.collector import Collector
from .collect.exceptions import Exceptions
from .collect.held import Held
from .collect.innermost import wrap_innermost
from .collect.redaction import Redactor, words_of
from .collect.tracing import Rules
from .collect.version import host_version
from .collect.watching import Watch
from .errors import BindError, NewerSchemaError
from .faults import Faults
from .jobs.graph_runs import GraphRuns
from .jobs.graphs import Graphs
from .jobs.scheduler import Jobs
from .patterns import patterns
from .read.means import means
from .recorder.batching import storable
from .recorder.left_overs import SpoolFolder, spool_folder
from .recorder.recorder import Recorder
from .recorder.spool_status import spool_status
from .recorder.vitals import fault_rows, identity
from .records import Batch, Frame
from .store.live import LiveConfig
from .store.presence import Presence
from .store.store import Store
from .store.writer import BatchWriter
from .version import __version__

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication
    from flask_admin import Admin

logger = logging.getLogger("fmd_admin")


class Monitor:
    """Everything that fmd_admin has for one host app: ``app.extensions["fmd_admin"]``."""

    def __init__(
        self,
        app: Flask,
        loaded: settings_table.Loaded,
        *,
        group_by: Any,
        get_ip: Callable[[], str | None] | None,
        graphs: Graphs,
        auth: Callable[[], Any] | None = None,
    ) -> None:
        values = loaded.values
        # What the first panel of a process imports, the next ones find.
        is_first = values.panel and f"{__package__}.admin.site" not in sys.modules
        # Not the app itself: it refers to us, and must be free to go.
        self._host = weakref.ref(app)
        self.faults = Faults()
        self.config = LiveConfig(loaded)
        self.panel_app = _panel_app(values)
        self.store = Store(self.panel_app, values, folder=app.instance_path)
        self._ready = False
        self._prepare_lock = threading.Lock()
        #: Why this process leaves the tables alone; None unless they are newer than its code.
        self._refused: str | None = None
        self._applied: object = None
        self._kept_secret: bytes | None = None
        self._writer = BatchWriter(
            self.store,
            lambda: self.config.values.monitor_level,
            self._source,
            self._clean_source,
            sample=lambda: self.config.values.sample,
        )
        self.jobs = Jobs(
            self.store,
            secrets.token_hex(16),
            report=self.faults.report,
            graphs=GraphRuns(self.store, graphs, self._host, self.faults.report),
            loaded=lambda: self.config.loaded,
            secret=self._secret,
        )
        self._presence = Presence(self.store)
        self._began_ms = time.time_ns() // 1_000_000
        url = self.store.engine.url.set(password=None, query={})
        folder = spool_folder(
            url.render_as_string(),
            url.database if url.get_backend_name() == "sqlite" else None,
            spool=values.spool,
            mib=values.spool_mib,
            instance=app.instance_path,
        )
        self.recorder = Recorder(
            self._write,
            version=storable(host_version(app_version=values.app_version, git=values.git)),
            limit=values.buffer_size,
            interval_s=values.flush_interval_s,
            faults=self.faults,
            tick=self._tick,
            clean_ip=self._clean_ip,
            forked=self.after_fork,
            folder=folder,
        )
        self.watch = Watch(
            append_heavy=self.recorder.append_heavy,
            leave_out=self.recorder.leave_out,
            faults=self.faults,
            call=Collector.__call__.__code__,
            import_name=app.import_name,
        )
        self.exceptions = Exceptions(
            # Asked each time: a child that was forked counts anew.
            count=lambda *one: self.recorder.tallies.count_raised(*one),
            append_heavy=self.recorder.append_heavy,
            loose=self._keep_loose,
            frames=self.watch.frames,
            faults=self.faults,
        )
        self.panel: Panel | None = None
        #: Where the panel hangs in the host's WSGI chain; None where the app only measures.
        self.mount: Mount | None = None
        if values.panel:
            self._build_panel(folder, auth)
        self._start(app, group_by, get_ip)
        if is_first:
            lifecycle.collect_garbage()

    def _build_panel(self, folder: SpoolFolder | None, auth: Callable[[], Any] | None) -> None:
        from .admin.host_users import HostUsers
        from .admin.site import build_site

        self.panel = Panel(
            store=self.store,
            config=self.config,
            vitals=self.vitals,
            pruning=self.jobs.pruning,
            started=self._panel_asked,
            secret=self._secret,
            version=__version__,
            spool_folder=None if folder is None else str(folder.path),
            host_users=auth and HostUsers(self._host, auth, self.faults.report),
        )
        self._admin = build_site(self.panel_app, self.panel)

    @property
    def admin(self) -> Admin:
        """The panel's ``flask_admin.Admin``. Raises BindError where the app only measures."""
        if self.panel is None:
            raise BindError(
                "This app has no panel: the setting PANEL is off, so it only measures. Set it to "
                "on, or add your views where the panel runs: create_panel(…).admin.add_view(…)"
            )
        return self._admin

    def _start(self, app: Flask, group_by: Any, get_ip: Callable[[], str | None] | None) -> None:
        """Prepare the store, then let requests in."""
        self._debug = app.debug
        try:
            self._prepare()
        except (DBAPIError, NewerSchemaError):
            # The host must start without its monitor's database; the flusher tries again.
            self.faults.report("opening the store (tried again until it can be used)")
        # No connection may be open when a server forks.
        self.store.close()

        def wrap(wsgi_app: WSGIApplication) -> WSGIApplication:
            self.collector = Collector(
                app,
                wsgi_app,
                sink=self.recorder,
                touched=self.recorder.touched,
                faults=self.faults,
                exceptions=self.exceptions,
                group_by=group_by,
                get_ip=get_ip,
                hold=self.recorder.hold,
            )
            if self.panel is None:
                return self.collector
            self.mount = Mount(self.collector, self.config.values.link, self.panel_app)
            return self.mount

        if not wrap_innermost(app, wrap):
            logger.warning(
                "fmd_admin: a middleware hides the app's own WSGI callable, so requests are "
                "measured outside of it. Bind fmd_admin before adding that middleware."
            )
        self._apply()
        self.exceptions.watch(app)
        lifecycle.watch(self)

    def _prepare(self) -> None:
        """Bring the tables up, make the first account, read levels and settings; once."""
        with self._prepare_lock:
            if self._ready or opening.migrating():
                return
            values = self.config.values
            try:
                opening.prepare(
                    self.store,
                    self.config,
                    login=f"/{values.link.strip('/')}/login" if values.panel else "the panel",
                    debug=self._debug,
                )
            except NewerSchemaError as error:
                self._refused = str(error)
                raise
            opening.say_timezone(self.store)
            if self.panel is not None:
                # Not by the first page, which could have to wait for who writes.
                self._secret()
            self._refused = None
            self._ready = True

    def _panel_asked(self) -> None:
        """Called with each request of the panel. Raises NewerSchemaError."""
        self.recorder.start()
        if self._refused is not None:
            raise NewerSchemaError(self._refused)

    def _write(self, batch: Batch) -> None:
        if not self._ready:
            self._prepare()
        self._writer.write(batch)
        self.watch.learn(batch.rows)

    def _tick(self) -> None:
        """About once a second in the flusher: what changed in the store, and the jobs' lease."""
        self._prepare()
        with self.store.read() as connection:
            self.config.refresh(connection)
        self._apply()
        self.watch.keep_up()
        self.exceptions.tick()
        self.jobs.tick(threads=not self.recorder.inline)
        self._presence.beat(*self.recorder.mark, self.vitals, self.jobs.began_ms)

    def _apply(self) -> None:
        state = self.config.levels
        if state is self._applied:
            return
        values = self.config.values
        self.collector.apply(
            self.config.levels,
            values.monitor_level,
            keep_ip=values.ip != "off",
            excluded=patterns(values.exclude),
        )
        self._watch_requests()
        self.recorder.forget_texts()
        self._applied = state
        for refusal in self.config.refused:
            logger.error("fmd_admin: %s It is not used; reset it on the Settings page.", refusal)

    def _watch_requests(self) -> None:
        """Take over what counts for exceptions, and for levels 2 and 3."""
        values = self.config.values
        watch = self.watch
        rules = Rules(
            levels=self.config.levels,
            default=values.monitor_level,
            period_ms=values.sampling_period_ms,
            words=words_of(values.redact),
            ip=values.ip,
            with_json=values.outlier_json_body,
        )
        self.exceptions.apply(rules)
        watch.apply(
            rules,
            constant=values.outlier_detection_constant,
            min_ms=values.outlier_min_ms,
            outliers_per_minute=values.outliers_per_minute,
        )
        self.collector.watch = watch if watch.is_on else None
        if watch.is_on and self._ready:
            with self.store.read() as connection:
                watch.seed(means(connection))

    def _source(self, frame: Frame) -> str:
        """Return the text of a line of code as it may be stored."""
        redactor = Redactor(words_of(self.config.values.redact))
        return redactor.source(self.watch.frames.source(frame))

    def _clean_source(self, text: str) -> str:
        """Return the text of a function as it may be stored."""
        return Redactor(words_of(self.config.values.redact)).lines(text)

    def _keep_loose(self, held: Held) -> None:
        """Have an exception stored that belongs to no request."""
        self.recorder.tallies.add_loose(partial(self.exceptions.occurrence, held, None))
        self.recorder.start()

    def _clean_ip(self, address: str) -> str | None:
        how = self.config.values.ip
        if how == "off":
            return None
        return anonymized(address) if how == "anonymized" else address

    def _secret(self) -> bytes:
        """The panel's session key: derived from the host's, or kept in the store without one."""
        key = getattr(self._host(), "secret_key", None)
        if key:
            return opening.derived_secret(key)
        if self._kept_secret is None:
            self._kept_secret = opening.kept_secret(self.store)
        return self._kept_secret

    def counters(self) -> Mapping[str, int]:
        """Return this process's counts: stored, waiting and dropped requests, our faults.

        ``details_dropped`` are profiles and outliers for which there was no room.
        """
        return {
            "stored": self.recorder.stored,
            "waiting": self.recorder.depth,
            "dropped": self.recorder.dropped,
            "details_dropped": self.recorder.details_dropped,
            "faults": self.faults.total(),
        }

    def vitals(self) -> dict[str, Any]:
        """Return what the system page shows of this process, fit for JSON. Times are UTC ms."""
        return {
            **identity(),
            **self.counters(),
            **self.recorder.write_times.figures(),
            "buffer": self.config.values.buffer_size,
            "began_at": self._began_ms,
            "jobs_since": self.jobs.began_ms,
            "version": __version__,
            "app_version": self.recorder.version,
            "inline": self.recorder.inline,
            "spool": spool_status(self.recorder),
            "unavailable": self.watch.watcher.unavailable,
            "fault_rows": fault_rows(self.faults),
        }

    @property
    def idle(self) -> bool:
        """Whether no request of this process was measured."""
        return self.recorder.spool is None and not (self.recorder.stored or self.recorder.depth)

    def close(self) -> None:
        """Write what is left and end the threads. Called at the end of the process."""
        self.watch.close()
        answers = self.recorder.close()
        self.jobs.stop(answers=answers)
        self.store.close()

    def before_fork(self) -> None:
        """Have nothing under way that a child could not go on with."""
        self.store.before_fork()

    def after_fork_in_parent(self) -> None:
        """Go on as before."""
        self.store.after_fork_in_parent()

    def after_fork(self) -> None:
        """Begin anew in a child process: own connections, buffer, threads and writer."""
        self.store.after_fork()
        self._presence.after_fork()
        self._began_ms = time.time_ns() // 1_000_000
        self._prepare_lock = threading.Lock()
        self._writer.after_fork()
        self.faults.after_fork()
        self.recorder.after_fork()
        self.watch.after_fork()
        self.exceptions.after_fork()
        self.jobs.after_fork()
        self.config.forget()


def _panel_app(values: settings_table.Settings) -> Flask:
    """Return the app that the tables are bound to: the panel, or one that answers nothing."""
    if not values.panel:
        return Flask("fmd_admin")
    # Not imported by apps that only measure.
    from .admin.site import new_panel_app

    return new_panel_app()
