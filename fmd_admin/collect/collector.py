"""What happens inside a request: two clock reads and one record appended.

The collector wraps the innermost WSGI callable of the host. Status and end come from there: the
status as it goes over the wire; the end when the answer is there, or, of one that is computed while
it is sent, when its body is closed. The endpoint, group and address are taken when the answer
starts: the request context is still there, and a login made in the request counts. No hook of
Flask's is used; each would cost more than all of this.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any
from weakref import ref

from flask import Flask, has_request_context, request
from werkzeug.exceptions import HTTPException
from werkzeug.wsgi import ClosingIterator

from ..faults import Faults
from ..patterns import is_excluded_view, matches
from ..records import MAX_NAME, UNMATCHED, RequestRecord, Sink
from .exceptions import Exceptions
from .exchange import Exchange, is_whole, unannounced
from .grouping import group_source
from .watching import Watch, WatchedExchange

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

#: What is kept of the requests of an endpoint.
_NOTHING, _TIME, _RECORD = 1, 2, 3


class Collector:
    """Measures the requests of one host app.

    ``sink`` takes finished records, ``hold`` the record so far of a request whose body is only
    about to be sent, and gives it a ticket; it must be fast and must not raise. ``touched`` maps
    endpoints at level 0 to the perf_counter_ns of their last request. ``raised`` holds the
    exceptions of running requests.
    """

    def __init__(
        self,
        app: Flask,
        wsgi_app: WSGIApplication,
        *,
        sink: Sink,
        touched: dict[str, int],
        faults: Faults,
        exceptions: Exceptions,
        group_by: Any = None,
        get_ip: Callable[[], str | None] | None = None,
        hold: Callable[[RequestRecord], int] | None = None,
    ) -> None:
        self._app = ref(app)
        self.hold = hold
        self._wsgi_app = wsgi_app
        self.sink = sink
        self._touched = touched
        self._faults = faults
        self._exceptions = exceptions
        self.raised = exceptions.raised
        exceptions.measures = self.measures
        self._group = group_source(group_by)
        self._get_ip = None if get_ip is None else _as_text(get_ip)
        self._keep_ip = True
        #: Whether nobody needs to be asked for more than the server's own REMOTE_ADDR.
        self._asks_nobody = False
        self._levels: Mapping[str, int] = {}
        self._default_level = 1
        self._excluded: tuple[re.Pattern[str], ...] = ()
        #: Of endpoints that were requested since levels or settings changed.
        self._kept: dict[str, int] = {}
        #: Set as long as any endpoint is at level 2 or 3.
        self.watch: Watch | None = None

    def apply(
        self,
        levels: Mapping[str, int],
        default_level: int,
        *,
        keep_ip: bool,
        excluded: tuple[re.Pattern[str], ...] = (),
    ) -> None:
        """Take over levels, and the patterns of endpoints that are left out.

        What they mean is decided with the first request of an endpoint, and not for each one.
        """
        self._keep_ip = keep_ip
        self._asks_nobody = keep_ip and self._get_ip is None and self._group is None
        self._levels = levels
        self._default_level = default_level
        self._excluded = excluded
        self._kept = {}

    def _decide(self, endpoint: str) -> int:
        """Return what is kept of the requests of an endpoint, from now on too."""
        known = self._kept
        if self._is_excluded(endpoint):
            kept = _NOTHING
        elif self._levels.get(endpoint, self._default_level) == 0:
            kept = _TIME
        else:
            kept = _RECORD
        known[endpoint] = kept
        return kept

    def measures(self, endpoint: str) -> bool:
        """Tell whether more is kept of an endpoint than the time of its last request."""
        return (self._kept.get(endpoint) or self._decide(endpoint)) == _RECORD

    def _is_excluded(self, endpoint: str) -> bool:
        app = self._app()
        if app is None:
            return False
        if is_excluded_view(app.view_functions.get(endpoint)):
            return True
        if not self._excluded:
            return False
        if matches(self._excluded, endpoint):
            return True
        if endpoint not in app.view_functions:
            return False
        rules = [rule.rule for rule in app.url_map.iter_rules(endpoint)]
        # An endpoint is measured as a whole or not at all.
        return bool(rules) and all(matches(self._excluded, rule) for rule in rules)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        watch = self.watch
        if watch is None:
            exchange = Exchange(self, environ, start_response)
        else:
            exchange = WatchedExchange(self, environ, start_response, watch)
        try:
            body = self._wsgi_app(environ, exchange.start)
        except BaseException as error:
            self._failed(exchange, error)
            raise
        endpoint = exchange.endpoint
        if endpoint is None or type(body) is not ClosingIterator or self.raised:
            return exchange.around(body)
        if not is_whole(body):
            return exchange.until_closed(body)
        # As around() and end() do, without calling them: nearly all requests pass here.
        if watch is not None:
            exchange.end()
        elif endpoint:
            end_ns = perf_counter_ns()
            method = environ["REQUEST_METHOD"]
            texts = (endpoint, method, exchange.status, exchange.group, exchange.ip)
            self.sink.put((texts, exchange.start_ns, end_ns, None, 0))
        return body

    def _failed(self, exchange: Exchange, error: BaseException) -> None:
        # Nothing was sent yet, whatever status was announced: the server answers with 500.
        exchange.status = ""
        if exchange.endpoint is None:
            exchange.status = unannounced(exchange.environ, error)
            self.identify(exchange, late=True)
        if not exchange.status:
            self._exceptions.escaped(error, exchange.environ, exchange.endpoint or "")
        exchange.end()

    def identify(self, exchange: Exchange, *, late: bool = False) -> None:
        """Fill in what the request context knows; ``late``: it is gone.

        A fault of ours never becomes the host's.
        """
        try:
            environ = exchange.environ
            try:
                rule = environ["werkzeug.request"].url_rule
            except (KeyError, AttributeError):
                rule = None  # A library may put an object of its own there.
            endpoint = self._slow_endpoint(environ) if rule is None else rule.endpoint
            kept = self._kept.get(endpoint) or self._decide(endpoint)
            if kept != _RECORD:
                if kept == _TIME:
                    self._touched[endpoint] = exchange.start_ns
                endpoint = ""
            elif self._asks_nobody:
                exchange.group = None
                ip = exchange.ip = environ.get("REMOTE_ADDR")
                if ip is not None and len(ip) > MAX_NAME:
                    # A header can be long, and many of them would wait in the buffer.
                    exchange.ip = ip[:MAX_NAME]
            else:
                self._ask_host(exchange, late)
            exchange.endpoint = endpoint
        except Exception:  # noqa: BLE001 - counted, and logged once
            exchange.endpoint = ""
            self._faults.report("collecting a request")

    def _slow_endpoint(self, environ: WSGIEnvironment) -> str:
        """Return the endpoint of a request without a rule, or of one whose context is gone."""
        if has_request_context() and request.environ is environ:
            # Nothing matched, or a library put a request object of its own into the environment.
            return request.endpoint or UNMATCHED
        app = self._app()
        if app is None:
            return UNMATCHED
        adapter = app.create_url_adapter(app.request_class(environ, populate_request=False))
        if adapter is None:
            return UNMATCHED
        try:
            endpoint, _arguments = adapter.match()
        except HTTPException:
            return UNMATCHED
        return str(endpoint)

    def _ask_host(self, exchange: Exchange, late: bool) -> None:
        """Fill in group and address, one of which the host gives, or neither of which is kept."""
        group = ip = None
        if self._keep_ip:
            if self._get_ip is None:
                ip = exchange.environ.get("REMOTE_ADDR")
            elif not late:
                ip = self._ask(self._get_ip, "get_ip")
            if ip is not None:
                ip = ip[:MAX_NAME]
        # Without its request context the host's functions could only fail.
        if self._group is not None and not late:
            group = self._ask(self._group, "group_by")
        exchange.group, exchange.ip = group, ip

    def _ask(self, function: Callable[[], str | None], name: str) -> str | None:
        """Call a function of the host's; the request goes on if it raises."""
        try:
            return function()
        except Exception:  # noqa: BLE001 - counted, and logged once
            self._faults.report(name)
            return None


def _as_text(get_ip: Callable[[], object]) -> Callable[[], str | None]:
    """The host's function may give an ipaddress object."""

    def text() -> str | None:
        found = get_ip()
        return None if found is None else str(found)

    return text
