"""The budgets that a release must keep, beside what was measured."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def budgets(figures: dict[str, Any]) -> Iterator[str]:
    """Yield a line for each budget that ``figures`` of the overhead say something about."""
    for path in ("/", "/json"):
        rows = figures.get(f"{path} 1", {})
        if "level 1" in rows:
            one = rows["level 1"]
            yield _line(f"level 1, {path}, in the thread", one["thread_us"]["median"], 15, "µs")
            yield _line(f"level 1, {path}, all CPU", one["all_us"]["median"], 30, "µs")
        if "level 1 no spool" in rows:
            plain = rows["level 1 no spool"]["thread_us"]["median"]
            yield _line(f"level 1, {path}, no spool, in the thread", plain, 10, "µs")
        if "thread_us_over_level_1" in rows.get("level 2", {}):
            more = rows["level 2"]["thread_us_over_level_1"]["median"]
            yield _line(f"level 2, {path}, in the thread over level 1", more, 4, "µs")
        if "level 3" in rows:
            more = rows["level 3"]["thread_us"]["median"]
            yield _line(f"level 3, {path}, in the thread", more, 20, "µs")
    for threads in (1, 8):
        for path in ("/work", "/long", "/call"):
            rows = figures.get(f"{path} {threads}", {})
            if "level 3" in rows:
                more, bare = rows["level 3"]["all_us"]["median"], rows["bare"]["all_us"]
                what = f"level 3, {path}, {threads} thread(s), all CPU"
                yield _line(what, 100 * more / bare, 5, "%")
    for row in figures.get("idle", []):
        yield _line(f"level {row['level']}, threads of ours", row["threads"], 3, "")


def _line(what: str, measured: float, budget: float, unit: str) -> str:
    verdict = "holds" if measured <= budget else "EXCEEDED"
    return f"{what:48}{measured:8.2f} of {budget} {unit:3} {verdict}"
