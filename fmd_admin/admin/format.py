"""Figures and times as people read them."""

from __future__ import annotations

import math
from datetime import date, datetime
from zoneinfo import ZoneInfo

from ..read.table import Kind

#: What stands where there is no value.
NONE = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
#: Characters of a moment without its offset.
_MOMENT = len("2026-11-22 14:03:21.402")
_STEPS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def count(value: int | None) -> str:
    """Return a whole number with its thousands apart: ``539,758``."""
    return NONE if value is None else f"{value:,}"


def number(value: float | None) -> str:
    """Return any number with up to six digits that matter: ``1,234.5``, ``0.25``, ``1.2e-09``."""
    if value is None:
        return NONE
    if value == 0:
        return "0"
    if not 1e-4 <= abs(value) < 1e15:
        return f"{value:.6g}"
    digits = max(0, 5 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def ms(value: float | None) -> str:
    """Return a duration with the digits that matter: ``0.42 ms``, ``9.1 ms``, ``1,450 ms``."""
    if value is None:
        return NONE
    if value >= 100_000:
        return f"{value / 1000:,.0f} s"
    if value >= 9.95:
        return f"{value:,.0f} ms"
    return f"{value:.1f} ms" if value >= 0.995 else f"{value:.2f} ms"


def percent(share: float | None, *, fine: bool = False) -> str:
    """Return a share (1.0 = 100 %): ``34 %``, below 10 % with one digit more if ``fine``.

    What is not zero is never shown as zero.
    """
    if share is None:
        return NONE
    value = 100 * share
    if value == 0:
        return "0 %"
    digits = (2 if value < 1 else 1) if fine and value < 9.95 else 0
    smallest = 10.0**-digits
    if 0 < value < smallest / 2:
        return f"< {smallest:.{digits}f} %"
    return f"{value:.{digits}f} %"


def points(difference: float | None) -> str:
    """Return the difference of two shares in percentage points: ``+0.2 points``."""
    if difference is None:
        return NONE
    value = round(100 * difference, 1)
    sign = "+" if value > 0 else MINUS if value < 0 else ""
    return f"{sign}{abs(value):g} {'point' if abs(value) == 1 else 'points'}"


def change(part: float | None) -> str:
    """Return a change (0.1 = 10 % more) with its sign: ``+38 %``, ``−4.2 %``, ``±0 %``."""
    if part is None:
        return NONE
    value = abs(100 * part)
    text = f"{value:,.{0 if value >= 9.95 else 1}f} %"
    if value < 0.05:
        return "\N{PLUS-MINUS SIGN}0 %"
    return ("+" if part > 0 else MINUS) + text


def exact(moment: datetime | None, zone: ZoneInfo) -> str:
    """Return an aware time on the wall clock of ``zone``, with the zone's name."""
    return NONE if moment is None else f"{moment.astimezone(zone):%Y-%m-%d %H:%M:%S %Z}"


def moment(time: datetime, zone: ZoneInfo) -> str:
    """Return an aware time to the millisecond: ``2026-11-22 14:03:21.402``."""
    # Three times as quick as with strftime, and lists have a hundred of them.
    return time.astimezone(zone).isoformat(" ", "milliseconds")[:_MOMENT]


def mib(value: float | None) -> str:
    """Return MiB in the unit that suits: ``84 MiB``, ``3.2 GiB``."""
    if value is None:
        return NONE
    return f"{value / 1024:,.1f} GiB" if value >= 1024 else f"{value:,.0f} MiB"


def size(value: int | None) -> str:
    """Return bytes in the unit that suits: ``312 KiB``, ``8.4 MiB``, ``3.2 GiB``."""
    if value is None:
        return NONE
    if value < 2**20:
        return f"{value / 2**10:,.0f} KiB"
    return f"{value / 2**20:,.1f} MiB" if value < 10 * 2**20 else mib(value / 2**20)


def ago(moment: datetime | None, now_ms: int, suffix: str = "") -> str:
    """Return how long ago an aware time was, in its largest unit: ``now``, ``14 s``, ``3 d``.

    ``suffix`` stands behind a unit, not behind ``now``.
    """
    if moment is None:
        return NONE
    seconds = int(now_ms / 1000 - moment.timestamp())
    for size, unit in _STEPS:
        if seconds >= size:
            return f"{seconds // size} {unit}{suffix}"
    return "now"


def day(iso: str) -> str:
    """Return an ISO date with its weekday: ``Sun 2026-11-22``."""
    return f"{date.fromisoformat(iso):%a} {iso}"


def value(item: object, kind: Kind, zone: ZoneInfo) -> str:
    """Return a value of a column of ``kind`` as text."""
    if item is None:
        return NONE
    if kind == "time" and isinstance(item, datetime):
        return exact(item, zone)
    if kind == "date":
        return day(str(item))
    if isinstance(item, (int, float)):
        if kind == "count":
            return count(int(item))
        if kind == "number":
            return number(item)
        if kind == "ms":
            return ms(item)
        if kind == "percent":
            return percent(item, fine=True)
        if kind == "rate":
            return f"{item:,.0f}" if item >= 99.5 else f"{item:.2g}"
        if kind == "change":
            return change(item)
        if kind == "p":
            return "< 0.001" if item < 0.001 else f"{item:.2g}"
    return str(item)
