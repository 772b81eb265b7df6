"""How each peer is bound to an app, and how one knows that it has stored everything.

Nothing of fmd_admin is imported here: this runs in the peers' virtual environments. Each is set up
as its documentation says, with the least that makes it measure every request:

- FMD with its SQLite file, at one level for all endpoints;
- prometheus-flask-exporter with its default metrics, which count in memory and store no request;
- OpenTelemetry's instrumentation with the SDK's batch processor, whose exporter drops the spans:
  sending them would cost more;
- pyinstrument around each request, which drops what it has seen.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flask import Flask, g

#: FMD writes each request in a thread of its own, which may wait for others.
_SETTLED_S = 600.0


class Watched:
    """An app with a monitor that stores nothing and needs no waiting."""

    def __init__(self, app: Flask) -> None:
        self.app = app

    def settle(self) -> None:
        """Wait until everything that was answered is stored."""

    def rows(self) -> int | None:
        """Return how many requests are stored, None if it stores none."""
        return None


class Fmd(Watched):
    """Flask-MonitoringDashboard."""

    def __init__(self, app: Flask, level: int, folder: str) -> None:
        import flask_monitoringdashboard as dashboard

        super().__init__(app)
        self._path = Path(folder, "fmd.db")
        dashboard.config.database_name = f"sqlite:///{self._path}"
        dashboard.config.monitor_level = level
        dashboard.bind(app)
        self._threads = threading.active_count()

    def settle(self) -> None:
        deadline = time.monotonic() + _SETTLED_S
        # The threads that it starts once, with the first request, stay for ever.
        least, since = threading.active_count(), time.monotonic()
        while time.monotonic() < deadline:
            now = threading.active_count()
            if now <= self._threads:
                return
            if now < least:
                least, since = now, time.monotonic()
            elif time.monotonic() - since > 1.0 and now <= self._threads + 2:
                self._threads = now
                return
            time.sleep(0.005)
        raise RuntimeError(f"{threading.active_count()} threads are left of FMD")

    def rows(self) -> int | None:
        with sqlite3.connect(self._path) as connection:
            names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
            if "Request" not in names and "request" not in names:
                return 0
            return int(connection.execute("SELECT COUNT(*) FROM Request").fetchone()[0])


class Prometheus(Watched):
    """prometheus-flask-exporter."""

    def __init__(self, app: Flask, level: int, folder: str) -> None:  # noqa: ARG002
        from prometheus_client import CollectorRegistry
        from prometheus_flask_exporter import PrometheusMetrics

        super().__init__(app)
        PrometheusMetrics(app, registry=CollectorRegistry())


class OpenTelemetry(Watched):
    """OpenTelemetry's instrumentation of Flask."""

    def __init__(self, app: Flask, level: int, folder: str) -> None:  # noqa: ARG002
        from opentelemetry.instrumentation.flask import FlaskInstrumentor
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import (
            BatchSpanProcessor,
            SpanExporter,
            SpanExportResult,
        )

        class Drop(SpanExporter):  # type: ignore[misc]
            def export(self, spans: Any) -> Any:  # noqa: ARG002
                return SpanExportResult.SUCCESS

        super().__init__(app)
        self._provider = TracerProvider()
        self._provider.add_span_processor(BatchSpanProcessor(Drop()))
        FlaskInstrumentor().instrument_app(app, tracer_provider=self._provider)

    def settle(self) -> None:
        self._provider.force_flush()


class Pyinstrument(Watched):
    """pyinstrument, as its documentation shows for Flask."""

    def __init__(self, app: Flask, level: int, folder: str) -> None:  # noqa: ARG002
        from pyinstrument import Profiler

        super().__init__(app)

        def before() -> None:
            g.profiler = Profiler(interval=0.005)
            g.profiler.start()

        def after(response: Any) -> Any:
            g.profiler.stop()
            return response

        app.before_request(before)
        app.after_request(after)


KINDS: dict[str, Callable[[Flask, int, str], Watched]] = {
    "bare": lambda app, _level, _folder: Watched(app),
    "fmd": Fmd,
    "prometheus": Prometheus,
    "opentelemetry": OpenTelemetry,
    "pyinstrument": Pyinstrument,
}
