"""What the spool costs: µs of CPU a record, in the request's thread and in the flusher's.

    python -m benchmarks spool [--records 20000] [--rounds 15]

- append: one record written to the file;
- hold: the note of an answer that is about to be sent, and its end with the record;
- take: reading the records back for a batch, which the flusher does.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from fmd_admin.recorder import spool
from fmd_admin.records import RequestRecord


def main(arguments: list[str] | None = None) -> int:
    """The command; see the module's text."""
    parser = argparse.ArgumentParser("python -m benchmarks spool")
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args(arguments)
    records = [_record(number) for number in range(options.records)]
    for title, memory in (("records in memory too", len(records)), ("in the file only", 0)):
        print(title)
        run(records, options.rounds, memory)
    return 0


def run(records: list[RequestRecord], rounds: int, memory: int) -> None:
    """Measure and print."""
    figures: dict[str, list[float]] = {"append": [], "hold and append": [], "take": []}
    with tempfile.TemporaryDirectory() as folder:
        made = spool.create(
            Path(folder, "bench.spool"), "w", "1.0", 16 << 20, lambda ip: ip, memory
        )

        def append() -> None:
            for record in records:
                made.append(record)

        def held() -> None:
            for record in records:
                made.append(record._replace(ticket=made.hold(record)))

        def take() -> None:
            while made.waiting:
                made.done(made.take(5_000, 0, 0))

        for _ in range(rounds):
            for name, work in (("append", append), ("hold and append", held)):
                figures[name].append(_cpu_us(work) / len(records))
                figures["take"].append(_cpu_us(take) / len(records))
        made.close()
    for name, values in figures.items():
        print(f"  {name:20}{statistics.median(values):6.2f} µs, at best {min(values):.2f}")


def _record(number: int) -> RequestRecord:
    ip = f"192.0.2.{number % 200}"
    return RequestRecord(number, number + 9, "shop.page", "GET", "200 OK", "anna", ip)


def _cpu_us(work: Callable[[], None]) -> float:
    start_ns = time.thread_time_ns()
    work()
    return (time.thread_time_ns() - start_ns) / 1_000
