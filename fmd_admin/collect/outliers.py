"""What is kept of a request that took much longer than others of its endpoint."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from threading import Lock
from time import monotonic
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote

from ..records import Outlier, Row
from . import secret_paths
from .address import anonymized
from .frames import Frames
from .held import weight_of
from .machine import Load
from .redaction import MAX_ITEMS, Redactor
from .secret_texts import HIDDEN
from .stacks import Stack

#: Lines kept of a stack, counted from the innermost.
MAX_STACK = 200
ENDED_FIRST = "The request ended before its stack could be taken."
NOT_ON_A_THREAD = "The request was not on the stack of its thread when it passed its limit."
#: Longest kept name of a header, field or variable.
_MAX_KEY = 200
#: Longest kept URL.
MAX_URL = 2_000
#: Things that a cap tells apart in a minute.
_MAX_CAPPED = 10_000
_SAFE = "/!$&'()*+,;=:@"
#: Proxies tell the client's address under many names.
_CLIENT_KEY = re.compile(
    r"^REMOTE_(?:ADDR|HOST)$|^HTTP_(?:.*_)?(?:FORWARDED|FORWARDED_FOR|IP|IPV6|CLIENTIP|ADDRESS|ADDR)$"
)
#: Where servers put the path as it was sent.
_PATH_KEYS = frozenset({"PATH_INFO", "RAW_URI", "REQUEST_URI", "PATH_TRANSLATED"})


class Cap:
    """Lets a number per minute through of each thing, such as the outliers of an endpoint."""

    def __init__(self, clock: Callable[[], float] = monotonic, per_minute: int = 20) -> None:
        self.per_minute = per_minute
        self._clock = clock
        self.after_fork()

    def after_fork(self) -> None:
        """Count from zero: each process has its own cap."""
        self._lock = Lock()
        self._minute = 0
        self._taken: dict[Hashable, int] = {}

    def is_open(self, endpoint: Hashable) -> bool:
        """Tell whether one more would be let through now."""
        return (
            self._minute != int(self._clock() / 60)
            or self._taken.get(endpoint, 0) < self.per_minute
        )

    def take(self, endpoint: Hashable) -> bool:
        """Count one; return whether it may be stored."""
        with self._lock:
            minute = int(self._clock() / 60)
            if minute != self._minute:
                self._minute = minute
                self._taken.clear()
            taken = self._taken.get(endpoint, 0)
            if not taken and len(self._taken) >= _MAX_CAPPED:
                return False
            self._taken[endpoint] = taken + 1
            return taken < self.per_minute


class Stuck:
    """Where a request was, and how busy the machine, some time after its limit had passed."""

    __slots__ = ("at_ns", "lines", "load", "note")

    def __init__(self, at_ns: int, stack: Stack, load: Load, note: str = "") -> None:
        self.at_ns = at_ns
        self.lines = stack[-MAX_STACK:]
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

    @property
    def weight(self) -> int:
        """How much memory they take, in nodes of an execution tree."""
        values = (value for items in self.values.values() for value in items)
        headers = (text for _, text in self.headers)
        return weight_of(chain((self.url, self.json or ""), values, headers, self.environ.values()))


def collect_facts(
    environ: dict[str, Any],
    request: Any,
    *,
    words: Iterable[str],
    ip: str,
    with_json: bool,
    redactor: Redactor | None = None,
) -> Facts:
    """Return what came with a request. To be called inside of it.

    ``request`` is the host's request object; None if the request failed before there was one.
    Only what the host has read of the body is used: reading it here could wait for the client.
    ``ip`` is the setting: "full", "anonymized" or "off". A ``redactor`` that is passed in knows
    secrets already, and learns those that are met.
    """
    redactor = redactor or Redactor(words)
    texts = texts_of(environ)
    # First everything is looked at, so that each secret is known when the texts are finished.
    query = parse_qsl(_decoded(texts.get("QUERY_STRING", "")), keep_blank_values=True)
    values = redactor.values([*query, *read_form(request)])
    body = redactor.json(read_json(request)) if with_json else None
    path = _path(texts, request, redactor)
    if ip != "full":
        _hide_clients(texts, ip, redactor)
    shown = {key: redactor.value(key, text) for key, text in sorted(texts.items())}
    if path.hidden:
        shown.update(dict.fromkeys(_PATH_KEYS & shown.keys(), HIDDEN))
    host = shown.get("HTTP_HOST") or f"{texts.get('SERVER_NAME')}:{texts.get('SERVER_PORT')}"
    question = f"?{shown['QUERY_STRING']}" if texts.get("QUERY_STRING") else ""
    url = f"{texts.get('wsgi.url_scheme', 'http')}://{host}{path.text}{question}"
    finish = redactor.finish
    pairs = [(key, finish(text)) for key, text in shown.items()]
    return Facts(
        url=finish(redactor.inside(url), MAX_URL),
        values=_finished(values, finish),
        json=None if body is None else redactor.finish_json(body),
        headers=[(_header(k)[:_MAX_KEY], v) for k, v in pairs if _is_header(k)][:MAX_ITEMS],
        environ=dict([(k[:_MAX_KEY], v) for k, v in pairs if not _is_header(k)][:MAX_ITEMS]),
    )


def texts_of(environ: dict[str, Any]) -> dict[str, str]:
    """Return what is text in the environment; servers and middlewares put anything into it."""
    texts = {}
    for key, value in environ.copy().items():
        if isinstance(key, str) and isinstance(value, (str, bool, int)):
            try:
                texts[key] = value if type(value) is str else str(value)
            except Exception:  # noqa: BLE001, S112 - no fault of ours, so it is not counted:
                # a type of the host's that cannot be made text; the outlier is kept without it.
                continue
    return texts


def _decoded(text: str) -> str:
    """Return text of a WSGI environment, which has a character for each byte, as it was meant."""
    return text.encode("latin-1", "replace").decode("utf-8", "replace")


def _finished(
    values: Mapping[str, list[str]], finish: Callable[[str], str]
) -> dict[str, list[str]]:
    done: dict[str, list[str]] = {}
    for key, items in values.items():
        # Two long keys may begin alike.
        done.setdefault(finish(key)[:_MAX_KEY], []).extend(finish(item) for item in items)
    return done


def _is_header(key: str) -> bool:
    return key.startswith("HTTP_") or key in {"CONTENT_TYPE", "CONTENT_LENGTH"}


def _header(key: str) -> str:
    return key.removeprefix("HTTP_").replace("_", "-").title()


def _hide_clients(texts: dict[str, str], ip: str, redactor: Redactor) -> None:
    """Replace the client's addresses by what the setting IP lets be stored, everywhere."""
    for key, text in texts.items():
        if not _CLIENT_KEY.search(key):
            continue
        parts = [part.strip() for part in text.split(",")]
        for part in parts:
            redactor.hide(part)
        texts[key] = "" if ip == "off" else ", ".join(anonymized(part) for part in parts)


class _Path(NamedTuple):
    text: str
    hidden: bool


def _path(texts: Mapping[str, str], request: Any, redactor: Redactor) -> _Path:
    """Return the quoted path; arguments of the route with a secret's name are hidden in it."""
    root = _decoded(texts.get("SCRIPT_NAME", ""))
    path = _decoded(texts.get("PATH_INFO", ""))
    rule = getattr(request, "url_rule", None)
    hidden = secret_paths.spans(rule, path, redactor.hides) if rule is not None else []
    quoted = [quote(root, safe=_SAFE, errors="replace")]
    end = 0
    for start, stop in hidden:
        redactor.hide(path[start:stop])
        quoted += quote(path[end:start], safe=_SAFE, errors="replace"), HIDDEN
        end = stop
    quoted.append(quote(path[end:], safe=_SAFE, errors="replace"))
    referer = texts.get("HTTP_REFERER")
    rules = getattr(rule, "map", None)
    if referer and rules is not None:
        for part in secret_paths.in_referer(rules, _decoded(referer), root, redactor.hides):
            redactor.hide(part)
    return _Path("".join(quoted), bool(hidden))


def read_form(request: Any) -> list[tuple[str, str]]:
    """Return the form's fields if the host has asked for them."""
    form = getattr(request, "__dict__", {}).get("form")
    return [] if form is None else [(str(k), str(v)) for k, v in form.items(multi=True)]


def read_json(request: Any) -> Any:
    """Return the JSON body if the host has parsed it; werkzeug keeps it as (strict, silent)."""
    parsed = getattr(request, "_cached_json", (Ellipsis, Ellipsis))[0]
    return None if parsed is Ellipsis else parsed


def to_outlier(
    row: Row, limit_ns: int, start_ns: int, facts: Facts, stuck: Stuck | None, note: str, f: Frames
) -> Outlier:
    """Return the record of the outlier ``row``; ``note`` says why there is no stack."""
    load = Load() if stuck is None else stuck.load
    return Outlier(
        *row.fields(),
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
