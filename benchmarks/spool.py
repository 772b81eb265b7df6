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

from fmd_admin.collect.address import anonymized
from fmd_admin.recorder import spool_file
from fmd_admin.records import RequestRecord


def main(arguments: list[str] | None = None) -> int:
    """The command; see the module's text."""
    parser = argparse.ArgumentParser("python -m benchmarks spool")
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args(arguments)
    records = [_record(number, 200) for number in range(options.records)]
    for title, memory in (("records in memory too", len(records)), ("in the file only", 0)):
        print(title)
        run(records, options.rounds, memory)
    for clients in (10_000, 10**9):
        records = [_record(number, clients) for number in range(options.records)]
        seen = len({texts for texts, *_rest in records})
        for name, clean_ip in (("full", _same), ("anonymized", anonymized)):
            print(f"{seen:,} clients in {len(records):,} requests, IP={name}")
            run(records, options.rounds, len(records), clean_ip)
    return 0


def _same(ip: str) -> str:
    return ip


def run(
    records: list[RequestRecord],
    rounds: int,
    memory: int,
    clean_ip: Callable[[str], str | None] = _same,
) -> None:
    """Measure and print."""
    figures: dict[str, list[float]] = {"append": [], "hold and append": [], "take": []}
    with tempfile.TemporaryDirectory() as folder:
        made = spool_file.create(
            Path(folder, "bench.spool"), "w", "1.0", 16 << 20, clean_ip, memory
        )

        def append() -> None:
            for record in records:
                made.append(record)

        def held() -> None:
            for record in records:
                made.append((*record[:4], made.hold(record)))

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


def _record(number: int, clients: int) -> RequestRecord:
    # All of them in turn, in no order.
    client = number * 7_919 % clients
    ip = f"{client >> 24 & 255}.{client >> 16 & 255}.{client >> 8 & 255}.{client & 255}"
    return (("shop.page", "GET", "200 OK", "anna", ip), number, number + 9, None, 0)


def _cpu_us(work: Callable[[], None]) -> float:
    start_ns = time.thread_time_ns()
    work()
    return (time.thread_time_ns() - start_ns) / 1_000
