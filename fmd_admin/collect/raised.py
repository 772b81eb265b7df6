"""Exceptions of requests that still run, until their records are made."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING
from weakref import ref

from ..records import Batch, Detail, RequestRecord, Row

if TYPE_CHECKING:
    from .exceptions import Exceptions
    from .exchange import Exchange
    from .held import Held

#: Requests with exceptions that run at the same time; those of more are counted only.
_MAX_RUNNING = 1_000
#: What nobody asked for in that time, although its request is gone, belongs to none any more.
_GONE_NS = 60 * 10**9
#: Calls between a server and a body, such as those of middlewares.
_MAX_ABOVE = 50
#: Exceptions of one request that are kept.
_MAX_HELD = 20
#: Requests that something is left to be done for: it keeps the variables of their frames alive.
_MAX_WAITING = 8


class Seen:
    """What one running request raised. ``unhandled`` is the identity of what ended it, or 0.

    ``later`` is what is left to be done with that, once the answer has been sent.
    """

    __slots__ = ("_request", "at_ns", "held", "later", "unhandled")

    def __init__(self, at_ns: int, request: object = None) -> None:
        self.at_ns = at_ns
        self.held: list[Held] = []
        self.unhandled = 0
        self.later: Callable[[], None] | None = None
        self._request: Callable[[], object] | None = None
        with suppress(TypeError):  # None, or a class of the host's that cannot be watched.
            self._request = ref(request)

    def is_of(self, request: object) -> bool:
        """Tell whether it may be of ``request``."""
        return self._request is None or request is None or self._request() is request

    def is_gone(self, now_ns: int) -> bool:
        """Tell whether its request ended long ago: nobody has it any more."""
        is_old = now_ns - self.at_ns > _GONE_NS
        return is_old and self._request is not None and self._request() is None

    def keep(self, held: Held) -> None:
        """Keep one more, if there is room."""
        if len(self.held) < _MAX_HELD:
            self.held.append(held)


class Raised(dict[int, Seen]):
    """What running requests raised, by the identity of their WSGI environment.

    It is empty nearly always, and that is all that a request looks at.
    """

    def __init__(self, owner: Exceptions, append_heavy: Callable[[RequestRecord], None]) -> None:
        super().__init__()
        self._owner = owner
        self._append_heavy = append_heavy
        self._waiting: set[Seen] = set()

    def clear(self) -> None:
        """Forget all of them."""
        super().clear()
        self._waiting.clear()

    def of(self, environ: object, request: object, at_ns: int) -> Seen:
        """Return what the request of ``environ`` raised so far; ``request`` may be None."""
        found = self.get(id(environ))
        if found is not None and not found.is_of(request):
            self._let_go(id(environ))
            found = None
        if found is None:
            while len(self) >= _MAX_RUNNING:
                # Somebody below us copies environments, so that nobody asks for these.
                self._let_go(next(iter(self)))
            found = self[id(environ)] = Seen(at_ns, request)
        return found

    def wait(self, seen: Seen, later: Callable[[], None]) -> bool:
        """Do ``later`` when the answer of a request has been sent; False if too many wait."""
        if len(self._waiting) >= _MAX_WAITING:
            return False
        seen.later = later
        self._waiting.add(seen)
        return True

    def waits(self, environ: object) -> bool:
        """Tell whether something is left to be done when the answer has been sent."""
        seen = self.get(id(environ))
        return seen is not None and seen.later is not None

    def _finish(self, seen: Seen) -> None:
        later, seen.later = seen.later, None
        if later is None:
            return
        self._waiting.discard(seen)
        try:
            later()
        except Exception:  # noqa: BLE001 - counted, and logged once
            self._owner.failed()

    def tend(self, now_ns: int) -> None:
        """Let go what was captured when its request had ended: a thread may go on with it."""
        for place, seen in list(self.items()):
            if seen.is_gone(now_ns):
                self._let_go(place)

    def _let_go(self, place: int) -> None:
        seen = self.pop(place, None)
        if seen is not None:
            self._finish(seen)
            self._owner.let_go(seen.held)

    def while_sent(self, exchange: Exchange, error: BaseException) -> None:
        """Note ``error``, which passes while a body is closed, if that body raised it."""
        if not isinstance(error, Exception) or not exchange.endpoint:
            return
        try:
            is_its_own = _came_from(error, exchange.body)
        except Exception:  # noqa: BLE001 - a body of the host's that cannot be asked; counted
            self._owner.failed()
            return
        if is_its_own:
            self._owner.escaped(error, exchange.environ, exchange.endpoint)

    def appender(
        self, exchange: Exchange, append: Callable[[RequestRecord], None]
    ) -> Callable[[RequestRecord], None]:
        """Return what takes the record of a request that has ended."""
        seen = self.pop(id(exchange.environ), None)
        if seen is not None:
            self._finish(seen)
        if seen is None or not seen.held:
            return append
        if seen.at_ns < exchange.start_ns:
            # It is of another request, whose environment lay at this place.
            self._owner.let_go(seen.held)
            return append

        def append_with_exceptions(record: RequestRecord) -> None:
            texts, start_ns, end_ns, detail, ticket = record
            detail = RaisedDetail(self._owner, seen.held, detail)
            self._append_heavy((texts, start_ns, end_ns, detail, ticket))

        return append_with_exceptions


def _came_from(error: BaseException, body: object) -> bool:
    """Tell whether an exception passed through a body.

    A server may also have failed to send, or be called by somebody who handles another exception.
    """
    step = getattr(type(body), "__next__", None)
    code = getattr(step, "__code__", None) or getattr(body, "gi_code", None)
    tb = error.__traceback__
    for _ in range(_MAX_ABOVE):
        if tb is None or code is None:
            return False
        frame = tb.tb_frame
        if frame.f_code is code:
            # A generator's own code is enough; of a class there may be many.
            return hasattr(body, "gi_code") or frame.f_locals.get("self") is body
        tb = tb.tb_next
    return False


class RaisedDetail:
    """The exceptions of a request, beside what levels 2 and 3 have of it."""

    __slots__ = ("_held", "_other", "_owner", "weight")

    def __init__(self, owner: Exceptions, held: list[Held], other: Detail | None) -> None:
        self._owner = owner
        self._held = held
        self._other = other
        self.weight = sum(one.weight for one in held) + (0 if other is None else other.weight)

    def add_to(self, batch: Batch, row: Row) -> None:
        """Make records of them. Runs in the flusher."""
        try:
            if self._other is not None:
                self._other.add_to(batch, row)
        finally:
            for held in self._held:
                try:
                    batch.exceptions.append(self._owner.occurrence(held, row))
                except Exception:  # noqa: BLE001 - counted; the others are stored
                    self._owner.failed()
