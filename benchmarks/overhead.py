"""What a request costs with fmd_admin, beside the same app without it.

    python -m benchmarks overhead [--rounds 60] [--requests 2000] [--threads 1,8]
        [--peers all|fmd,prometheus] [--json FILE]

Calls the WSGI app in one process, without a network: rounds of the variants are interleaved, so
that a noisy machine hits them alike. Figures a request, each the difference to the bare app of the
same round:

- thread: CPU time of the request's own thread (time.thread_time_ns);
- all: CPU time of the whole process until everything is stored and merged into the rollups;
- wall: time that passed until the last answer, storing not awaited;
- watcher: CPU time of the thread of levels 2 and 3, itself part of all.

The floor is the least that any monitor must do: a WSGI wrapper with two clock reads and an append.
With ``--peers`` other packages are measured in the same rounds, each in a process with a virtual
environment of its own, and what they lost of the requests is counted; see ``peer_apps``.
Then each level is left alone after some requests, to see what a process without requests costs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from . import idle
from .apps import PATHS, calibrate
from .budgets import budgets, compared
from .calls import Cost, measure, spread
from .hosts import Variant, variants
from .peers import VENVS, Peer, RemoteVariant, chosen, remote, version_of

#: Busy views: fewer requests, yet about as long as between two flushes, as each batch has its
#: price; of short ones a thread answers more in that time than are asked here.
FEWER = {"/work": 8, "/long": 80, "/call": 20}
#: And fewer rounds, as these take longer.
FEWER_ROUNDS = {"/work": 2, "/long": 4, "/call": 4}
#: Peers take up to a hundred times as long for a request, and do each by itself: of many, they get
#: one in so many, but not less than these.
PEER_SHARE, PEER_LEAST = 20, 50
FIGURES = Cost._fields


def run(
    *,
    rounds: int,
    requests: int,
    paths: list[str],
    threads: list[int],
    names: list[str],
    peers: list[Peer],
    venvs: Path,
) -> dict[str, Any]:
    """Return the figures by number of threads and path."""
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        steps_per_ms = calibrate()
        found = variants(Path(folder), steps_per_ms)
        others = remote(peers, venvs, Path(folder), steps_per_ms)
        apps: list[Variant | RemoteVariant] = [
            *(v for v in found if not names or v.name in (*names, "bare")),
            *others,
        ]
        try:
            for count in threads:
                for path in paths:
                    each = max(requests // FEWER.get(path, 1), 8)
                    times = max(rounds // FEWER_ROUNDS.get(path, 1), 2)
                    table = interleaved(apps, path, each, count, times)
                    figures[f"{path} {count}"] = summary(table)
                    show_table(path, count, figures[f"{path} {count}"])
            figures["dropped"] = {
                v.name: v.monitor.recorder.dropped for v in apps if v.monitor is not None
            }
            figures["peers"] = {
                other.name: {"version": version_of(other.peer.package, venvs), **other.count()}
                for other in others
            }
        finally:
            for variant in (*found, *others):
                variant.close()
    return figures


def cost_of(variant: Variant | RemoteVariant, path: str, requests: int, threads: int) -> Cost:
    """Return what a request costs in one variant, wherever its process is."""
    if isinstance(variant, Variant):
        return measure(variant, path, requests, threads)
    fewer = max(requests // PEER_SHARE, min(requests, PEER_LEAST))
    return variant.measure(path, max(fewer, threads), threads)


def interleaved(
    apps: list[Variant | RemoteVariant], path: str, requests: int, threads: int, rounds: int
) -> dict[str, list[Cost]]:
    """Return the costs of each variant, round by round."""
    for variant in apps:
        cost_of(variant, path, requests, threads)  # Warm up.
    table: dict[str, list[Cost]] = {variant.name: [] for variant in apps}
    for number in range(rounds):
        # Start with another one each round: what comes first pays for cold caches.
        shift = number % len(apps)
        for variant in apps[shift:] + apps[:shift]:
            table[variant.name].append(cost_of(variant, path, requests, threads))
    return table


def summary(table: dict[str, list[Cost]]) -> dict[str, Any]:
    """Return medians of the bare app, and of the differences to it."""
    bare = table["bare"]
    result: dict[str, Any] = {
        "bare": {
            name: round(statistics.median(getattr(cost, name) for cost in bare), 1)
            for name in FIGURES
        }
    }
    for variant, rounds in table.items():
        if variant == "bare":
            continue
        result[variant] = {
            name: spread(
                [getattr(a, name) - getattr(b, name) for a, b in zip(rounds, bare, strict=True)]
            )
            for name in FIGURES
        }
    # Of the same round too: the machine changes less between two of them than over all.
    if "level 1" in table and "level 2" in table:
        result["level 2"]["thread_us_over_level_1"] = spread(
            [
                a.thread_us - b.thread_us
                for a, b in zip(table["level 2"], table["level 1"], strict=True)
            ]
        )
    return result


def show_table(path: str, threads: int, rows: dict[str, Any]) -> None:
    """Print what requests of ``path`` cost."""
    bare = rows["bare"]
    print(
        f"\n{path}, {threads} thread{'s' if threads != 1 else ''}; bare app: "
        f"{bare['thread_us']} µs in the thread, {bare['all_us']} all CPU, {bare['wall_us']} wall"
    )
    titles = ("in the thread", "all CPU, stored", "wall", "watcher")
    print(f"{'':20}" + "".join(f"{title:>30}" for title in titles))
    for name, row in rows.items():
        if name == "bare":
            continue
        cells = [
            f"{row[f]['median']:.2f} ({row[f]['q1']:.2f} to {row[f]['q3']:.2f})" for f in FIGURES
        ]
        print(f"{name:20}" + "".join(f"{cell:>30}" for cell in cells), flush=True)


def show(figures: dict[str, Any]) -> None:
    """Print what the tables come to."""
    print(f"\nrequests dropped: {sum(figures['dropped'].values())}")
    for name, counts in figures["peers"].items():
        stored = "stores none" if counts["rows"] is None else f"{counts['rows']:,} stored"
        print(
            f"{name} ({counts['version']}): {counts['answered']:,} requests answered, {stored}, "
            f"at most {counts['most_threads']} threads and {counts['most_mib']} MiB"
        )
    if "idle" in figures:
        idle.show(figures["idle"])
    for against in compared(figures):
        print(f"  {against}")
    print("\nbudgets")
    for budget in budgets(figures):
        print(f"  {budget}")


def main(arguments: list[str] | None = None) -> int:
    """The command; see the module's text."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks overhead", description=__doc__.split("\n", 1)[0]
    )
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--threads", default="1,8", help="numbers of threads: 1,8")
    parser.add_argument("--paths", default=",".join(PATHS), help=f"of {','.join(PATHS)}")
    parser.add_argument(
        "--only", default="", help='variants, beside the bare app: "level 1,level 2"'
    )
    parser.add_argument("--peers", default="", help='others to measure as well: "all", "fmd" …')
    parser.add_argument("--venvs", type=Path, default=VENVS, help="where theirs are installed")
    parser.add_argument("--idle", type=float, default=3.0, help="seconds of idleness; 0: none")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args(arguments)
    before = os.getloadavg()[0]
    print(f"Python {platform.python_version()}, Flask {version('flask')}, {platform.machine()}")
    print("µs added to a request: median (quartiles) of the difference to the bare app")
    figures = run(
        rounds=options.rounds,
        requests=options.requests,
        paths=options.paths.split(","),
        threads=[int(number) for number in options.threads.split(",")],
        names=[name for name in options.only.split(",") if name],
        peers=chosen(options.peers),
        venvs=options.venvs,
    )
    if options.idle:
        figures["idle"] = idle.run(options.idle)
    figures["load"] = {"before": round(before, 2), "after": round(os.getloadavg()[0], 2)}
    show(figures)
    print(f"load of the machine: {before:.1f} before, {figures['load']['after']:.1f} after")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
