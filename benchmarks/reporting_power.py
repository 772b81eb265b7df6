"""How often the report is right: false reports, and changes found, over several seeds.

    python -m benchmarks.reporting_power [--seeds 6]

Each line is one setting; the numbers are the part of the trials in which the change was found (or,
for endpoints without one, the part that was reported), a number a seed. Log-normal durations.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator

from tests.unit.read.trials import false_reports, found_in, more_errors, slowdown

TRIALS = 200


def settings() -> Iterator[tuple[str, Callable[[int], float]]]:
    """Give each line's title and what to run with a seed."""
    yield "1,000 endpoints without a change: reported", false_reports
    for others in (0, 9, 49):
        beside = f"{others} unchanged beside it"
        for sigma in (0.5, 0.7, 1.0, 1.5):
            yield (
                f"20 % slower, 500 + 500 requests, sigma {sigma}, {beside}",
                lambda seed, sigma=sigma, others=others: found_in(
                    seed, "slower", slowdown(sigma=sigma), TRIALS, others
                ),
            )
        yield (
            f"errors 1 % to 4 %, 1,000 + 1,000 requests, {beside}",
            lambda seed, others=others: found_in(
                seed, "more_errors", more_errors(), TRIALS, others
            ),
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=6)
    seeds = range(1, parser.parse_args().seeds + 1)
    for title, run in settings():
        print(f"{title:75}", *(f"{100 * run(seed):5.1f}" for seed in seeds), "%", flush=True)


if __name__ == "__main__":
    main()
