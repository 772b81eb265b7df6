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

from ..records import RequestRecord

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

    from .raised import Raised

_new = tuple.__new__
_CLOSE = Response.close
#: The code of what werkzeug reads a response with; a name of its own, so it may be gone one day.
_ENCODE = getattr(getattr(werkzeug_response, "_iter_encoded", None), "__code__", None)


class Exchange:
    """Passes the answer on as it is, and hands a record to ``append`` at its end.

    ``identify`` is called when the answer starts, inside the request context and after the view,
    or at the end (True) if the answer never started. It fills in ``endpoint`` (empty: no record),
    ``group`` and ``ip``. ``raised`` holds the exceptions of running requests. Servers iterate over
    what ``__iter__`` returns, which is the host's own iterator: a chunk costs nothing extra.
    """

    __slots__ = (
        "_append",
        "_identify",
        "_iterator",
        "_raised",
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

    def __init__(
        self,
        append: Callable[[RequestRecord], None],
        identify: Callable[[Exchange, bool], None],
        environ: WSGIEnvironment,
        start_response: StartResponse,
        raised: Raised,
    ) -> None:
        self._append = append
        self._identify = identify
        self._raised = raised
        self.environ = environ
        self._start_response = start_response
        self.endpoint: str | None = None
        self.status = ""
        self.group: str | None = None
        self.ip: str | None = None
        #: The host's body as soon as it has returned one that is still to be sent.
        self.body: Iterable[bytes] | None = None
        self._iterator: Iterator[bytes] | None = None
        #: What the spool gave for it while its body is sent.
        self.ticket = 0
        self.start_ns = perf_counter_ns()

    def start(self, status: str, headers: Any, exc_info: Any = None) -> Any:
        """The start_response that the host calls; the last status is the one on the wire."""
        self.status = status
        if self.endpoint is None:
            self._identify(self, False)
        if exc_info is None:
            return self._start_response(status, headers)
        return self._start_response(status, headers, exc_info)

    def end(self) -> None:
        """Take the time of the end and hand the record over; later calls do nothing."""
        end_ns = perf_counter_ns()
        if self.endpoint is None:
            # The host has answered itself: nothing was announced.
            self.status = unannounced(self.environ)
            self._identify(self, True)
        endpoint, self.endpoint = self.endpoint, ""
        append = self._append
        if self._raised:
            append = self._raised.appender(self, append)
        if endpoint:
            append(
                # What RequestRecord(…) does, at a third of its price.
                _new(
                    RequestRecord,
                    (
                        self.start_ns,
                        end_ns,
                        endpoint,
                        self.environ["REQUEST_METHOD"],
                        self.status,
                        self.group,
                        self.ip,
                        None,
                        self.ticket,
                    ),
                )
            )

    def so_far(self) -> RequestRecord:
        """Return the record as it would be if the request ended now."""
        method = self.environ["REQUEST_METHOD"]
        fields = (self.start_ns, perf_counter_ns(), self.endpoint, method, self.status)
        return _new(RequestRecord, (*fields, self.group, self.ip, None, 0))

    def around(self, body: Iterable[bytes]) -> Iterable[bytes]:
        """Return a body that tells its end: ``body`` itself where that is known or watched."""
        kind = type(body)
        if (
            kind is tuple
            or kind is list
            # Unless something takes long, and is done when the answer has been sent.
            or (
                kind is ClosingIterator
                and is_whole(body)
                and not (self._raised and self._raised.waits(self.environ))
            )
        ):
            # All of it is there: nothing is computed any more, and servers ask for its length.
            self.end()
            return body
        wrapper: Any = self.environ.get("wsgi.file_wrapper")
        # Servers send their own file wrapper with sendfile, and only that.
        if kind is wrapper and _watch_close(body, self.end):
            return body
        self.body = body
        return self

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
            self._raised.while_sent(self, error)
        try:
            # As getattr with a default does; with the line above it costs what that does.
            try:
                close = self.body.close  # type: ignore[union-attr]
            except AttributeError:
                close = None
            if close is not None:
                close()
        finally:
            self.end()


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
