"""python -m benchmarks COMMAND [options]; without a command it says which there are."""

from __future__ import annotations

import sys
from collections.abc import Callable

from . import (
    errors,
    faults,
    history,
    importing,
    memory,
    overhead,
    overview,
    pages,
    profiler,
    retention,
    spool,
    storage,
    throughput,
)

COMMANDS: dict[str, Callable[[list[str] | None], int]] = {
    "errors": errors.main,
    "faults": faults.main,
    "history": history.main,
    "importing": importing.main,
    "memory": memory.main,
    "overhead": overhead.main,
    "overview": overview.main,
    "pages": pages.main,
    "profiler": profiler.main,
    "retention": retention.main,
    "spool": spool.main,
    "storage": storage.main,
    "throughput": throughput.main,
}


def main(arguments: list[str]) -> int:
    """Run the benchmark that is named first."""
    if not arguments or arguments[0] not in COMMANDS:
        print(f"usage: python -m benchmarks {'|'.join(COMMANDS)} [--help]", file=sys.stderr)
        return 2
    return COMMANDS[arguments[0]](arguments[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
