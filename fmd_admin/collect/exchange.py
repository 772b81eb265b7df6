"""One request and its answer while they pass: the start of the answer, its body, its end.

One object plays all parts that WSGI has for us (start_response, the body, its close), as each
further object would cost every request of the host.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from sys import exc_info
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, cast

from werkzeug.wrappers import Response
from werkzeug.wrappers import response as werkzeug_response
from werkzeug.wsgi import ClosingIterator

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

    from .collector import Collector

_CLOSE = Response.close
#: The code of what werkzeug reads a response with; a name of its own, so it may be gone one day.
_ENCODE = getattr(getattr(werkzeug_response, "_iter_encoded", None), "__code__", None)


class Exchange:
    """Passes the answer on as it is, and hands a record to the collector at its end.

    The collector fills in ``endpoint`` (empty: no record), ``group`` and ``ip`` when the answer
    starts, inside the request context and after the view, or at the end if it never started.
    Servers iterate over what ``__iter__`` returns, which is the host's own iterator: a chunk costs
    nothing extra. What most requests do not need is set where it is needed.
    """

    __slots__ = (
        "_collector",
        "_iterator",
        "_start_response",
        "body",
        "endpoint",
        "environ",
        "group",
        "ip",
        "start_ns",
        "status",
        "ticket",
    )

    #: The user or group and the address of the client, known with the endpoint.
    group: str | None
    ip: str | None
    #: The host's body as soon as it has returned one that is still to be sent.
    body: Iterable[bytes] | None
    #: What the spool gave for the request while its body is sent.
    ticket: int
    _iterator: Iterator[bytes] | None

    def __init__(
        self, collector: Collector, environ: WSGIEnvironment, start_response: StartResponse
    ) -> None:
        self._collector = collector
        self.environ = environ
        self._start_response = start_response
        self.endpoint: str | None = None
        self.status = ""
        self.start_ns = perf_counter_ns()

    def start(self, status: str, headers: Any, exc_info: Any = None) -> Any:
        """The start_response that the host calls; the last status is the one on the wire."""
        self.status = status
        if self.endpoint is None:
            self._collector.identify(self)
        if exc_info is None:
            return self._start_response(status, headers)
        return self._start_response(status, headers, exc_info)

    def end(self, ticket: int = 0) -> None:
        """Take the time of the end and hand the record over; later calls do nothing."""
        end_ns = perf_counter_ns()
        collector = self._collector
        endpoint = self.endpoint
        if endpoint is None:
            endpoint = self.identify_late()
        self.endpoint = ""
        append = collector.sink.put
        if collector.raised:
            append = collector.raised.appender(self, append)
        if endpoint:
            texts = (endpoint, self.environ["REQUEST_METHOD"], self.status, self.group, self.ip)
            append((texts, self.start_ns, end_ns, None, ticket))

    def identify_late(self) -> str | None:
        """Return the endpoint of a request that the host has answered without announcing it."""
        self.status = unannounced(self.environ)
        self._collector.identify(self, late=True)
        return self.endpoint

    def around(self, body: Iterable[bytes]) -> Iterable[bytes]:
        """Return a body that tells its end: ``body`` itself where that is known or watched."""
        kind = type(body)
        if kind is ClosingIterator:
            raised = self._collector.raised
            # Unless something takes long, and is done when the answer has been sent.
            whole = is_whole(body) and not (raised and raised.waits(self.environ))
        else:
            whole = kind is tuple or kind is list
        if whole:
            # All of it is there: nothing is computed any more, and servers ask for its length.
            self.end()
            return body
        return self.until_closed(body)

    def until_closed(self, body: Iterable[bytes]) -> Iterable[bytes]:
        """As :meth:`around`, of a body that is not all there yet."""
        self.ticket = 0
        answer = body
        wrapper: Any = self.environ.get("wsgi.file_wrapper")
        # Servers send their own file wrapper with sendfile, and only that.
        if not (type(body) is wrapper and _watch_close(body, lambda: self.end(self.ticket))):
            self.body, self._iterator = body, None
            answer = self
        hold = self._collector.hold
        if hold is not None and self.endpoint:
            # The body is still to be sent, and a client may have all of it before we are told.
            texts = (
                *(self.endpoint, self.environ["REQUEST_METHOD"], self.status),
                *(self.group, self.ip),
            )
            self.ticket = hold((texts, self.start_ns, perf_counter_ns(), None, 0))
        return answer

    def __iter__(self) -> Iterator[bytes]:
        return iter(cast("Iterable[bytes]", self.body))

    def __next__(self) -> bytes:
        # Not asked for by WSGI, but some middlewares call next() on a body.
        if self._iterator is None:
            self._iterator = iter(self)
        return next(self._iterator)

    def close(self) -> None:
        """Close the host's body, then take the time."""
        # Servers close a body while what it raised passes: this is all that is seen of it here.
        error = exc_info()[1]
        if error is not None:
            self._collector.raised.while_sent(self, error)
        try:
            # As getattr with a default does; with the line above it costs what that does.
            try:
                close = self.body.close  # type: ignore[union-attr]
            except AttributeError:
                close = None
            if close is not None:
                close()
        finally:
            self.end(self.ticket)


def unannounced(environ: WSGIEnvironment, error: BaseException | None = None) -> str:
    """Return the status of an answer that the host never started, empty if it failed.

    WebSockets are such: a library takes the connection from the server, and when it is done with
    it returns no body, or raises what the server takes for a client that is gone.
    """
    is_socket = environ.get("HTTP_UPGRADE", "").lower() == "websocket"
    done = error is None or isinstance(error, (StopIteration, ConnectionError))
    return "101 Switching Protocols" if is_socket and done else ""


def is_whole(body: Any) -> bool:
    """Tell whether ``body``, a ClosingIterator, is that of a response that is all there already.

    Nearly all are, and nothing of the host's runs any more until they are closed.
    """
    try:
        read, close = body._callbacks
        response = close.__self__
        return (
            close.__func__ is _CLOSE
            and read.__self__.gi_code is _ENCODE
            and type(response.response) is list
            and not response._on_close
        )
    except Exception:  # noqa: BLE001 - no fault: werkzeug has changed, or the host has its own
        return False  # Its end is waited for.


def _watch_close(body: Any, end: Callable[[], None]) -> bool:
    """Have ``body`` call ``end`` when it is closed; False if its type does not let us."""
    close = getattr(body, "close", None)
    own = getattr(body, "__dict__", {})
    is_own = "close" in own

    def closed() -> None:
        try:
            if close is not None:
                close()
        finally:
            # Or each file that is sent would leave a cycle.
            if is_own:
                own["close"] = close
            else:
                own.pop("close", None)
            end()

    try:
        body.close = closed
    except AttributeError:
        return False
    return True
