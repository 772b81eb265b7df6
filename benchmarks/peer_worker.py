"""The process of one peer: it answers requests in itself and says what they cost.

Started by :mod:`benchmarks.peers` with the Python of the peer's virtual environment. Orders come
in as lines of JSON, answers go out as such.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
import threading
import time
from typing import Any

from .apps import make_app
from .calls import call, call_in_threads, environ
from .peer_apps import KINDS, Watched


def main(kind: str, level: int, folder: str, steps_per_ms: float) -> None:
    """Serve orders until the end of the input."""
    # What a package prints must not get between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    app = make_app(kind, steps_per_ms)
    watched: Watched | None = None
    most_threads = 0
    for line in sys.stdin:
        order = json.loads(line)
        if order["do"] == "begin":
            watched = KINDS[kind](app, level, folder)
            answer: dict[str, Any] = {}
        elif order["do"] == "count":
            assert watched is not None
            memory_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            answer = {
                "rows": watched.rows(),
                "most_threads": most_threads,
                "most_mib": round(memory_mib, 1),
            }
        else:
            assert watched is not None
            answer, threads = measure(watched, order)
            most_threads = max(most_threads, threads)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    # Some leave threads behind that do not end.
    os._exit(0)


def measure(watched: Watched, order: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """Return the costs as :func:`benchmarks.calls.measure` does, and how many threads there were.

    The order of things is the same as there.
    """
    threads, path = order["threads"], order["path"]
    shares = [[environ(path) for _ in range(order["requests"] // threads)] for _ in range(threads)]
    requests = sum(len(share) for share in shares)
    watched.settle()
    gc.collect()
    process_ns = time.process_time_ns()
    if threads == 1:
        start_ns = time.perf_counter_ns()
        thread_ns = call(watched.app, shares[0])
        wall_ns = time.perf_counter_ns() - start_ns
    else:
        thread_ns, wall_ns = call_in_threads(watched.app, shares)
    there = threading.active_count()
    watched.settle()
    process_ns = time.process_time_ns() - process_ns
    cost = [ns / requests / 1000 for ns in (thread_ns, process_ns, wall_ns, 0)]
    return {"requests": requests, "cost": cost}, there


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], float(sys.argv[4]))
