"""Calls a WSGI app as a server does, without a network, and takes the time of it."""

from __future__ import annotations

import gc
import statistics
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from .hosts import Variant


class Cost(NamedTuple):
    """µs a request: CPU of its thread, of the process until all is stored, of the watcher; wall.

    With several threads the wall time is that of the process for one more request.
    """

    thread_us: float
    all_us: float
    wall_us: float
    watcher_us: float


def start_response(_status: str, _headers: Any, _exc_info: Any = None) -> Callable[[bytes], None]:
    """A server's, that sends nothing."""
    return lambda _data: None


def environ(path: str) -> dict[str, Any]:
    """A server's, of a GET."""
    return {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.url_scheme": "http",
        "wsgi.multithread": True,
    }


def call(wsgi_app: Any, prepared: list[dict[str, Any]]) -> int:
    """Answer the requests one after the other; return the thread's CPU time in ns."""
    start_ns = time.thread_time_ns()
    for one in prepared:
        body = wsgi_app(one, start_response)
        for _ in body:
            pass
        close = getattr(body, "close", None)
        if close is not None:
            close()
    return time.thread_time_ns() - start_ns


def call_in_threads(wsgi_app: Any, shares: list[list[dict[str, Any]]]) -> tuple[int, int]:
    """Answer each share in a thread of its own; return CPU of those threads and wall time, ns."""
    spent_ns: list[int] = []
    begin = threading.Barrier(len(shares) + 1)

    def work(share: list[dict[str, Any]]) -> None:
        begin.wait()
        spent_ns.append(call(wsgi_app, share))

    threads = [threading.Thread(target=work, args=(share,)) for share in shares]
    for thread in threads:
        thread.start()
    start_ns = time.perf_counter_ns()
    begin.wait()
    for thread in threads:
        thread.join()
    return sum(spent_ns), time.perf_counter_ns() - start_ns


def measure(variant: Variant, path: str, requests: int, threads: int) -> Cost:
    """Return what one request costs on average."""
    shares = [[environ(path) for _ in range(requests // threads)] for _ in range(threads)]
    requests = sum(len(share) for share in shares)
    variant.settle()
    gc.collect()
    before_ns, process_ns = watcher_ns(variant), time.process_time_ns()
    if threads == 1:
        start_ns = time.perf_counter_ns()
        thread_ns = call(variant.app, shares[0])
        wall_ns = time.perf_counter_ns() - start_ns
    else:
        thread_ns, wall_ns = call_in_threads(variant.app, shares)
    variant.settle()
    process_ns = time.process_time_ns() - process_ns
    variant.rest()
    spent_ns = (thread_ns, process_ns, wall_ns, watcher_ns(variant) - before_ns)
    return Cost(*(ns / requests / 1000 for ns in spent_ns))


def watcher_ns(variant: Variant) -> int:
    """Return the CPU time so far of the thread of levels 2 and 3; 0 if there is none."""
    thread = None if variant.monitor is None else variant.monitor.watch.watcher._thread
    if thread is None or thread.ident is None:
        return 0
    return time.clock_gettime_ns(time.pthread_getcpuclockid(thread.ident))


def spread(values: list[float]) -> dict[str, float]:
    """Return median and quartiles."""
    # Of a single one there are none.
    low, middle, high = statistics.quantiles(values if len(values) > 1 else values * 2, n=4)
    return {"median": round(middle, 2), "q1": round(low, 2), "q3": round(high, 2)}
