"""What is kept of a request that took much longer than others of its endpoint."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from time import monotonic
from types import CodeType
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote

from ..records import Outlier, Row
from .address import anonymized
from .frames import Frames, LineMap, template_lines
from .machine import Load
from .redaction import MAX_ITEMS, MAX_JSON, Redactor
from .stacks import Stack

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

#: Lines kept of a stack, counted from the innermost.
MAX_STACK = 200
ENDED_FIRST = "The request ended before its stack could be taken."
NOT_ON_A_THREAD = "The request was not on the stack of its thread when it passed its limit."
#: Longest kept name of a header, field or variable.
_MAX_KEY = 200
_CLIENT_KEYS = frozenset(
    {
        "remote_addr",
        "remote_host",
        "http_forwarded",
        "http_x_forwarded_for",
        "http_x_real_ip",
        "http_x_client_ip",
        "http_x_cluster_client_ip",
        "http_true_client_ip",
        "http_cf_connecting_ip",
        "http_fastly_client_ip",
    }
)


class Cap:
    """Lets a number of outliers per endpoint and minute through."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.per_minute = 20
        self._clock = clock
        self.after_fork()

    def after_fork(self) -> None:
        """Count from zero: each process has its own cap."""
        self._lock = Lock()
        self._minute = 0
        self._taken: dict[str, int] = {}

    def is_open(self, endpoint: str) -> bool:
        """Tell whether one more would be let through now."""
        return (
            self._minute != int(self._clock() / 60)
            or self._taken.get(endpoint, 0) < self.per_minute
        )

    def take(self, endpoint: str) -> bool:
        """Count one; return whether it may be stored."""
        with self._lock:
            minute = int(self._clock() / 60)
            if minute != self._minute:
                self._minute = minute
                self._taken.clear()
            taken = self._taken.get(endpoint, 0)
            self._taken[endpoint] = taken + 1
            return taken < self.per_minute


class Stuck:
    """Where a request was, and how busy the machine, some time after its limit had passed."""

    __slots__ = ("at_ns", "lines", "load", "note")

    def __init__(self, at_ns: int, stack: Stack, load: Load, note: str = "") -> None:
        self.at_ns = at_ns
        self.lines: list[tuple[CodeType, int, LineMap | None]] = [
            (code, instruction, template_lines(frame))
            for code, instruction, frame in stack[-MAX_STACK:]
        ]
        self.load = load
        self.note = note


@dataclass(slots=True)
class Facts:
    """What came with a request, redacted."""

    url: str = ""
    values: dict[str, list[str]] = field(default_factory=dict)
    json: str | None = None
    headers: list[tuple[str, str]] = field(default_factory=list)
    environ: dict[str, str] = field(default_factory=dict)


def collect_facts(
    environ: WSGIEnvironment, request: Any, *, words: Iterable[str], ip: str, with_json: bool
) -> Facts:
    """Return what came with a request. To be called inside of it.

    ``request`` is the host's request object; None if the request failed before there was one.
    Only what the host has read of the body is used: reading it here could wait for the client.
    ``ip`` is the setting: "full", "anonymized" or "off".
    """
    redactor = Redactor(words)
    texts = {
        str(key): _client(str(key), _as_text(value), ip)
        for key, value in environ.items()
        if isinstance(value, (str, bool, int))
    }
    data = _read_json(request) if with_json else None
    # First everything is looked at, so that each secret is known when the texts are finished.
    query = parse_qsl(texts.get("QUERY_STRING", ""), keep_blank_values=True)
    values = redactor.values([*query, *_read_form(request)])
    body = None if data is None else json.dumps(redactor.json(data), default=str)
    path = _path(texts, request, redactor)
    if ip != "full":
        redactor.hide(str(environ.get("REMOTE_ADDR", "")))
    shown = {key: redactor.value(key, text) for key, text in sorted(texts.items())}
    host = texts.get("HTTP_HOST") or f"{texts.get('SERVER_NAME')}:{texts.get('SERVER_PORT')}"
    question = f"?{shown['QUERY_STRING']}" if texts.get("QUERY_STRING") else ""
    finish = redactor.finish
    return Facts(
        url=finish(f"{texts.get('wsgi.url_scheme', 'http')}://{host}{path}{question}", 2_000),
        values={key[:_MAX_KEY]: [finish(v) for v in items] for key, items in values.items()},
        json=None if body is None else finish(body, MAX_JSON),
        headers=[(_header(k)[:_MAX_KEY], finish(v)) for k, v in shown.items() if _is_header(k)][
            :MAX_ITEMS
        ],
        environ=dict(
            [(k[:_MAX_KEY], finish(v)) for k, v in shown.items() if not _is_header(k)][:MAX_ITEMS]
        ),
    )


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else str(value)


def _is_header(key: str) -> bool:
    return key.startswith("HTTP_") or key in {"CONTENT_TYPE", "CONTENT_LENGTH"}


def _header(key: str) -> str:
    return key.removeprefix("HTTP_").replace("_", "-").title()


def _client(key: str, text: str, ip: str) -> str:
    """Return a client's addresses as the setting IP lets them be stored."""
    if ip == "full" or key.lower() not in _CLIENT_KEYS:
        return text
    if ip == "off":
        return ""
    return ", ".join(anonymized(part.strip()) for part in text.split(","))


def _path(texts: Mapping[str, str], request: Any, redactor: Redactor) -> str:
    """Return the quoted path; arguments of the route with a secret's name are hidden in it."""
    raw = texts.get("SCRIPT_NAME", "") + texts.get("PATH_INFO", "")
    path = quote(raw.encode("latin-1", "replace"), safe="/!$&'()*+,;=:@")
    for name, value in (getattr(request, "view_args", None) or {}).items():
        if redactor.hides(name):
            redactor.hide(str(value))
    return path


def _read_form(request: Any) -> list[tuple[str, str]]:
    """Return the form's fields if the host has asked for them."""
    form = getattr(request, "__dict__", {}).get("form")
    return [] if form is None else [(str(k), str(v)) for k, v in form.items(multi=True)]


def _read_json(request: Any) -> Any:
    """Return the JSON body if the host has parsed it; werkzeug keeps it as (strict, silent)."""
    parsed = getattr(request, "_cached_json", (Ellipsis, Ellipsis))[0]
    return None if parsed is Ellipsis else parsed


def to_outlier(
    row: Row, limit_ns: int, start_ns: int, facts: Facts, stuck: Stuck | None, note: str, f: Frames
) -> Outlier:
    """Return the record of the outlier ``row``; ``note`` says why there is no stack."""
    load = Load() if stuck is None else stuck.load
    return Outlier(
        time_ms=row.time_ms,
        endpoint=row.endpoint,
        duration_ms=row.duration_ms,
        status=row.status,
        method=row.method,
        group=row.group,
        ip=row.ip,
        limit_ms=limit_ns / 1e6,
        stack=[] if stuck is None else [f.frame(*line) for line in stuck.lines],
        stack_at_ms=None if stuck is None else (stuck.at_ns - start_ns) / 1e6,
        note=note if stuck is None else stuck.note,
        cpu_percent=load.cpu_percent,
        process_cpu_percent=load.process_cpu_percent,
        process_memory_mib=load.process_memory_mib,
        memory_percent=load.memory_percent,
        memory_available_mib=load.memory_available_mib,
        url=facts.url,
        values=facts.values,
        json=facts.json,
        headers=facts.headers,
        environ=facts.environ,
    )
