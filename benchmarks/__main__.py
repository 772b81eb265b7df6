"""python -m benchmarks overhead|memory|spool|importing [options]"""

from __future__ import annotations

import sys
from collections.abc import Callable

from . import importing, memory, overhead, spool

COMMANDS: dict[str, Callable[[list[str] | None], int]] = {
    "importing": importing.main,
    "memory": memory.main,
    "overhead": overhead.main,
    "spool": spool.main,
}


def main(arguments: list[str]) -> int:
    """Run the benchmark that is named first."""
    if not arguments or arguments[0] not in COMMANDS:
        print(f"usage: python -m benchmarks {'|'.join(COMMANDS)} [--help]", file=sys.stderr)
        return 2
    return COMMANDS[arguments[0]](arguments[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
