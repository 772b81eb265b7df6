"""The budgets that a release must keep, beside what was measured, and the peers beside us."""

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


#: A level of FMD's, ours beside it, and the part of its cost that ours may come to.
_AGAINST_FMD = ((1, 1 / 100), (2, 1 / 100), (3, 1 / 20))


def compared(figures: dict[str, Any]) -> Iterator[str]:
    """Yield a line for each comparison with a peer that was measured in the same rounds."""
    for key, rows in figures.items():
        if not key.startswith("/"):
            continue
        for level, most in _AGAINST_FMD:
            theirs, ours = rows.get(f"FMD 5.1.0 level {level}"), rows.get(f"level {level}")
            if theirs and ours:
                for figure, what in (
                    ("thread_us", "in the thread"),
                    ("wall_us", "answer later"),
                    ("all_us", "all CPU"),
                ):
                    part = ours[figure]["median"] / theirs[figure]["median"]
                    name = f"level {level}, {key}, {what}, of FMD's"
                    # The goal is for "/"; elsewhere the line only says how it is.
                    yield _line(name, part, most if key == "/ 1" else None, "")
        for name in ("prometheus exporter", "OpenTelemetry"):
            if name in rows and "level 1" in rows:
                part = rows["level 1"]["all_us"]["median"] / rows[name]["all_us"]["median"]
                yield _line(f"level 1, {key}, all CPU, of {name}", part, 1.0, "")
        if "pyinstrument" in rows and "level 3" in rows:
            part = rows["level 3"]["all_us"]["median"] / rows["pyinstrument"]["all_us"]["median"]
            yield _line(f"level 3, {key}, all CPU, of pyinstrument", part, None, "")


def _line(what: str, measured: float, budget: float | None, unit: str) -> str:
    if budget is None:
        return f"{what:48}{measured:8.4f} {unit:3}"
    verdict = "holds" if measured <= budget else "EXCEEDED"
    return f"{what:48}{measured:8.4g} of {budget:g} {unit:3} {verdict}"
